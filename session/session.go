package session

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"
)

// ID names a session: 10 lower-case base32 characters, used in its URL, branch and commit trailer.
type ID string

// NewID makes one at random (50 bits).
func NewID() ID {
	var b [7]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return ID(strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:10])
}

// Valid reports whether id has the form of one.
func (id ID) Valid() bool {
	return len(id) == 10 && strings.Trim(string(id), "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Thread is a Slack thread. TS is its root message's.
type Thread struct {
	Team    string `json:"team"`
	Channel string `json:"channel"`
	TS      string `json:"ts"`
}

// Repo is a GitHub repository; the zero Repo is none.
type Repo struct {
	Owner string `json:"owner"`
	Name  string `json:"name"`
}

func (r Repo) String() string {
	if r == (Repo{}) {
		return ""
	}
	return r.Owner + "/" + r.Name
}

// ParseRepo reads owner/name.
func ParseRepo(s string) (Repo, bool) {
	owner, name, ok := strings.Cut(s, "/")
	if !ok || !slug(owner) || !slug(name) || strings.Trim(name, ".") == "" || strings.Trim(owner, ".") == "" {
		return Repo{}, false
	}
	return Repo{owner, name}, true
}

func slug(s string) bool {
	if s == "" || len(s) > 100 || s[0] == '-' {
		return false
	}
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return true
}

// SandboxState is where a sandbox stands.
type SandboxState string

const (
	SandboxNone         SandboxState = ""
	SandboxPending      SandboxState = "pending"  // waits for room
	SandboxSpawning     SandboxState = "spawning" // the provider was asked
	SandboxBooting      SandboxState = "booting"  // the link is up or being dialled; phases come as events
	SandboxReady        SandboxState = "ready"
	SandboxRunning      SandboxState = "running" // a turn
	SandboxSnapshotting SandboxState = "snapshotting"
	SandboxStopped      SandboxState = "stopped" // it can be brought back from its image
	SandboxFailed       SandboxState = "failed"
	SandboxLost         SandboxState = "lost"
)

// Live reports whether there is, or soon will be, something to talk to.
func (s SandboxState) Live() bool {
	switch s {
	case SandboxSpawning, SandboxBooting, SandboxReady, SandboxRunning, SandboxSnapshotting:
		return true
	case SandboxNone, SandboxPending, SandboxStopped, SandboxFailed, SandboxLost:
		return false
	}
	return false
}

// Handle is how a provider's sandbox is found again: data, good across restarts.
type Handle struct {
	Provider string `json:"provider"`
	Name     string `json:"name"` // ours; unique in the installation
	ID       string `json:"id"`   // the provider's
	Address  string `json:"address,omitempty"`
}

// BootMode is what a sandbox starts from, and so which lifecycle scripts run; the runner exports it as OPENINSPECT_BOOT_MODE.
type BootMode string

const (
	BootBuild    BootMode = "build"
	BootFresh    BootMode = "fresh"
	BootImage    BootMode = "repo_image"
	BootSnapshot BootMode = "snapshot_restore"
)

// Sandbox is what a session knows of its sandbox.
type Sandbox struct {
	State  SandboxState `json:"state"`
	Name   string       `json:"name,omitempty"`
	Start  string       `json:"start,omitempty"` // start id of its runner: new for each start
	Mode   BootMode     `json:"mode,omitempty"`
	Handle Handle       `json:"handle,omitzero"`
	Image  string       `json:"image,omitempty"`  // the newest snapshot; what the next start begins from
	Starts int          `json:"starts"`           // how many there were, for names
	Anew   bool         `json:"anew,omitempty"`   // this start begins at the base
	Ends   time.Time    `json:"ends,omitzero"`    // when the provider will have ended it, and its files with it; zero: never
	Leave  time.Time    `json:"leave,omitzero"`   // from when on it is left for another, as soon as nothing runs in it
	Moving bool         `json:"moving,omitempty"` // it is being left, and whatever goes on goes on in another
	From   string       `json:"from,omitempty"`   // the image that it began from
	Bad    string       `json:"bad,omitempty"`    // an image of the repository's from which one did not become ready

	// How much work is in its files, and how much of that the image has.
	Work  int `json:"work,omitempty"`  // prompts that the agent has had
	Wrote int `json:"wrote,omitempty"` // the newest of them in which it may have changed files
	Has   int `json:"has,omitempty"`   // as many of them the image has

	Patch    Patch `json:"patch,omitzero"`     // that is kept beside the image
	Recall   bool  `json:"recall,omitempty"`   // the agent in it does not know what was said
	Recalled int   `json:"recalled,omitempty"` // the newest prompt, as Work counts them, with which an agent was told

	Asked  time.Time   `json:"asked,omitzero"`    // pending: since when it waits for room
	Place  int         `json:"place,omitempty"`   // pending: its place in the line, as people were told
	PutOff bool        `json:"put_off,omitempty"` // spawning: the provider is not asked before a time, and nothing of it is there
	Since  time.Time   `json:"since,omitzero"`    // since when it takes room
	Began  []time.Time `json:"began,omitempty"`   // when it was started, of the last hour
	Turns  int         `json:"turns,omitempty"`   // ended in a row while others waited
	Kept   bool        `json:"kept,omitempty"`    // it could not be put away; not asked again before its next turn is over
}

// Occupied reports whether the sandbox takes room: it lives, or one that failed has not been ended yet.
func (b Sandbox) Occupied() bool {
	return b.State.Live() || b.State == SandboxFailed && b.Handle != (Handle{})
}

// Turn is the run that goes on.
type Turn struct {
	PromptID   string      `json:"prompt_id"`
	State      TurnState   `json:"state"`
	Stopping   bool        `json:"stopping,omitempty"`
	StopBy     Person      `json:"stop_by,omitzero"`
	StopAt     time.Time   `json:"stop_at,omitzero"` // when it is ended by force
	StopReason string      `json:"stop_reason,omitempty"`
	Deleted    bool        `json:"deleted,omitempty"` // it is stopped because its message was deleted
	Began      time.Time   `json:"began,omitzero"`
	Stalled    bool        `json:"stalled,omitempty"` // it is stopped because it made no progress: it has failed
	Pause      *Pause      `json:"pause,omitempty"`   // it waits for more budget
	Outcome    PromptState `json:"outcome,omitempty"` // the runner's word, once answered
	Reason     string      `json:"reason,omitempty"`

	// How often the agent used its tools.
	Questions int `json:"questions,omitempty"`
	Updates   int `json:"updates,omitempty"`
	Proposals int `json:"proposals,omitempty"`
	Images    int `json:"images,omitempty"`
}

// stopReason says who or what stopped the turn.
func (t *Turn) stopReason() string {
	if t.StopReason != "" {
		return t.StopReason
	}
	return "Stopped by " + t.StopBy.Name + "." // stored before reasons were
}

// Ended is how the newest turn ended.
type Ended struct {
	PromptID string      `json:"prompt_id"`
	State    PromptState `json:"state"` // withdrawn: it was stopped because its message was deleted
	At       time.Time   `json:"at"`
	Again    bool        `json:"again,omitempty"`   // it was asked to run again
	Message  string      `json:"message,omitempty"` // what it is a correction of, or runs again; empty: nothing else
	Deleted  bool        `json:"deleted,omitempty"` // its message was deleted since
}

// Choice is a question of the agent's to which it offered answers.
type Choice struct {
	ID      string   `json:"id"` // "q" and the number of the event that asked
	Options []string `json:"options,omitempty"`
	By      Person   `json:"by,omitzero"` // who answered
}

// MaxOptions is how many answers a question offers.
const MaxOptions = 5

// Proposal is the agent's wish for a pull request: words for the card, not facts.
type Proposal struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Tests string `json:"tests,omitempty"` // what it says it ran, and what came of it: of the turn that goes on or ended last
	Draft bool   `json:"draft,omitempty"` // the pull request is to be a draft
}

// Draft is what a pull request of the session will say besides its card: long, and seldom changed, so it is stored beside the session.
type Draft struct {
	Asked    []Asking  `json:"asked,omitempty"` // by the contributors, in order
	Proposal *Proposal `json:"proposal,omitempty"`
}

// Await is what a session waits for before its first turn can start.
type Await string

const (
	AwaitNothing    Await = ""
	AwaitRepository Await = "repository" // the requester names one
)

// Session is a thread and all that belongs to it, less its prompts, cards, approvals, draft and log, which are stored beside it: it is written
// anew with every step.
type Session struct {
	ID           ID           `json:"id"`
	Thread       Thread       `json:"thread"`
	Rooted       bool         `json:"rooted"`           // the thread's root addressed the bot: replies need no mention
	Muted        bool         `json:"muted,omitempty"`  // replies need a mention, whatever the thread's rule is
	Closed       bool         `json:"closed,omitempty"` // nothing goes on, until a prompt opens it again
	Requester    Person       `json:"requester"`
	Title        string       `json:"title"`
	Repo         Repo         `json:"repo,omitzero"`  // zero: none, unless it waits for one
	Base         string       `json:"base,omitempty"` // the branch it starts from and goes back to
	Model        string       `json:"model"`          // provider/model
	Effort       string       `json:"effort,omitempty"`
	Await        Await        `json:"await,omitempty"`
	ChooseBy     time.Time    `json:"choose_by,omitzero"` // until when the question for the repository stands
	Why          string       `json:"why,omitempty"`      // why this repository, if nobody named it
	Created      time.Time    `json:"created"`
	Updated      time.Time    `json:"updated"`
	Latest       time.Time    `json:"latest,omitzero"`        // of the newest event
	Contributors []Person     `json:"contributors,omitempty"` // since the base last moved
	Identities   []Author     `json:"identities,omitempty"`   // of all who prompted, as they were then
	Credits      []Credit     `json:"credits,omitempty"`      // that the commits since Collected may carry: those of the turns since
	Participants []Person     `json:"participants,omitempty"`
	Prompters    []string     `json:"prompters,omitempty"` // Slack ids of all who prompted, whatever came of it
	Seen         []string     `json:"seen,omitempty"`      // ids of the newest prompts, stops and approvals, so that none is taken twice
	Turn         *Turn        `json:"turn,omitempty"`
	Ended        Ended        `json:"ended,omitzero"`
	ToolCalls    []string     `json:"tool_calls,omitempty"` // the newest by name, so that none is taken twice
	Question     string       `json:"question,omitempty"`   // the agent asked; the next reply answers
	Choice       Choice       `json:"choice,omitzero"`      // the newest question, as its buttons need it
	Sandbox      Sandbox      `json:"sandbox"`
	Cursor       Cursor       `json:"cursor,omitzero"`
	Branch       string       `json:"branch,omitempty"`       // inspect/<session>-<slug>
	Branches     int          `json:"branches,omitempty"`     // how many there were
	Collected    string       `json:"collected,omitempty"`    // newest commit the bot holds
	Pushed       string       `json:"pushed,omitempty"`       // newest commit on the remote's Branch
	PullRequest  *PullRequest `json:"pull_request,omitempty"` // the newest
	Offers       []Offer      `json:"offers,omitempty"`       // of it, in order
	Anew         bool         `json:"anew,omitempty"`         // it was merged: the next boot begins at the base
	Usage        Usage        `json:"usage,omitzero"`
	Cost         float64      `json:"cost,omitempty"`  // US dollars
	Calls        []OpenCall   `json:"calls,omitempty"` // model calls under way
	Budget       Budget       `json:"budget,omitzero"`
	Seq          int64        `json:"seq"`            // of the newest event
	Told         int64        `json:"told,omitempty"` // bytes of the log, as it is stored
	Full         bool         `json:"full,omitempty"` // the log has no room for the sandbox's words any more
	Cards        int          `json:"cards,omitempty"`
	Approvals    int          `json:"approvals,omitempty"`
	Effects      int64        `json:"effects,omitempty"`
	IdleAt       time.Time    `json:"idle_at,omitzero"` // when the sandbox is put away, unless something happens
}
