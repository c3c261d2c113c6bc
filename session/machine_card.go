package session

import (
	"fmt"
	"slices"
	"strings"
)

// collected takes what the bot now holds of the turn, makes the card for it, and ends the turn.
func (m *Machine) collected(in Collected) {
	e, ok := m.confirm(in.Effect)
	if !ok || m.s.Turn == nil || m.s.Turn.PromptID != e.PromptID {
		return
	}
	t, c := *m.s.Turn, in.Changes
	if c == nil || c.Head == m.s.Collected {
		m.endTurn(t.Outcome, t.Reason, "")
		return
	}
	m.s.Collected = c.Head
	m.tell(Event{Kind: KindCommits, Commits: &Commits{Head: c.Head, Count: c.Commits, Files: c.Files, Patch: c.Patch}})
	m.staleCards(CardChanges, c.Head)
	card := Card{
		Kind: CardChanges, PromptID: t.PromptID, Commit: c.Head, Title: OneLine(c.Subject, 150),
		Commits: c.Commits, Files: c.Files, Attention: c.Attention, PullRequest: m.s.PullRequest,
	}
	switch p := m.draft.Proposal; {
	case p != nil: // of this turn, or of an earlier one whose pull request is not there yet or goes on
		card.Title, card.Body = p.Title, p.Body
	case c.Commits > 1 || card.Title == "":
		card.Title = m.s.Title
	}
	if m.s.Branch == "" {
		m.s.Branches++
		m.s.Branch = branch(m.s.ID, card.Title, m.s.Branches)
	}
	m.endTurn(t.Outcome, t.Reason, m.addCard(card))
}

func (m *Machine) collectFailed(in CollectFailed) {
	e, ok := m.confirm(in.Effect)
	if !ok || m.s.Turn == nil || m.s.Turn.PromptID != e.PromptID {
		return
	}
	if in.Err.Code == Unavailable {
		in.Err.Message += " The agent's commits are still in the sandbox: send another message, and they are collected after it."
	}
	m.tell(Event{Kind: KindError, Error: &in.Err})
	m.endTurn(PromptFailed, in.Err.Message, "")
}

// collectDelayed says in the thread why nothing is to be seen. What people shall do then is nothing yet.
func (m *Machine) collectDelayed(in CollectDelayed) {
	i := slices.IndexFunc(m.effects, func(e Effect) bool { return e.ID == in.Effect })
	if i < 0 || m.s.Turn == nil || m.s.Turn.PromptID != m.effects[i].PromptID {
		return
	}
	what, _, _ := strings.Cut(in.Err.Message, " Please ")
	m.tell(Event{Kind: KindRetry, Retry: &Retry{Attempt: in.Attempt, Reason: what}})
}

// addCard gives a card its id and place, and tells it.
func (m *Machine) addCard(c Card) string {
	m.s.Cards++
	c.ID = fmt.Sprintf("c%d", m.s.Cards)
	c.State, c.At = CardOpen, m.at
	c.Repo, c.Base, c.Branch, c.Contributors = m.s.Repo, m.s.Base, m.s.Branch, slices.Clone(m.s.Contributors)
	m.cards = append(m.cards, c)
	m.tellCard(&m.cards[len(m.cards)-1])
	return c.ID
}

func (m *Machine) tellCard(c *Card) {
	m.dirty.cards[c.ID] = true
	told := *c
	m.tell(Event{Kind: KindCard, PromptID: c.PromptID, Card: &told})
}

// staleCards closes the open cards of a kind: commit is newer.
func (m *Machine) staleCards(kind CardKind, commit string) {
	for i := range m.cards {
		c := &m.cards[i]
		if c.Kind == kind && c.State == CardOpen && c.Commit != commit {
			c.State, c.Outcome = CardStale, "Superseded by "+short(commit)+"."
			m.tellCard(c)
		}
	}
}

func (m *Machine) card(id string) *Card {
	i := slices.IndexFunc(m.cards, func(c Card) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &m.cards[i]
}

// approved takes a ✅. Whatever comes of it is an approval in the log, with a reason for its person where it is refused.
func (m *Machine) approved(in Approved) error {
	c := m.card(in.Card)
	if c == nil {
		return Errorf(NotFound, "That card is not one of this thread's.")
	}
	if m.heard(in.ID) {
		return nil
	}
	waiting := func(a Approval) bool { return a.Card == c.ID && a.By.Slack == in.By.Slack }
	if slices.ContainsFunc(m.approvals, waiting) {
		return nil // the same person again while the first is under way
	}
	m.hear(in.ID)
	m.s.Participants = addPerson(m.s.Participants, in.By)
	m.s.Approvals++
	a := Approval{ID: fmt.Sprintf("a%d", m.s.Approvals), Card: c.ID, Commit: c.Commit, By: in.By, At: m.at}
	m.approvals = append(m.approvals, a)
	if reason := refusal(c); reason != "" {
		m.finishApproval(a, ApprovalRefused, reason)
		return nil
	}
	if in.By.GitHub == nil {
		a.State, a.Deadline = ApprovalLinking, m.at.Add(LinkWithin)
		m.setApproval(a)
		return nil
	}
	m.accept(a, c)
	return nil
}

// refusal says why a card cannot be approved now; "" if it can.
func refusal(c *Card) string {
	switch c.Kind {
	case CardPullRequest:
		return fmt.Sprintf("Reviewing from Slack is not available yet. Please review #%d on GitHub: %s", c.PullRequest.Number, c.PullRequest.URL)
	case CardChanges:
	}
	switch c.State {
	case CardOpen:
		return ""
	case CardOpening:
		return "The pull request for " + short(c.Commit) + " is being opened already."
	case CardDone:
		return fmt.Sprintf("Already opened as #%d: %s", c.PullRequest.Number, c.PullRequest.URL)
	case CardStale:
		return "This card is for " + short(c.Commit) + ", and there are newer commits. React on the newest card."
	}
	return "This card is closed."
}

// accept carries an approval out, once those before it are.
func (m *Machine) accept(a Approval, c *Card) {
	a.State = ApprovalAccepted
	m.setApproval(a)
	c.State = CardOpening
	m.tellCard(c)
	m.openNext()
}

// openNext has the pull request opened, or pushed to, for the first approval that waits for it. There is one at a time: two pushes side by side could
// end with the older commit, and the second one goes to what came of the first.
func (m *Machine) openNext() {
	i := slices.IndexFunc(m.approvals, func(a Approval) bool { return a.State == ApprovalAccepted })
	if i < 0 || m.pending(EffectOpen) {
		return
	}
	a, c := m.approvals[i], m.card(m.approvals[i].Card)
	m.ask(Effect{Kind: EffectOpen, PromptID: c.PromptID, Open: &OpenRequest{
		Session: m.s.ID, Approval: a.ID, Card: c.ID, Repo: c.Repo, Base: c.Base, Branch: c.Branch, Commit: c.Commit, Pushed: m.s.Pushed,
		Title: c.Title, Body: c.Body, By: a.By, Asked: m.draft.Asked, Contributors: c.Contributors,
	}})
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
		a.By, a.Deadline = by, a.Deadline.UTC()
		c := m.card(a.Card)
		if reason := refusal(c); reason != "" {
			m.finishApproval(a, ApprovalRefused, reason)
			continue
		}
		m.accept(a, c)
	}
}

// relink puts a person's new GitHub account wherever the session names them.
func (m *Machine) relink(by Person) {
	people := []*[]Person{&m.s.Participants, &m.s.Contributors}
	for i := range m.cards {
		if m.cards[i].State == CardOpen {
			people = append(people, &m.cards[i].Contributors)
			m.dirty.cards[m.cards[i].ID] = true
		}
	}
	for _, people := range people {
		if slices.ContainsFunc(*people, func(p Person) bool { return p.Slack == by.Slack }) {
			*people = addPerson(*people, by)
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

// approval returns the unfinished approval that an open effect carries out, and its card.
func (m *Machine) approval(e Effect) (Approval, *Card) {
	i := slices.IndexFunc(m.approvals, func(a Approval) bool { return a.ID == e.Open.Approval })
	if i < 0 {
		return Approval{}, nil
	}
	return m.approvals[i], m.card(e.Open.Card)
}

func (m *Machine) pullRequestOpened(in PullRequestOpened) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	defer m.openNext()
	pr := in.PullRequest
	m.s.PullRequest, m.s.Pushed = &pr, pr.Commit
	m.s.Contributors = addPerson(m.s.Contributors, pr.OpenedBy)
	a, c := m.approval(e)
	if c == nil {
		return
	}
	c.State, c.PullRequest = CardDone, &pr
	verb := "Opened as"
	if pr.Adopted {
		verb = "Pushed to"
	}
	c.Outcome = fmt.Sprintf("%s #%d by %s.", verb, pr.Number, a.By.Name)
	m.finishApproval(a, ApprovalDone, "")
	m.tellCard(c)
	m.tell(Event{Kind: KindPullRequest, PromptID: c.PromptID, PullRequest: &pr})
	m.staleCards(CardPullRequest, pr.Commit)
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
	a, c := m.approval(e)
	if c == nil {
		return
	}
	c.State = CardOpen
	if c.Commit != m.s.Collected {
		c.State, c.Outcome = CardStale, "Superseded by "+short(m.s.Collected)+"."
	}
	m.finishApproval(a, ApprovalFailed, in.Err.Message)
	m.tellCard(c)
}

func short(commit string) string { return commit[:min(7, len(commit))] }

// branch names a session's nth branch: inspect/<session>-<slug>, later ones with -2, -3.
func branch(id ID, title string, n int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
		if b.Len() >= 40 {
			break
		}
	}
	name := "inspect/" + string(id)
	if s := strings.Trim(b.String(), "-"); s != "" {
		name += "-" + s
	}
	if n > 1 {
		name += fmt.Sprintf("-%d", n)
	}
	return name
}
