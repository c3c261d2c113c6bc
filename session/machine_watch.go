package session

// stalled ends a turn that makes no progress and whose runner did not end it by itself. Like any other it is stopped first, so that what the
// agent committed is collected, and ended by force if that has no effect.
func (m *Machine) stalled(in Stalled) {
	t := m.s.Turn
	if in.Start != m.s.Sandbox.Start || !m.shouldProgress() {
		return
	}
	reason := "The agent made no progress for ten minutes, so its turn was ended. Please send your message again."
	if in.Words != "" {
		reason += " " + in.Words
	}
	stalled := *t
	stalled.Stalled = true
	m.s.Turn = &stalled
	m.stopTurn(Person{}, reason)
}

// shouldProgress reports whether the turn should make progress: the agent has the prompt, or is to get it, and nothing holds it up that the bot knows of.
// A turn that is paused for its budget waits for people.
func (m *Machine) shouldProgress() bool {
	t := m.s.Turn
	if t == nil || t.Stopping || t.Pause != nil {
		return false
	}
	return t.State == TurnWorking || t.State == TurnStarted && m.pending(EffectPrompt)
}

// stopOutcome is how a turn that is stopped ends.
func (t *Turn) stopOutcome() PromptState {
	if t.Stalled {
		return PromptFailed
	}
	return PromptStopped
}
