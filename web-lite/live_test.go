package weblite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// message is one message of the socket.
type message struct {
	Events  []session.Event
	Delta   *session.Delta
	Session *summary
	Reset   bool
}

// client reads a socket.
type client struct {
	r    *rig
	conn *websocket.Conn
	last int64 // number of the newest event; the client fails the test when one is left out or comes twice
}

// dial opens a socket; without header pairs it has the link's cookie.
func (r *rig) dial(after int64, header ...string) (*client, *http.Response, error) {
	r.t.Helper()
	h := http.Header{"Cookie": {r.enter()}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	conn, res, err := websocket.Dial(r.ctx, fmt.Sprintf("%s/s/%s/live?after=%d", r.server.URL, id, after), &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		return nil, res, err
	}
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(16 << 20)
	return &client{r: r, conn: conn, last: after}, res, nil
}

func (r *rig) watch(after int64) *client {
	r.t.Helper()
	c, _, err := r.dial(after)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// next reads a message and checks the numbers of its events.
func (c *client) next() (message, error) {
	c.r.t.Helper()
	_, b, err := c.conn.Read(c.r.ctx)
	if err != nil {
		return message{}, err
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		c.r.t.Fatalf("%v in %.200s", err, b)
	}
	if m.Reset {
		c.last = 0
	}
	for _, e := range m.Events {
		if e.Seq != c.last+1 {
			c.r.t.Fatalf("event %d after %d", e.Seq, c.last)
		}
		c.last = e.Seq
	}
	return m, nil
}

// until reads messages until one is as wanted.
func (c *client) until(what string, wanted func(message) bool) message {
	c.r.t.Helper()
	for {
		m, err := c.next()
		if err != nil {
			c.r.t.Fatalf("waiting for %s: %v", what, err)
		}
		if wanted(m) {
			return m
		}
	}
}

func (c *client) head() *summary {
	c.r.t.Helper()
	return c.until("a head", func(m message) bool { return m.Session != nil }).Session
}

func (c *client) reaches(seq int64) {
	c.r.t.Helper()
	if c.last < seq {
		c.until(fmt.Sprintf("event %d", seq), func(message) bool { return c.last >= seq })
	}
}

// closed reads to the end and returns the code the socket was closed with.
func (c *client) closed() websocket.StatusCode {
	c.r.t.Helper()
	for {
		if _, err := c.next(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestLiveHistoryThenWhatHappens(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	r.send(session.Updated{Text: "one"})
	r.send(session.Updated{Text: "two"})
	c := r.watch(0)
	c.reaches(2)
	if h := c.head(); h.State != "idle" || h.Repo != "acme/web" {
		t.Errorf("head: %+v", h)
	}
	r.send(session.Prompted{Prompt: session.Prompt{ID: "1.0", Author: sessiontest.Ada, Text: "fix the test"}})
	m := c.until("the prompt", func(m message) bool { return len(m.Events) > 0 })
	if p := m.Events[0].Prompt; p == nil || p.Text != "fix the test" {
		t.Errorf("event: %+v", m.Events[0])
	}
	if h := c.head(); h.State != "starting" || !h.Busy || h.Title != "fix the test" || len(h.People) != 1 {
		t.Errorf("head: %+v", h)
	}
	d := session.Delta{PromptID: "1.0", Kind: session.KindText, Part: "p", Offset: 3, Text: "<b>piece</b>"}
	r.hub.Live(id, d)
	if m := c.until("a delta", func(m message) bool { return m.Delta != nil }); *m.Delta != d {
		t.Errorf("delta: %+v", m.Delta)
	}
	late := r.watch(c.last - 1)
	late.reaches(c.last)
}

func TestLiveResumesAfterReconnect(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	c := r.watch(0)
	r.send(session.Updated{Text: "one"})
	c.reaches(1)
	_ = c.conn.CloseNow()
	r.send(session.Updated{Text: "two"})
	r.send(session.Updated{Text: "three"})
	c = r.watch(c.last)
	c.reaches(3)
	r.send(session.Updated{Text: "four"})
	c.reaches(4)
}

func TestLiveBeginsAnewAfterARestore(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	r.send(session.Updated{Text: "one"})
	c := r.watch(50)
	c.until("a reset", func(m message) bool { return m.Reset })
	c.reaches(1)
}

// A reader that does not read holds up nobody, is closed with a code, and resumes without a gap.
func TestLiveSlowReader(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	slow, quick := r.watch(0), r.watch(0)
	slow.head()
	text := strings.Repeat("x", 16<<10)
	const total = 800
	for i := range total {
		r.send(session.Updated{Text: text})
		quick.reaches(int64(i + 1))
	}
	if code := slow.closed(); code != websocket.StatusTryAgainLater {
		t.Errorf("closed with %d", code)
	}
	if slow.last == 0 || slow.last >= total {
		t.Errorf("the slow reader had %d of %d events", slow.last, total)
	}
	again := r.watch(slow.last)
	again.reaches(total)
}

func TestLiveEndsWithTheHub(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	c := r.watch(0)
	c.head()
	r.stop()
	r.hub.Wait()
	if code := c.closed(); code != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", code)
	}
}

func TestLiveEndsWithTheLink(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	c := r.watch(0)
	c.head()
	r.clock.Advance(LinkFor)
	if code := c.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

func TestLiveTellsWhenTheStoreFails(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Sessions = failing{c.Sessions} })
	r.open()
	c := r.watch(0)
	if code := c.closed(); code != websocket.StatusInternalError {
		t.Errorf("closed with %d", code)
	}
	if log := r.log.String(); !strings.Contains(log, "disk gone") || strings.Contains(log, "t=") {
		t.Errorf("operator's log: %s", log)
	}
}

// failing has sessions whose logs cannot be read.
type failing struct{ Sessions }

func (failing) Feed(context.Context, session.ID, int64) (*session.Feed, error) {
	return nil, &session.Error{Code: session.Unavailable, Op: "test", Err: errors.New("disk gone")}
}

func TestLiveOrigins(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "https://inspect.example.com" })
	r.open()
	for origin, want := range map[string]int{
		"https://inspect.example.com": http.StatusSwitchingProtocols,
		"http://inspect.example.com":  http.StatusForbidden,
		"https://evil.test":           http.StatusForbidden,
		"null":                        http.StatusForbidden,
		r.server.URL:                  http.StatusSwitchingProtocols,
	} {
		_, res, err := r.dial(0, "Origin", origin)
		if res == nil || res.StatusCode != want {
			t.Errorf("origin %s: %v", origin, err)
		}
	}
	if _, res, err := r.dial(0, "Cookie", "none=1"); res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("without a cookie: %v", err)
	}
	if _, res, err := r.dial(-1); res == nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("a negative number: %v", err)
	}
}

// What a client says before it is answered is heard.
func TestLiveHearsWhoSpeaksFirst(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(r.ctx, func() { conn.Close() })
	defer stop()
	const ping, pong = "\x89\x82\x00\x00\x00\x00hi", "\x8a\x02hi"
	if _, err := fmt.Fprintf(conn, "GET /s/%s/live?after=0 HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"+ping, id, conn.RemoteAddr(), r.enter()); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for b := make([]byte, 4<<10); !bytes.Contains(got, []byte(pong)); {
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, b[:n]...)
	}
}

func TestLiveTakesNothing(t *testing.T) {
	r := newRig(t, nil)
	r.open()
	c := r.watch(0)
	if err := c.conn.Write(r.ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if code := c.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %d", code)
	}
}

// Events come whole and as they are, in any number and size, except for what is for one person alone.
func TestLiveHostileAndLargeEvents(t *testing.T) {
	r := newRig(t, nil)
	events := every(hostile)
	for range 1200 {
		events = append(events, session.Event{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteUpdate, Text: "more"}})
	}
	patch := strings.Repeat("+<\"\n", 400<<10)
	events = append(events, session.Event{Kind: session.KindCommits, Commits: &session.Commits{Head: "h", Patch: patch}})
	r.keep(session.Session{Title: hostile}, events)
	c := r.watch(0)
	seen := map[session.Kind]session.Event{}
	for c.last < int64(len(events)) {
		m, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range m.Events {
			seen[e.Kind] = e
			if e.Seq <= 17 {
				b, _ := json.Marshal(e)
				if bytes.Contains(b, []byte("alone to read")) || bytes.Contains(b, []byte("for the approver alone")) || bytes.Contains(b, []byte("an option for one")) {
					t.Errorf("told everybody: %s", b)
				}
			}
		}
	}
	if got := seen[session.KindText].Text.Text; got != hostile {
		t.Errorf("text: %q", got)
	}
	if got := seen[session.KindCommits].Commits.Patch; got != patch {
		t.Errorf("the patch has %d bytes, want %d", len(got), len(patch))
	}
	if len(seen) != len(kinds(t)) {
		t.Errorf("%d kinds came", len(seen))
	}
}

func TestEncoderFillsMessages(t *testing.T) {
	var events []session.Event
	for i := range 100 {
		events = append(events, session.Event{Seq: int64(i + 1), Kind: session.KindText, Text: &session.Text{Text: strings.Repeat("<", 20_000)}})
	}
	events = append(events, session.Event{Seq: 101, Kind: session.KindText, Text: &session.Text{Text: strings.Repeat("y", 2*maxFrame)}},
		session.Event{Seq: 102, Kind: session.KindTool, Tool: &session.Tool{Input: json.RawMessage("not { JSON")}})
	var e encoder
	last, n := int64(0), 0
	err := e.events(events, func(b []byte) error {
		n++
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		if len(b) > maxFrame && len(m.Events) > 1 {
			t.Errorf("%d bytes in a message of %d events", len(b), len(m.Events))
		}
		for _, ev := range m.Events {
			if last++; ev.Seq != last {
				t.Errorf("event %d, want %d", ev.Seq, last)
			}
			if ev.Tool != nil && string(ev.Tool.Input) != `"not { JSON"` {
				t.Errorf("input: %s", ev.Tool.Input)
			}
		}
		return nil
	})
	if err != nil || last != 102 || n > 12 {
		t.Errorf("%v: %d events in %d messages", err, last, n)
	}
}
