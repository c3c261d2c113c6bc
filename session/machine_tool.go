package session

import (
	"fmt"
	"slices"
	"strings"
)

// Limits of what an agent may say by its tools in one turn. The thread stays quiet whatever an agent does.
const (
	maxQuestions = 3
	maxUpdates   = 200
	maxProposals = 50
	maxShown     = 5
	maxOption    = 75 // characters of an answer that is offered: a Slack button's
)

// seenCalls is how many calls of tools are remembered by name: more than an agent has under way at once.
const seenCalls = 20

// repeated reports whether a call was taken before: its answer was lost with a link or a bot.
func (m *Machine) repeated(call string) bool {
	return call != "" && slices.Contains(m.s.ToolCalls, call)
}

// taken remembers a call.
func (m *Machine) taken(call string) {
	if call != "" {
		m.s.ToolCalls = append(slices.Clone(m.s.ToolCalls[max(0, len(m.s.ToolCalls)-seenCalls+1):]), call)
	}
}

// said counts one use of a tool and refuses it outside of a turn, or when there were enough. Its words are for the agent.
func (m *Machine) said(count func(*Turn) *int, limit int, enough string) error {
	if m.s.Turn == nil || m.s.Turn.State == TurnAnswered {
		return Errorf(Conflict, "No turn is going on, so nobody would read this.")
	}
	t := *m.s.Turn
	n := count(&t)
	if *n >= limit {
		return Errorf(Conflict, "%s", enough)
	}
	*n++
	m.s.Turn = &t
	return nil
}

func (m *Machine) proposed(in Proposed) error {
	if m.repeated(in.Call) {
		return nil
	}
	if m.s.Repo == (Repo{}) {
		return Errorf(Invalid, "This session has no repository, so there is nothing to open a pull request on. Say what you found in your answer.")
	}
	p := in.Proposal
	p.Title, p.Body, p.Tests = OneLine(p.Title, 150), strings.TrimSpace(p.Body), strings.TrimSpace(p.Tests)
	if p.Title == "" {
		return nil
	}
	if err := m.said(func(t *Turn) *int { return &t.Proposals }, maxProposals, "You have proposed a pull request often enough in this turn."); err != nil {
		return err
	}
	m.taken(in.Call)
	m.draft.Proposal, m.dirty.draft = &p, true
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteUpdate, Text: "proposes a pull request: " + p.Title}})
	return nil
}

// forgetTests takes what the agent ran for evidence of nothing: it was another turn's, or of files that are lost.
func (m *Machine) forgetTests() {
	if m.draft.Proposal != nil && m.draft.Proposal.Tests != "" {
		p := *m.draft.Proposal // what is stored, and what a refused commit goes back to, keeps its own
		p.Tests = ""
		m.draft.Proposal, m.dirty.draft = &p, true
	}
}

// updated takes a line for the status message. Between turns it is only a line of the log, which has room for so many.
func (m *Machine) updated(in Updated) error {
	if m.repeated(in.Call) {
		return nil
	}
	if m.s.Turn != nil {
		if err := m.said(func(t *Turn) *int { return &t.Updates }, maxUpdates, "You have posted enough updates in this turn."); err != nil {
			return err
		}
	}
	m.taken(in.Call)
	m.record(Event{Kind: KindNote, Note: &Note{Kind: NoteUpdate, Text: in.Text}})
	return nil
}

func (m *Machine) asked(in Asked) error {
	if m.repeated(in.Call) {
		return nil
	}
	if err := m.said(func(t *Turn) *int { return &t.Questions }, maxQuestions, "You have asked enough in this turn. End it now; the answer is your next prompt."); err != nil {
		return err
	}
	m.taken(in.Call)
	options := offered(in.Options)
	m.s.Question, m.s.Choice = in.Question, Choice{ID: fmt.Sprintf("q%d", m.s.Seq+1), Options: options}
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteQuestion, ID: m.s.Choice.ID, Text: in.Question, Options: options}})
	return nil
}

// shown takes an image for the thread.
func (m *Machine) shown(in Shown) error {
	if m.repeated(in.Call) {
		return nil
	}
	before := m.s.Turn
	err := m.said(func(t *Turn) *int { return &t.Images }, maxShown, "You have shown enough images in this turn: five are posted.")
	if err != nil || in.Asks {
		m.s.Turn = before
		return err
	}
	m.taken(in.Call)
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteImage, Text: in.Alt, File: &in.File}})
	return nil
}

// offered are the answers that can be told apart, each on one line.
func offered(options []string) []string {
	var all []string
	for _, o := range options {
		if o = OneLine(o, maxOption); o != "" && !slices.Contains(all, o) && len(all) < MaxOptions {
			all = append(all, o)
		}
	}
	return all
}

// chosen takes an answer that was offered as a prompt of who chose it.
func (m *Machine) chosen(in Answered) error {
	c := m.s.Choice
	switch {
	case m.heard(in.ID):
		return nil
	case c.ID == in.Question && m.s.Question == "" && c.By.Slack != "":
		return Errorf(Conflict, "%s has answered that already.", c.By.Name)
	case c.ID != in.Question || m.s.Question == "":
		return Errorf(Conflict, "The agent does not wait for an answer to that any more. Reply in the thread if you have more to say.")
	case in.Option < 0 || in.Option >= len(c.Options):
		return Errorf(Invalid, "That is none of the answers that the agent offered. Reply in the thread to answer in your own words.")
	}
	return m.prompted(Prompt{ID: in.ID, Author: in.By, Text: c.Options[in.Option]})
}
