package session

import "time"

// CardKind is what a card proposes.
type CardKind string

const (
	CardChanges     CardKind = "changes"      // open a pull request
	CardPullRequest CardKind = "pull_request" // review it
)

// CardState is what became of a card.
type CardState string

const (
	CardOpen    CardState = "open"
	CardOpening CardState = "opening" // an approval is being carried out
	CardDone    CardState = "done"    // opened as a pull request; merged or closed
	CardStale   CardState = "stale"   // a newer commit exists
)

// Card is a bot message bound for life to one kind and one commit.
type Card struct {
	ID           string       `json:"id"` // c1, c2, …: unique in its session
	Kind         CardKind     `json:"kind"`
	State        CardState    `json:"state"`
	PromptID     string       `json:"prompt_id"` // the turn that made it
	Commit       string       `json:"commit"`    // full hash
	Repo         Repo         `json:"repo"`
	Base         string       `json:"base"`
	Branch       string       `json:"branch"`
	Title        string       `json:"title"`
	Body         string       `json:"body,omitempty"`
	Tests        string       `json:"tests,omitempty"` // what the agent says it ran in this turn
	Draft        bool         `json:"draft,omitempty"` // a draft is opened
	Asked        Person       `json:"asked,omitzero"`  // whose prompt it comes of
	Commits      int          `json:"commits"`
	Files        []FileChange `json:"files,omitempty"`
	Attention    []string     `json:"attention,omitempty"` // paths that want a second look
	Named        []string     `json:"named,omitempty"`     // those of them that want a second approval, too
	Contributors []Person     `json:"contributors,omitempty"`
	Outcome      string       `json:"outcome,omitempty"` // one line, once it is not open any more
	PullRequest  *PullRequest `json:"pull_request,omitempty"`
	Merging      *Person      `json:"merging,omitempty"` // who merges it: in a moment, unless they take it back
	At           time.Time    `json:"at"`
}

// ApprovalKind is what an approval does.
type ApprovalKind string

const (
	ApprovalOpen   ApprovalKind = "" // opens the pull request, or pushes to it
	ApprovalReview ApprovalKind = "review"
	ApprovalMerge  ApprovalKind = "merge"
)

// ApprovalState is how far an approval is.
type ApprovalState string

const (
	ApprovalLinking   ApprovalState = "linking"  // waits for the person to link a GitHub account
	ApprovalNaming    ApprovalState = "naming"   // waits for a second one, which names what it pushes
	ApprovalMerging   ApprovalState = "merging"  // can still be taken back
	ApprovalAccepted  ApprovalState = "accepted" // being carried out
	ApprovalDone      ApprovalState = "done"
	ApprovalRefused   ApprovalState = "refused"
	ApprovalFailed    ApprovalState = "failed"
	ApprovalWithdrawn ApprovalState = "withdrawn" // taken back in time
)

// Approval is a participant's ✅ or 🚢 on a card. Reason is a sentence for that person alone: why it was refused or failed, or what there is to say
// of one that is done.
type Approval struct {
	ID       string        `json:"id"` // a1, a2, …: unique in its session
	Kind     ApprovalKind  `json:"kind,omitempty"`
	Card     string        `json:"card"`
	Commit   string        `json:"commit,omitempty"` // the card's
	By       Person        `json:"by"`
	State    ApprovalState `json:"state"`
	Reason   string        `json:"reason,omitempty"`
	At       time.Time     `json:"at"`
	Names    bool          `json:"names,omitempty"`   // it waits for a second one, or did
	Seconds  string        `json:"seconds,omitempty"` // the approval that it is the second one of: its own, if both are by the same person
	Deadline time.Time     `json:"deadline,omitzero"` // while linking or naming: 15 minutes; while merging: MergeWithin
	Quorum   int           `json:"quorum,omitempty"`  // of a merge: how many reviews have to approve
	Base     string        `json:"base,omitempty"`    // of a merge: into what, when it was asked for
	Put      time.Time     `json:"put,omitzero"`      // the reaction, by Slack's clock
	Emoji    string        `json:"emoji,omitempty"`   // with which it was given
	Number   int           `json:"number,omitempty"`  // of the pull request
	Ref      string        `json:"ref,omitempty"`     // GitHub's, as AuditRecord has it
}
