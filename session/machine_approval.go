package session

import (
	"fmt"
	"slices"
	"time"
)

// errNoCard refuses a reaction on a card that the session does not have.
var errNoCard = Errorf(NotFound, "That card is not one of this thread's.")

// approved takes a ✅.
func (m *Machine) approved(in Approved) error {
	c := m.card(in.Card)
	if c == nil {
		return errNoCard
	}
	if in.Seconds != "" {
		m.seconded(in, c)
		return nil
	}
	a := Approval{Card: c.ID, Commit: c.Commit, By: in.By, Emoji: in.Emoji, Put: in.Put}
	if c.Kind == CardPullRequest {
		a.Kind = ApprovalReview
	}
	m.reacted(in.ID, a)
	return nil
}

// mergeAsked takes a 🚢.
func (m *Machine) mergeAsked(in MergeAsked) error {
	c := m.card(in.Card)
	if c == nil {
		return errNoCard
	}
	a := Approval{Kind: ApprovalMerge, Card: c.ID, Commit: c.Commit, By: in.By, Emoji: in.Emoji, Quorum: in.Quorum, Put: in.Put}
	if !in.Allowed {
		m.reject(in.ID, a, fmt.Sprintf("Merging from Slack is off for %s. An admin of it can switch it on: `/inspect merge on %s`", c.Repo, c.Repo))
		return nil
	}
	m.reacted(in.ID, a)
	return nil
}

// reacted takes an approval. Whatever comes of it is in the log, with a reason for its person where it is refused.
func (m *Machine) reacted(id string, a Approval) {
	a, ok := m.newApproval(id, a)
	if !ok {
		return
	}
	reason := m.refusal(a)
	if reason == "" && a.By.GitHub == nil {
		a.State, a.Deadline = ApprovalLinking, m.at.Add(LinkWithin)
		m.setApproval(a)
		return
	}
	m.goOn(a, reason)
}

// reject takes an approval that comes to nothing.
func (m *Machine) reject(id string, a Approval, reason string) {
	if a, ok := m.newApproval(id, a); ok {
		m.finishApproval(a, ApprovalRefused, reason)
	}
}

// newApproval gives an approval its id; false if the reaction came before, or the same person's is under way.
func (m *Machine) newApproval(id string, a Approval) (Approval, bool) {
	if m.heard(id) {
		return a, false
	}
	waiting := func(b Approval) bool { return b.Card == a.Card && b.Kind == a.Kind && b.By.Slack == a.By.Slack }
	if i := slices.IndexFunc(m.approvals, waiting); i >= 0 {
		m.putAgain(id, &m.approvals[i], a.Put)
		return a, false
	}
	m.hear(id)
	m.s.Participants = addPerson(m.s.Participants, a.By)
	m.s.Approvals++
	a.ID, a.At = fmt.Sprintf("a%d", m.s.Approvals), m.at
	if c := m.card(a.Card); c.PullRequest != nil {
		a.Number = c.PullRequest.Number
	}
	m.approvals = append(m.approvals, a)
	return a, true
}

// putAgain notes that the reaction of an approval under way was taken off and put there once more, before the removal was heard of: that one does not
// count any more, and there is the whole time to take it back again.
func (m *Machine) putAgain(id string, a *Approval, put time.Time) {
	if !put.After(a.Put) {
		return
	}
	m.hear(id)
	a.Put = put
	if a.State == ApprovalMerging {
		a.Deadline = m.at.Add(MergeWithin)
	}
	m.dirty.approvals[a.ID] = true
}

// goOn carries an approval out whose person is linked, if there is no reason not to.
func (m *Machine) goOn(a Approval, reason string) {
	c := m.card(a.Card)
	switch {
	case reason != "":
		m.finishApproval(a, ApprovalRefused, reason)
	case a.Kind == ApprovalReview:
		m.review(a, c)
	case a.Kind == ApprovalMerge:
		m.merging(a, c)
	case a.Seconds == "" && len(c.Named) > 0:
		m.name(a)
	default:
		m.accept(a, c)
	}
}

// refusal says why an approval cannot be carried out now; "" if it can.
func (m *Machine) refusal(a Approval) string {
	c := m.card(a.Card)
	switch a.Kind {
	case ApprovalReview:
		return m.reviewRefusal(a, c)
	case ApprovalMerge:
		return m.mergeRefusal(a, c)
	case ApprovalOpen:
	}
	switch c.State {
	case CardOpen:
		return m.nameRefusal(a)
	case CardOpening:
		return "The pull request for " + short(c.Commit) + " is being opened already."
	case CardDone:
		return fmt.Sprintf("Already opened as #%d: %s", c.PullRequest.Number, c.PullRequest.URL)
	case CardStale:
		return superseded(c)
	}
	return "This card is closed."
}

// superseded says what to do instead of approving a card that is stale.
func superseded(c *Card) string {
	if c.Kind == CardChanges && c.PullRequest != nil && c.PullRequest.State == PullMerged {
		return c.Outcome + " Ask for it again, in a message here."
	}
	return "This card is for " + short(c.Commit) + ", and there are newer commits. React on the newest card."
}

// accept carries an approval out, once those before it are.
func (m *Machine) accept(a Approval, c *Card) {
	m.named(a)
	a.State = ApprovalAccepted
	m.setApproval(a)
	c.State = CardOpening
	m.tellCard(c)
	m.openNext()
}

// openNext has the pull request opened, or pushed to, for the first approval that waits for it. There is one at a time: two pushes side by side could
// end with the older commit, and the second one goes to what came of the first.
func (m *Machine) openNext() {
	i := slices.IndexFunc(m.approvals, func(a Approval) bool { return a.Kind == ApprovalOpen && a.State == ApprovalAccepted })
	if i < 0 || m.pending(EffectOpen) {
		return
	}
	a, c := m.approvals[i], m.card(m.approvals[i].Card)
	r := OpenRequest{
		Session: m.s.ID, Approval: a.ID, Card: c.ID, Repo: c.Repo, Base: c.Base, Branch: c.Branch, Commit: c.Commit, Pushed: m.s.Pushed,
		Title: c.Title, Body: c.Body, Tests: c.Tests, Draft: c.Draft, By: a.By, Asked: m.draft.Asked, Contributors: c.Contributors,
	}
	if pr := m.follows(); pr != nil {
		r.Expect, r.OpenedBy = pr.Number, pr.OpenedBy
	}
	m.ask(Effect{Kind: EffectOpen, PromptID: c.PromptID, Open: &r})
}

// opening are the commits of the pull requests that are being opened.
func (m *Machine) opening() (commits []string) {
	for _, c := range m.cards {
		if c.State == CardOpening {
			commits = append(commits, c.Commit)
		}
	}
	return commits
}

// setApproval records an approval and tells it.
func (m *Machine) setApproval(a Approval) {
	i := slices.IndexFunc(m.approvals, func(b Approval) bool { return b.ID == a.ID })
	m.approvals[i] = a
	m.dirty.approvals[a.ID] = true
	promptID := ""
	if c := m.card(a.Card); c != nil {
		promptID = c.PromptID
	}
	m.tell(Event{Kind: KindApproval, PromptID: promptID, Approval: &a})
}

// finishApproval ends an approval.
func (m *Machine) finishApproval(a Approval, state ApprovalState, reason string) {
	a.State, a.Reason = state, reason
	m.setApproval(a)
	delete(m.dirty.approvals, a.ID)
	m.out.Record.Approvals = append(m.out.Record.Approvals, a)
	m.approvals = slices.DeleteFunc(m.approvals, func(b Approval) bool { return b.ID == a.ID })
}

// linked lets the waiting approvals of a person go on, at the commit they were given for.
func (m *Machine) linked(by Person) {
	m.relink(by)
	for _, a := range slices.Clone(m.approvals) {
		if a.State != ApprovalLinking || a.By.Slack != by.Slack {
			continue
		}
		a.By = by
		m.goOn(a, m.refusal(a))
	}
}

// relink puts a person's new GitHub account wherever the session names them.
func (m *Machine) relink(by Person) {
	contributors := []*[]Person{&m.s.Contributors}
	for i := range m.cards {
		if m.cards[i].State == CardOpen {
			contributors = append(contributors, &m.cards[i].Contributors)
			m.dirty.cards[m.cards[i].ID] = true
			if m.cards[i].Asked.Slack == by.Slack {
				m.cards[i].Asked = by
			}
		}
	}
	is := func(p Person) bool { return p.Slack == by.Slack }
	if slices.ContainsFunc(m.s.Participants, is) {
		m.s.Participants = addPerson(m.s.Participants, by)
	}
	for _, people := range contributors {
		if slices.ContainsFunc(*people, is) {
			*people = addContributor(*people, by)
		}
	}
	m.draft.Asked = slices.Clone(m.draft.Asked)
	for i := range m.draft.Asked {
		if m.draft.Asked[i].By.Slack == by.Slack {
			m.draft.Asked[i].By = by
			m.dirty.draft = true
		}
	}
	for i := range m.prompts {
		if m.prompts[i].Author.Slack == by.Slack {
			m.prompts[i].Author = by
			m.dirty.prompts[m.prompts[i].ID] = true
		}
	}
}

func (m *Machine) linkFailed(in LinkFailed) {
	for _, a := range slices.Clone(m.approvals) {
		if a.State == ApprovalLinking && a.By.Slack == in.By.Slack {
			m.finishApproval(a, ApprovalRefused, in.Reason)
		}
	}
}

// approval returns an unfinished approval, and its card.
func (m *Machine) approval(id string) (Approval, *Card) {
	i := slices.IndexFunc(m.approvals, func(a Approval) bool { return a.ID == id })
	if i < 0 {
		return Approval{}, nil
	}
	return m.approvals[i], m.card(m.approvals[i].Card)
}

func (m *Machine) pullRequestOpened(in PullRequestOpened) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	defer m.openNext()
	pr := in.PullRequest
	switch was := m.follows(); {
	case was != nil && was.Number == pr.Number:
		pr.OpenedBy, pr.Adopted, pr.Author, pr.Draft, pr.Reviews, pr.Outside = was.OpenedBy, was.Adopted, was.Author, was.Draft, was.Reviews, was.Outside
	case pr.Adopted:
		pr.OpenedBy = m.opener(pr)
	}
	if was := m.s.PullRequest; was != nil && was.Number != pr.Number {
		m.s.Offers = nil
	}
	m.s.PullRequest, m.s.Pushed = &pr, pr.Commit
	m.s.Contributors = addContributor(m.s.Contributors, pr.OpenedBy)
	if a, ok := pr.OpenedBy.Author(); ok {
		m.s.Identities = addAuthor(m.s.Identities, a)
	}
	a, c := m.approval(e.Open.Approval)
	if c == nil {
		return
	}
	c.State, c.PullRequest = CardDone, &pr
	verb := "Opened as"
	if in.PullRequest.Adopted {
		verb = "Pushed to"
	}
	c.Outcome = fmt.Sprintf("%s #%d by %s.", verb, pr.Number, a.By.Name)
	reason := ""
	if e.Open.Draft && !pr.Draft && !pr.Adopted {
		reason = fmt.Sprintf("GitHub has no drafts in %s, so #%d is open for review already.", pr.Repo, pr.Number)
	}
	a.Number = pr.Number
	m.finishApproval(a, ApprovalDone, reason)
	m.tellCard(c)
	m.tell(Event{Kind: KindPullRequest, PromptID: c.PromptID, PullRequest: &pr})
	m.staleCards(CardPullRequest, pr.Commit)
	m.overOffers(pr.Commit, short(pr.Commit)+" is newer.")
	m.retarget()
	m.addCard(Card{
		Kind: CardPullRequest, PromptID: c.PromptID, Commit: pr.Commit, Title: pr.Title, Commits: c.Commits, Files: c.Files, PullRequest: &pr,
	})
}

func (m *Machine) openFailed(in OpenFailed) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	defer m.openNext()
	a, c := m.approval(e.Open.Approval)
	if c == nil {
		return
	}
	c.State = CardOpen
	switch pr := m.s.PullRequest; {
	case m.s.Collected == "": // merged meanwhile
		c.leftOut(*pr)
	case c.Commit != m.s.Collected:
		c.State, c.Outcome = CardStale, "Superseded by "+short(m.s.Collected)+"."
	}
	m.finishApproval(a, ApprovalFailed, in.Err.Message)
	m.tellCard(c)
}
