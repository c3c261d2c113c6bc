package session

import "time"

// Input is something that happened to a session. The set is closed; Machine.Step handles each.
type Input interface{ input() }

type (
	// Opened is the first input of a session. Prompted follows.
	Opened struct{ Opening Opening }

	// Prompted is a message for the agent. Known ids are ignored. Refused with Invalid (empty, too long) or Conflict (queue full).
	Prompted struct{ Prompt Prompt }

	// RepositoryChosen answers what a session with AwaitRepository waits for. Refused with Conflict if nothing waits, with Forbidden if By is not the
	// requester. Repeated, it is nothing. ID is of the message or press; one that was taken is not taken again.
	RepositoryChosen struct {
		ID   string
		By   Person
		Repo Repo   // zero: none is needed
		Base string // branch
	}

	// StopAsked stops the turn of PromptID; empty means the one that runs. It never stops another. Refused with NotFound if that one does not run.
	// With Pause it is a no to that question, and refused with Conflict if the question is settled.
	// ID is of the message, reaction or press; one that was taken is not taken again.
	StopAsked struct {
		ID       string
		By       Person
		PromptID string
		Pause    string
	}

	// Edited is what the message of a prompt reads now: Prompt.ID is the message's. A prompt that the agent does not have yet is changed; one that it
	// has is corrected by another, under ID. Refused as Prompted is, and nothing has changed then. ID is of the edit; one that was taken is
	// not taken again.
	Edited struct {
		ID     string
		Prompt Prompt
	}

	// Withdrawn takes a prompt back, with what corrects it: its message was deleted. Queued it ends; running it is stopped. Kept: the message is still
	// there, but not for the agent any more; then only what the agent does not have yet ends, and it is refused with Conflict if nothing does.
	Withdrawn struct {
		By       Person
		PromptID string
		Kept     bool
	}

	// Retried runs the prompt of the turn that ended last again, under ID. Prompt is that prompt as it is stored. Refused with NotFound if that turn
	// did not fail and was not stopped. ID is of the message that asks; one that was taken is not taken again.
	Retried struct {
		ID     string
		By     Person
		Prompt Prompt
	}

	// Muted makes replies without a mention count no more, or again if Off. Refused with Conflict if it changes nothing. ID is of the message.
	Muted struct {
		ID  string
		By  Person
		Off bool
	}

	// Closed ends what goes on: the turn is stopped, the queue withdrawn, the sandbox put away. A prompt opens the session again. Refused with
	// Conflict if it is closed. ID is of the message; Why is a clause, if no person but what happened to the thread closes it.
	Closed struct {
		ID  string
		By  Person
		Why string
	}

	// Approved is a ✅ on a card, by somebody who may act. By.GitHub is nil when they have not linked an account. ID is
	// of the reaction; one that was taken is not taken again.
	Approved struct {
		ID    string
		By    Person
		Card  string
		Put   time.Time // by Slack's clock; zero: unknown
		Emoji string
		// Seconds is the approval whose second one this is, if it was put on the message that asks for that.
		Seconds string
	}

	// MergeAsked is a 🚢 on a card, as Approved is a ✅. Allowed: the repository's rule lets people merge from Slack, once Quorum reviews approve.
	MergeAsked struct {
		ID      string
		By      Person
		Card    string
		Put     time.Time
		Emoji   string
		Allowed bool
		Quorum  int
	}

	// Unreacted takes a ✅ back, or with Merge a 🚢: one that was put there before At, by Slack's clock, or if that is zero any. Refused with Conflict, and
	// what to do instead, if nothing of it can be taken back any more. ID is of the removal; one that was taken is not taken again.
	Unreacted struct {
		ID    string
		By    Person
		Card  string
		At    time.Time
		Merge bool
	}

	// Linked tells that a person now has a GitHub account linked: their waiting approvals go on.
	Linked struct{ By Person }

	// LinkFailed tells that a person's linking came to nothing: their waiting approvals end.
	LinkFailed struct {
		By     Person
		Reason string
	}

	// Started confirms a start effect: the provider has the sandbox.
	Started struct {
		Effect string
		Start  string // the start id that was asked for
		Begun  Begun
	}

	// StartFailed tells that a start effect failed for good.
	StartFailed struct {
		Effect string
		Start  string
		Err    Failure
	}

	// Attached confirms an attach effect: the link is up.
	Attached struct {
		Effect string
		Start  string
	}

	// Lost tells that the sandbox of that start is gone, or its runner is.
	Lost struct {
		Start  string
		Reason string
	}

	// Journaled is one batch of a journal, redacted: its events, and the cursor after them. Start is the runner's that handed it out; with
	// Earlier it is what one before it had written and nobody had read when it died.
	Journaled struct {
		Start   string
		Cursor  Cursor
		Earlier bool
		Events  []Event
	}

	// Delivered confirms a prompt effect: the runner has the prompt.
	Delivered struct {
		Effect   string
		PromptID string
	}

	// DeliveryFailed tells that the runner refused the prompt.
	DeliveryFailed struct {
		Effect   string
		PromptID string
		Err      Failure
	}

	// Confirmed confirms an effect that has no other outcome (stop, suspend of a sandbox that was gone).
	Confirmed struct{ Effect string }

	// CallBegun asks whether a model call may be made; once this is committed it may. Refused with ErrHeld while the session holds its calls,
	// with Forbidden where nobody could be asked.
	CallBegun struct{ Call OpenCall }

	// CallHeld tells that a model call waits. Its sender is answered when it is worth asking again; the first one asks the thread.
	CallHeld struct{}

	// ModelCalled is a model call that the gateway counted: the one that was begun under its ID. Unknown and repeated ids are ignored.
	ModelCalled struct {
		ID   string
		Call ModelCall
	}

	// Raised is a participant's yes to the question of a pause. Refused with Conflict if that one is settled.
	Raised struct {
		By    Person
		Pause string
	}

	// Restarted is the first input that a new process sends to a session with something left of the process before.
	Restarted struct{}

	// Proposed, Updated and Asked are the agent's tools. Call names the call, if it has a name: one that was taken is not taken again.
	Proposed struct {
		Call     string
		Proposal Proposal
	}
	Updated struct {
		Call string
		Text string
	}
	Asked struct {
		Call     string
		Question string
		Options  []string
	}

	// Answered is one of the answers that the agent offered to its question, pressed by somebody: a prompt of theirs. Option counts from 0. Refused
	// with Conflict if somebody has answered, or the agent does not wait for it any more. ID is the prompt's; one that was taken is not taken again.
	Answered struct {
		ID       string
		By       Person
		Question string
		Option   int
	}

	// Addressed takes up an offer: a prompt of By's. Quote is what the offer's event quotes, as it is stored. Refused with Conflict if somebody did, or it
	// is none any more. ID is the prompt's; one that was taken is not taken again.
	Addressed struct {
		ID    string
		By    Person
		Offer string
		Quote string
	}

	// Shown is an image that the agent shows, kept as a file of the session. With Asks nothing is shown yet: it is refused where the image would be.
	// Refused with Conflict outside of a turn, or when there were enough. Call names the call; one that was taken is not taken again.
	Shown struct {
		Call string
		File File
		Alt  string // what there is to see
		Asks bool
	}

	// Unsaid tells that something cannot be said in the thread. It is told once under its ID, in the log.
	Unsaid struct {
		ID     string
		Reason string
	}

	// Collected confirms a collect effect. Changes is nil when there was nothing new.
	Collected struct {
		Effect  string
		Changes *Changes
	}

	// CollectFailed tells that the commits could not be collected or were refused.
	CollectFailed struct {
		Effect string
		Err    Failure
	}

	// CollectDelayed tells that commits could not be collected yet, and that it is tried again.
	CollectDelayed struct {
		Effect  string
		Attempt int // that failed
		Err     Failure
	}

	// PullRequestOpened confirms an open effect.
	PullRequestOpened struct {
		Effect      string
		PullRequest PullRequest
	}

	// OpenFailed tells that an open effect failed: the card is open again and the reason is for the person who approved.
	OpenFailed struct {
		Effect string
		Err    Failure
	}

	// Reviewed confirms a review effect.
	Reviewed struct {
		Effect string
		Review Review
	}

	// ReviewFailed tells that there is no review; the reason is for the person who approved.
	ReviewFailed struct {
		Effect string
		Err    Failure
	}

	// Merged confirms a merge effect.
	Merged struct {
		Effect string
		Commit string // on the base
	}

	// MergeFailed tells that nothing was merged; the reason is for the person who asked, unless they took it back.
	MergeFailed struct {
		Effect    string
		Err       Failure
		TakenBack bool
	}

	// PullRequestSeen is what GitHub says of a pull request now: number, state, draft, title, head, author, checks, reviews, and how it was merged. One
	// that the session does not follow, and what is no news, is nothing. Refused with ErrBusy while something is pushed to it.
	PullRequestSeen struct {
		PullRequest PullRequest
		Remarks     []Remark // in order; those that were told before may be left out
		Output      string   // what the checks say that fail
	}

	// Suspended confirms a suspend effect: the sandbox has ended. Kept.Image brings it back; empty when it was gone already.
	Suspended struct {
		Effect string
		Kept   Kept
	}

	// Snapshotted confirms a snapshot effect.
	Snapshotted struct {
		Effect string
		Kept   Kept
	}

	// SnapshotFailed tells that there is no new image: the one before it stays the newest.
	SnapshotFailed struct {
		Effect string
		Err    Failure
		Patch  *Patch // as in Kept
	}

	// SuspendFailed tells that a suspend effect failed for good: the sandbox may still be there.
	SuspendFailed struct {
		Effect string
		Err    Failure
		Patch  *Patch // as in Kept
	}

	// RoomGranted tells the first in line that there is room. Refused with Conflict if the session does not wait for any.
	RoomGranted struct{}

	// Moved tells a session in line its new place. Refused with Conflict if it is in none.
	Moved struct{ Place int }

	// RoomNeeded tells that others wait for room: an idle sandbox is put away. Refused with Conflict if there is none.
	RoomNeeded struct{}

	// StartDelayed tells that a start is not tried before a time, for a reason that is not the session's. Before the provider is asked again there is
	// a StartTried.
	StartDelayed struct {
		Effect string
		Start  string
		Reason string // a sentence; empty: it was told
	}

	// StartTried tells that the provider is about to be asked again.
	StartTried struct {
		Effect string
		Start  string
	}

	// Stalled tells that nothing came of the agent's work for ten minutes, and that its runner, asked twice, shows no reason to wait.
	Stalled struct {
		Start string
		Words string // the agent's last log lines; "" if unknown
	}

	// Tick tells that a deadline of the machine has come.
	Tick struct{}
)

func (Opened) input()            {}
func (Prompted) input()          {}
func (RepositoryChosen) input()  {}
func (StopAsked) input()         {}
func (Edited) input()            {}
func (Withdrawn) input()         {}
func (Retried) input()           {}
func (Muted) input()             {}
func (Closed) input()            {}
func (Approved) input()          {}
func (MergeAsked) input()        {}
func (Unreacted) input()         {}
func (Linked) input()            {}
func (LinkFailed) input()        {}
func (Started) input()           {}
func (StartFailed) input()       {}
func (Attached) input()          {}
func (Lost) input()              {}
func (Journaled) input()         {}
func (Delivered) input()         {}
func (DeliveryFailed) input()    {}
func (Confirmed) input()         {}
func (CallBegun) input()         {}
func (CallHeld) input()          {}
func (ModelCalled) input()       {}
func (Raised) input()            {}
func (Restarted) input()         {}
func (Proposed) input()          {}
func (Updated) input()           {}
func (Asked) input()             {}
func (Answered) input()          {}
func (Addressed) input()         {}
func (Shown) input()             {}
func (Unsaid) input()            {}
func (Collected) input()         {}
func (CollectFailed) input()     {}
func (CollectDelayed) input()    {}
func (PullRequestOpened) input() {}
func (OpenFailed) input()        {}
func (Reviewed) input()          {}
func (ReviewFailed) input()      {}
func (Merged) input()            {}
func (MergeFailed) input()       {}
func (PullRequestSeen) input()   {}
func (Suspended) input()         {}
func (SuspendFailed) input()     {}
func (Snapshotted) input()       {}
func (SnapshotFailed) input()    {}
func (RoomGranted) input()       {}
func (Moved) input()             {}
func (RoomNeeded) input()        {}
func (StartDelayed) input()      {}
func (StartTried) input()        {}
func (Stalled) input()           {}
func (Tick) input()              {}

// Opening is what a session begins with.
type Opening struct {
	ID        ID     `json:"id"`
	Thread    Thread `json:"thread"`
	Rooted    bool   `json:"rooted"`
	Requester Person `json:"requester"`
	Repo      Repo   `json:"repo,omitzero"` // zero: none, or not known yet
	Base      string `json:"base,omitempty"`
	Why       string `json:"why,omitempty"` // why this repository, if nobody named it
	Model     string `json:"model"`
	Effort    string `json:"effort,omitempty"`
	Await     Await  `json:"await,omitempty"`
}
