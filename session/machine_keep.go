package session

import (
	"fmt"
	"slices"
	"time"
)

// mortal reports whether the sandbox's files end with it, at a time that is known: then images are made of them while it lives.
func (m *Machine) mortal() bool { return !m.s.Sandbox.Ends.IsZero() }

// keepRequest is the request for the sandbox's files to be kept.
func (m *Machine) keepRequest() *KeepRequest {
	b := m.s.Sandbox
	if !m.mortal() {
		return &KeepRequest{Handle: b.Handle}
	}
	return &KeepRequest{Handle: b.Handle, Image: b.Image, From: b.From, Work: b.Work, Patch: true, Collected: m.s.Collected}
}

// imageIsCurrent reports whether the newest image has all that is in the sandbox. Where making one costs nothing, it is not asked.
func (m *Machine) imageIsCurrent() bool {
	b := m.s.Sandbox
	return m.mortal() && b.Image != "" && b.Has == b.Work
}

// readingTools change no file, whichever agent they are of.
var readingTools = []string{"read", "glob", "grep", "list", "webfetch", "websearch", "todoread", "todowrite"}

// noteWrite notes that the turn may have changed files: every tool may that is not known to read alone.
func (m *Machine) noteWrite(e Event) {
	if e.Kind == KindTool && !slices.Contains(readingTools, e.Tool.Name) {
		m.s.Sandbox.Wrote = m.s.Sandbox.Work
	}
}

// snapshot asks for an image of what turns that are over have changed. It is made beside whatever comes next, one at a time.
func (m *Machine) snapshot() {
	b := &m.s.Sandbox
	switch {
	case !m.mortal() || b.Wrote <= b.Has || m.pending(EffectSnapshot):
	case b.State != SandboxReady && b.State != SandboxRunning:
	case m.s.Turn != nil && m.s.Turn.State != TurnStarted && b.Wrote == b.Work: // its end asks
	default:
		r := m.keepRequest()
		if m.s.Turn != nil && m.s.Turn.State != TurnStarted {
			r.Work-- // of the turn that goes on it has what there is when it is made
		}
		m.ask(Effect{Kind: EffectSnapshot, Start: b.Start, Snapshot: r})
	}
}

func (m *Machine) snapshotted(in Snapshotted) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	b := &m.s.Sandbox
	b.Image, b.Has = in.Kept.Image, e.Snapshot.Work
	m.takePatch(in.Kept.Patch)
	m.snapshot()
}

// snapshotFailed waits for the next turn that changes something, or for the sandbox to be put away.
func (m *Machine) snapshotFailed(in SnapshotFailed) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	m.takePatch(in.Patch)
	if m.s.Sandbox.Wrote > e.Snapshot.Work {
		m.snapshot()
	}
}

// takePatch notes which patch is kept now; nil: the one before.
func (m *Machine) takePatch(p *Patch) {
	if p != nil {
		m.s.Sandbox.Patch = *p
	}
}

// patchFits reports whether the patch that is kept goes with what the bot holds of the session now.
func (m *Machine) patchFits() bool {
	p := m.s.Sandbox.Patch
	return p.Size > 0 && p.From == m.s.Collected && !m.s.Anew
}

// putAway snapshots and ends the sandbox. A link that is not up by now is not waited for: it would be one to a runner that is gone.
func (m *Machine) putAway(reason string) {
	m.drop(EffectAttach, EffectSnapshot)
	half := m.s.Sandbox.State == SandboxBooting && m.s.Sandbox.Mode != BootSnapshot
	m.s.Sandbox.State, m.s.IdleAt = SandboxSnapshotting, time.Time{}
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxSnapshotting, Name: m.s.Sandbox.Name, Reason: reason}})
	r := m.keepRequest()
	r.Same, r.Soon = m.imageIsCurrent(), m.s.Sandbox.Moving
	r.Bare = half // the next one begins from where this one did: setup.sh may have been cut off, and a patch not have come yet
	m.ask(Effect{Kind: EffectSuspend, Start: m.s.Sandbox.Start, Suspend: r})
}

func (m *Machine) suspended(in Suspended) {
	e, ok := m.confirm(in.Effect)
	b := &m.s.Sandbox
	if !ok || e.Start != b.Start {
		return
	}
	switch b.State {
	case SandboxFailed:
		imageWasBad := b.Bad != "" && b.Bad == b.From // takeKept forgets what it began from
		m.takeKept(e.Suspend, in.Kept)
		if imageWasBad && m.s.Turn != nil { // whoever waits for room waits for more than an image that was bad
			m.replace("")
			return
		}
	case SandboxSnapshotting:
		m.drop(EffectAttach) // of a bot that started meanwhile
		m.wasPutAway(e.Suspend, in.Kept)
		return
	case SandboxNone, SandboxPending, SandboxSpawning, SandboxBooting, SandboxReady, SandboxRunning, SandboxStopped, SandboxLost:
		return
	}
	if m.s.Turn != nil {
		m.want()
	}
}

// wasPutAway takes word that a sandbox was put away, and goes on with what waits.
func (m *Machine) wasPutAway(r *KeepRequest, k Kept) {
	b := &m.s.Sandbox
	told := m.takeKept(r, k)
	moving := b.Moving
	b.State, b.Kept, b.Moving = SandboxStopped, false, false
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxStopped, Name: b.Name}})
	switch {
	case moving:
		m.moveOn(k.Image != "", told)
	case m.s.Turn != nil:
		m.want()
	}
}

// leaveWithoutFiles ends a sandbox that the provider will have ended soon anyway, though its files could not be kept.
func (m *Machine) leaveWithoutFiles(tried *KeepRequest, reason string) {
	if tried.Bare { // it cannot even be ended; the provider will
		m.wasPutAway(tried, Kept{})
		return
	}
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxSnapshotting, Name: m.s.Sandbox.Name, Reason: OneLine(reason, 300)}})
	r := m.keepRequest()
	r.Bare, r.Soon = true, true
	m.ask(Effect{Kind: EffectSuspend, Start: m.s.Sandbox.Start, Suspend: r})
}

// takeKept notes what was kept of a sandbox that has ended, and reports whether the thread was told of anything lost.
func (m *Machine) takeKept(r *KeepRequest, k Kept) (told bool) {
	b := &m.s.Sandbox
	b.Handle, b.From = Handle{}, ""
	m.takePatch(k.Patch)
	switch {
	case r.Bare && !b.Moving: // there was nothing in it
	case k.Image != "":
		b.Image, b.Has = k.Image, r.Work
	default:
		return m.fallBack()
	}
	return false
}

// fallBack takes the session back to its newest image when the files of its sandbox are gone, or to what the bot holds of it if there is none. told:
// something is lost, and the thread was told of it.
func (m *Machine) fallBack() (told bool) {
	b := &m.s.Sandbox
	if !m.mortal() {
		return m.fallBackToCollected() // its image was made of the same files
	}
	switch missing := m.missingPrompts() > 0; {
	case b.Image == "" && (missing || m.patchFits()):
		return m.fallBackToCollected()
	case missing:
		b.Recall, told = true, true
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: lostSince}})
	}
	b.Recall = b.Recall || b.Recalled > b.Has // whom it was told is gone, too
	b.Work, b.Wrote = b.Has, min(b.Wrote, b.Has)
	return told
}

// fallBackToCollected takes the session back to what the bot holds of it, the commits that were collected and the patch, and tells the thread.
func (m *Machine) fallBackToCollected() (told bool) {
	b := &m.s.Sandbox
	b.Image, b.Work, b.Wrote, b.Has, b.Recall, b.Recalled = "", 0, 0, 0, true, 0
	if p := m.turnPrompt(); p != nil && p.Moved { // not to one with the same files, as it turns out
		p.Moved = false
		m.dirty.prompts[p.ID] = true
	}
	m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: m.lostFiles()}})
	return true
}

// missingPrompts returns how many prompts the agent has had since the newest image, but for one that it will have again.
func (m *Machine) missingPrompts() int {
	b, t, p := m.s.Sandbox, m.s.Turn, m.turnPrompt()
	n := b.Work - b.Has
	if p != nil && (t.State == TurnStarted && p.Attempt > 0 || t.State == TurnWorking && b.Moving) {
		n--
	}
	return n
}

// lostSince is told when a session goes on with older files.
const lostSince = "This thread's sandbox was lost. The thread goes on from its files as they were last kept, with the commits that a card shows. Other changes since, if there were any, are lost. " + remembered

const remembered = "The agent is told what was said here."

// lostFiles says what a session goes on with whose files are gone, and what it does not have any more.
func (m *Machine) lostFiles() string {
	begin, lost := "a fresh checkout", "Changes after them, if there were any, are lost."
	if m.s.Repo == (Repo{}) {
		begin = "an empty directory"
	}
	switch {
	case m.s.Collected != "" && m.patchFits():
		begin, lost = begin+", with the commits that a card shows and with the changes after them", "What git ignores is lost."
	case m.s.Collected != "":
		begin += ", with the commits that a card shows"
	case m.patchFits():
		begin, lost = begin+", with the changes that were made", "What git ignores is lost."
	default:
		lost = "What was changed, if anything, is lost."
	}
	return fmt.Sprintf("The files of this thread's sandbox are gone, so it starts again from %s. %s %s", begin, lost, remembered)
}

// suspendFailed takes back that a sandbox is put away: its files are where they were, so it goes on, linked anew.
func (m *Machine) suspendFailed(in SuspendFailed) {
	e, ok := m.confirm(in.Effect)
	b := &m.s.Sandbox
	if !ok || e.Start != b.Start {
		return
	}
	m.takePatch(in.Patch)
	switch b.State {
	case SandboxFailed:
		if b.Mode != BootSnapshot { // there is nothing in it that the repository has not
			b.Handle = Handle{} // the hourly sweep ends it
			if m.s.Turn != nil {
				m.want()
			}
			return
		}
		// Its name is all by which the files in it can be found: the next start ends it and goes on in its place.
		b.State = SandboxLost
		m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxLost, Name: b.Name, Reason: OneLine(in.Err.Message, 300)}})
		if m.s.Turn != nil {
			m.ready()
		}
	case SandboxSnapshotting:
		if b.Moving {
			m.leaveWithoutFiles(e.Suspend, in.Err.Message)
			return
		}
		b.State, b.Kept = SandboxReady, true
		m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxReady, Name: b.Name, Reason: OneLine(in.Err.Message, 300)}})
		m.drop(EffectAttach)
		m.ask(m.attachment())
		if m.s.Turn != nil {
			m.deliver()
		} else {
			m.s.IdleAt = m.at.Add(IdleAfter)
		}
	case SandboxNone, SandboxPending, SandboxSpawning, SandboxBooting, SandboxReady, SandboxRunning, SandboxStopped, SandboxLost:
	}
}
