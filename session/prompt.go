package session

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a session's queue and of one prompt.
const (
	MaxQueued     = 10     // prompts that wait behind the one that runs; the next one is refused
	MaxPromptText = 64_000 // characters, with quoted thread and files
)

// PromptState is where a prompt stands.
type PromptState string

const (
	PromptQueued    PromptState = "queued"
	PromptRunning   PromptState = "running"
	PromptDone      PromptState = "done"
	PromptFailed    PromptState = "failed"
	PromptStopped   PromptState = "stopped"
	PromptWithdrawn PromptState = "withdrawn"
)

// Finished reports whether nothing more will happen to the prompt.
func (s PromptState) Finished() bool {
	switch s {
	case PromptQueued, PromptRunning:
		return false
	case PromptDone, PromptFailed, PromptStopped, PromptWithdrawn:
		return true
	}
	return true
}

// Prompt is one message for the agent.
type Prompt struct {
	ID        string      `json:"id"` // the Slack message's ts: unique in its channel, so in its session
	Author    Person      `json:"author"`
	Text      string      `json:"text"`
	Context   string      `json:"context,omitempty"` // untrusted: thread history, quoted messages, or the offer's words; marked as data for the agent
	Files     []File      `json:"files,omitempty"`
	Model     string      `json:"model,omitempty"` // provider/model; empty: the session's
	Effort    string      `json:"effort,omitempty"`
	Redacted  bool        `json:"redacted,omitempty"`  // something in the text looked like a secret and was taken out
	Answers   string      `json:"answers,omitempty"`   // the question of the agent that this replies to
	Corrects  string      `json:"corrects,omitempty"`  // the message that was edited after the agent had it, and reads like this now
	Addresses string      `json:"addresses,omitempty"` // the offer that it takes up: Context is from GitHub
	Retries   string      `json:"retries,omitempty"`   // the prompt that runs again with this one, as it was first asked for
	AskedBy   Person      `json:"asked_by,omitzero"`   // who had it run again
	State     PromptState `json:"state"`
	Reason    string      `json:"reason,omitempty"` // why it failed, was stopped or withdrawn: a sentence
	Begun     bool        `json:"begun,omitempty"`  // the agent has had it, in this attempt or an earlier one
	Attempt   int         `json:"attempt,omitempty"`
	Moved     bool        `json:"moved,omitempty"` // its sandbox was replaced while the agent worked on it
	At        time.Time   `json:"at"`
	Ended     time.Time   `json:"ended,omitzero"`
}

// Of reports whether a prompt is what a message says: the message itself, a correction of it, or either of them run again.
func (p *Prompt) Of(message string) bool {
	return p.ID == message || p.Corrects == message || p.Retries == message
}

// fits refuses a prompt that is empty or too long.
func (p *Prompt) fits() error {
	if strings.TrimSpace(p.Text) == "" {
		return Errorf(Invalid, "Your message has no text for the agent. Say what it should do.")
	}
	if n := utf8.RuneCountInString(p.Text) + utf8.RuneCountInString(p.Context); n > MaxPromptText {
		return Errorf(Invalid, "Your message has %d characters with what it quotes; at most %d fit. Please shorten it, or put the long part into a file in the repository.", n, MaxPromptText)
	}
	return nil
}
