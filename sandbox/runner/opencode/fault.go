package opencode

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"openinspect/session"
)

// fault is an error as OpenCode tells it.
type fault struct {
	Name string `json:"name"`
	Data struct {
		Message    string `json:"message"`
		StatusCode int    `json:"statusCode"`
	} `json:"data"`
}

// aborted reports whether it only says that somebody stopped the turn.
func (f *fault) aborted() bool { return f.Name == "MessageAbortedError" }

// error turns a fault into a sentence for the thread: what happened and what to do.
func (f *fault) error() error {
	code, words := session.Unavailable, ""
	said := session.OneLine(f.Data.Message, 300)
	lower := strings.ToLower(said)
	switch {
	case f.aborted():
		words = "The agent broke its work off. Please send your message again."
	case f.Name == "ProviderAuthError", f.Data.StatusCode == 401, f.Data.StatusCode == 403:
		code, words = session.Forbidden, "The model provider refused the bot's key. Whoever runs the bot has to check it; then send your message again."
	case f.Data.StatusCode == 402, strings.Contains(lower, "credit balance"), strings.Contains(lower, "exceeded your current quota"), strings.Contains(lower, "insufficient_quota"):
		code, words = session.Forbidden, "The model provider's account is out of credit. Whoever runs the bot has to top it up; then send your message again."
	case f.Name == "ContextOverflowError":
		code, words = session.Invalid, "The conversation no longer fits into the model's context. Start a new thread with what is still to be done."
	case f.Name == "MessageOutputLengthError":
		code, words = session.Invalid, "The model's answer was cut off at its longest. Ask for the task in smaller steps."
	case f.Name == "ContentFilterError", blocked(lower):
		code, words = session.Invalid, "The model provider refused to answer this. Please word it differently."
	case f.Data.StatusCode == 404:
		code, words = session.Invalid, "The model provider does not know this model, or the bot's key may not use it ("+strings.TrimSuffix(said, ".")+"). Please name another one."
	case f.Data.StatusCode == 429:
		words = "The model provider limits how often it may be asked, and went on refusing. Please send your message again in a few minutes."
	case f.Data.StatusCode >= 500:
		words = "The model provider does not work properly right now (" + said + "). Please send your message again in a few minutes."
	case strings.Contains(lower, "model not found"):
		code, words = session.Invalid, "The agent does not know this model ("+strings.TrimSuffix(said, ".")+"). Please name another one."
	case said == "":
		words = "The agent failed without saying why (" + f.Name + "). Please send your message again."
	default:
		words = "The agent failed: " + strings.TrimSuffix(said, ".") + ". Please send your message again."
	}
	return &session.Error{Code: code, Op: "opencode." + f.Name, Message: words}
}

// blocked reports whether a provider's words are that its policy does not allow what was asked.
func blocked(lower string) bool {
	for _, s := range []string{"content filter", "content_filter", "content policy", "content_policy", "usage policy", "usage policies"} {
		if strings.Contains(lower, s) {
			return true
		}
	}
	return false
}

// plainly turns why a model call is made again into words for people. OpenCode hands on what its HTTP client or the provider said.
func plainly(reason string) string {
	if i := strings.IndexByte(reason, '{'); i >= 0 {
		var e struct {
			Message string `json:"message"`
			Error   struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.NewDecoder(strings.NewReader(reason[i:])).Decode(&e) == nil && e.Error.Message+e.Message != "" {
			reason = cmp.Or(e.Error.Message, e.Message)
		}
	}
	lower := strings.ToLower(reason)
	for _, s := range []string{"socket connection was closed", "cannot connect to api", "connection reset", "econnreset", "terminated"} {
		if strings.Contains(lower, s) {
			return "its answer broke off"
		}
	}
	return session.OneLine(reason, 300)
}

// limitedFor is the end of a turn whose model may not be asked for so long that waiting would be no answer.
func limitedFor(wait time.Duration) error {
	return session.Errorf(session.Unavailable, "The model provider limits how often it may be asked, and takes no requests for another %d minutes. Please send your message again then, or name another model.", int((wait+time.Minute-1)/time.Minute))
}
