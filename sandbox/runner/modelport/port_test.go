package modelport

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// links is a Linker whose link is set by the test.
type links struct {
	mu      sync.Mutex
	rt      http.RoundTripper
	changed chan struct{}
	asked   chan struct{} // gets one for each call that waits
}

func newLinks() *links { return &links{changed: make(chan struct{}), asked: make(chan struct{}, 100)} }

func (l *links) set(rt http.RoundTripper) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rt = rt
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *links) Link(ctx context.Context) (http.RoundTripper, error) {
	for {
		l.mu.Lock()
		rt, changed := l.rt, l.changed
		l.mu.Unlock()
		if rt != nil {
			return rt, nil
		}
		l.asked <- struct{}{}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// bot is a link whose other end is h.
type bot struct{ h http.HandlerFunc }

func (b bot) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &answer{head: make(http.Header), body: pw, ready: make(chan struct{})}
	go func() {
		defer func() {
			w.once.Do(func() { close(w.ready) })
			if recover() != nil {
				pw.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			pw.Close()
		}()
		b.h(w, r)
	}()
	<-w.ready
	return &http.Response{StatusCode: max(w.status, 200), Header: w.head, Body: pr, ProtoMajor: 1, ProtoMinor: 1, Request: r}, nil
}

type answer struct {
	head   http.Header
	body   *io.PipeWriter
	status int
	once   sync.Once
	ready  chan struct{}
}

func (a *answer) Header() http.Header { return a.head }
func (a *answer) WriteHeader(s int)   { a.status = s; a.once.Do(func() { close(a.ready) }) }
func (a *answer) Write(p []byte) (int, error) {
	a.once.Do(func() { close(a.ready) })
	return a.body.Write(p)
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrClosedPipe }

func newPort(t *testing.T, clock session.Clock) (*Port, *links, string) {
	t.Helper()
	l := newLinks()
	p := New(l, clock)
	url, err := p.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, l, url
}

func post(t *testing.T, url, key string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequest("POST", url+"/anthropic/v1/messages", strings.NewReader(`{"model":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestPassesCallsOn(t *testing.T) {
	p, l, url := newPort(t, &sessiontest.Clock{})
	var got *http.Request
	l.set(bot{func(w http.ResponseWriter, r *http.Request) { got = r; io.WriteString(w, "data: hello\n") }})
	resp, text, err := post(t, url, p.Token())
	if err != nil || resp.StatusCode != 200 || text != "data: hello\n" {
		t.Fatalf("%v %q %v", resp, text, err)
	}
	if got.URL.Path != "/model/anthropic/v1/messages" || got.Header.Get("X-Api-Key") != "" {
		t.Errorf("%v %v", got.URL, got.Header)
	}
	for _, key := range []string{"", "wrong", p.Token() + "x"} {
		if resp, text, _ := post(t, url, key); resp.StatusCode != 401 || !strings.Contains(text, "authentication_error") {
			t.Errorf("key %q: %d %s", key, resp.StatusCode, text)
		}
	}
}

func TestHoldsCallsWhileTheBotIsAway(t *testing.T) {
	clock := &sessiontest.Clock{}
	p, l, url := newPort(t, clock)
	type result struct {
		status int
		text   string
	}
	results := make(chan result, 1)
	ask := func() {
		resp, text, err := post(t, url, p.Token())
		if err != nil {
			t.Error(err)
			results <- result{}
			return
		}
		results <- result{resp.StatusCode, text}
	}
	go ask()
	<-l.asked
	if p.InFlight() != 1 {
		t.Errorf("%d calls in flight", p.InFlight())
	}
	tries := 0
	l.set(bot{func(w http.ResponseWriter, r *http.Request) {
		// The first bot is stopping and says so; its successor answers.
		if tries++; tries == 1 {
			w.Header().Set(link.HeaderRestarting, "1")
			w.WriteHeader(503)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}})
	clock.Wait(2) // the hold and the pause
	clock.Advance(again)
	if r := <-results; r.status != 200 || r.text != `{"model":"m"}` {
		t.Errorf("%+v", r)
	}
	// Nobody comes: after five minutes the agent is told to come again.
	l.set(nil)
	go ask()
	<-l.asked
	clock.Advance(hold)
	if r := <-results; r.status != 503 || !strings.Contains(r.text, "overloaded_error") {
		t.Errorf("%+v", r)
	}
}

func TestAsksAgainWhenALinkFails(t *testing.T) {
	clock := &sessiontest.Clock{}
	p, l, url := newPort(t, clock)
	l.set(broken{})
	done := make(chan string, 1)
	go func() { _, text, _ := post(t, url, p.Token()); done <- text }()
	clock.Wait(2)
	l.set(bot{func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }})
	clock.Advance(again)
	if text := <-done; text != "ok\n" {
		t.Errorf("%q", text)
	}
}

// The time of a hold is what a call waits, not what it spends in being answered; and an answer of which nothing came yet is asked for again.
func TestALongAnswerLostBeforeItsFirstByte(t *testing.T) {
	clock := &sessiontest.Clock{}
	p, l, url := newPort(t, clock)
	asked, lose := make(chan struct{}), make(chan struct{})
	l.set(bot{func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		close(asked)
		<-lose
		panic(http.ErrAbortHandler)
	}})
	done := make(chan string, 1)
	go func() { _, text, _ := post(t, url, p.Token()); done <- text }()
	<-asked
	clock.Advance(2 * hold)
	l.set(nil)
	close(lose)
	clock.Wait(2) // what is left of the hold, and the pause
	clock.Advance(again)
	<-l.asked
	clock.Advance(hold / 2)
	l.set(bot{func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }})
	if text := <-done; text != "ok\n" {
		t.Errorf("%q", text)
	}
}

// What the agent sees of an answer that broke in the middle.
func TestBrokenStreams(t *testing.T) {
	text := `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"half"}}` + "\n"
	start := `data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"bash","input":{}}}` + "\n"
	for _, c := range []struct {
		name, stream string
		clean        bool
	}{
		{"text", text, false},
		{"text block stopped", text + `data: {"type":"content_block_stop","index":0}` + "\n", false},
		{"half a tool call", text + start, false},
		{"a whole tool call", text + start + `data: {"type":"content_block_stop","index":1}` + "\n", true},
		{"responses: half a call", `data: {"type":"response.output_item.added","item":{"type":"function_call"}}` + "\n", false},
		{"responses: text done", `data: {"type":"response.output_item.done","item":{"type":"message"}}` + "\n", false},
		{"responses: a whole call", `data: {"type":"response.output_item.done","item":{"type":"function_call"}}` + "\n", true},
		{"chat: half a call", `data: {"choices":[{"delta":{"tool_calls":[{}]},"finish_reason":null}]}` + "\n", false},
		{"chat: whole calls", `data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}` + "\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, l, url := newPort(t, &sessiontest.Clock{})
			l.set(bot{func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, c.stream+`data: {"type":"half a li`)
				panic(http.ErrAbortHandler)
			}})
			_, got, err := post(t, url, p.Token())
			if clean := err == nil; clean != c.clean || strings.Contains(got, "half a li") {
				t.Errorf("ended cleanly: %v; %q %v", clean, got, err)
			}
			if c.clean && got != c.stream {
				t.Errorf("%q", got)
			}
		})
	}
}
