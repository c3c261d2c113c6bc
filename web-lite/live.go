package weblite

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"openinspect/session"
)

// How a socket is kept. A write that takes longer than writeWithin ends it; the reader resumes by number.
const (
	writeWithin = 60 * time.Second
	pingEvery   = 30 * time.Second // proxies cut what is silent for a minute
	readLimit   = 1 << 10          // nothing is expected from a reader
)

// errExpired ends a socket when the link it was opened with has expired.
var errExpired = session.Errorf(session.Forbidden, "This link has expired.")

// serveLive is GET /s/{id}/live?after=N: a WebSocket of JSON messages. {"events":[…]} are log entries after N, in order, without
// gap or repeat; {"delta":{…}} is a session.Delta; {"session":{…}} is the page's head, when history is through and when it
// changes; {"reset":true} says that N is not of this log and that it begins anew. Code 1008 ends it for good; after any other the
// reader resumes with the last number it has.
func (s *Server) serveLive(w http.ResponseWriter, r *http.Request) {
	id, expiry, ok := s.admit(r)
	if !ok {
		s.forbid(w)
		return
	}
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if r.URL.Query().Get("after") == "" {
		after, err = 0, nil
	}
	if err != nil || after < 0 {
		s.refuse(w, http.StatusBadRequest, "Not a place in the log", "The parameter after must be the number of an entry, or 0.")
		return
	}
	st, err := s.sessions.Load(r.Context(), id)
	if err != nil {
		s.fail(w, "live", id, err)
		return
	}
	reset := after > st.Session.Seq // of a log that was there before a backup was restored
	if reset {
		after = 0
	}
	conn, err := websocket.Accept(&slim{w}, r, &websocket.AcceptOptions{OriginPatterns: s.origins(), CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	conn.SetReadLimit(readLimit)
	// The request's own goroutine ends here, and with it everything net/http keeps for a request; its context would end too.
	v := &viewer{server: s, id: id, conn: conn, gone: conn.CloseRead(context.Background()), caughtUp: st.Session.Seq}
	go func() {
		defer func() { _ = conn.CloseNow() }()
		v.end(v.run(after, expiry, reset))
	}()
}

// origins returns the pattern of the public URL's origin: behind a proxy the request may name another host. The request's own host is
// always good; the guard has checked it.
func (s *Server) origins() []string {
	if s.public == nil {
		return nil
	}
	escaped := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `*`, `\*`, `?`, `\?`).Replace(s.public.Host)
	return []string{s.public.Scheme + "://" + escaped}
}

// viewer is one open socket.
type viewer struct {
	server   *Server
	id       session.ID
	conn     *websocket.Conn
	gone     context.Context // done when the reader has left
	caughtUp int64           // number up to which the feed is history
	head     []byte          // the newest head that was sent
}

// run copies the feed to the socket until either ends.
func (v *viewer) run(after int64, expiry time.Time, reset bool) error {
	ctx, cancel := context.WithCancelCause(v.gone)
	defer cancel(nil)
	clock := v.server.clock
	stop := clock.AfterFunc(expiry.Sub(clock.Now()), func() { cancel(errExpired) })
	defer stop()
	v.keepAlive(ctx)

	feed, err := v.server.sessions.Feed(ctx, v.id, after)
	if err != nil {
		return err
	}
	defer feed.Close()
	if reset {
		if err := v.write([]byte(`{"reset":true}`)); err != nil {
			return err
		}
	}
	if feed.Last() >= v.caughtUp {
		if err := v.sendHead(ctx); err != nil {
			return err
		}
	}
	for {
		item, err := feed.Next(ctx)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		if err := v.send(ctx, item, feed.Last()); err != nil {
			return err
		}
	}
}

func (v *viewer) send(ctx context.Context, item session.Item, last int64) error {
	encoder := encoders.Get().(*encoder)
	defer encoders.Put(encoder)
	if item.Delta != nil {
		b, err := encoder.message("delta", item.Delta)
		if err != nil {
			return err
		}
		return v.write(b)
	}
	if err := encoder.events(item.Events, v.write); err != nil {
		return err
	}
	if last < v.caughtUp {
		return nil
	}
	if v.head == nil || changesHead(item.Events) {
		return v.sendHead(ctx)
	}
	return nil
}

// changesHead reports whether one of the events may change the page's head.
func changesHead(events []session.Event) bool {
	for i := range events {
		switch events[i].Kind {
		case session.KindPrompt, session.KindTurn, session.KindModel, session.KindApproval, session.KindPullRequest, session.KindNote, session.KindBudget, session.KindRepository:
			return true
		case session.KindBoot, session.KindText, session.KindReasoning, session.KindTool, session.KindTodo, session.KindRetry,
			session.KindCommits, session.KindCard, session.KindSandbox, session.KindError:
		}
	}
	return false
}

func (v *viewer) sendHead(ctx context.Context) error {
	st, err := v.server.sessions.Load(ctx, v.id)
	if err != nil {
		return err
	}
	encoder := encoders.Get().(*encoder)
	defer encoders.Put(encoder)
	b, err := encoder.message("session", summarize(st))
	if err != nil || bytes.Equal(b, v.head) {
		return err
	}
	v.head = bytes.Clone(b)
	return v.write(b)
}

// write sends one message, in frames of at most maxFrame.
func (v *viewer) write(message []byte) error {
	ctx, cancel := context.WithTimeout(v.gone, writeWithin)
	defer cancel()
	if len(message) <= maxFrame {
		return v.conn.Write(ctx, websocket.MessageText, message)
	}
	w, err := v.conn.Writer(ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for len(message) > 0 {
		n := min(len(message), maxFrame)
		if _, err := w.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return w.Close()
}

// keepAlive pings the reader from time to time until ctx ends; it returns at once. A reader that does not answer is let go.
func (v *viewer) keepAlive(ctx context.Context) {
	stop := v.server.clock.AfterFunc(pingEvery, func() { go v.ping(ctx) })
	context.AfterFunc(ctx, func() { stop() })
}

func (v *viewer) ping(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	// Not bound to ctx: a ping that is cut short would take the connection with it before it can be closed with a code.
	within, cancel := context.WithTimeout(v.gone, writeWithin)
	defer cancel()
	if v.conn.Ping(within) != nil {
		_ = v.conn.CloseNow()
		return
	}
	v.keepAlive(ctx)
}

// end closes the socket with a code that tells the reader what to do.
func (v *viewer) end(err error) {
	switch {
	case v.gone.Err() != nil:
	case errors.Is(err, errExpired):
		_ = v.conn.Close(websocket.StatusPolicyViolation, "this link has expired")
	case errors.Is(err, session.ErrSlow):
		_ = v.conn.Close(websocket.StatusTryAgainLater, "too slow; read on from the last entry")
	case errors.Is(err, session.ErrStopped):
		_ = v.conn.Close(websocket.StatusServiceRestart, "the bot is restarting")
	default:
		v.server.log.Warn("live log failed", "session", v.id, "err", err)
		_ = v.conn.Close(websocket.StatusInternalError, "the log cannot be read just now")
	}
}
