package sandbox

import (
	"context"
	"sync"
	"time"

	"openinspect/session"
)

// The breaker opens at this many failures within that time, for that time.
const (
	breakerFailures = 3
	breakerWindow   = 5 * time.Minute
)

// breaker keeps starts from being tried when they cannot succeed: it opens after three failures within five minutes that were the provider's
// defects, not passing ones and not the request's own. Whoever wants to start then waits, and is told so, instead of failing too. After five
// minutes one of them may try while the others wait for what comes of that: a success closes the breaker for all.
type breaker struct {
	clock  session.Clock
	report func(error) // takes what the operator should know: opened, closed

	mu       sync.Mutex
	failures []time.Time   // while closed
	until    time.Time     // when the next try is; zero: closed
	trying   chan struct{} // the one try that goes on while not closed; closed with its end
}

// enter lets a start through: leave takes its outcome. While the breaker is open it returns a session.Later.
func (b *breaker) enter(ctx context.Context) (leave func(error), err error) {
	for {
		b.mu.Lock()
		now := b.clock.Now()
		switch {
		case b.until.IsZero():
			b.mu.Unlock()
			return b.note, nil
		case now.Before(b.until):
			until := b.until
			b.mu.Unlock()
			return nil, &session.Later{At: until, Err: session.Errorf(session.Unavailable,
				"Sandboxes do not start right now: %d starts failed within five minutes. Your request waits; the next try is at %s. The operator's log says what is wrong.",
				breakerFailures, until.UTC().Format("15:04 MST"))}
		case b.trying == nil:
			b.trying = make(chan struct{})
			b.mu.Unlock()
			return b.tried, nil
		}
		trying := b.trying
		b.mu.Unlock()
		select {
		case <-trying:
		case <-ctx.Done():
			return nil, &session.Error{Code: session.Unavailable, Op: "sandbox.breaker", Err: ctx.Err()}
		}
	}
}

// closed reports whether starts are tried as usual.
func (b *breaker) closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until.IsZero()
}

// defect reports whether err tells that the next start would fail likewise.
func defect(err error) bool {
	switch session.CodeOf(err) {
	case session.Internal, session.Forbidden:
		return true
	case "", session.Unavailable, session.Invalid, session.NotFound, session.Conflict:
	}
	return false
}

// note takes the outcome of a start that the closed breaker let through.
func (b *breaker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	switch {
	case err == nil && !b.until.IsZero() && b.trying == nil:
		b.close() // one that began before it opened: they do start
	case err == nil:
		b.failures = nil
	case defect(err) && b.until.IsZero():
		for len(b.failures) > 0 && !b.failures[0].After(now.Add(-breakerWindow)) {
			b.failures = b.failures[1:]
		}
		if b.failures = append(b.failures, now); len(b.failures) >= breakerFailures {
			b.open(err)
		}
	}
}

// tried takes the outcome of the one try of a breaker that is not closed. An outcome that says nothing about the provider, such as that
// of a start nobody wants any more, lets the next one try.
func (b *breaker) tried(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.trying)
	b.trying = nil
	switch {
	case err == nil:
		b.close()
	case defect(err):
		b.open(err)
	}
}

// open is called with the lock held.
func (b *breaker) open(cause error) {
	b.failures, b.until = nil, b.clock.Now().Add(breakerWindow)
	b.report(&session.Error{Code: session.Unavailable, Op: "sandbox.breaker",
		Message: "open: no sandbox is started before " + b.until.UTC().Format("15:04:05 MST") + "; what wants to start waits", Err: cause})
}

// close is called with the lock held.
func (b *breaker) close() {
	b.failures, b.until = nil, time.Time{}
	b.report(&session.Error{Code: session.Unavailable, Op: "sandbox.breaker", Message: "closed: sandboxes start again"})
}
