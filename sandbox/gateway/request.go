package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"openinspect/session"
	"openinspect/session/model"
)

// admit reads what a call of a path asks for. It returns the body to send, less what would run at the provider, and the model of the catalogue.
func admit(path string, body []byte) ([]byte, model.Model, error) {
	var none model.Model
	provider := model.OpenAI
	if path == "/v1/messages" {
		provider = model.Anthropic
	}
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
	for _, f := range dropped {
		delete(fields, f)
	}
	if raw, ok := fields["tools"]; ok {
		var err error
		if fields["tools"], err = ownTools(raw); err != nil {
			return nil, none, err
		}
	}
	if provider == model.OpenAI {
		openAI(path, fields)
	}
	// Written anew, always: of a name that stands there twice the provider might read the one that was not looked at.
	body, err := json.Marshal(fields)
	return body, model.All()[i], session.Wrap("gateway.admit", err)
}

// dropped are the fields of a request that let something run or be kept at the provider, or that change what a token costs.
var dropped = []string{
	"mcp_servers", "container", "background", "conversation", "previous_response_id", "prompt", "web_search_options",
	"service_tier", "speed", "inference_geo", "store",
}

// openAI sets what OpenAI would else decide in ways that do not suit us: Responses are kept there unless told otherwise, and a stream of
// chat completions does not say what it cost unless asked to.
func openAI(path string, fields map[string]json.RawMessage) {
	if path == "/v1/responses" {
		fields["store"] = json.RawMessage("false")
		return
	}
	var stream bool
	if json.Unmarshal(fields["stream"], &stream) != nil || !stream {
		return
	}
	options := map[string]json.RawMessage{}
	_ = json.Unmarshal(fields["stream_options"], &options) // what is not an object is replaced
	if options == nil {
		options = map[string]json.RawMessage{} // null
	}
	options["include_usage"] = json.RawMessage("true")
	fields["stream_options"], _ = json.Marshal(options) // raw JSON that was read: it cannot fail
}

// harmless are the beginnings of Anthropic's beta features that only change how an answer is written. Others let something run at the
// provider, or change what a token costs.
var harmless = []string{
	"structured-outputs-", "interleaved-thinking-", "fine-grained-tool-streaming-", "context-management-", "compact-", "thinking-binding-controls-",
	"mid-conversation-", "effort-", "token-efficient-tools-",
}

// betas returns what is left of the values of Anthropic-Beta.
func betas(values []string) string {
	var kept []string
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.TrimSpace(name)
			if slices.ContainsFunc(harmless, func(h string) bool { return strings.HasPrefix(name, h) }) {
				kept = append(kept, name)
			}
		}
	}
	return strings.Join(kept, ",")
}

// ownTools leaves the tools that the agent runs itself: those without a type, and the types function and custom. All others (web search, code
// execution, remote MCP servers, …) run at the provider, on our account and past every rule of the sandbox.
func ownTools(raw json.RawMessage) (json.RawMessage, error) {
	// Maps, because a struct's fields match whatever their case: "Type" would hide a "type" from us that the provider reads.
	var tools []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &tools); err != nil {
		return nil, session.Errorf(session.Invalid, "The request's tools are not a list of objects.")
	}
	own := []map[string]json.RawMessage{}
	for _, t := range tools {
		var kind string
		if raw, ok := t["type"]; ok && json.Unmarshal(raw, &kind) != nil {
			continue
		}
		if t != nil && (kind == "" || kind == "function" || kind == "custom") {
			own = append(own, t)
		}
	}
	kept, err := json.Marshal(own)
	return kept, session.Wrap("gateway.ownTools", err)
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
