package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
	"openinspect/session/sessiontest"
)

// A call over budget is not made. It waits, without its body, until the session says so; then the runner is told to ask again.
func TestHeldCall(t *testing.T) {
	r := newRig(t, hello)
	var over atomic.Bool
	over.Store(true)
	held, release := make(chan struct{}), make(chan struct{})
	r.begun = func(session.OpenCall) error {
		if over.Load() {
			return session.ErrHeld
		}
		return nil
	}
	r.held = func(ctx context.Context) error {
		close(held)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	again := func(resp *http.Response) bool {
		return resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(link.HeaderRestarting) != ""
	}
	m := bareName(t, model.Anthropic)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-held
		if n := len(r.provider.Requests()); n != 0 {
			t.Errorf("the provider was asked %d times", n)
		}
		over.Store(false)
		close(release)
	}()
	resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(m, true))
	<-done
	if err != nil || !again(resp) {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	if resp, text, err = r.post("/model/anthropic/v1/messages", anthropic(m, true)); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	<-r.calls

	// A bot that stops in good order lets the calls that it holds go, and says that they are to be asked again.
	over.Store(true)
	held, release = make(chan struct{}), make(chan struct{})
	drained := make(chan error, 1)
	go func() {
		<-held
		drained <- r.gateway.Drain(t.Context())
	}()
	if resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(m, true)); err != nil || !again(resp) {
		t.Errorf("%d %s %v", resp.StatusCode, text, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// An agent that is stopped while its call is held leaves nothing behind: its place is free again. Held calls are no
// streams, so that more of them can wait than can run.
func TestHeldCallIsGivenUp(t *testing.T) {
	r := newRig(t, hello)
	r.begun = func(session.OpenCall) error { return session.ErrHeld }
	entered, left := make(chan struct{}, maxHeld), make(chan struct{}, maxHeld)
	r.held = func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		left <- struct{}{}
		return ctx.Err()
	}
	ctx, stop := context.WithCancel(t.Context())
	for range maxHeld {
		req, err := http.NewRequestWithContext(ctx, "POST", r.server.URL+"/model/anthropic/v1/messages", strings.NewReader(`{"model":"`+bareName(t, model.Anthropic).Name+`","x":"`+strings.Repeat("x", 256<<10)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
				t.Error("a held call was answered")
			}
		}()
		<-entered
	}
	if resp, text, _ := r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true)); resp.StatusCode != 429 {
		t.Errorf("one too many: %d %s", resp.StatusCode, text)
	}
	stop()
	for range maxHeld {
		<-left
	}
}

// What a session knows of a call before it is made is what a restarted bot counts: its input, by its size.
func TestCallIsKnownBeforeItIsMade(t *testing.T) {
	r := newRig(t, hello)
	m := bareName(t, model.Anthropic)
	var begun session.OpenCall
	r.begun = func(c session.OpenCall) error {
		begun = c
		if n := len(r.provider.Requests()); n != 0 {
			t.Errorf("the provider was asked %d times", n)
		}
		return nil
	}
	var counted []string
	refusing := true
	r.count = func(in session.ModelCalled) error {
		if refusing {
			refusing = false
			return session.Errorf(session.Unavailable, "the disk is full")
		}
		counted = append(counted, in.ID)
		return nil
	}
	if resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(m, true)); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	<-r.calls
	size := len(r.provider.Requests()[0].Body)
	if c := begun.Call; c.Usage.Input != int64(size/bytesPerToken) || !c.Estimate || c.Cost != m.Cost(model.Usage{Input: c.Usage.Input}) || c.Cost == 0 || c.Model != m.ID {
		t.Errorf("%+v of %d bytes", c, size)
	}
	if len(counted) != 1 || counted[0] != begun.ID || begun.ID == "" {
		t.Errorf("began %q, counted %q", begun.ID, counted)
	}
}

// A call that the session does not want is refused for good, in the provider's own shape, and the provider hears nothing of it.
func TestCallRefusedBySession(t *testing.T) {
	r := newRig(t, hello)
	for _, c := range []struct {
		err    error
		status int
		again  bool
	}{
		{session.Errorf(session.Forbidden, "The budget of this thread is spent."), 400, false},
		{errors.New("a defect"), 500, false},
		{session.ErrStopped, 503, true},
	} {
		r.begun = func(session.OpenCall) error { return c.err }
		resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true))
		if err != nil || resp.StatusCode != c.status || !strings.Contains(text, `"type":"error"`) || strings.Contains(text, "a defect") || (resp.Header.Get(link.HeaderRestarting) != "") != c.again {
			t.Errorf("%v: %d %s %v", c.err, resp.StatusCode, text, err)
		}
	}
	if n := len(r.provider.Requests()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// A provider's refusals cost nothing and are told with their status; a redirect is not followed; what will not pass by waiting is not
// called a limit.
func TestRefusedByProvider(t *testing.T) {
	m, o := bareName(t, model.Anthropic), bareName(t, model.OpenAI)
	chat := map[string]any{"model": o.Name, "stream": true, "messages": []any{map[string]any{"role": "user", "content": "hello"}}}
	quota := []byte(`{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`)
	for _, c := range []struct {
		path         string
		body         map[string]any
		fault        modeltest.Fault
		status, told int
		words        string
	}{
		{"/model/anthropic/v1/messages", anthropic(m, true), modeltest.Fault{Status: 302, Header: http.Header{"Location": {"https://elsewhere.test"}}}, 502, 302, "redirect"},
		{"/model/anthropic/v1/messages", anthropic(m, true), modeltest.Fault{Status: 400}, 400, 400, ""},
		{"/model/anthropic/v1/messages", anthropic(m, true), modeltest.Fault{Status: 529}, 529, 529, ""},
		{"/model/openai/v1/chat/completions", chat, modeltest.Fault{Status: 429, Body: quota, Header: http.Header{"Retry-After": {"5"}}}, 402, 429, "quota"},
		{"/model/openai/v1/chat/completions", chat, modeltest.RateLimited(5), 429, 429, ""},
	} {
		r := newRig(t, hello)
		r.provider.Fail(c.fault)
		resp, text, err := r.post(c.path, c.body)
		if err != nil || resp.StatusCode != c.status || !strings.Contains(text, c.words) {
			t.Errorf("%s %d: %d %s %v", c.path, c.fault.Status, resp.StatusCode, text, err)
		}
		if call := <-r.calls; call.Status != c.told || call.Cost != 0 || call.Usage != (session.Usage{}) {
			t.Errorf("%s %d: %+v", c.path, c.fault.Status, call)
		}
	}
}

// A caller that goes away before the provider has said anything has still caused the call: its input counts, and what may have been written by then.
func TestGivenUpBeforeTheAnswer(t *testing.T) {
	r := newRig(t, "script held\nmatch hello\ngate start\nsay Too late.\n")
	clock := &sessiontest.Clock{}
	r.gateway.clock = clock
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", r.server.URL+"/model/anthropic/v1/messages",
		strings.NewReader(`{"model":"`+bareName(t, model.Anthropic).Name+`","max_tokens":10,"messages":[{"role":"user","content":"hello"}],"tools":[{"name":"bash"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Anthropic-Version", "2023-06-01")
	go func() {
		<-r.provider.Waiting("start")
		clock.Advance(time.Second)
		cancel()
	}()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		t.Error("it was answered")
	}
	if c := <-r.calls; !c.Estimate || c.Usage.Input == 0 || c.Usage.Output != 10 || c.Cost == 0 {
		t.Errorf("%+v", c)
	}
}
