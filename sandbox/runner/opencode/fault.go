package opencode

import (
	"strings"

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
	case f.Name == "ContentFilterError":
		code, words = session.Invalid, "The model provider refused to answer this. Please word it differently."
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
