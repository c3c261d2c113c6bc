package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// A batch is what is committed at once.
const (
	batchEvents = 500
	batchBytes  = 256 << 10
)

// connect dials once and follows the journal until the link ends. answered tells whether the runner gave a sign of life on it.
func (a *attachment) connect() (answered bool, err error) {
	l, err := a.dial()
	if err != nil {
		return false, err
	}
	defer l.Close()
	st, err := a.status(a.ctx, l)
	switch {
	case err != nil:
		return false, err
	case st.Version != link.Version:
		return true, &lost{fmt.Sprintf("The sandbox runs version %d of the runner; this bot talks to version %d.", st.Version, link.Version)}
	case st.Start != a.req.Start:
		return true, &lost{"Another runner works in the sandbox now."}
	}
	a.hear()
	a.set(func() { a.cur = l })
	defer a.set(func() { a.cur = nil })
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	stop := a.watch(ctx, l)
	defer stop()
	return true, a.follow(ctx, l)
}

func (a *attachment) dial() (*link.Link, error) {
	ctx, cancel := context.WithTimeout(a.ctx, answerLimit)
	defer cancel()
	token, err := a.m.c.Store.Secret(ctx, tokenKey(a.req.Session, a.req.Start))
	if session.CodeOf(err) == session.NotFound {
		return nil, &lost{"The sandbox cannot be reached any more: its key is gone."}
	}
	if err != nil {
		return nil, err
	}
	to, err := a.m.c.Provider.Dial(ctx, a.req.Handle)
	if err != nil {
		return nil, err
	}
	l, err := link.Dial(ctx, link.DialOptions{URL: to.URL, Token: string(token), Dial: to.Dial, Handler: a.handler})
	if session.CodeOf(err) == session.Forbidden {
		if err := a.find(false); err != nil { // perhaps another runner answered
			return nil, err
		}
		return nil, &strike{"The sandbox refused its own key."}
	}
	return l, err
}

// watch asks for the runner's status when it has been silent for too long, and ends the link when no answer comes, or when events
// are there that do not come.
func (a *attachment) watch(ctx context.Context, l *link.Link) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stuck := false
	var check func()
	check = func() {
		if ctx.Err() != nil {
			return
		}
		if rest := a.quiet(); rest > 0 {
			a.m.c.Clock.AfterFunc(rest, check)
			return
		}
		st, err := a.status(ctx, l)
		if err == nil {
			at := a.place()
			behind := st.Journal != at.Journal || st.N > at.N
			if !behind || !stuck {
				stuck = behind
				a.hear()
				a.m.c.Clock.AfterFunc(a.quiet(), check)
				return
			}
		}
		_ = l.Close()
	}
	a.m.c.Clock.AfterFunc(a.quiet(), check)
	return cancel
}

// follow reads the journal after the cursor and sends it on, until the link or the session's wish for it ends.
func (a *attachment) follow(ctx context.Context, l *link.Link) error {
	at := a.place()
	q := url.Values{"journal": {at.Journal}, "after": {strconv.FormatInt(at.N, 10)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/events?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := l.Client().Do(req)
	if err != nil {
		return &session.Error{Code: session.Unavailable, Op: "sandbox.follow", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := a.problem(resp)
		if session.CodeOf(err) == session.Unavailable {
			return err
		}
		return &strike{"The sandbox does not hand out its journal: " + session.Sentence(err)}
	}
	journal := resp.Header.Get(link.HeaderJournal)
	after, err := strconv.ParseInt(resp.Header.Get(link.HeaderAfter), 10, 64)
	switch {
	case err != nil || journal == "" || len(journal) > 200:
		return &strike{"The sandbox did not say which journal it reads from."}
	case journal != at.Journal && after != 0, journal == at.Journal && after != at.N:
		return &strike{"The sandbox reads its journal from the wrong place."}
	case journal != at.Journal:
		at = session.Cursor{Journal: journal}
	}
	return a.read(ctx, bufio.NewReaderSize(resp.Body, 64<<10), at)
}

// read sends the lines of a journal in batches: it waits for one line, then takes those that are there.
func (a *attachment) read(ctx context.Context, r *bufio.Reader, at session.Cursor) error {
	live := a.m.c.Redactor.Live()
	var events []session.Event
	size := 0
	flush := func() error {
		if len(events) == 0 {
			return nil
		}
		if err := a.send(ctx, session.Journaled{Start: a.req.Start, Cursor: at, Events: events}); err != nil {
			return &refusal{err}
		}
		a.set(func() { a.cursor, a.prompt = at, last(events, a.prompt) })
		events, size = nil, 0
		return nil
	}
	for {
		line, err := readLine(r)
		if err != nil {
			return errors.Join(flush(), err)
		}
		a.hear()
		var l link.Line
		if err := json.Unmarshal(line, &l); err != nil && len(bytes.TrimSpace(line)) > 0 {
			return errors.Join(flush(), &strike{fmt.Sprintf("The sandbox's journal is damaged after line %d.", at.N)})
		}
		switch {
		case l.N == 0 && l.Event == nil && l.Delta == nil: // heartbeat
		case l.N == 0 && l.Event == nil:
			if err := flush(); err != nil { // what was told before is shown before
				return err
			}
			if d, ok := live.Delta(*l.Delta); ok {
				a.m.c.Live(a.req.Session, d)
			}
		case l.N != at.N+1 || l.Event == nil || l.Delta != nil:
			return errors.Join(flush(), &strike{fmt.Sprintf("The sandbox's journal does not go on at line %d.", at.N+1)})
		default:
			a.m.c.Redactor.Event(l.Event)
			l.Event.Seq = 0
			events = append(events, *l.Event)
			size += len(line)
			at.N = l.N
		}
		if more := buffered(r); more == 0 || len(events) >= batchEvents || size+more > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// last returns the prompt that the newest of events is about.
func last(events []session.Event, before string) string {
	if id := events[len(events)-1].PromptID; id != "" {
		return id
	}
	return before
}

// buffered returns the length of the next line if all of it is there already, else 0.
func buffered(r *bufio.Reader) int {
	b, _ := r.Peek(r.Buffered())
	return bytes.IndexByte(b, '\n') + 1
}

// readLine returns the next line; a strike when it is too long. A last line that was not ended is none.
func readLine(r *bufio.Reader) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(long)+len(part) > link.MaxLine {
			return nil, &strike{fmt.Sprintf("The sandbox sent a line of more than %d bytes.", link.MaxLine)}
		}
		switch {
		case err == nil && long == nil:
			return part, nil
		case err == nil:
			return append(long, part...), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, &session.Error{Code: session.Unavailable, Op: "sandbox.follow", Err: err}
		}
		long = append(long, part...)
	}
}

// drain returns when all that the runner had in its journal at the call is committed.
func (a *attachment) drain(ctx context.Context) error {
	if err := a.until(ctx, func() bool { return a.cur != nil }); err != nil {
		return err
	}
	l := a.link()
	if l == nil {
		return session.Errorf(session.Unavailable, "The connection to the sandbox was lost.")
	}
	st, err := a.status(ctx, l)
	if err != nil {
		return err
	}
	return a.until(ctx, func() bool { return st.N == 0 || a.cursor.Journal == st.Journal && a.cursor.N >= st.N })
}
