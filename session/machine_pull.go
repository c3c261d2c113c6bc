package session

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// follows is the pull request that what comes next goes to; nil if it opens another.
func (m *Machine) follows() *PullRequest {
	if pr := m.s.PullRequest; pr != nil && pr.State == PullOpen {
		return pr
	}
	return nil
}

// pullRequestSeen takes what GitHub says of the session's pull request.
func (m *Machine) pullRequestSeen(in PullRequestSeen) error {
	was := m.follows()
	if was == nil || was.Number != in.PullRequest.Number {
		return nil
	}
	if m.pending(EffectOpen) {
		return ErrBusy // its head may be what we are pushing
	}
	pr, now := *was, in.PullRequest
	if now.Lost != "" {
		pr.Lost = excerpt(now.Lost, 600)
		m.saw(pr)
		return nil
	}
	if m.renamed(now.Repo); now.Repo != (Repo{}) {
		pr.Repo = now.Repo
	}
	pr.Lost = ""
	pr.State, pr.Draft, pr.Author, pr.MergedBy, pr.MergedAs, pr.Outside = now.State, now.Draft, now.Author, now.MergedBy, now.MergedAs, now.Outside
	pr.Title, pr.Base = OneLine(now.Title, 150), cmp.Or(now.Base, pr.Base)
	pr.Reviews = append([]Review(nil), now.Reviews[:min(len(now.Reviews), MaxReviews)]...) // nil if there are none, as it is stored
	pr.Head = ""
	switch {
	case now.Head == pr.Commit:
		pr.Checks = bounded(now.Checks)
	case m.before(now.Head, pr.Commit): // the checks are of that commit
	default:
		pr.Head, pr.Checks = now.Head, bounded(now.Checks)
	}
	m.saw(pr)
	m.offers(in)
	return nil
}

// toldLate is how long after a push GitHub may tell what was before it.
const toldLate = time.Minute

// before reports whether a head is one of the session's from before its newest push, which GitHub has not taken note of yet. Later it is where somebody
// moved the branch back to.
func (m *Machine) before(head, newest string) bool {
	ours := false
	for _, c := range m.cards {
		if c.Kind == CardPullRequest && c.Commit == newest && m.at.Sub(c.At) > toldLate {
			return false
		}
		ours = ours || c.Kind == CardPullRequest && c.Commit == head
	}
	return ours
}

// bounded are checks as they are kept.
func bounded(c Checks) Checks {
	c.Failed = append([]Check(nil), c.Failed[:min(len(c.Failed), MaxChecks)]...)
	for i := range c.Failed {
		c.Failed[i].Name = OneLine(c.Failed[i].Name, 100)
	}
	return c
}

// ErrBusy refuses what is seen of a pull request while something is pushed to it. It has to be looked at again.
var ErrBusy = Errorf(Unavailable, "Something is being pushed to that pull request.")

// saw makes pr what is known of the session's pull request, and tells what is new.
func (m *Machine) saw(pr PullRequest) {
	was := m.s.PullRequest
	if reflect.DeepEqual(*was, pr) {
		return
	}
	m.s.PullRequest = &pr
	m.tell(Event{Kind: KindPullRequest, PullRequest: &pr})
	for i := range m.cards {
		c := &m.cards[i]
		if c.Kind != CardPullRequest || c.State != CardOpen || c.PullRequest.Number != pr.Number {
			continue
		}
		c.PullRequest = &pr
		switch {
		case pr.State == PullMerged:
			c.State, c.Merging, c.Outcome = CardDone, nil, mergedWords(pr)
		case pr.State == PullClosed:
			c.State, c.Merging, c.Outcome = CardDone, nil, fmt.Sprintf("#%d was closed on GitHub without a merge.", pr.Number)
		case pr.Head != "":
			c.State, c.Merging, c.Outcome = CardStale, nil, fmt.Sprintf("Somebody pushed %s on GitHub. Go on there: %s", short(pr.Head), pr.URL)
		}
		m.tellCard(c)
	}
	if pr.State != PullOpen {
		m.overOffers("", fmt.Sprintf("#%d is %s.", pr.Number, pr.State))
		m.concluded(pr)
	}
	m.lapse()
}

func mergedWords(pr PullRequest) string {
	return fmt.Sprintf("#%d was merged by %s as %s.", pr.Number, OneLine(pr.MergedBy.Login, 60), short(pr.MergedAs))
}

// lapse ends the approvals that wait on cards which are closed by now. What is under way has its own end.
func (m *Machine) lapse() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State != ApprovalLinking && a.State != ApprovalNaming && a.State != ApprovalMerging {
			continue
		}
		if c := m.card(a.Card); c.State != CardOpen && c.State != CardOpening {
			m.finishApproval(a, ApprovalRefused, m.refusal(a))
		}
	}
}

// concluded is what follows when a pull request is merged or closed: the thread is told, the sandbox ends, and after a merge what comes next begins
// anew, on another branch.
func (m *Machine) concluded(pr PullRequest) {
	words := fmt.Sprintf("#%d was closed on GitHub without a merge. A message here goes on with its branch, and its card opens another pull request.", pr.Number)
	if pr.State == PullMerged {
		words = mergedWords(pr) + fmt.Sprintf(" A message here begins a new branch from `%s`.", OneLine(m.s.Base, 100))
		m.begin(pr)
	}
	m.retarget()
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: words}})
	m.leave()
}

// leftOut closes a card whose changes were not in what was merged.
func (c *Card) leftOut(pr PullRequest) {
	c.State, c.PullRequest, c.Outcome = CardStale, &pr, fmt.Sprintf("#%d was merged without it.", pr.Number)
}

// begin forgets what was merged.
func (m *Machine) begin(pr PullRequest) {
	m.dropOpenings()
	for i := range m.cards {
		c := &m.cards[i]
		if c.Kind == CardChanges && c.State == CardOpen {
			c.leftOut(pr)
			m.tellCard(c)
		}
	}
	m.s.Branch, m.s.Pushed, m.s.Collected, m.s.Anew = "", "", "", true
	m.s.Credits = nil
	m.s.Contributors, m.draft, m.dirty.draft = nil, Draft{}, true
	if p := m.turnPrompt(); p != nil && p.Begun {
		m.s.Contributors = []Person{p.Author}
		m.draft.Asked = []Asking{{By: p.Author, Text: excerpt(p.Text, maxAskedText)}}
	}
}

// dropOpenings gives up what was approved and has to wait for another push: there is no pull request that it could go to any more.
func (m *Machine) dropOpenings() {
	for _, a := range slices.Clone(m.approvals) {
		under := func(e Effect) bool { return e.Kind == EffectOpen && e.Open.Approval == a.ID }
		if a.Kind == ApprovalOpen && a.State == ApprovalAccepted && !slices.ContainsFunc(m.effects, under) {
			c := m.card(a.Card)
			c.leftOut(*m.s.PullRequest)
			m.tellCard(c)
			m.finishApproval(a, ApprovalRefused, superseded(c))
		}
	}
}

// leave puts a sandbox away that nothing is to be done in, after its pull request came to an end.
func (m *Machine) leave() {
	if m.s.Turn == nil && m.s.Sandbox.State == SandboxReady {
		m.putAway("the pull request came to an end")
	}
}

// retarget says on the open cards of changes where they go by now.
func (m *Machine) retarget() {
	for i := range m.cards {
		c, to := &m.cards[i], m.follows()
		if c.Kind == CardChanges && c.State == CardOpen && !same(c.PullRequest, to) {
			c.PullRequest = to
			m.tellCard(c)
		}
	}
}

func same(a, b *PullRequest) bool { return a == b || a != nil && b != nil && a.Number == b.Number }

// opener is who opened a pull request that was there: somebody of the thread, or an account that nobody in it has linked.
func (m *Machine) opener(pr PullRequest) Person {
	author := pr.Author
	for _, p := range append([]Person{pr.OpenedBy}, m.s.Participants...) {
		if author == (Identity{}) || p.GitHub != nil && p.GitHub.ID == author.ID {
			return p
		}
	}
	return Person{Name: author.Login, GitHub: &author}
}
