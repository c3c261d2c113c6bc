package sandbox

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// How long silence may last, on the session's clock, and how long an answer to a direct question may take, in real time.
const (
	connectLimit   = 120 * time.Second // before the runner's first word
	heartbeatLimit = 90 * time.Second
	answerLimit    = 5 * time.Second
)

// Pauses between attempts to dial. A local runner listens after some hundredths of a second, so the first are short.
const (
	firstPause = 20 * time.Millisecond
	longPause  = 5 * time.Second
	askAfter   = time.Second // from this pause on the provider is asked whether the sandbox lives
)

// maxStrikes is how often in a row, without progress, a runner may say what it must not before it counts as lost.
const maxStrikes = 3

// attachment keeps a link to one runner for one session.
type attachment struct {
	m        *Manager
	req      session.AttachRequest
	send     session.Send
	previous *attachment // ends first: one reader of a session's journal at a time
	handler  http.Handler
	isSpare  bool // the sandbox is no session's: its runner may read the repository, and nothing else
	ctx      context.Context
	cancel   context.CancelFunc
	done     chan struct{} // closed when it has ended
	err      error         // why; read after done
	strikes  int           // of run alone

	minting chan struct{} // held by whoever uses credit

	begunAt time.Time   // on the session's clock
	overdue atomic.Bool // the runner did not become ready in time

	uploading  atomic.Bool     // an image is being taken: one at a time, because they are large
	handingOut atomic.Bool     // what is kept of the session is being handed out; whoever set it may use handedOut
	handedOut  int             // how often it was
	credit     link.Credential // newest that was made for the runner

	mu           sync.Mutex    // guards what follows
	current      *link.Link    // nil while there is none
	changed      chan struct{} // closed with the next change
	cursor       session.Cursor
	heard        time.Time     // on the session's clock
	silenceLimit time.Duration // that the runner may be silent for
	turn         bool          // one was begun or spoken of, and has not been answered
	progressAt   time.Time     // when something last came of the agent's work, on the session's clock
	prompt       string        // the newest one that was delivered or spoken of
}

func newAttachment(m *Manager, r session.AttachRequest, send session.Send, previous *attachment) *attachment {
	a := &attachment{
		m: m, req: r, send: send, previous: previous, done: make(chan struct{}), changed: make(chan struct{}),
		cursor: r.Cursor, heard: m.c.Clock.Now(), silenceLimit: connectLimit, progressAt: m.c.Clock.Now(), minting: make(chan struct{}, 1),
	}
	a.begunAt = a.heard
	a.ctx, a.cancel = context.WithCancel(m.ctx)
	a.handler = a.serve()
	return a
}

// stop ends the attachment and waits for it.
func (a *attachment) stop() {
	a.cancel()
	if l := a.link(); l != nil {
		_ = l.Close()
	}
	<-a.done
}

func (a *attachment) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// link returns the link that is up, or nil.
func (a *attachment) link() *link.Link {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// change changes what is known, and wakes whoever waits for it.
func (a *attachment) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	close(a.changed)
	a.changed = make(chan struct{})
}

// until waits until ok, which is asked whenever something has changed. It returns Unavailable when the attachment ends.
func (a *attachment) until(ctx context.Context, ok func() bool) error {
	for {
		a.mu.Lock()
		yes, moved := ok(), a.changed
		a.mu.Unlock()
		if yes {
			return nil
		}
		select {
		case <-moved:
		case <-a.done:
			return session.Errorf(session.Unavailable, "The connection to the sandbox has ended.")
		case <-ctx.Done():
			return &session.Error{Code: session.Unavailable, Message: "The sandbox cannot be reached right now.", Err: ctx.Err()}
		}
	}
}

// linked waits until there is a link, and returns it. The error is until's.
func (a *attachment) linked(ctx context.Context) (l *link.Link, err error) {
	err = a.until(ctx, func() bool { l = a.current; return l != nil })
	return l, err
}

// noteHeard notes that the runner gave a sign of life.
func (a *attachment) noteHeard() {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard, a.silenceLimit = now, heartbeatLimit
}

// silenceLeft returns how much longer the runner may be silent.
func (a *attachment) silenceLeft() time.Duration {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silenceLimit - now.Sub(a.heard)
}

// protocolError is a strike: a runner did what it must not. Dialling again may help, but seldom does.
type protocolError struct{ reason string }

func (p *protocolError) Error() string { return p.reason }

// lostError gives a runner up.
type lostError struct{ reason string }

func (l *lostError) Error() string { return l.reason }

// refusedError is a session's that does not take this runner's inputs.
type refusedError struct{ err error }

func (r *refusedError) Error() string { return "the session refused: " + r.err.Error() }
func (r *refusedError) Unwrap() error { return r.err }

// run dials, reads, and dials again until the runner is lost or nobody wants it any more.
func (a *attachment) run() {
	defer close(a.done)
	defer a.cancel()
	defer a.m.forget(a)
	if a.previous != nil {
		a.previous.stop()
		a.previous = nil
	}
	a.err = a.keepLinked()
	if l, ok := errors.AsType[*lostError](a.err); ok {
		a.err = a.reportLost(l)
	}
}

// keepLinked dials as often as a link ends. The error, never nil, is why it does so no more.
func (a *attachment) keepLinked() error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = firstPause, 1.5, longPause
	for {
		was, overdue := a.position(), a.silenceLeft() <= 0
		answered, err := a.connect()
		if a.ctx.Err() != nil || a.m.stopping() {
			return session.ErrStopped
		}
		if a.position() != was {
			pauses.Reset()
			a.strikes = 0
		}
		if err := a.judge(err); err != nil {
			return err
		}
		pause := pauses.NextBackOff()
		late := overdue && !answered
		if answered || pause >= askAfter || session.CodeOf(err) != session.Unavailable { // that a new runner does not listen yet is no news
			a.m.c.Report(a.req.Session, "link", err)
		}
		if pause >= askAfter || late || session.CodeOf(err) == session.NotFound {
			if err := a.find(late); err != nil {
				return err
			}
		}
		a.pause(pause) // its end is seen above
	}
}

// pause waits for some real time; false if the attachment is ended meanwhile.
func (a *attachment) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.ctx.Done():
		return false
	}
}

// position returns how far the journal was read and committed.
func (a *attachment) position() session.Cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor
}

// judge decides whether err, which ended an attempt or a link, ends the attachment.
func (a *attachment) judge(err error) error {
	if l, ok := errors.AsType[*lostError](err); ok {
		return l
	}
	if s, ok := errors.AsType[*protocolError](err); ok {
		if err := a.reportStrike(s); err != nil {
			return err
		}
		if a.strikes++; a.strikes >= maxStrikes {
			return &lostError{s.reason}
		}
	}
	if r, ok := errors.AsType[*refusedError](err); ok {
		switch session.CodeOf(r.err) {
		case session.Unavailable:
			if errors.Is(r.err, session.ErrStopped) {
				return r
			}
		case session.Internal: // a defect: not for ever, and the session must not wait for what never comes
			if a.strikes++; a.strikes >= maxStrikes {
				return &lostError{"What the sandbox tells cannot be stored."}
			}
		case session.Invalid, session.NotFound, session.Conflict, session.Forbidden:
			return r
		}
	}
	return nil
}

// reportStrike puts a strike into the session's log. The cursor stays where it is.
func (a *attachment) reportStrike(s *protocolError) error {
	if a.strikes > 0 {
		return nil
	}
	a.mu.Lock()
	prompt, cursor := a.prompt, a.cursor
	a.mu.Unlock()
	err := a.send(a.ctx, session.Journaled{Start: a.req.Start, Cursor: cursor, Events: []session.Event{{
		At: a.m.c.Clock.Now(), Kind: session.KindError, PromptID: prompt, Error: &session.Failure{Code: session.Invalid, Message: s.reason},
	}}})
	if err != nil {
		return a.judge(&refusedError{err})
	}
	return nil
}

// find asks the provider about the sandbox. One that is there but is late with an answer to a direct question is lost too.
func (a *attachment) find(late bool) error {
	ctx, cancel := context.WithTimeout(a.ctx, 4*answerLimit)
	defer cancel()
	f, err := a.m.c.Provider.Find(ctx, a.req.Handle.Name)
	switch {
	case session.CodeOf(err) == session.NotFound:
		return &lostError{"The sandbox is gone."}
	case err != nil:
		a.m.c.Report(a.req.Session, "find sandbox", err) // nothing is known, so nothing is judged
		return nil
	case f.Start != "" && f.Start != a.req.Start:
		return &lostError{"Another runner works in the sandbox now."}
	case late:
		return &lostError{"The sandbox stopped answering."}
	}
	return nil
}

// reportLost tells the session, for as long as its store refuses.
func (a *attachment) reportLost(l *lostError) error {
	gone := session.Errorf(session.NotFound, "%s", l.reason)
	for {
		err := a.send(a.ctx, session.Lost{Start: a.req.Start, Reason: l.reason})
		if err == nil {
			break
		}
		if session.CodeOf(err) != session.Unavailable || errors.Is(err, session.ErrStopped) {
			a.m.c.Report(a.req.Session, "lost", err)
			return gone
		}
		if !a.pause(time.Second) {
			return session.ErrStopped
		}
	}
	if err := a.m.c.Store.DeleteSecret(a.ctx, tokenKey(a.req.Session, a.req.Start)); err != nil {
		a.m.c.Report(a.req.Session, "forget token", err)
	}
	return gone
}
