package session

import "time"

// maxReserve is how long at most before its provider ends it a sandbox is left for another; in a short life it is a quarter of that. A sandbox in which
// nothing runs is left when its reserve begins, one in the middle of a turn when a third of that remains.
const maxReserve = 15 * time.Minute

// setLeave sets from when on the sandbox is left for another.
func (m *Machine) setLeave() {
	b := &m.s.Sandbox
	b.Leave = time.Time{}
	if m.mortal() {
		b.Leave = b.Ends.Add(-min(maxReserve, b.Ends.Sub(m.at)/4))
	}
}

// leaveBy returns when the sandbox is left as things stand; zero: not by itself.
func (m *Machine) leaveBy() time.Time {
	b := m.s.Sandbox
	switch b.State {
	case SandboxReady:
		return b.Leave
	case SandboxRunning:
		if !b.Leave.IsZero() {
			return b.Ends.Add(-b.Ends.Sub(b.Leave) / 3)
		}
	case SandboxNone, SandboxPending, SandboxSpawning, SandboxBooting, SandboxSnapshotting, SandboxStopped, SandboxFailed, SandboxLost:
		// There is nothing in it yet, or it is being left already.
	}
	return time.Time{}
}

// leaveWhenDue leaves a sandbox that will have ended soon.
func (m *Machine) leaveWhenDue() {
	if by := m.leaveBy(); by.IsZero() || by.After(m.at) {
		return
	}
	m.s.Sandbox.Moving = true
	m.drop(EffectPrompt, EffectStop)
	m.putAway("its time is nearly over")
}

// moveOn goes on with the turn, if there is one, in a new sandbox when the one before has been left. whole: with all of its files; told: what is lost has
// been said. The turn loses no attempt by it, unless it has to begin again.
func (m *Machine) moveOn(whole, told bool) {
	t, p := m.s.Turn, m.turnPrompt()
	begun := t != nil && t.State == TurnWorking
	switch {
	case t == nil || p == nil:
		return // the next prompt brings it back
	case t.Stopping && t.State != TurnAnswered:
		m.endTurn(t.stopOutcome(), t.stopReason(), "")
		return
	case begun && !whole && p.Attempt >= maxAttempts: // it would never come to its end
		m.endTurn(PromptFailed, "The time of its sandbox was over before the turn was, again, and what it had done could not be kept. Please send your message again in parts that take less time.", "")
		return
	case begun:
		m.endPause("The agent goes on in a new sandbox.")
		if !whole {
			p.Attempt++
		}
		p.State, p.Moved = PromptQueued, whole
		m.dirty.prompts[p.ID] = true
		again := *t
		again.State, again.Pause = TurnStarted, nil
		m.s.Turn = &again
		m.tell(Event{Kind: KindTurn, Turn: &TurnChange{State: TurnStarted, Reason: "The time of its sandbox was over; the turn goes on in a new one."}})
	}
	switch over := "The time of this thread's sandbox was over, so it goes on in a new one."; {
	case whole || !told && !begun:
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: over + " Nothing is lost."}})
	case !told:
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: over + " What this turn has done so far could not be kept, and the agent begins it again."}})
	}
	m.replace("The time of its sandbox was over. ")
}

// movedWords are what an agent is told whose turn goes on in another sandbox.
const movedWords = "\n\n(You have had this message before: your sandbox was replaced in the middle of the turn, by one with the same files. What ran in it has ended. Go on where you were.)"
