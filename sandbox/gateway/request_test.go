package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"openinspect/session/model"
)

// What is sent is what was looked at: neither another case of a name nor a name that stands there twice smuggles anything past.
func TestAdmitSendsWhatItLookedAt(t *testing.T) {
	name := bareName(t, model.Anthropic).Name
	for _, body := range []string{
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305","Type":"custom","name":"a"},{"type":"custom","name":"mine"}]}`,
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305","type":"custom","name":"mine"}]}`,
		`{"model":"` + name + `","tools":[{"type":"web_search_20250305"}],"tools":[{"name":"mine"}]}`,
		`{"model":"unheard-of","model":"` + name + `","tools":[{"type":["web_search_20250305"]},null,{"name":"mine"}]}`,
	} {
		sent, m, err := admit("/v1/messages", []byte(body))
		if err != nil || m.Name != name || !json.Valid(sent) {
			t.Errorf("%s: %v", body, err)
		}
		if s := string(sent); strings.Contains(s, "web_search") || strings.Contains(s, "unheard-of") || !strings.Contains(s, `"mine"`) {
			t.Errorf("%s was sent as %s", body, s)
		}
	}
}

// OpenAI is told to keep nothing, and to say what a stream cost; the agent's other wishes about its stream stay.
func TestAdmitOpenAI(t *testing.T) {
	name := bareName(t, model.OpenAI).Name
	for body, want := range map[string]string{
		`/v1/responses {"model":"` + name + `","store":true,"previous_response_id":"r"}`:                             `{"model":"` + name + `","store":false}`,
		`/v1/chat/completions {"model":"` + name + `","store":true}`:                                                 `{"model":"` + name + `"}`,
		`/v1/chat/completions {"model":"` + name + `","stream":true}`:                                                `{"model":"` + name + `","stream":true,"stream_options":{"include_usage":true}}`,
		`/v1/chat/completions {"model":"` + name + `","stream":true,"stream_options":null}`:                          `{"model":"` + name + `","stream":true,"stream_options":{"include_usage":true}}`,
		`/v1/chat/completions {"model":"` + name + `","stream":true,"stream_options":{"include_usage":false,"x":1}}`: `{"model":"` + name + `","stream":true,"stream_options":{"include_usage":true,"x":1}}`,
	} {
		path, body, _ := strings.Cut(body, " ")
		if sent, _, err := admit(path, []byte(body)); err != nil || string(sent) != want {
			t.Errorf("%s %s was sent as %s, %v", path, body, sent, err)
		}
	}
	if _, _, err := admit("/v1/messages", []byte(`{"model":"`+name+`"}`)); err == nil {
		t.Error("a model of OpenAI's was admitted to Anthropic's path")
	}
}

func TestBetas(t *testing.T) {
	got := betas([]string{"structured-outputs-2025-11-13, fast-mode-2026-02-01", "context-1m-2025-08-07,interleaved-thinking-2025-05-14"})
	if got != "structured-outputs-2025-11-13,interleaved-thinking-2025-05-14" {
		t.Error(got)
	}
}

// Whatever an agent sends is refused, or is sent on as one object without anything that runs or is kept at the provider.
func FuzzAdmit(f *testing.F) {
	name := func(provider string) string {
		m, _ := model.Default(provider)
		return m.Name
	}
	for _, body := range []string{
		`{"model":"` + name(model.Anthropic) + `","tools":[{"type":"web_search_20250305"},{"name":"x"}],"mcp_servers":[]}`,
		`{"model":"` + name(model.OpenAI) + `","stream":true,"stream_options":5,"store":true,"tools":null,"MODEL":"x"}`,
		`{"model":"` + name(model.OpenAI) + `","tools":[{"type":null}],"background":true}`, `[]`, `{}`, `null`, `{"model":null}`, `{"model":"\u0000"}`,
	} {
		for path := range 3 {
			f.Add(uint8(path), []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, path uint8, body []byte) {
		p := []string{"/v1/messages", "/v1/responses", "/v1/chat/completions"}[path%3]
		sent, m, err := admit(p, body)
		if err != nil {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(sent, &fields); err != nil {
			t.Fatalf("%s: %v", sent, err)
		}
		var got string
		if json.Unmarshal(fields["model"], &got) != nil || got != m.Name {
			t.Errorf("counted as %s, sent as %s", m.Name, fields["model"])
		}
		for _, d := range dropped {
			if v, ok := fields[d]; ok && string(v) != "false" {
				t.Errorf("%s was sent on: %s", d, sent)
			}
		}
		var tools []map[string]any
		if err := json.Unmarshal(fields["tools"], &tools); fields["tools"] != nil && err != nil {
			t.Errorf("tools: %s", fields["tools"])
		}
		for _, tool := range tools {
			if kind, ok := tool["type"]; ok && kind != "function" && kind != "custom" && kind != nil && kind != "" {
				t.Errorf("the tool %v was sent on", tool)
			}
		}
	})
}
