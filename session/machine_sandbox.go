package session

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// start asks for a sandbox. The name and the start id are in the record that is committed before the provider is called.
func (m *Machine) start() {
	b := &m.s.Sandbox
	again := b.Handle != (Handle{}) // the one that was lost: its directory is still there, and put away if this start fails
	m.began()
	b.Starts++
	if !again {
		b.Name = sandboxName(m.s.ID, b.Starts)
	}
	b.Start = fmt.Sprintf("%s-%d", m.s.ID, b.Starts)
	p := m.turnPrompt()
	b.Anew = m.s.Anew && (p == nil || !p.Moved) // a turn that goes on in another sandbox finds its files there; the next one begins anew
	switch {
	case b.Image != "":
		b.Mode = BootSnapshot
	case again:
		b.Mode = BootSnapshot
	default:
		b.Mode = BootFresh
	}
	b.State = SandboxSpawning
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxSpawning, Name: b.Name}})
	m.ask(Effect{Kind: EffectStart, Start: b.Start, Boot: &StartRequest{
		Session: m.s.ID, Name: b.Name, Start: b.Start, Mode: b.Mode, Image: b.Image, Repo: m.s.Repo, Base: m.s.Base, Model: m.s.Model,
		At: m.at, Anew: b.Anew, Collected: m.s.Collected, Patch: b.Image == "" && m.patchFits(), Bad: b.Bad,
	}})
}

func (m *Machine) started(in Started) {
	e, ok := m.confirm(in.Effect)
	if !ok || in.Start != m.s.Sandbox.Start {
		return
	}
	b, got := &m.s.Sandbox, in.Begun
	if b.Handle.ID == got.Handle.ID && b.Ends.IsZero() && !got.Ends.IsZero() { // stored before it was known when one ends, and what is in it
		got.Ends = b.Since.Add(got.Ends.Sub(e.Boot.At))
		b.Work++
		b.Wrote = b.Work
	}
	if other := b.Handle.ID != got.Handle.ID; other || b.Ends.IsZero() { // a new runner does not make its sandbox live longer
		if other && b.Handle != (Handle{}) && m.mortal() {
			m.fallBack() // the one that was lost is gone
		}
		b.Ends, b.From = got.Ends, cmp.Or(got.Image, b.Image)
		m.setLeave()
	}
	b.Name, b.Handle, b.Start, b.Mode = got.Handle.Name, got.Handle, got.Start, got.Mode
	b.State, b.PutOff = SandboxBooting, false
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxBooting, Name: b.Name, Reason: startReason(in.Start, got)}})
	m.ask(m.attachment())
	m.shut()
}

// startReason says, for those who read the log, what spares a sandbox a part of its boot; "" if nothing does, or the thread's own files do.
func startReason(asked string, got Begun) string {
	switch ahead, image := got.Start != asked, got.Mode == BootImage; {
	case ahead && image:
		return "It was started ahead, from the repository's image."
	case ahead:
		return "It was started ahead."
	case image:
		return "It begins from the repository's image."
	}
	return ""
}

func (m *Machine) attachment() Effect {
	r := &AttachRequest{Session: m.s.ID, Repo: m.s.Repo, Start: m.s.Sandbox.Start, Handle: m.s.Sandbox.Handle, Cursor: m.s.Cursor, Patch: m.patchFits()}
	if m.s.Collected != "" {
		r.Collected, r.Base = m.s.Collected, m.s.Base
	}
	return Effect{Kind: EffectAttach, Start: m.s.Sandbox.Start, Attach: r}
}

func (m *Machine) startFailed(in StartFailed) {
	if _, ok := m.confirm(in.Effect); !ok || in.Start != m.s.Sandbox.Start {
		return
	}
	if b := &m.s.Sandbox; b.Image != "" && in.Err.Code == NotFound {
		// What it was to begin from does not exist any more, and never will again.
		b.Handle = Handle{}
		m.fallBackToCollected()
		m.start()
		return
	}
	m.bootFailed(in.Err.Message)
}

// withoutImage has a sandbox that did not become ready from its repository's image ended, and what waits for it begin again, from the base: what failed
// says nothing yet of the repository, and the thread is not told.
func (m *Machine) withoutImage() bool {
	b := &m.s.Sandbox
	if b.Mode != BootImage || b.From == "" {
		return false
	}
	b.Bad = b.From
	m.giveUp("It did not become ready from the repository's image, and begins again without.")
	return true
}

// bootFailed ends what waited for the sandbox. One that exists is ended too, before the next one starts: that may begin from the same files.
func (m *Machine) bootFailed(reason string) {
	m.giveUp(reason)
	if m.s.Turn != nil && m.s.Turn.State == TurnAnswered {
		reason = "The agent was done, but its sandbox was lost before what it did could be collected, and did not start again. " + reason
	}
	m.failAll(reason)
}

// giveUp notes that a sandbox did not start, and has it ended if there is one.
func (m *Machine) giveUp(reason string) {
	b := &m.s.Sandbox
	b.State = SandboxFailed
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxFailed, Name: b.Name, Reason: reason}})
	m.drop(EffectAttach, EffectPrompt)
	if b.Handle != (Handle{}) {
		m.drop(EffectSnapshot)
		r := m.keepRequest()
		r.Bare, r.Same = b.Mode != BootSnapshot, m.imageIsCurrent()
		m.ask(Effect{Kind: EffectSuspend, Start: b.Start, Suspend: r})
	}
}

// journaled takes a batch of the runner's events. Only kinds that are the runner's to tell, and only of the turn that goes on, are
// believed to that extent; the rest is dropped.
func (m *Machine) journaled(in Journaled) error {
	if in.Start != m.s.Sandbox.Start {
		return Errorf(Conflict, "That runner is not this session's any more.")
	}
	m.s.Cursor = in.Cursor
	m.out.Events = slices.Grow(m.out.Events, len(in.Events))
	for _, e := range in.Events {
		from := m.s.Latest
		if from.Before(m.s.Created) { // stored before the bot noted it
			from = m.s.Created
		}
		e.sane(from, m.at)
		if e.Kind == KindBoot && e.Boot != nil {
			e.PromptID = ""
			m.boot(e, in.Earlier)
			continue
		}
		if in.Earlier && e.Kind == KindError && e.PromptID == "" && m.s.Turn != nil {
			e.PromptID = m.s.Turn.PromptID // that the rest cannot be read concerns whom it was lost to
		}
		if !m.mayTell(e.PromptID, in.Earlier) {
			continue
		}
		switch e.Kind {
		case KindText, KindReasoning, KindTool, KindTodo, KindRetry, KindError:
			if e.valid() {
				if !in.Earlier {
					m.working(m.turnPrompt())
				}
				m.noteWrite(e)
				m.record(e)
			}
		case KindTurn:
			if e.Turn != nil && e.Turn.State == TurnAnswered {
				m.answered(e)
			}
		case KindBoot, KindPrompt, KindModel, KindCommits, KindCard, KindApproval, KindPullRequest, KindSandbox, KindNote, KindBudget, KindRepository:
			// Not the runner's to tell.
		}
	}
	return nil
}

// mayTell reports whether a runner can know of a turn: of the one that goes on, once its prompt was on its way to it. Of an earlier runner that
// is the turn it was lost with, until the prompt goes to the next.
func (m *Machine) mayTell(prompt string, earlier bool) bool {
	t := m.s.Turn
	if t == nil || prompt != t.PromptID || t.State == TurnAnswered {
		return false
	}
	waiting := t.State == TurnStarted && !m.pending(EffectPrompt)
	if !earlier {
		return !waiting
	}
	p := m.turnPrompt()
	return waiting && p != nil && (p.Attempt > 0 || p.Moved)
}

// valid reports whether the payload that belongs to the kind is there, and strips every other.
func (e *Event) valid() bool {
	c := Event{Seq: e.Seq, At: e.At, Kind: e.Kind, PromptID: e.PromptID}
	ok := false
	switch e.Kind {
	case KindText, KindReasoning:
		c.Text, ok = e.Text, e.Text != nil
	case KindTool:
		c.Tool, ok = e.Tool, e.Tool != nil
	case KindTodo:
		c.Todo, ok = e.Todo, true
	case KindRetry:
		c.Retry, ok = e.Retry, e.Retry != nil
	case KindError:
		c.Error, ok = e.Error, e.Error != nil
	case KindBoot, KindTurn, KindPrompt, KindModel, KindCommits, KindCard, KindApproval, KindPullRequest, KindSandbox, KindNote, KindBudget, KindRepository:
	}
	*e = c
	return ok
}

// boot takes a phase of a boot. That of an earlier runner is a line of the log and nothing else.
func (m *Machine) boot(e Event, earlier bool) {
	if m.s.Sandbox.State != SandboxBooting || !e.Boot.Phase.Known() {
		return
	}
	m.record(Event{At: e.At, Kind: KindBoot, Boot: e.Boot})
	switch {
	case earlier:
	case e.Boot.State == StepFailed:
		reason := e.Boot.Detail
		if reason == "" {
			reason = "exit unknown"
		}
		if !m.withoutImage() {
			m.bootFailed(bootSentence(e.Boot.Phase, reason))
		}
	case e.Boot.Phase == PhaseReady && e.Boot.State == StepDone:
		m.s.Sandbox.State, m.s.Sandbox.Bad = SandboxReady, ""
		if m.s.Sandbox.Anew {
			m.s.Anew = false
		}
		m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxReady, Name: m.s.Sandbox.Name}})
		if m.s.Turn != nil && m.s.Turn.State == TurnStarted {
			m.deliver()
		} else if m.s.Turn == nil {
			m.s.IdleAt = m.at.Add(IdleAfter)
			m.shut()
		}
	}
}

// bootSentence says which phase failed, why, and what to do. detail is the runner's: for a script it begins with the script's path.
func bootSentence(p Phase, detail string) string {
	detail = strings.TrimSuffix(OneLine(detail, 300), ".")
	script := func(name string) string {
		if rest, ok := strings.CutPrefix(detail, name+" "); ok {
			return "`" + name + "` " + rest
		}
		return "`" + name + "` failed: " + detail
	}
	switch p {
	case PhaseSync:
		return "The repository could not be checked out: " + detail + ". Nothing ran. Check that the branch exists and that the GitHub App may read the repository, then send your message again."
	case PhaseSecrets:
		return "The repository's secrets could not be handed to the sandbox: " + detail + ". Nothing ran. Send your message again once that is mended."
	case PhaseSetup:
		return script(".openinspect/setup.sh") + ". Fix the script, then send your message again; its last lines are in the log."
	case PhaseStart:
		return script(".openinspect/start.sh") + ". Nothing ran. Fix the script, then send your message again; its last lines are in the log."
	case PhaseAgent:
		return "The agent did not start: " + detail + ". Please send your message again; if it happens again, the operator's log has the details."
	case PhaseReady:
		return "The sandbox did not become ready: " + detail + ". Please send your message again."
	}
	return "The sandbox did not start: " + detail + ". Please send your message again."
}

// lost takes word that the sandbox or its runner is gone. A turn is run once more; then it has failed.
func (m *Machine) lost(in Lost) {
	b := &m.s.Sandbox
	if in.Start != b.Start || !b.State.Live() {
		return
	}
	if b.State == SandboxSnapshotting {
		m.drop(EffectAttach) // it is being ended; what comes of that tells whether its files were kept
		return
	}
	b.State = SandboxLost
	m.drop(EffectAttach, EffectPrompt, EffectStop, EffectSnapshot)
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxLost, Name: b.Name, Reason: OneLine(in.Reason, 300)}})
	t, p := m.s.Turn, m.turnPrompt()
	switch {
	case t == nil:
	case t.State == TurnAnswered:
		m.replace("The agent was done, but its sandbox was lost before what it did could be collected. ")
	case t.Stopping:
		m.endTurn(t.stopOutcome(), t.stopReason(), "")
	case p == nil || p.Attempt+1 >= maxAttempts:
		m.endTurn(PromptFailed, "The sandbox was lost twice in this turn. Please send your message again: it goes on with the files that could be kept.", "")
	default:
		m.endPause("The sandbox was lost, and the agent begins again.")
		p.Attempt++
		m.dirty.prompts[p.ID] = true
		p.State = PromptQueued
		m.s.Turn = &Turn{PromptID: t.PromptID, State: TurnStarted}
		m.forgetTests()
		m.tell(Event{Kind: KindTurn, Turn: &TurnChange{State: TurnStarted, Reason: "The sandbox was lost; the turn starts again in a new one."}})
		m.replace("The sandbox was lost. ")
	}
	if b.State == SandboxLost { // nobody needs it now: what still runs of it is ended, what is left of it is kept
		m.putAway("it was lost")
	}
}

const sandboxPrefix = "inspect-"

// sandboxName names a session's nth sandbox: unique in the installation.
func sandboxName(id ID, n int) string { return fmt.Sprintf("%s%s-%d", sandboxPrefix, id, n) }

// SandboxOwner returns the session that a sandbox, or the image of one, is named for.
func SandboxOwner(name string) ID {
	id, _, _ := strings.Cut(strings.TrimPrefix(name, sandboxPrefix), "-")
	return ID(id)
}
