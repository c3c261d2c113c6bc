package sandbox

import (
	"sync"
	"time"

	"openinspect/session"
)

// The breaker opens at this many failures within that time.
const (
	breakerFailures = 3
	breakerWindow   = 5 * time.Minute
)

// breaker keeps starts from being tried when they cannot succeed: after three failures in five minutes that were the provider's defects,
// not passing ones and not the request's own.
type breaker struct {
	clock session.Clock

	mu       sync.Mutex
	failures []time.Time
}

// check returns Unavailable while the breaker is open.
func (b *breaker) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
	if len(b.failures) < breakerFailures {
		return nil
	}
	return session.Errorf(session.Unavailable, "Sandboxes failed to start %d times in five minutes. The next try is at %s; the operator's log says what is wrong.",
		len(b.failures), b.failures[0].Add(breakerWindow).UTC().Format("15:04 MST"))
}

// note takes the outcome of a start. A success closes the breaker.
func (b *breaker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch session.CodeOf(err) {
	case "":
		b.failures = nil
	case session.Internal, session.Forbidden:
		b.forget()
		b.failures = append(b.failures, b.clock.Now())
	case session.Unavailable, session.Invalid, session.NotFound, session.Conflict:
	}
}

func (b *breaker) forget() {
	since := b.clock.Now().Add(-breakerWindow)
	for len(b.failures) > 0 && !b.failures[0].After(since) {
		b.failures = b.failures[1:]
	}
}
