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
	m       *Manager
	req     session.AttachRequest
	send    session.Send
	before  *attachment // ends first: one reader of a session's journal at a time
	handler http.Handler
	spare   bool // the sandbox is no session's: its runner may read the repository, and nothing else
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended
	err     error         // why; read after done
	strikes int           // of run alone

	minting chan struct{} // held by whoever uses credit

	since   time.Time   // when it was begun, on the session's clock
	overdue atomic.Bool // it never became ready

	uploading atomic.Bool     // an image is being taken: one at a time, because they are large
	handing   atomic.Bool     // what is kept of the session is being handed out; whoever set it may use asked
	asked     int             // how often it was
	credit    link.Credential // newest that was made for the runner

	mu       sync.Mutex
	cur      *link.Link // nil while there is none
	moved    chan struct{}
	cursor   session.Cursor
	heard    time.Time // on the session's clock
	limit    time.Duration
	turn     bool      // one was begun or spoken of, and has not been answered
	progress time.Time // when something last came of the agent's work, on the session's clock
	prompt   string    // the newest one that was delivered or spoken of
}

func newAttachment(m *Manager, r session.AttachRequest, send session.Send, before *attachment) *attachment {
	a := &attachment{
		m: m, req: r, send: send, before: before, done: make(chan struct{}), moved: make(chan struct{}),
		cursor: r.Cursor, heard: m.c.Clock.Now(), limit: connectLimit, progress: m.c.Clock.Now(), minting: make(chan struct{}, 1),
	}
	a.since = a.heard
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
	return a.cur
}

// set changes what is known, and wakes whoever waits for it.
func (a *attachment) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.moved)
	a.moved = make(chan struct{})
}

// until waits until ok, which is asked whenever something has changed. It returns Unavailable when the attachment ends.
func (a *attachment) until(ctx context.Context, ok func() bool) error {
	for {
		a.mu.Lock()
		yes, moved := ok(), a.moved
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

// hear notes that the runner gave a sign of life.
func (a *attachment) hear() {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard, a.limit = now, heartbeatLimit
}

// quiet returns how much longer the runner may be silent.
func (a *attachment) quiet() time.Duration {
	now := a.m.c.Clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limit - now.Sub(a.heard)
}

// strike is what a runner must not do: no reason to believe that dialling again helps often.
type strike struct{ reason string }

func (s *strike) Error() string { return s.reason }

// lost is a reason to give the runner up.
type lost struct{ reason string }

func (l *lost) Error() string { return l.reason }

// refusal is the session's: it does not want this runner's inputs.
type refusal struct{ err error }

func (r *refusal) Error() string { return "the session refused: " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// run dials, reads, and dials again until the runner is lost or nobody wants it any more.
func (a *attachment) run() {
	defer close(a.done)
	defer a.cancel()
	defer a.m.forget(a)
	if a.before != nil {
		a.before.stop()
		a.before = nil
	}
	a.err = a.keep()
	if l, ok := errors.AsType[*lost](a.err); ok {
		a.err = a.lose(l)
	}
}

func (a *attachment) keep() error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = firstPause, 1.5, longPause
	for {
		was, overdue := a.place(), a.quiet() <= 0
		answered, err := a.connect()
		if a.ctx.Err() != nil || a.m.stopping() {
			return session.ErrStopped
		}
		if a.place() != was {
			pauses.Reset()
			a.strikes = 0
		}
		if err := a.weigh(err); err != nil {
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
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-a.ctx.Done():
			t.Stop()
		}
	}
}

func (a *attachment) place() session.Cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor
}

// weigh decides whether err, which ended an attempt or a link, ends the attachment.
func (a *attachment) weigh(err error) error {
	if l, ok := errors.AsType[*lost](err); ok {
		return l
	}
	if s, ok := errors.AsType[*strike](err); ok {
		if err := a.tell(s); err != nil {
			return err
		}
		if a.strikes++; a.strikes >= maxStrikes {
			return &lost{s.reason}
		}
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		switch session.CodeOf(r.err) {
		case session.Unavailable:
			if errors.Is(r.err, session.ErrStopped) {
				return r
			}
		case session.Internal: // a defect: not for ever, and the session must not wait for what never comes
			if a.strikes++; a.strikes >= maxStrikes {
				return &lost{"What the sandbox tells cannot be stored."}
			}
		case session.Invalid, session.NotFound, session.Conflict, session.Forbidden:
			return r
		}
	}
	return nil
}

// tell puts a strike into the session's log. The cursor stays where it is.
func (a *attachment) tell(s *strike) error {
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
		return a.weigh(&refusal{err})
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
		return &lost{"The sandbox is gone."}
	case err != nil:
		a.m.c.Report(a.req.Session, "find sandbox", err) // nothing is known, so nothing is judged
		return nil
	case f.Start != "" && f.Start != a.req.Start:
		return &lost{"Another runner works in the sandbox now."}
	case late:
		return &lost{"The sandbox stopped answering."}
	}
	return nil
}

// lose tells the session, for as long as its store refuses.
func (a *attachment) lose(l *lost) error {
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
		t := time.NewTimer(time.Second)
		select {
		case <-t.C:
		case <-a.ctx.Done():
			t.Stop()
			return session.ErrStopped
		}
	}
	if err := a.m.c.Store.DeleteSecret(a.ctx, tokenKey(a.req.Session, a.req.Start)); err != nil {
		a.m.c.Report(a.req.Session, "forget token", err)
	}
	return gone
}
