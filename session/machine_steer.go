package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// edited takes what a message reads now. What the agent does not have yet is changed in its place; what it has is corrected by a prompt of
// its own, which waits its turn like any other.
func (m *Machine) edited(in Edited) error {
	if m.heard(in.ID) {
		return nil
	}
	p := m.undelivered(in.Prompt.ID)
	if p == nil {
		if m.s.Closed {
			return Errorf(Conflict, "This session is closed, so your edit changes nothing. Mention me in a new message to open it again.")
		}
		c := in.Prompt
		c.ID, c.Corrects, c.Context = in.ID, in.Prompt.ID, "" // the agent has what was quoted
		return m.prompted(c)
	}
	if p.Author.Slack != in.Prompt.Author.Slack {
		return Errorf(Forbidden, "Only %s can edit that message.", p.Author.Name)
	}
	if err := in.Prompt.fits(); err != nil {
		return err
	}
	m.hear(in.ID)
	if m.s.Title == title(p.Text) {
		m.s.Title = title(in.Prompt.Text)
	}
	p.Author, p.Text, p.Context, p.Model, p.Effort, p.Redacted = in.Prompt.Author, in.Prompt.Text, in.Prompt.Context, in.Prompt.Model, in.Prompt.Effort, in.Prompt.Redacted
	m.dirty.prompts[p.ID] = true
	m.tell(Event{Kind: KindPrompt, PromptID: p.ID, Prompt: &PromptChange{Author: p.Author, Text: p.Text, State: p.State, Corrects: p.Corrects, Edited: true}})
	m.tellRedacted(p)
	return nil
}

// undelivered returns the newest prompt of a message that is not on its way to the agent yet.
func (m *Machine) undelivered(message string) *Prompt {
	for i := len(m.prompts) - 1; i >= 0; i-- {
		p := &m.prompts[i]
		if p.Of(message) && p.State == PromptQueued && (m.waits(p) || m.s.Turn.State == TurnStarted && !m.pending(EffectPrompt) && !m.s.Turn.Stopping) {
			return p
		}
	}
	return nil
}

// waits reports whether a prompt is in the queue: another's turn comes first.
func (m *Machine) waits(p *Prompt) bool { return m.s.Turn == nil || m.s.Turn.PromptID != p.ID }

// withdrawn takes back a message that was deleted, or that is not for the agent any more.
func (m *Machine) withdrawn(in Withdrawn) error {
	if e := &m.s.Ended; !in.Kept && e.PromptID != "" && (e.PromptID == in.PromptID || e.Message == in.PromptID) {
		e.Deleted = true
	}
	known := m.heard(in.PromptID)
	if !known && !in.Kept {
		m.hear(in.PromptID) // events come in any order: what is deleted before it came is not taken
		return nil
	}
	found := false
	for _, p := range slices.Clone(m.prompts) {
		switch {
		case !p.Of(in.PromptID):
		case m.waits(&p):
			found = true
			m.finish(p, PromptWithdrawn, "Withdrawn by "+in.By.Name+".", "")
		case in.Kept && m.s.Turn.State == TurnStarted && !m.pending(EffectPrompt) && !m.s.Turn.Stopping: // the agent does not have it yet
			found = true
			m.s.Participants = addPerson(m.s.Participants, in.By)
			t := *m.s.Turn
			t.Deleted = true
			m.s.Turn = &t
			m.stopTurn(in.By, "Stopped: "+in.By.Name+" took the message back.")
		case in.Kept:
		case m.s.Turn.State != TurnAnswered && !m.s.Turn.Stopping:
			m.s.Participants = addPerson(m.s.Participants, in.By)
			t := *m.s.Turn
			t.Deleted = true
			m.s.Turn = &t
			m.stopTurn(in.By, "Stopped: "+in.By.Name+" deleted the message.")
		}
	}
	if len(m.prompts) == 0 {
		m.stopAsking("What this question was about was taken back.")
	}
	if in.Kept && !found {
		return Errorf(Conflict, "The agent has your message already, as it was. `stop` ends what runs.")
	}
	return nil
}

// finish ends a prompt that has no turn. with is the prompt whose end tells of this one too, if any.
func (m *Machine) finish(p Prompt, state PromptState, reason, with string) {
	p.State, p.Reason, p.Ended = state, reason, m.at
	if p.Retries != "" {
		m.s.Ended.Again = false // it can be asked for again
	}
	m.tell(Event{Kind: KindPrompt, PromptID: p.ID, Prompt: &PromptChange{Author: p.Author, State: state, Reason: reason, With: with}})
	m.out.Record.Prompts = append(m.out.Record.Prompts, p)
	delete(m.dirty.prompts, p.ID)
	m.prompts = slices.DeleteFunc(m.prompts, func(q Prompt) bool { return q.ID == p.ID })
}

// retried runs the prompt of the newest turn again, if that failed or was stopped.
func (m *Machine) retried(in Retried) error {
	if m.heard(in.ID) {
		return nil
	}
	e := m.s.Ended
	switch {
	case m.s.Turn != nil && m.s.Turn.Stopping: // whoever reads that it was stopped means this one, not the one before it
		return Errorf(Conflict, "The turn that was stopped has not ended yet. Write `!retry` again when it has.")
	case e.PromptID == "":
		return Errorf(NotFound, "No turn of this thread has ended yet, so there is nothing to run again.")
	case e.State == PromptWithdrawn || e.Deleted && e.State != PromptDone:
		return Errorf(NotFound, "The message of the last turn was deleted or taken back, so there is nothing to run again. Say what is left to do.")
	case e.State == PromptDone:
		return Errorf(NotFound, "The last turn here did not fail and was not stopped, so there is nothing to run again. Say what is left to do.")
	case e.Again:
		return Errorf(Conflict, "That is queued again already.")
	case e.PromptID != in.Prompt.ID:
		return Errorf(Conflict, "Another turn has ended meanwhile. Look at it, and write `!retry` again if it is that one.")
	}
	p := in.Prompt
	p.ID, p.Retries, p.AskedBy, p.Redacted, p.At = in.ID, cmp.Or(in.Prompt.Retries, in.Prompt.ID), in.By, false, time.Time{}
	if err := m.prompted(p); err != nil {
		return err
	}
	m.s.Ended.Again = true
	m.s.Participants = addPerson(m.s.Participants, in.By)
	m.act("retry", in.By, "")
	return nil
}

// muted switches replies without a mention off or on.
func (m *Machine) muted(in Muted) error {
	switch {
	case m.heard(in.ID):
		return nil
	case m.s.Muted && !in.Off:
		return Errorf(Conflict, "This thread is muted already. `!unmute` ends that.")
	case !m.s.Muted && in.Off:
		return Errorf(Conflict, "This thread is not muted.")
	}
	m.hear(in.ID)
	m.s.Participants = addPerson(m.s.Participants, in.By)
	m.s.Muted = !in.Off
	if in.Off {
		m.act("unmute", in.By, "")
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteUnmuted, Text: "Not muted any more, says " + in.By.Name + "."}})
		return nil
	}
	m.act("mute", in.By, "")
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteMuted, Text: "Muted by " + in.By.Name + ": replies here reach the agent only if they mention me. `!unmute` ends that."}})
	return nil
}

// closed ends what goes on in the session, but not the session: the next prompt opens it again.
func (m *Machine) closed(in Closed) error {
	if m.heard(in.ID) {
		return nil
	}
	if m.s.Closed {
		return Errorf(Conflict, "This session is closed already. Mention me in a message to open it again.")
	}
	m.hear(in.ID)
	words, reason := "Closed by "+in.By.Name+".", in.By.Name+" closed the session"
	if in.Why != "" {
		words, reason = "Closed: "+in.Why+".", in.Why
	} else {
		m.s.Participants = addPerson(m.s.Participants, in.By)
	}
	m.s.Closed, m.s.Question = true, ""
	var waited []Withdrawal
	for _, p := range slices.Clone(m.prompts) {
		if m.waits(&p) {
			waited = append(waited, Withdrawal{p.ID, p.Author})
			m.finish(p, PromptWithdrawn, reason+".", "")
		}
	}
	if t := m.s.Turn; t != nil && t.State != TurnAnswered {
		words += " What runs is stopped."
	}
	m.stopAsking(reason + " before a repository was chosen.")
	m.act("close", in.By, fmt.Sprintf("%d withdrawn", len(waited)))
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteClosed, Text: words + " Mention me here to go on where this ended, with the same files and commits.", Withdrawn: waited}})
	if t := m.s.Turn; t != nil && t.State != TurnAnswered && !t.Stopping {
		m.stopTurn(in.By, "Stopped: "+reason+".")
	}
	m.shut()
	return nil
}

// shut puts the sandbox of a closed session away, as soon as no turn needs it: what the agent left is collected then.
func (m *Machine) shut() {
	if !m.s.Closed || m.s.Turn != nil {
		return
	}
	switch m.s.Sandbox.State {
	case SandboxReady, SandboxBooting:
		m.putAway("the session is closed")
	case SandboxNone, SandboxPending, SandboxSpawning, SandboxRunning, SandboxSnapshotting, SandboxStopped, SandboxFailed, SandboxLost:
		// It has ended, is being ended, or is put away when it has started.
	}
}

// act notes what a person did, for the audit log.
func (m *Machine) act(action string, by Person, result string) {
	if by.Slack == "" {
		return // the bot itself did it
	}
	m.out.Acts = append(m.out.Acts, AuditRecord{At: m.at, Action: action, By: by, Session: m.s.ID, Result: result})
}
