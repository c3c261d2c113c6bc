package opencode

import (
	"strings"
	"testing"

	"openinspect/session"
)

// Every failure that OpenCode knows ends in a sentence that says what to do, whatever the provider said.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, said string
		status     int
		code       session.Code
		want       string
	}{
		{"APIError", "Incorrect API key provided", 401, session.Forbidden, "refused the bot's key"},
		{"ProviderAuthError", "", 0, session.Forbidden, "refused the bot's key"},
		{"APIError", "You exceeded your current quota, please check your plan and billing details.", 429, session.Forbidden, "out of credit"},
		{"UnknownError", "Your credit balance is too low to access the Anthropic API.", 0, session.Forbidden, "out of credit"},
		{"APIError", "slow down", 429, session.Unavailable, "in a few minutes"},
		{"APIError", "Overloaded", 529, session.Unavailable, "(Overloaded). Please send your message again in a few minutes."},
		{"APIError", "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", 400, session.Invalid, "word it differently"},
		{"APIError", "The response was filtered due to the prompt triggering our content management policy (content_filter).", 400, session.Invalid, "word it differently"},
		{"ContextOverflowError", "prompt is too long", 400, session.Invalid, "Start a new thread"},
		{"MessageAbortedError", "", 0, session.Unavailable, "send your message again"},
		{"UnknownError", "", 0, session.Unavailable, "without saying why (UnknownError)"},
		{"UnknownError", "<b>`boom`</b>\nand more", 0, session.Unavailable, "The agent failed: b boom /b and more. Please send"},
	} {
		f := &fault{Name: c.name}
		f.Data.Message, f.Data.StatusCode = c.said, c.status
		err := f.error()
		if session.CodeOf(err) != c.code || !strings.Contains(session.Sentence(err), c.want) {
			t.Errorf("%s %d %q: %v", c.name, c.status, c.said, err)
		}
	}
}

func TestPlainly(t *testing.T) {
	for said, want := range map[string]string{
		"Provider is overloaded": "Provider is overloaded",
		"Cannot connect to API: The socket connection was closed unexpectedly. For more information, pass `verbose: true`": "its answer broke off",
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`:                                      "Overloaded",
		`stream: {"message":"The server had an error"}`:                                                                    "The server had an error",
		"{not json": "not json",
	} {
		if got := plainly(said); got != want {
			t.Errorf("%q became %q", said, got)
		}
	}
}
