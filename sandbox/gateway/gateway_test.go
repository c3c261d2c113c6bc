package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
)

// rig is a gateway in front of a scripted provider, and what it recorded.
type rig struct {
	t        *testing.T
	provider *modeltest.Provider
	gateway  *Gateway
	server   *httptest.Server
	calls    chan session.ModelCall

	// what the session says before a call; nil: yes
	begun func(session.OpenCall) error
	held  func(context.Context) error
	count func(session.ModelCalled) error
}

// send is the session.
func (r *rig) send(ctx context.Context, in session.Input) error {
	switch in := in.(type) {
	case session.CallBegun:
		if r.begun != nil {
			return r.begun(in.Call)
		}
	case session.CallHeld:
		return r.held(ctx)
	case session.ModelCalled:
		if r.count != nil {
			if err := r.count(in); err != nil {
				return err
			}
		}
		r.calls <- in.Call
	}
	return nil
}

func newRig(t *testing.T, script string) *rig {
	t.Helper()
	scripts, err := modeltest.Parse("test", script)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, calls: make(chan session.ModelCall, 16)}
	if r.provider, err = modeltest.New(modeltest.Config{Scripts: scripts}); err != nil {
		t.Fatal(err)
	}
	if err := r.provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.provider.Close() })
	r.gateway, err = New(Config{Providers: map[string]Provider{
		model.Anthropic: {r.provider.URL(), modeltest.AnthropicKey}, model.OpenAI: {r.provider.URL(), modeltest.OpenAIKey},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r.gateway.Handler("abcdefghij", r.send))
	t.Cleanup(r.server.Close)
	return r
}

// bareName is a model of a provider as requests name it.
func bareName(t *testing.T, provider string) model.Model {
	t.Helper()
	m, ok := model.Default(provider)
	if !ok {
		t.Fatal("the catalogue has nothing of " + provider)
	}
	return m
}

func (r *rig) post(path string, body map[string]any) (*http.Response, string, error) {
	r.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest("POST", r.server.URL+path, bytes.NewReader(b))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("Authorization", "Bearer agents-own")
	req.Header.Set("X-Api-Key", "agents-own")
	req.Header.Set("Cookie", "a=b")
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

const hello = `
script hello
match hello
say Hello to you too.
usage input=1000 output=20 cache_read=500 cache_write=30
`

func anthropic(m model.Model, stream bool) map[string]any {
	return map[string]any{
		"model": m.Name, "max_tokens": 100, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": "hello"}},
		"tools": []any{
			map[string]any{"name": "bash", "input_schema": map[string]any{"type": "object"}},
			map[string]any{"name": "web_search", "type": "web_search_20250305"},
		},
	}
}

func TestAnthropic(t *testing.T) {
	m := bareName(t, model.Anthropic)
	for _, stream := range []bool{true, false} {
		r := newRig(t, hello)
		resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(m, stream))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s %v", resp.StatusCode, text, err)
		}
		call := <-r.calls
		usage := model.Usage{Input: 1000, Output: 20, CacheRead: 500, CacheWrite: 30}
		if call.Usage != session.Usage(usage) || call.Cost != m.Cost(usage) || call.Estimate || call.Model != m.ID || call.Cost == 0 {
			t.Errorf("stream %v: %+v", stream, call)
		}
		sent := r.provider.Requests()[0]
		if sent.Header.Get("X-Api-Key") != modeltest.AnthropicKey || sent.Header.Get("Authorization") != "" || sent.Header.Get("Cookie") != "" {
			t.Errorf("the provider got %v", sent.Header)
		}
		if strings.Contains(string(sent.Body), "web_search") || !strings.Contains(string(sent.Body), `"bash"`) {
			t.Errorf("tools: %s", sent.Body)
		}
		if strings.Contains(text, modeltest.AnthropicKey) {
			t.Error("the key came back")
		}
	}
}

func TestOpenAI(t *testing.T) {
	m := bareName(t, model.OpenAI)
	for path, body := range map[string]map[string]any{
		"/v1/responses":        {"model": m.Name, "stream": true, "input": []any{map[string]any{"role": "user", "content": []any{map[string]any{"type": "input_text", "text": "hello"}}}}, "tools": []any{map[string]any{"type": "function", "name": "bash", "parameters": map[string]any{}}, map[string]any{"type": "web_search"}}},
		"/v1/chat/completions": {"model": m.Name, "stream": true, "stream_options": map[string]any{"include_usage": true}, "messages": []any{map[string]any{"role": "user", "content": "hello"}}, "tools": []any{map[string]any{"type": "function", "function": map[string]any{"name": "bash", "parameters": map[string]any{}}}}},
	} {
		r := newRig(t, hello)
		resp, text, err := r.post("/model/openai"+path, body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s %v", path, resp.StatusCode, text, err)
		}
		call := <-r.calls
		usage := model.Usage{Input: 1000, Output: 20, CacheRead: 500, CacheWrite: 30}
		if call.Usage != session.Usage(usage) || call.Cost != m.Cost(usage) || call.Estimate || call.Cost == 0 {
			t.Errorf("%s: %+v", path, call)
		}
		sent := r.provider.Requests()[0]
		if sent.Header.Get("Authorization") != "Bearer "+modeltest.OpenAIKey || sent.Header.Get("X-Api-Key") != "" || strings.Contains(string(sent.Body), "web_search") {
			t.Errorf("%s: the provider got %v %s", path, sent.Header, sent.Body)
		}
	}
}

func TestBrokenAnswerIsAnEstimate(t *testing.T) {
	r := newRig(t, hello)
	r.provider.Fail(modeltest.Fault{CutAfterEvents: 4})
	if _, text, err := r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true)); err == nil {
		t.Errorf("the break was hidden: %s", text)
	}
	if call := <-r.calls; !call.Estimate || call.Usage.Input != 1000 || call.Usage.Output == 0 {
		t.Errorf("%+v", call)
	}
}

// stalled is a body that does not come before it is let go.
type stalled struct{ read, letGo chan struct{} }

func (s stalled) Read([]byte) (int, error) {
	close(s.read)
	<-s.letGo
	return 0, io.ErrUnexpectedEOF
}

// What a session's calls keep in memory has a limit for all of them together. A call for which there is no room is not lost: the runner asks again.
func TestBodiesHaveOneLimit(t *testing.T) {
	r := newRig(t, hello)
	h := r.gateway.Handler("abcdefghij", r.send)
	ask := func(body io.Reader, size int64) *httptest.ResponseRecorder {
		q := httptest.NewRequest("POST", "/model/anthropic/v1/messages", body)
		q.ContentLength = size
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w
	}
	first := stalled{make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(first, maxBody/2)
	}()
	<-first.read
	for _, size := range []int64{maxBody/2 + 1, -1} {
		if w := ask(strings.NewReader("{}"), size); w.Code != http.StatusServiceUnavailable || w.Header().Get(link.HeaderRestarting) == "" {
			t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
		}
	}
	if w := ask(strings.NewReader("{}"), maxBody/2); w.Code != http.StatusBadRequest { // it is looked at
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(first.letGo)
	<-done
	if w := ask(strings.NewReader("{}"), -1); w.Code != http.StatusBadRequest {
		t.Errorf("when the first has ended: %d %s", w.Code, w.Body)
	}
}

// A sandbox that begins a call and sends nothing more does not keep the bot from stopping.
func TestDrainDoesNotWaitForBodies(t *testing.T) {
	r := newRig(t, hello)
	body := stalled{make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.gateway.Handler("abcdefghij", r.send).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/model/anthropic/v1/messages", body))
	}()
	<-body.read
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // that long only if it fails
	defer cancel()
	if err := r.gateway.Drain(ctx); err != nil {
		t.Error(err)
	}
	close(body.letGo)
	<-done
}

func TestRefusals(t *testing.T) {
	m := bareName(t, model.Anthropic)
	good := anthropic(m, true)
	foreign := anthropic(m, true)
	foreign["model"] = "claude-unheard-of"
	for _, c := range []struct {
		path   string
		body   map[string]any
		status int
		words  string
	}{
		{"/model/anthropic/v1/messages", foreign, 400, "not in the catalogue"},
		{"/model/anthropic/v1/messages", map[string]any{}, 400, "names no model"},
		{"/model/anthropic/v1/files", good, 404, "not something an agent may ask"},
		{"/model/anthropic/v1/messages/../files", good, 404, "not something an agent may ask"},
		{"/model/openai/v1/messages", good, 404, "not something an agent may ask"},
		{"/model/other/v1/messages", good, 404, "not something an agent may ask"},
		{"/model/openai/v1/responses", good, 400, "not in the catalogue"},
	} {
		r := newRig(t, hello)
		resp, text, _ := r.post(c.path, c.body)
		if resp.StatusCode != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s: %d %s", c.path, resp.StatusCode, text)
		}
		if n := len(r.provider.Requests()); n != 0 {
			t.Errorf("%s: the provider was asked %d times", c.path, n)
		}
	}
}

// zeros is a body without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRefusedRequests(t *testing.T) {
	r := newRig(t, hello)
	for method, want := range map[string]int{"GET": 405, "PUT": 405, "POST": 413} {
		req, err := http.NewRequest(method, r.server.URL+"/model/openai/v1/responses", io.LimitReader(zeros{}, maxBody+1))
		if err != nil {
			t.Fatal(err)
		}
		if method != "POST" {
			req.Body = nil
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || !strings.Contains(string(text), `{"error":{"message"`) {
			t.Errorf("%s: %d %s", method, resp.StatusCode, text)
		}
	}
	if n := len(r.provider.Requests()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestRefusedKey(t *testing.T) {
	r := newRig(t, hello)
	r.provider.Fail(modeltest.Refused())
	resp, text, _ := r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true))
	if resp.StatusCode != 401 || !strings.Contains(text, "check ANTHROPIC_API_KEY") || strings.Contains(text, modeltest.AnthropicKey) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if call := <-r.calls; call.Status != 401 || call.Cost != 0 {
		t.Errorf("%+v", call)
	}
	r.provider.Fail(modeltest.RateLimited(7))
	if resp, _, _ = r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestFourStreamsAndDrain(t *testing.T) {
	r := newRig(t, "script held\nmatch hello\nsay First words.\ngate hold\n")
	m := bareName(t, model.Anthropic)
	answers := make(chan string, maxStreams)
	for range maxStreams {
		go func() {
			_, text, _ := r.post("/model/anthropic/v1/messages", anthropic(m, true))
			answers <- text
		}()
	}
	for range maxStreams {
		<-r.provider.Waiting("hold")
	}
	ctx := t.Context()
	if err := r.provider.Wait(ctx, func(all []modeltest.Request) bool { return len(all) == maxStreams }); err != nil {
		t.Fatal(err)
	}
	if resp, text, _ := r.post("/model/anthropic/v1/messages", anthropic(m, true)); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a fifth stream: %d %s", resp.StatusCode, text)
	}
	drained := make(chan error, 1)
	go func() { drained <- r.gateway.Drain(ctx) }()
	r.provider.Open("hold")
	for range maxStreams {
		if text := <-answers; !strings.Contains(text, "message_stop") {
			t.Errorf("cut short: %s", text)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if resp, _, _ := r.post("/model/anthropic/v1/messages", anthropic(m, true)); resp.StatusCode != 503 {
		t.Errorf("after draining: %d", resp.StatusCode)
	}
}
