package session

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// What the bot keeps about Slack. These are data; what they mean is package bot's business.

// Received is a Slack event in the inbox: stored before it is acknowledged, kept for a day against duplicates.
type Received struct {
	Key     string          `json:"key"`             // event id, or another identity of the payload
	Also    string          `json:"also,omitempty"`  // a second identity: channel and ts of the message, which two events may share
	Kind    string          `json:"kind"`            // of envelope: events_api, slash_commands, interactive
	Payload json.RawMessage `json:"payload"`         // as received, without secrets
	Trace   string          `json:"trace,omitempty"` // a third, which is remembered and makes no later event a duplicate, but as its Key
	Since   time.Time       `json:"since,omitzero"`  // of a reaction that was read: when it was taken off last. What its Trace left before is no repeat
	Asked   time.Time       `json:"asked,omitzero"`  // of a reaction that was read: when Slack was asked for it, by its clock
	Late    string          `json:"late,omitempty"`  // it was read after the bot was away, and not received: names the absence

	Redacted bool      `json:"redacted,omitempty"` // the message's text had one
	At       time.Time `json:"at"`                 // when it came, or was read: of a Trace by Slack's clock
	Handled  bool      `json:"handled,omitempty"`
}

// ReactionTrace begins the traces of reactions, and the keys of those that were read on their message.
const ReactionTrace = "reacted/"

// Known is how long an identity of a Slack event is remembered.
func Known(identity string) time.Duration {
	if strings.HasPrefix(identity, ReactionTrace) {
		return TraceKept
	}
	return 24 * time.Hour
}

// TraceKept is how long traces are remembered. A reaction stays where it is: one that is forgotten would be taken for a new one when it is read again, and
// merge today what its person was refused then.
const TraceKept = 365 * 24 * time.Hour

// Identities are those by which an event is known again. A reaction that was read on its message may have been sent in the same moment, or read before what
// was older was heard of: what those left tells.
func (r Received) Identities() []string {
	all := []string{r.Key}
	if r.Also != "" {
		all = append(all, r.Also)
	}
	if r.read() {
		all = append(all, r.Trace, LastAsked(r.Trace))
	}
	return all
}

// read reports whether it is a reaction that was read on its message.
func (r Received) read() bool { return strings.HasPrefix(r.Key, ReactionTrace) && r.Trace != "" }

// Repeats reports whether an event is one of before, because something left this identity of it at that time.
func (r Received) Repeats(identity string, at time.Time) bool {
	return identity == r.Key || identity == r.Also || at.After(r.Since)
}

// LastAsked names when Slack was last asked for a reaction of a trace that was there.
func LastAsked(trace string) string {
	return ReactionTrace + "asked/" + strings.TrimPrefix(trace, ReactionTrace)
}

// Marks are the identities that a fresh event leaves, and when. Slack sends things out of order: none replaces a later one.
func (r Received) Marks(now time.Time) map[string]time.Time {
	marks := map[string]time.Time{}
	if r.Trace != "" {
		marks[r.Trace] = r.traced()
	}
	if r.read() && !r.Asked.IsZero() {
		marks[LastAsked(r.Trace)] = r.Asked
	}
	if r.Also != "" {
		marks[r.Also] = now
	}
	marks[r.Key] = now
	if strings.HasPrefix(r.Key, ReactionTrace) {
		marks[r.Key] = r.At
	}
	return marks
}

// traced is when the Trace was left: of a reaction that was read again, when it may have been put there at the earliest, so that whatever comes after the
// reading is later.
func (r Received) traced() time.Time {
	if r.Since.IsZero() {
		return r.At
	}
	return r.Since.Add(time.Microsecond)
}

// MessageOp is how a message reaches people.
type MessageOp string

const (
	MessagePost      MessageOp = "post"      // a message, edited in place when it changes
	MessageEphemeral MessageOp = "ephemeral" // for User alone; at least once: Slack does not tell whether it is there
	MessageDirect    MessageOp = "direct"    // in the direct conversation with User
	MessageReact     MessageOp = "react"     // Emoji on TS
	MessageUnreact   MessageOp = "unreact"
	MessageFile      MessageOp = "file"   // Text as a file named Title, which no other in its thread has
	MessageStatus    MessageOp = "status" // Text as what Slack says of us in a thread, until our next message there; empty: nothing
)

// Message is a Slack message in the outbox: stored before it is posted. It says what should be there; storing it again under
// its Key with other content edits it, and Version grows. Sent is the version Slack has.
type Message struct {
	Key     string          `json:"key"`
	Session ID              `json:"session,omitempty"`
	Op      MessageOp       `json:"op"`
	Team    string          `json:"team,omitempty"`
	Channel string          `json:"channel,omitempty"`
	Thread  string          `json:"thread,omitempty"` // thread ts
	User    string          `json:"user,omitempty"`
	Emoji   string          `json:"emoji,omitempty"`
	Title   string          `json:"title,omitempty"`
	Text    string          `json:"text,omitempty"`    // fallback, or all there is
	Content string          `json:"content,omitempty"` // of a file: hash of the session's file that is sent; Text is then what there is to see
	Blocks  json.RawMessage `json:"blocks,omitempty"`
	Subject Subject         `json:"subject,omitzero"`
	Urgent  bool            `json:"urgent,omitempty"` // not held back to coalesce edits
	TS      string          `json:"ts,omitempty"`     // once posted; given for react
	Version int64           `json:"version"`
	Sent    int64           `json:"sent"`
	Failed  string          `json:"failed,omitempty"` // Slack's final refusal; it is not tried again
	Order   uint64          `json:"order"`            // of storing, set by the store
}

// Subject is what a posted message is about: what a reaction to it means.
type Subject struct {
	Kind     string `json:"kind,omitempty"` // status, result, card, notice, question, confirm
	PromptID string `json:"prompt_id,omitempty"`
	Card     string `json:"card,omitempty"`
	Question string `json:"question,omitempty"` // id of the pause that it asks about
	Approval string `json:"approval,omitempty"` // that it asks a second one for
}

// User is what the bot remembers of a Slack user.
type User struct {
	Slack    string    `json:"slack"`
	GitHub   *Identity `json:"github,omitempty"`
	LinkedAt time.Time `json:"linked_at,omitzero"`
}

// Preferences are what a Slack user wants unless they say otherwise, and where they were last.
type Preferences struct {
	Slack    string            `json:"slack"`
	Model    string            `json:"model,omitempty"` // provider/model; empty: the workspace's
	Effort   string            `json:"effort,omitempty"`
	Branches map[string]string `json:"branches,omitempty"` // by owner/name: the branch that work starts from
	Recent   []ID              `json:"recent,omitempty"`   // sessions they prompted in, newest first, at most MaxRecent
}

// MaxRecent is how many sessions are remembered of a person.
const MaxRecent = 20

// Visited puts a session first in what is recent, and reports whether that changed anything.
func (p *Preferences) Visited(id ID) bool {
	if len(p.Recent) > 0 && p.Recent[0] == id {
		return false
	}
	recent := append([]ID{id}, slices.DeleteFunc(slices.Clone(p.Recent), func(old ID) bool { return old == id })...)
	p.Recent = recent[:min(len(recent), MaxRecent)]
	return true
}

// SecretChange stores a secret under its key, or forgets it if Value is nil, in the transaction of something else.
type SecretChange struct {
	Key   string
	Value []byte
}

// Channel is what the bot remembers of a Slack channel.
type Channel struct {
	ID   string `json:"id"`
	Repo Repo   `json:"repo,omitzero"` // default
	By   Person `json:"by,omitzero"`   // who set it last
}

// Audit is what storing c adds to the audit log.
func (c Channel) Audit(at time.Time) AuditRecord {
	return AuditRecord{At: at, Action: "channel", By: c.By, Result: c.ID + " to " + cmp.Or(c.Repo.String(), "none")}
}
