package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"openinspect/sandbox/gateway"
	"openinspect/sandbox/link"
	"openinspect/sandbox/runner/modelport"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
)

// path is a model call's whole way: an agent's request, the port in the sandbox, a real link, the gateway, a scripted provider.
type path struct {
	t        *testing.T
	provider *modeltest.Provider
	port     *modelport.Port
	url      string // of the port
	calls    chan session.ModelCall
	bot      http.Handler
	session  atomic.Pointer[session.Send] // of the calls
	runner   *httptest.Server
	accepted chan *link.Link

	mu      sync.Mutex
	up      *link.Link // the runner's end
	changed chan struct{}
	dialled *link.Link // the bot's end
}

// agrees is a session that lets every call be made, and tells what they cost.
func agrees(calls chan session.ModelCall) session.Send {
	return func(_ context.Context, in session.Input) error {
		if c, ok := in.(session.ModelCalled); ok {
			calls <- c.Call
		}
		return nil
	}
}

// says sets the session of the calls to come.
func (p *path) says(s session.Send) { p.session.Store(&s) }

const token = "the link's own"

func newPath(t *testing.T, script string) *path {
	t.Helper()
	scripts, err := modeltest.Parse("test", script)
	if err != nil {
		t.Fatal(err)
	}
	p := &path{t: t, calls: make(chan session.ModelCall, 16), accepted: make(chan *link.Link, 1), changed: make(chan struct{})}
	if p.provider, err = modeltest.New(modeltest.Config{Scripts: scripts}); err != nil {
		t.Fatal(err)
	}
	if err := p.provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.provider.Close() })
	g, err := gateway.New(gateway.Config{Providers: map[string]gateway.Provider{model.Anthropic: {BaseURL: p.provider.URL(), Key: modeltest.AnthropicKey}}})
	if err != nil {
		t.Fatal(err)
	}
	p.bot = g.Handler("abcdefghij", func(ctx context.Context, in session.Input) error { return (*p.session.Load())(ctx, in) })
	p.says(agrees(p.calls))
	p.runner = httptest.NewServer(link.Authenticate(link.HashToken(token), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := link.Accept(w, r, http.NotFoundHandler())
		if err != nil {
			t.Error(err)
			return
		}
		p.accepted <- l
	})))
	t.Cleanup(p.runner.Close)
	p.port = modelport.New(p, session.SystemClock{})
	if p.url, err = p.port.Serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// Link is what the port asks for: the link that is up.
func (p *path) Link(ctx context.Context) (http.RoundTripper, error) {
	for {
		p.mu.Lock()
		up, changed := p.up, p.changed
		p.mu.Unlock()
		if up != nil {
			return up, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dial opens a link as a bot does.
func (p *path) dial() {
	p.t.Helper()
	dialled, err := link.Dial(p.t.Context(), link.DialOptions{URL: p.runner.URL + "/link", Token: token, Handler: p.bot})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { dialled.Close() })
	accepted := <-p.accepted
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up, p.dialled = accepted, dialled
	close(p.changed)
	p.changed = make(chan struct{})
}

// lose kills the bot's end of the link.
func (p *path) lose() {
	p.mu.Lock()
	up, dialled := p.up, p.dialled
	p.up = nil
	p.mu.Unlock()
	dialled.Close()
	<-up.Done()
}

type answer struct {
	status int
	text   string
	err    error // the answer was cut
}

// asked is a call under way.
type asked struct {
	t     *testing.T
	whole chan answer // gets one when it is over
	lines chan string // gets each line as it comes
}

// ask makes a call as an agent does.
func (p *path) ask(key string) *asked {
	p.t.Helper()
	m, _ := model.Default(model.Anthropic)
	body := `{"model":"` + m.Name + `","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hello"}],"tools":[{"name":"bash","input_schema":{"type":"object"}}]}`
	req, err := http.NewRequest("POST", p.url+"/anthropic/v1/messages", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	a := &asked{p.t, make(chan answer, 1), make(chan string, 1000)}
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			a.whole <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		got, lines := answer{status: resp.StatusCode}, bufio.NewReader(resp.Body)
		for {
			line, err := lines.ReadString('\n')
			got.text += line
			if err != nil {
				if err != io.EOF {
					got.err = err
				}
				a.whole <- got
				return
			}
			a.lines <- line
		}
	}()
	return a
}

// until waits for a line with text in it.
func (a *asked) until(text string) {
	a.t.Helper()
	for {
		select {
		case line := <-a.lines:
			if strings.Contains(line, text) {
				return
			}
		case got := <-a.whole:
			a.t.Fatalf("it is over before %q: %+v", text, got)
		}
	}
}

func TestOverTheLink(t *testing.T) {
	p := newPath(t, "script hello\nmatch hello\nsay Hello to you too.\nusage input=1000 output=20 cache_read=500 cache_write=30\n")
	p.dial()
	a := <-p.ask(p.port.Token()).whole
	if a.err != nil || a.status != 200 || !strings.Contains(a.text, "message_stop") || strings.Contains(a.text, modeltest.AnthropicKey) {
		t.Errorf("%+v", a)
	}
	m, _ := model.Default(model.Anthropic)
	usage := model.Usage{Input: 1000, Output: 20, CacheRead: 500, CacheWrite: 30}
	if c := <-p.calls; c.Usage != session.Usage(usage) || c.Cost != m.Cost(usage) || c.Cost == 0 || c.Estimate {
		t.Errorf("%+v", c)
	}
	if key := p.provider.Requests()[0].Key; key != modeltest.AnthropicKey {
		t.Errorf("the provider got the key %q", key)
	}
	// The provider's key is not one that the port takes.
	if a := <-p.ask(modeltest.AnthropicKey).whole; a.status != 401 {
		t.Errorf("%+v", a)
	}
}

func TestTheLinkIsLost(t *testing.T) {
	t.Run("before the answer began", func(t *testing.T) {
		p := newPath(t, "script hello\nmatch hello\ngate start\nsay Hello to you too.\n")
		p.dial()
		call := p.ask(p.port.Token())
		<-p.provider.Waiting("start")
		p.lose()
		p.provider.Open("start")
		p.dial()
		if a := <-call.whole; a.err != nil || a.status != 200 || !strings.Contains(a.text, "message_stop") {
			t.Errorf("%+v", a)
		}
		if n := len(p.provider.Requests()); n != 2 {
			t.Errorf("the provider was asked %d times", n)
		}
	})
	t.Run("in the middle of a text", func(t *testing.T) {
		p := newPath(t, "script hello\nmatch hello\nsay Hello to you\ngate middle\nsay and to everybody.\n")
		p.dial()
		call := p.ask(p.port.Token())
		call.until("Hello")
		p.lose()
		if a := <-call.whole; a.err == nil {
			t.Errorf("the break was hidden: %+v", a)
		}
		if c := <-p.calls; !c.Estimate || c.Usage.Input == 0 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("after a whole tool call", func(t *testing.T) {
		p := newPath(t, "script hello\nmatch hello\ntool bash {\"command\":\"true\"}\ngate called\ntool bash {\"command\":\"false\"}\n")
		p.dial()
		call := p.ask(p.port.Token())
		call.until("content_block_stop")
		p.lose()
		a := <-call.whole
		if a.err != nil || !strings.Contains(a.text, "content_block_stop") || strings.Contains(a.text, "message_stop") || !strings.HasSuffix(a.text, "\n") {
			t.Errorf("%+v", a)
		}
	})
}

// A call that the session holds is held over the loss of the link too, as after a kill of the bot; the agent sees one answer, late.
func TestHeldOverTheLink(t *testing.T) {
	p := newPath(t, "script hello\nmatch hello\nsay Hello to you too.\n")
	held, release := make(chan struct{}, 2), make(chan struct{})
	var free atomic.Bool
	p.says(func(ctx context.Context, in session.Input) error {
		switch in.(type) {
		case session.CallBegun:
			if !free.Load() {
				return session.ErrHeld
			}
		case session.CallHeld:
			held <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	p.dial()
	call := p.ask(p.port.Token())
	<-held
	p.lose()
	p.dial()
	<-held
	if n := len(p.provider.Requests()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
	free.Store(true)
	close(release)
	if a := <-call.whole; a.err != nil || a.status != 200 || !strings.Contains(a.text, "message_stop") {
		t.Errorf("%+v", a)
	}
	if n := len(p.provider.Requests()); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}
