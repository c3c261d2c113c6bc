package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// connect dials once and follows the journal until the link ends. answered tells whether the runner gave a sign of life on it.
func (a *attachment) connect() (answered bool, err error) {
	select {
	case a.m.dialing <- struct{}{}:
	case <-a.ctx.Done():
		return false, a.ctx.Err()
	}
	l, err := a.dial()
	var st link.Status
	if err == nil {
		defer l.Close()
		st, err = a.status(a.ctx, l)
	}
	<-a.m.dialing
	switch {
	case err != nil:
		return false, err
	case st.Version != link.Version:
		return true, &lostError{fmt.Sprintf("The sandbox runs version %d of the runner; this bot talks to version %d.", st.Version, link.Version)}
	case st.Start != a.req.Start:
		return true, &lostError{"Another runner works in the sandbox now."}
	case !journalID(st.Journal) || !strings.HasPrefix(st.Journal, a.req.Start+"-"):
		return true, &protocolError{"The sandbox did not say which journal it keeps."}
	}
	a.noteHeard()
	a.change(func() { a.current = l })
	defer a.change(func() { a.current = nil })
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	a.watch(ctx, l)
	a.watchTurn(ctx, l)
	a.watchBoot(ctx, l, st.Phase)
	err = a.follow(ctx, l, st.Journal)
	if a.overdue.Load() {
		return true, &lostError{"The sandbox did not become ready within an hour of what its scripts may take."}
	}
	return true, err
}

func (a *attachment) dial() (*link.Link, error) {
	ctx, cancel := context.WithTimeout(a.ctx, answerLimit)
	defer cancel()
	token, repo, err := a.m.keptToken(ctx, a.req.Session, a.req.Start)
	if session.CodeOf(err) == session.NotFound {
		return nil, &lostError{"The sandbox cannot be reached any more: its key is gone."}
	}
	if err == nil {
		err = a.m.redactHandedOut(ctx, a.req.Repo.String(), repo)
	}
	if err != nil {
		return nil, err
	}
	to, err := a.m.c.Provider.Dial(ctx, a.req.Handle)
	if err != nil {
		return nil, err
	}
	l, err := link.Dial(ctx, link.DialOptions{URL: to.URL, Token: token, Dial: to.Dial, Handler: a.handler})
	if session.CodeOf(err) == session.Forbidden {
		if err := a.find(false); err != nil { // perhaps another runner answered
			return nil, err
		}
		return nil, &protocolError{"The sandbox refused its own key."}
	}
	return l, err
}

// watch asks for the runner's status when it has been silent for too long, and ends the link when no answer comes, or when events
// are there that do not come.
func (a *attachment) watch(ctx context.Context, l *link.Link) {
	after := a.timer(ctx)
	stuck := false
	var check func()
	check = func() {
		if ctx.Err() != nil {
			return
		}
		if rest := a.silenceLeft(); rest > 0 {
			after(rest, check)
			return
		}
		st, err := a.status(ctx, l)
		if err == nil {
			at := a.position()
			behind := st.Journal != at.Journal || st.N > at.N
			if !behind || !stuck {
				stuck = behind
				a.noteHeard()
				after(a.silenceLeft(), check)
				return
			}
		}
		_ = l.Close()
	}
	after(a.silenceLeft(), check)
}

// maxJournals bounds how many journals of earlier runners are read over one link.
const maxJournals = 100

// follow reads on after the cursor until the link or the session's wish for it ends: first what the journals of earlier runners still hold,
// then own, the journal of this one.
func (a *attachment) follow(ctx context.Context, l *link.Link, own string) error {
	for range maxJournals {
		from := a.position()
		at, body, err := a.events(ctx, l, from, own)
		if err != nil {
			return err
		}
		over, err := a.consume(ctx, body, at, at.Journal != own)
		body.Close()
		s, struck := errors.AsType[*protocolError](err)
		if _, refused := errors.AsType[*refusedError](err); refused {
			return err // what was read before the strike is not stored yet
		}
		switch {
		case over && a.position() != from:
		case over:
			return &protocolError{"The sandbox hands out a journal that it said was over."}
		case struck && at.Journal != own:
			if err := a.skip(ctx, own, s); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return &protocolError{"The sandbox has too many journals of earlier runners."}
}

// skip gives up what is left of the earlier journals: a damaged one must not stand before everything else for ever.
func (a *attachment) skip(ctx context.Context, own string, s *protocolError) error {
	at := session.Cursor{Journal: own}
	err := a.send(ctx, session.Journaled{Start: a.req.Start, Cursor: at, Earlier: true, Events: []session.Event{{
		At: a.m.c.Clock.Now(), Kind: session.KindError,
		Error: &session.Failure{Code: session.Invalid, Message: "What an earlier runner of this sandbox had still to tell is lost. " + s.reason},
	}}})
	if err != nil {
		return &refusedError{err}
	}
	a.change(func() { a.cursor = at })
	return nil
}

// events asks for what follows from, and returns which journal the answer reads from, and after which number.
func (a *attachment) events(ctx context.Context, l *link.Link, from session.Cursor, own string) (at session.Cursor, body io.ReadCloser, err error) {
	q := url.Values{"journal": {from.Journal}, "after": {strconv.FormatInt(from.N, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/events?"+q.Encode(), nil)
	if err != nil {
		return at, nil, err
	}
	resp, err := l.Stream(req)
	if err != nil {
		return at, nil, session.Wrap("sandbox.follow", err)
	}
	at.Journal = resp.Header.Get(link.HeaderJournal)
	at.N, err = strconv.ParseInt(resp.Header.Get(link.HeaderAfter), 10, 64)
	switch {
	case resp.StatusCode != http.StatusOK:
		if err = a.problem(resp); session.CodeOf(err) != session.Unavailable {
			err = &protocolError{"The sandbox does not hand out its journal: " + session.Sentence(err)}
		}
	case err != nil || !journalID(at.Journal):
		err = &protocolError{"The sandbox did not say which journal it reads from."}
	case at.Journal == from.Journal && at.N != from.N, at.Journal != from.Journal && at.N != 0:
		err = &protocolError{"The sandbox reads its journal from the wrong place."}
	case from.Journal == own && at.Journal != own, from.Journal == "" && at.Journal != own:
		err = &protocolError{"The sandbox reads from a journal that nobody asked for."}
	}
	if err != nil {
		resp.Body.Close()
		return at, nil, err
	}
	return at, resp.Body, nil
}

// journalID reports whether s can be a journal's id.
func journalID(s string) bool {
	return s != "" && len(s) <= 200 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// errOver tells that an earlier runner's journal was read to its end.
var errOver = errors.New("the journal is over")

// consume sends what comes of a journal to the session, in batches, until reading it ends or the session refuses. over tells that an earlier
// runner's journal was read to its end; a runner's own ends with its link.
func (a *attachment) consume(ctx context.Context, body io.ReadCloser, at session.Cursor, earlier bool) (over bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := at.N
	in := newBatcher(
		func(batch []received) error { return a.pass(ctx, batch, &at, earlier) },
		func() { _ = body.Close() },
	)
	read := a.read(in, body, n, earlier)
	switch err := in.wait(); {
	case err != nil:
		return false, err
	case errors.Is(read, errOver):
		return true, nil
	}
	return false, read
}

// pass sends a batch on: events are committed before the deltas that came after them are shown.
func (a *attachment) pass(ctx context.Context, batch []received, at *session.Cursor, earlier bool) error {
	events := make([]session.Event, 0, len(batch))
	flush := func() error {
		if len(events) == 0 {
			return nil
		}
		if err := a.send(ctx, session.Journaled{Start: a.req.Start, Cursor: *at, Earlier: earlier, Events: events}); err != nil {
			return &refusedError{err}
		}
		a.change(func() { a.cursor, a.prompt = *at, lastPrompt(events, a.prompt) })
		events = nil
		return nil
	}
	for _, t := range batch {
		if t.delta == nil {
			events = append(events, *t.event)
			at.N = t.n
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		a.m.c.Live(a.req.Session, *t.delta)
	}
	return flush()
}

// read reads lines after number n, redacts them and puts them in, until there is an error, which it returns.
func (a *attachment) read(in *batcher, r io.Reader, n int64, earlier bool) error {
	live := a.m.c.Redactor.Live()
	from := &lines{r: r, waits: in.flush}
	defer from.release()
	for {
		line, err := from.next()
		if err != nil {
			return err
		}
		a.noteHeard()
		var l link.Line
		if len(bytes.TrimSpace(line)) > 0 {
			if l, err = link.ParseLine(line); err != nil {
				return &protocolError{fmt.Sprintf("The sandbox's journal is damaged after line %d.", n)}
			}
		}
		t := received{n: l.N}
		switch {
		case l.Over && earlier && l.N == 0 && l.Event == nil && l.Delta == nil:
			return errOver
		case l.Over:
			return &protocolError{"The sandbox said that a journal was over in the middle of it."}
		case l.N == 0 && l.Event == nil && l.Delta == nil: // a heartbeat
			continue
		case l.N == 0 && l.Event == nil:
			a.noteProgress()
			d, ok := live.Delta(*l.Delta)
			if !ok || !a.concerns(d.PromptID) {
				continue
			}
			t.delta = &d
		case l.N != n+1 || l.Event == nil || l.Delta != nil:
			return &protocolError{fmt.Sprintf("The sandbox's journal does not go on at line %d.", n+1)}
		default:
			n = l.N
			a.noteEvent(l.Event)
			a.m.c.Redactor.Event(l.Event)
			l.Event.Seq = 0
			t.event = l.Event
		}
		if err := in.put(t, len(line)); err != nil {
			return err
		}
	}
}

// concerns reports whether a delta's prompt is the newest that was delivered, if that is known: of another there is nothing to be shown any more, or not yet.
func (a *attachment) concerns(prompt string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.prompt == "" || prompt == a.prompt
}

// lastPrompt returns the prompt that the newest of events is about.
func lastPrompt(events []session.Event, before string) string {
	if id := events[len(events)-1].PromptID; id != "" && id != before {
		return strings.Clone(id) // which would keep the whole event
	}
	return before
}

// drain returns when all that the runner had in its journal at the call is committed.
func (a *attachment) drain(ctx context.Context) error {
	l, err := a.linked(ctx)
	if err != nil {
		return err
	}
	st, err := a.status(ctx, l)
	if err != nil {
		return err
	}
	return a.until(ctx, func() bool { return st.N == 0 || a.cursor.Journal == st.Journal && a.cursor.N >= st.N })
}
