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
	m.renamed(c.Repo)
	m.s.Collected, m.s.Credits = c.Head, nil
	m.tell(Event{Kind: KindCommits, Commits: &Commits{Head: c.Head, Count: c.Commits, Files: c.Files, Patch: c.Patch}})
	m.staleCards(CardChanges, c.Head)
	m.lapse()
	card := Card{
		Kind: CardChanges, PromptID: t.PromptID, Commit: c.Head, Title: OneLine(c.Subject, 150),
		Commits: c.Commits, Files: c.Files, Attention: c.Attention, Named: c.Named, PullRequest: m.follows(),
	}
	if p := m.turnPrompt(); p != nil {
		card.Asked = p.Author
	}
	switch p := m.draft.Proposal; {
	case p != nil: // of this turn, or of an earlier one whose pull request is not there yet or goes on
		card.Title, card.Body, card.Tests, card.Draft = p.Title, p.Body, p.Tests, p.Draft
	case c.Commits > 1 || card.Title == "":
		card.Title = m.s.Title
	}
	if m.s.Branch == "" {
		m.s.Branches++
		m.s.Branch = branch(m.s.ID, card.Title, m.s.Branches)
	}
	m.s.Anew = false // the agent goes on from what was there before
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
