package modeltest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"openinspect/session/model"
)

func TestRefusals(t *testing.T) {
	p := start(t, greeting, Config{AnthropicKey: "a", OpenAIKey: "b"})
	version := [2]string{"Anthropic-Version", "2023-06-01"}
	for _, test := range []struct {
		name, path, body string
		header           [][2]string
		status           int
		kind, message    string
	}{
		{"no key", "/v1/messages", messages(ask, "true"), [][2]string{version}, 401, "authentication_error", "x-api-key"},
		{"wrong key", "/v1/messages", messages(ask, "true"), [][2]string{version, {"X-Api-Key", "b"}}, 401, "authentication_error", "invalid x-api-key"},
		{"no version", "/v1/messages", messages(ask, "true"), [][2]string{{"X-Api-Key", "a"}}, 400, "invalid_request_error", "anthropic-version"},
		{"unknown model", "/v1/messages", `{"model":"claude-9","max_tokens":1,"messages":[{}]}`, [][2]string{version, {"X-Api-Key", "a"}}, 404, "not_found_error", "claude-9"},
		{"no max_tokens", "/v1/messages", `{"model":"claude-sonnet-5","messages":[{}]}`, [][2]string{version, {"X-Api-Key", "a"}}, 400, "invalid_request_error", "max_tokens"},
		{"no JSON", "/v1/responses", `{`, [][2]string{{"Authorization", "Bearer b"}}, 400, "invalid_request_error", "JSON"},
		{"wrong bearer", "/v1/responses", responses(ask, "true"), [][2]string{{"Authorization", "Bearer a"}}, 401, "invalid_request_error", "Incorrect API key"},
		{"other path", "/v1/files", `{}`, [][2]string{{"Authorization", "Bearer b"}}, 404, "invalid_request_error", "/v1/files"},
		{"tool not offered", "/v1/responses", `{"model":"gpt-6-sol","input":"fix the greeting","tools":[{"name":"bash"}]}`, [][2]string{{"Authorization", "Bearer b"}},
			400, "invalid_request_error", `calls the tool "edit", which is not offered; there are bash`},
		{"no such script", "/v1/responses", `{"model":"gpt-6-sol","input":"[script:nowhere]","tools":[{"name":"bash"}]}`, [][2]string{{"Authorization", "Bearer b"}},
			400, "invalid_request_error", "nowhere"},
	} {
		req, _ := http.NewRequest("POST", p.URL()+test.path, strings.NewReader(test.body))
		for _, h := range test.header {
			req.Header.Set(h[0], h[1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		err = json.NewDecoder(resp.Body).Decode(&v)
		resp.Body.Close()
		message, _ := dig(t, v, "error", "message").(string)
		if err != nil || resp.StatusCode != test.status || dig(t, v, "error", "type") != test.kind || !strings.Contains(message, test.message) {
			t.Errorf("%s: %s %v, %v", test.name, resp.Status, v, err)
		}
		if outer := dig(t, v, "type"); (outer == "error") != strings.HasPrefix(test.path, "/v1/messages") {
			t.Errorf("%s: the wrong provider's shape: %v", test.name, v)
		}
	}
}

func TestFaults(t *testing.T) {
	p := start(t, greeting, Config{Fault: func(r Request) *Fault {
		if strings.Contains(r.Prompt, "at the fourth event") {
			return &Fault{CutAfterEvents: 4}
		}
		return nil
	}})
	p.Fail(RateLimited(7), Broken(), Refused(), Fault{Status: 529}, Fault{Status: 418, Body: []byte("teapot")})
	for _, want := range []struct {
		status      int
		kind, after string
	}{{429, "rate_limit_error", "7"}, {500, "api_error", ""}, {401, "authentication_error", ""}, {529, "overloaded_error", ""}, {418, "teapot", ""}} {
		resp := post(t, t.Context(), p, "/v1/messages", messages(ask, "true"))
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want.status || !strings.Contains(string(b), want.kind) || resp.Header.Get("Retry-After") != want.after {
			t.Errorf("%s, Retry-After %q: %s", resp.Status, resp.Header.Get("Retry-After"), b)
		}
	}

	r := stream(post(t, t.Context(), p, "/v1/messages", messages(`{"role":"user","content":"fix the greeting at the fourth event"}`, "true")).Body)
	for range 4 {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut stream ended with %v", err)
	}

	for path, complete := range map[string]string{"/v1/messages": "content_block_stop", "/v1/responses": "response.output_item.done"} {
		p.Fail(Fault{CutAfterTool: true})
		body := messages(ask, "true")
		if path == "/v1/responses" {
			body = responses(ask, "true")
		}
		r := stream(post(t, t.Context(), p, path, body).Body)
		var all []sent
		e, err := r.next()
		for ; err == nil; e, err = r.next() {
			all = append(all, e)
		}
		last := all[len(all)-1]
		if !errors.Is(err, io.ErrUnexpectedEOF) || last.Name != complete {
			t.Errorf("%s: cut after %s with %v", path, last.Data, err)
		}
	}
	for _, r := range p.Requests() {
		if r.Whole {
			t.Errorf("request %d is said to be whole", r.N)
		}
	}
	if resp := post(t, t.Context(), p, "/v1/messages", messages(ask, "true")); kinds(t, stream(resp.Body).all(t)) == "" {
		t.Error("no answer once the faults were used up")
	}
}

func TestStall(t *testing.T) {
	p := start(t, greeting, Config{})
	p.Fail(Fault{Stall: true})
	ctx, cancel := context.WithCancel(t.Context())
	resp := post(t, ctx, p, "/v1/messages", messages(ask, "true"))
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	cancel()
	if err := p.Wait(t.Context(), func(all []Request) bool { return all[0].Done }); err != nil {
		t.Fatal(err)
	}
}

const gated = `
script gated
match hold on
gate start
say Before the gate.
gate middle
say After it.
gate call
tool bash {"command":"true"}
gate end
`

func TestGates(t *testing.T) {
	for path, body := range map[string]func(string, string) string{"/v1/messages": messages, "/v1/responses": responses, "/v1/chat/completions": chat} {
		p := start(t, gated, Config{})
		got := make(chan *http.Response)
		go func() {
			got <- post(t, t.Context(), p, path, body(`{"role":"user","content":"hold on"}`, "true"))
		}()
		<-p.Waiting("start")
		select {
		case <-p.Waiting("middle"):
			t.Error("the first gate did not hold")
		default:
		}
		p.Open("start")
		p.Open("start")
		r := stream((<-got).Body)
		var text strings.Builder
		read := func(until string) {
			t.Helper()
			for !strings.Contains(text.String(), until) {
				e, err := r.next()
				if err != nil {
					t.Fatalf("%s: %v after %s", path, err, &text)
				}
				text.WriteString(e.Data)
			}
		}
		<-p.Waiting("middle")
		read("gate.") // what comes before the gate has been sent
		if strings.Contains(text.String(), "After") {
			t.Errorf("%s: the gate in the text did not hold", path)
		}
		p.Open("middle")
		<-p.Waiting("call")
		read("it.")
		p.Open("call")
		<-p.Waiting("end")
		read("true")
		p.Open("end")
		r.all(t)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	p := start(t, gated, Config{})
	p.Open("start")
	resp := post(t, t.Context(), p, "/v1/messages", messages(`{"role":"user","content":"hold on"}`, "true"))
	<-p.Waiting("middle")
	p.Close()
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("an answer that was cut ended in good order: %s", b)
	}
}

func TestWhoIsAnswered(t *testing.T) {
	p := start(t, greeting+`
script classify
toolless
matchre (?i)which repository
say acme/web
script other
match the greeting
say Never chosen.
`, Config{Title: "A title"})
	bare := func(prompt string) string {
		return `{"model":"claude-haiku-4-5","max_tokens":10,"messages":[{"role":"user","content":"` + prompt + `"}]}`
	}
	for _, test := range []struct{ body, want string }{
		{bare("Title for: fix the greeting [script:greeting]"), "A title"},
		{bare("Which repository?"), "acme/web"},
		{messages(ask, "false"), wantText},
		{messages(`{"role":"user","content":"[script:other] the greeting"}`, "false"), "Never chosen."},
		{messages(`{"role":"user","content":"something else"}`, "false"), "I have no script for this prompt."},
		{messages(ask+`,{"role":"assistant","content":"1"},{"role":"assistant","content":"2"}`, "false"), "My script is at its end."},
	} {
		b, _ := io.ReadAll(post(t, t.Context(), p, "/v1/messages", test.body).Body)
		if !strings.Contains(string(b), test.want) {
			t.Errorf("%s\n is answered with %s,\n want %s", test.body, b, test.want)
		}
	}
	all := p.Requests()
	last := all[len(all)-1]
	if last.N != len(all) || last.Provider != model.Anthropic || last.Key != AnthropicKey || last.Model != "claude-sonnet-5" || last.Prompt != "please fix the greeting" ||
		len(last.Tools) != 2 || last.Usage != DefaultUsage || !last.Whole || last.Header.Get("Anthropic-Version") == "" || len(last.Body) == 0 {
		t.Errorf("recorded %+v", last)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := start(t, greeting, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(ctx, func([]Request) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait returned %v", err)
	}
}

// Every way to go wrong, in each provider's own words.
func TestFaultsInProvidersWords(t *testing.T) {
	for path, c := range map[string]struct {
		body                                         func(string, string) string
		provider, credit, context, declined, tooLong string
		broken                                       string
	}{
		"/v1/messages":         {messages, model.Anthropic, "credit balance is too low", "prompt is too long", `"stop_reason":"refusal"`, `"stop_reason":"max_tokens"`, `"overloaded_error"`},
		"/v1/responses":        {responses, model.OpenAI, `"code":"insufficient_quota"`, `"code":"context_length_exceeded"`, `"incomplete_details":{"reason":"content_filter"}`, `"incomplete_details":{"reason":"max_output_tokens"}`, `"server_error"`},
		"/v1/chat/completions": {chat, model.OpenAI, `"code":"insufficient_quota"`, `"code":"context_length_exceeded"`, `"finish_reason":"content_filter"`, `"finish_reason":"length"`, `"server_error"`},
	} {
		p := start(t, "script s\nmatch hello\nsay Hello there.\n", Config{})
		for want, f := range map[string]Fault{
			c.credit: OutOfCredit(c.provider), c.context: OutOfContext(c.provider), "polic": Blocked(c.provider),
			c.declined: {Finish: Declined}, c.tooLong: {Finish: TooLong}, c.broken: {ErrorAfterEvents: 2},
		} {
			p.Fail(f)
			text, err := io.ReadAll(post(t, t.Context(), p, path, c.body(`{"role":"user","content":"hello"}`, "true")).Body)
			if err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q: %v\n%s", path, want, err, text)
			}
		}
		p.Fail(Fault{CutAtStart: true}, Fault{Status: 500})
		p.Mend()
		if resp := post(t, t.Context(), p, path, c.body(`{"role":"user","content":"hello"}`, "true")); resp.StatusCode != 200 {
			t.Error(resp.Status)
		}
		p.Fail(Fault{CutAtStart: true})
		if _, err := io.ReadAll(post(t, t.Context(), p, path, c.body(`{"role":"user","content":"hello"}`, "true")).Body); err == nil {
			t.Errorf("%s: an answer that was cut ended in good order", path)
		}
	}
}
