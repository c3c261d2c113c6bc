package session

import (
	"encoding/json"
	"time"
)

// Kind is what an Event tells. It is a closed set; the payload field of the same name is set, the others are nil.
type Kind string

const (
	KindPrompt      Kind = "prompt"
	KindBoot        Kind = "boot"
	KindTurn        Kind = "turn"
	KindText        Kind = "text"
	KindReasoning   Kind = "reasoning"
	KindTool        Kind = "tool"
	KindTodo        Kind = "todo"
	KindModel       Kind = "model"
	KindRetry       Kind = "retry"
	KindCommits     Kind = "commits"
	KindCard        Kind = "card"
	KindApproval    Kind = "approval"
	KindPullRequest Kind = "pull_request"
	KindSandbox     Kind = "sandbox"
	KindNote        Kind = "note"
	KindError       Kind = "error"
	KindBudget      Kind = "budget"
	KindRepository  Kind = "repository"
)

// Event is one entry of a session's log: stored, sent to the web page and condensed for Slack in this one form.
// Seq is the bot's own number, from 1 without gaps; an event in a runner's journal has none yet.
type Event struct {
	Seq      int64     `json:"seq,omitempty"`
	At       time.Time `json:"at"`
	Kind     Kind      `json:"kind"`
	PromptID string    `json:"prompt_id,omitempty"` // the turn it belongs to

	Prompt      *PromptChange  `json:"prompt,omitempty"`
	Boot        *Boot          `json:"boot,omitempty"`
	Turn        *TurnChange    `json:"turn,omitempty"`
	Text        *Text          `json:"text,omitempty"` // of kinds text and reasoning
	Tool        *Tool          `json:"tool,omitempty"`
	Todo        []TodoItem     `json:"todo,omitempty"`
	Model       *ModelCall     `json:"model,omitempty"`
	Retry       *Retry         `json:"retry,omitempty"`
	Commits     *Commits       `json:"commits,omitempty"`
	Card        *Card          `json:"card,omitempty"`
	Approval    *Approval      `json:"approval,omitempty"`
	PullRequest *PullRequest   `json:"pull_request,omitempty"`
	Sandbox     *SandboxChange `json:"sandbox,omitempty"`
	Note        *Note          `json:"note,omitempty"`
	Error       *Failure       `json:"error,omitempty"`
	Budget      *BudgetChange  `json:"budget,omitempty"`

	Repository *RepositoryChange `json:"repository,omitempty"`
}

// PromptChange tells that a prompt came or changed its state.
type PromptChange struct {
	Author    Person      `json:"author"`
	Text      string      `json:"text,omitempty"` // with the first change, and when it was edited
	State     PromptState `json:"state"`
	Reason    string      `json:"reason,omitempty"`
	Position  int         `json:"position,omitempty"`  // in the queue, 1 is next; 0 when it starts at once
	Answers   string      `json:"answers,omitempty"`   // id of the agent's question that it answers
	Corrects  string      `json:"corrects,omitempty"`  // the prompt that it corrects
	Addresses string      `json:"addresses,omitempty"` // id of the offer that it takes up
	Edited    bool        `json:"edited,omitempty"`    // it came before, with another text
	AskedBy   string      `json:"asked_by,omitempty"`  // the name of who had it run again
	With      string      `json:"with,omitempty"`      // the prompt whose failure ended this one too: told together
}

// Phase is a step of a boot.
type Phase string

const (
	PhaseSync    Phase = "sync"    // git clone or fetch
	PhaseSecrets Phase = "secrets" // the repository's own variables, where it may have some
	PhaseSetup   Phase = "setup"   // .openinspect/setup.sh
	PhaseStart   Phase = "start"   // .openinspect/start.sh
	PhaseAgent   Phase = "agent"   // the agent's server
	PhaseReady   Phase = "ready"   // prompts are accepted
)

// Known reports whether there is such a phase.
func (p Phase) Known() bool {
	switch p {
	case PhaseSync, PhaseSecrets, PhaseSetup, PhaseStart, PhaseAgent, PhaseReady:
		return true
	}
	return false
}

// StepState is how far a boot phase or a tool call is.
type StepState string

const (
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepWarning StepState = "warning" // failed, and the boot goes on
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"
)

// Boot tells of one phase of a boot.
type Boot struct {
	Phase  Phase     `json:"phase"`
	State  StepState `json:"state"`
	Millis int64     `json:"ms,omitempty"`     // how long it took, when it is over
	Detail string    `json:"detail,omitempty"` // one line: a branch and commit, an exit code
	Output string    `json:"output,omitempty"` // the last 50 lines, after a failure or warning
}

// TurnState is how far a turn is.
type TurnState string

const (
	TurnStarted  TurnState = "started"  // by the machine: the prompt is next; a sandbox may have to start first
	TurnWorking  TurnState = "working"  // the agent has the prompt
	TurnStopping TurnState = "stopping" // somebody asked to stop it
	TurnAnswered TurnState = "answered" // by the runner: the agent is done; what it left is committed
	TurnEnded    TurnState = "ended"    // by the machine: everything that belongs to the turn is in the log
)

// TurnChange tells how a turn goes. Outcome is set with answered and ended.
type TurnChange struct {
	State   TurnState   `json:"state"`
	Outcome PromptState `json:"outcome,omitempty"` // done, failed or stopped
	Reason  string      `json:"reason,omitempty"`  // a sentence, unless done
	Card    string      `json:"card,omitempty"`    // with ended: id of the card that this turn made
}

// Text is a finished part of the agent's words (text) or thoughts (reasoning).
type Text struct {
	Part string `json:"part"`
	Text string `json:"text"`
}

// Tool is one call of a tool by the agent. A call is told when it runs and again when it is over.
type Tool struct {
	Call   string          `json:"call"`
	Name   string          `json:"name"` // the agent's own: bash, edit, read, …
	State  StepState       `json:"state"`
	Title  string          `json:"title,omitempty"` // one line
	Input  json.RawMessage `json:"input,omitempty"`
	Output string          `json:"output,omitempty"` // with done, cut at 32 KiB
	Error  string          `json:"error,omitempty"`
	Exit   *int            `json:"exit,omitempty"` // of a shell command
	Millis int64           `json:"ms,omitempty"`
	Diff   string          `json:"diff,omitempty"`  // unified, of an edit
	Child  bool            `json:"child,omitempty"` // called by a sub-agent
}

// TodoItem is one line of the agent's todo list.
type TodoItem struct {
	Text  string `json:"text"`
	State string `json:"state"` // pending, in_progress, completed, cancelled
}

// Usage counts tokens.
type Usage struct {
	Input      int64 `json:"input"`
	Output     int64 `json:"output"`
	CacheRead  int64 `json:"cache_read,omitempty"`
	CacheWrite int64 `json:"cache_write,omitempty"`
}

// ModelCall is one model call as the gateway counted it.
type ModelCall struct {
	Model    string  `json:"model"` // provider/model
	Usage    Usage   `json:"usage"`
	Cost     float64 `json:"cost"`               // US dollars
	Estimate bool    `json:"estimate,omitempty"` // the answer broke off before it told its usage
	Status   int     `json:"status,omitempty"`   // HTTP status of a refused call
	For      string  `json:"for,omitempty"`      // what the bot itself made it for; empty: the agent made it
}

// Retry tells that the agent tries a model call again; text shown for the call so far is void.
type Retry struct {
	Attempt int       `json:"attempt"`
	Reason  string    `json:"reason"`
	Next    time.Time `json:"next,omitzero"`
}

// Commits tells what the bot holds after a turn: computed from the bytes it collected, not from what the sandbox said.
type Commits struct {
	Head  string       `json:"head"` // full hash
	Count int          `json:"count"`
	Files []FileChange `json:"files"`
	Patch string       `json:"patch,omitempty"` // unified diff against the base, cut at 256 KiB
}

// FileChange counts a file's changed lines.
type FileChange struct {
	Path    string `json:"path"`
	Added   int    `json:"added"`
	Deleted int    `json:"deleted"`
	Binary  bool   `json:"binary,omitempty"`
}

// SandboxChange tells what became of the session's sandbox.
type SandboxChange struct {
	State  SandboxState `json:"state"`
	Name   string       `json:"name,omitempty"`
	Place  int          `json:"place,omitempty"` // in the line, while pending
	Reason string       `json:"reason,omitempty"`
}

// NoteKind says how a note is shown.
type NoteKind string

const (
	NoteUpdate   NoteKind = "update"   // from the agent: a line of the status message
	NoteQuestion NoteKind = "question" // from the agent: a message of its own
	NoteImage    NoteKind = "image"    // from the agent: a file below its answer
	NoteUnsaid   NoteKind = "unsaid"   // from the bot: a message that Slack did not take; for the log alone
	NoteNotice   NoteKind = "notice"   // from the bot: a message of its own
	NoteOffer    NoteKind = "offer"    // likewise: what was said or failed on GitHub, which a press hands to the agent
	NoteMuted    NoteKind = "muted"    // likewise: from here on replies need a mention
	NoteUnmuted  NoteKind = "unmuted"  // and here no more than the thread's rule says
	NoteClosed   NoteKind = "closed"   // the session is closed; what was withdrawn with it comes before
)

// Note is a sentence for the thread. With To set it is for that Slack user alone.
type Note struct {
	Kind    NoteKind `json:"kind"`
	ID      string   `json:"id,omitempty"` // of a question or an offer
	Text    string   `json:"text"`
	Options []string `json:"options,omitempty"` // of a question
	File    *File    `json:"file,omitempty"`    // an image's
	To      string   `json:"to,omitempty"`
	Quote   string   `json:"quote,omitempty"` // of an offer: what was said there, as it was
	URL     string   `json:"url,omitempty"`   // likewise: where
	Over    string   `json:"over,omitempty"`  // it is none any more, and why: a sentence. It was told before

	Withdrawn []Withdrawal `json:"withdrawn,omitempty"` // with closed
}

// Withdrawal is a prompt that somebody else than its author took back.
type Withdrawal struct {
	PromptID string `json:"prompt_id"`
	Author   Person `json:"author"`
}

// Failure is an error as people see it.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Delta is a piece of a text or reasoning part that is still being written. It is shown live, never stored, and replaced by the finished part.
type Delta struct {
	PromptID string `json:"prompt_id"`
	Kind     Kind   `json:"kind"` // text or reasoning
	Part     string `json:"part"`
	Offset   int    `json:"offset"` // in bytes; 0 starts the part anew
	Text     string `json:"text"`
}

// Cursor is a place in a runner's journal: the number of the last line that was stored, in that journal.
type Cursor struct {
	Journal string `json:"journal"`
	N       int64  `json:"n"`
}
