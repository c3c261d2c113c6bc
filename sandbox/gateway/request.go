package gateway

import (
	"encoding/json"
	"net/http"
	"slices"

	"openinspect/session"
	"openinspect/session/model"
)

// admit reads what a call asks for. It returns the body to send, less what would run at the provider, and the model of the catalogue.
func admit(provider string, body []byte) ([]byte, model.Model, error) {
	var none model.Model
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, none, session.Errorf(session.Invalid, "The request is not a JSON object.")
	}
	var name string
	if err := json.Unmarshal(fields["model"], &name); err != nil {
		return nil, none, session.Errorf(session.Invalid, "The request names no model.")
	}
	i := slices.IndexFunc(model.All(), func(m model.Model) bool { return m.Provider == provider && m.Name == name })
	if i < 0 {
		return nil, none, session.Errorf(session.Invalid, "The model %q is not in the catalogue.", session.OneLine(name, 80))
	}
	changed := false
	for _, hosted := range []string{"mcp_servers", "container", "background", "conversation", "previous_response_id", "web_search_options"} {
		if _, ok := fields[hosted]; ok {
			delete(fields, hosted)
			changed = true
		}
	}
	if raw, ok := fields["tools"]; ok {
		kept, dropped, err := ownTools(raw)
		if err != nil {
			return nil, none, err
		}
		if dropped {
			fields["tools"], changed = kept, true
		}
	}
	if changed {
		var err error
		if body, err = json.Marshal(fields); err != nil {
			return nil, none, session.Wrap("gateway.admit", err)
		}
	}
	return body, model.All()[i], nil
}

// ownTools leaves the tools that the agent runs itself: those without a type, and the types function and custom. All others (web search, code
// execution, remote MCP servers, …) run at the provider, on our account and past every rule of the sandbox.
func ownTools(raw json.RawMessage) (kept json.RawMessage, dropped bool, err error) {
	var tools []json.RawMessage
	if err := json.Unmarshal(raw, &tools); err != nil {
		return nil, false, session.Errorf(session.Invalid, "The request's tools are not a list.")
	}
	own := slices.DeleteFunc(slices.Clone(tools), func(t json.RawMessage) bool {
		var head struct {
			Type string `json:"type"`
		}
		return json.Unmarshal(t, &head) != nil || head.Type != "" && head.Type != "function" && head.Type != "custom"
	})
	if len(own) == len(tools) {
		return raw, false, nil
	}
	kept, err = json.Marshal(own)
	return kept, true, session.Wrap("gateway.ownTools", err)
}

// refuse answers with an error in the provider's own shape, which is what the agent understands.
func refuse(w http.ResponseWriter, provider string, status int, kind, message string) {
	body := map[string]any{"error": map[string]any{"type": kind, "message": message}}
	if provider == model.Anthropic {
		body["type"] = "error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // best effort: the caller may be gone
}
