package session

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MergeWithin is how long a merge that was asked for can be taken back before it is carried out.
const MergeWithin = 10 * time.Second

// ErrTakenBack is in the chain of a Forge's error for a merge that its person does not want any more.
var ErrTakenBack = Errorf(Conflict, "It was taken back.")

// PullRequestState is what GitHub says of a pull request.
type PullRequestState string

const (
	PullOpen   PullRequestState = "open"
	PullMerged PullRequestState = "merged"
	PullClosed PullRequestState = "closed"
)

// PullRequest is one that came from a session, as it was seen last.
type PullRequest struct {
	Number   int              `json:"number"`
	URL      string           `json:"url"`
	Title    string           `json:"title"`
	Repo     Repo             `json:"repo"`
	Branch   string           `json:"branch"`
	Base     string           `json:"base"`
	Commit   string           `json:"commit"`         // that the session pushed last
	Head     string           `json:"head,omitempty"` // where its branch is, if somebody else moved it
	State    PullRequestState `json:"state"`
	Draft    bool             `json:"draft,omitempty"`
	Author   Identity         `json:"author,omitzero"` // as GitHub has it
	OpenedBy Person           `json:"opened_by"`
	Adopted  bool             `json:"adopted,omitempty"` // it was there already
	Checks   Checks           `json:"checks,omitzero"`
	Reviews  []Review         `json:"reviews,omitempty"` // the one of each person that counts, in order
	Lost     string           `json:"lost,omitempty"`    // why GitHub does not show it to the bot any more: a sentence
	Outside  int              `json:"outside,omitempty"` // remarks by people who may not write to the repository
	MergedBy Identity         `json:"merged_by,omitzero"`
	MergedAs string           `json:"merged_as,omitempty"` // commit on the base
}

// Unfit says why a pull request can be neither approved nor merged at a commit, in a sentence for whoever wants to; "" if it can.
func (p PullRequest) Unfit(commit string) string {
	switch {
	case p.State == PullMerged:
		return fmt.Sprintf("#%d is merged already.", p.Number)
	case p.State == PullClosed:
		return fmt.Sprintf("#%d is closed. Whoever wants it reopens it on GitHub: %s", p.Number, p.URL)
	case p.Head != "" && p.Head != commit:
		return fmt.Sprintf("Somebody pushed %s on GitHub after this card's %s. Go on there: %s", short(p.Head), short(commit), p.URL)
	case p.Draft:
		return fmt.Sprintf("#%d is a draft. Mark it as ready for review on GitHub, then react again: %s", p.Number, p.URL)
	}
	return ""
}

// OwnPull refuses an approval by whoever opened a pull request.
func OwnPull(number int) string {
	return fmt.Sprintf("You opened #%d, and GitHub lets nobody approve their own pull request. Somebody else has to.", number)
}

// ChecksState sums up what ran on a commit.
type ChecksState string

const (
	ChecksNone    ChecksState = "" // none ran, or none was seen yet
	ChecksPending ChecksState = "pending"
	ChecksGreen   ChecksState = "green"
	ChecksFailed  ChecksState = "failed"
	ChecksHidden  ChecksState = "hidden" // the GitHub App may not see them
)

// Checks are the check runs and statuses of a pull request's head.
type Checks struct {
	State   ChecksState `json:"state,omitempty"`
	Total   int         `json:"total,omitempty"`
	Pending int         `json:"pending,omitempty"`
	Failed  []Check     `json:"failed,omitempty"` // at most MaxChecks, by name
}

// Check is one that failed. Its name is the repository's word.
type Check struct {
	Name string `json:"name"` // one line
	URL  string `json:"url,omitempty"`
}

// Bounds of what is kept of a pull request.
const (
	MaxChecks  = 10
	MaxReviews = 50
)

// ReviewState is a reviewer's verdict.
type ReviewState string

const (
	ReviewApproved ReviewState = "approved"
	ReviewChanges  ReviewState = "changes_requested"
)

// Review is a verdict that stands: the newest of its author that is one, and was not dismissed.
type Review struct {
	ID     int64       `json:"id,omitempty"` // GitHub's
	By     Identity    `json:"by"`
	State  ReviewState `json:"state"`
	Commit string      `json:"commit"`
	Writes bool        `json:"writes,omitempty"` // its author may push to the repository: it counts
}

// Followed is a pull request that is open, as far as is known.
type Followed struct {
	Session ID   `json:"session"`
	Repo    Repo `json:"repo"`
	Number  int  `json:"number"`
}

// Follows returns the session's open pull request; false if it has none.
func (s Session) Follows() (Followed, bool) {
	pr := s.PullRequest
	if pr == nil || pr.State != PullOpen {
		return Followed{}, false
	}
	return Followed{Session: s.ID, Repo: pr.Repo, Number: pr.Number}, true
}

// ReviewRequest asks for an approving review at a commit, as a person.
type ReviewRequest struct {
	Session  ID     `json:"session"`
	Approval string `json:"approval"`
	Repo     Repo   `json:"repo"`
	Number   int    `json:"number"`
	Commit   string `json:"commit"`
	By       Person `json:"by"`
	// Audit is the audit log when it is carried out, for the review to carry; the actor sets it.
	Audit AuditHead `json:"audit,omitzero"`
}

// MergeRequest asks for a merge at a commit, as a person.
type MergeRequest struct {
	Session      ID       `json:"session"`
	Approval     string   `json:"approval"`
	Card         string   `json:"card"`
	Repo         Repo     `json:"repo"`
	Number       int      `json:"number"`
	Commit       string   `json:"commit"`
	Base         string   `json:"base,omitempty"` // what the card says that it is merged into
	By           Person   `json:"by"`
	Quorum       int      `json:"quorum"`       // how many reviews have to approve, at least one
	Contributors []Person `json:"contributors"` // whose reviews are no second pair of eyes
	Known        []Person `json:"known"`        // everybody in the thread
}

// Blocked says why a pull request may not be merged now, in a sentence for whoever asks; "" if it may. It is asked what the bot saw last when somebody
// reacts, and what GitHub says then when it is merged.
func (r MergeRequest) Blocked(p PullRequest) string {
	if reason := p.Unfit(r.Commit); reason != "" {
		return reason
	}
	if r.Base != "" && p.Base != r.Base {
		return fmt.Sprintf("#%d goes into `%s` by now, and its card said `%s`. If that is right, react again once the card says so, too.", p.Number, OneLine(p.Base, 100), OneLine(r.Base, 100))
	}
	switch c := p.Checks; c.State {
	case ChecksFailed:
		return "It cannot be merged while checks fail: " + checkNames(c.Failed) + "."
	case ChecksPending:
		return fmt.Sprintf("It cannot be merged yet: %d of %d checks are still running. React again when they are done.", c.Pending, c.Total)
	case ChecksHidden:
		return "The bot may not see this repository's checks, so it does not merge. Whoever runs it has to give the GitHub App “Checks: read” and “Commit statuses: read”; or merge it on GitHub: " + p.URL
	case ChecksNone, ChecksGreen:
	}
	approved := 0
	for _, v := range p.Reviews {
		switch {
		case v.State == ReviewChanges && v.Writes:
			return v.By.Login + " asks for changes on GitHub. It can be merged when that review is dismissed, or approves."
		case v.State == ReviewApproved && v.Writes && v.Commit == r.Commit && r.second(v.By, p.Author):
			approved++
		}
	}
	if want := max(1, r.Quorum); approved < want {
		return fmt.Sprintf("It needs %s at this commit by somebody with write access who did not contribute, and has %d. An approval of its card is one.", count(want, "approving review"), approved)
	}
	return ""
}

// second reports whether an account's review is a second pair of eyes. Of a contributor whose account is not known, any that nobody in the thread linked
// may be it.
func (r MergeRequest) second(by, author Identity) bool {
	if by.ID == author.ID || contributed(r.Contributors, Person{GitHub: &by}) {
		return false
	}
	known := !slices.ContainsFunc(r.Contributors, func(p Person) bool { return p.GitHub == nil })
	for _, p := range r.Known {
		if p.GitHub == nil || p.GitHub.ID != by.ID {
			continue
		}
		if contributed(r.Contributors, p) { // they linked it since
			return false
		}
		known = true
	}
	return known
}

// contributed reports whether somebody is one of contributors, by their Slack user or by their GitHub account: either may be new to the other.
func contributed(contributors []Person, p Person) bool {
	return slices.ContainsFunc(contributors, func(c Person) bool {
		return p.Slack != "" && c.Slack == p.Slack || p.GitHub != nil && c.GitHub != nil && p.GitHub.ID == c.GitHub.ID
	})
}

func checkNames(failed []Check) string {
	names := make([]string, len(failed))
	for i, c := range failed {
		names[i] = "`" + c.Name + "`"
	}
	return cmp.Or(strings.Join(names, ", "), "see GitHub")
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
