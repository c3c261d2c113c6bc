package modeltest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"openinspect/session/model"
)

// Fault is a way for an answer to go wrong. A request with a wrong key, or one that cannot be understood, is refused before any fault.
type Fault struct {
	Status  int         // answer with this status instead of an answer
	Header  http.Header // headers of that answer
	Body    []byte      // its body; if nil, an error in the provider's own shape
	Message string      // what that error says; if empty, what the provider would say
	Code    string      // OpenAI's code for it, where its status does not give one

	Drop           bool // close the connection without an answer
	CutAtStart     bool // send the head of the answer and cut the connection
	CutAfterEvents int  // cut the connection after that many events of the stream
	CutAfterTool   bool // cut it as soon as the first tool call is complete
	Stall          bool // send the head of the answer and then nothing, until the caller goes away or the Provider closes

	// ErrorAfterEvents ends the stream after that many events with an event that the provider is overloaded, as both send them when an answer has
	// begun already.
	ErrorAfterEvents int
	// Finish ends an answer for another reason than that it is done.
	Finish Finish
}

// Finish is why an answer ends.
type Finish string

const (
	Done     Finish = ""
	Declined Finish = "declined" // the provider's safety, in the middle of an answer
	TooLong  Finish = "too long" // the answer reached the most it may have
)

// OutOfCredit is an account without money; docs.anthropic.com and platform.openai.com, "Error codes".
func OutOfCredit(provider string) Fault {
	if provider == model.OpenAI {
		return Fault{Status: http.StatusTooManyRequests, Code: "insufficient_quota", Message: "You exceeded your current quota, please check your plan and billing details."}
	}
	return Fault{Status: http.StatusBadRequest, Message: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}
}

// OutOfContext is a request that is longer than the model reads.
func OutOfContext(provider string) Fault {
	if provider == model.OpenAI {
		return Fault{Status: http.StatusBadRequest, Code: "context_length_exceeded", Message: "Your input exceeds the context window of this model. Please adjust your input and try again."}
	}
	return Fault{Status: http.StatusBadRequest, Message: "prompt is too long: 250000 tokens > 200000 maximum"}
}

// Blocked is a request that the provider's policy does not allow.
func Blocked(provider string) Fault {
	if provider == model.OpenAI {
		return Fault{Status: http.StatusBadRequest, Code: "invalid_prompt", Message: "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt."}
	}
	return Fault{Status: http.StatusBadRequest, Message: "Output blocked by content filtering policy"}
}

// Overloaded is a provider that has too much to do, and says when to come again.
func Overloaded(again time.Duration) Fault {
	return Fault{Status: statusOverloaded, Header: http.Header{"Retry-After-Ms": {strconv.FormatInt(again.Milliseconds(), 10)}}}
}

// Refused is a key that the provider no longer takes.
func Refused() Fault { return Fault{Status: http.StatusUnauthorized} }

// RateLimited is too many requests, to be tried again after so many seconds.
func RateLimited(seconds int) Fault {
	return Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {strconv.Itoa(seconds)}}}
}

// Broken is a defect of the provider's.
func Broken() Fault { return Fault{Status: http.StatusInternalServerError} }

// Fail makes the next requests go wrong, one for each fault, in order. It comes before Config.Fault.
func (p *Provider) Fail(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, faults...)
}

// Mend forgets what Fail asked for and has not happened yet.
func (p *Provider) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

func (p *Provider) fault(r *Request) Fault {
	p.mu.Lock()
	if len(p.faults) > 0 {
		f := p.faults[0]
		p.faults = p.faults[1:]
		p.mu.Unlock()
		return f
	}
	seen := *r
	p.mu.Unlock()
	if p.config.Fault != nil {
		if f := p.config.Fault(seen); f != nil {
			return *f
		}
	}
	return Fault{}
}

func (f Fault) message() string {
	if f.Message != "" {
		return f.Message
	}
	switch f.Status {
	case http.StatusUnauthorized:
		return "invalid x-api-key"
	case http.StatusTooManyRequests:
		return "This request would exceed your organization's rate limit"
	case statusOverloaded:
		return "Overloaded"
	case http.StatusInternalServerError:
		return "Internal server error"
	}
	return http.StatusText(f.Status)
}

// statusOverloaded is what Anthropic answers when it is overloaded.
const statusOverloaded = 529

var missingKey = map[string]string{
	model.Anthropic: "x-api-key header is required",
	model.OpenAI:    "You didn't provide an API key.",
}

var wrongKey = map[string]string{
	model.Anthropic: "invalid x-api-key",
	model.OpenAI:    "Incorrect API key provided.",
}

// anthropicError answers as https://docs.anthropic.com/en/api/errors describes.
func anthropicError(w http.ResponseWriter, status int, message, _ string) {
	kind := map[int]string{
		http.StatusUnauthorized: "authentication_error", http.StatusForbidden: "permission_error", http.StatusNotFound: "not_found_error",
		http.StatusRequestEntityTooLarge: "request_too_large", http.StatusTooManyRequests: "rate_limit_error", statusOverloaded: "overloaded_error",
	}[status]
	switch {
	case kind == "" && status >= 500:
		kind = "api_error"
	case kind == "":
		kind = "invalid_request_error"
	}
	answerJSON(w, status, map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}})
}

// openAIError answers as https://platform.openai.com/docs/guides/error-codes describes.
func openAIError(w http.ResponseWriter, status int, message, given string) {
	kind, code := "invalid_request_error", any(nil)
	switch {
	case given != "":
		if code = given; given == "insufficient_quota" {
			kind = given
		}
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusTooManyRequests:
		kind, code = "requests", "rate_limit_exceeded"
	case status == http.StatusNotFound:
		code = "model_not_found"
	case status >= 500:
		kind = "server_error"
	}
	answerJSON(w, status, map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": code}})
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // fails only when the caller has gone
}
