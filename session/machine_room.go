package session

import (
	"fmt"
	"slices"
	"time"
)

// What room a session may take, and for how long while others wait. docs/adr/0012 says why.
const (
	turnsInARow   = 3                // ended while others wait; then a session with more prompts gives way
	waitPatience  = 10 * time.Minute // or after the turn in which somebody has waited this long
	DefaultStarts = 60               // of one session's sandbox in an hour: one a minute
	startsWithin  = time.Hour
)

// Terms are what the installation allows a session at a moment. Like the time they are an input of a Step. The zero Terms allow everything.
type Terms struct {
	Full   bool          // there is no room for one more sandbox
	Place  int           // in the line, of a session that joins it now
	Since  time.Time     // when the first of those began to wait for whom no room is being made; zero: there is none
	Starts int           // of the session's sandbox in an hour; 0: DefaultStarts
	Spent  time.Duration // what all sandboxes lived today, if that is all they may; else 0
}

// Allow tells the machine the terms of the steps that follow.
func (m *Machine) Allow(t Terms) { m.terms = t }

// want asks for a sandbox: at once where there is room, else in line with the other sessions.
func (m *Machine) want() {
	if reason := m.capped(); reason != "" {
		m.failAll(reason)
		return
	}
	if !m.terms.Full {
		m.start()
		return
	}
	m.s.Sandbox.State, m.s.Sandbox.Asked = SandboxPending, m.at
	m.place(m.terms.Place)
}

// replace starts a sandbox in the place of one that was lost in this very step, whose room it takes over. why is told where none may start.
func (m *Machine) replace(why string) {
	if reason := m.capped(); reason != "" {
		m.failAll(why + reason)
		return
	}
	m.start()
}

// place tells where in the line the session is.
func (m *Machine) place(n int) {
	m.s.Sandbox.Place = n
	m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxPending, Place: n, Reason: ordinal(n) + " in line"}})
}

// ordinal is a place in words; a long line's end is told in digits.
func ordinal(n int) string {
	words := []string{"", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}
	switch {
	case 0 < n && n < len(words):
		return words[n]
	case n%100/10 == 1:
		return fmt.Sprintf("%dth", n)
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}

var errNotInLine = Errorf(Conflict, "This session does not wait for room.")

func (m *Machine) roomGranted() error {
	if m.s.Sandbox.State != SandboxPending {
		return errNotInLine
	}
	if reason := m.capped(); reason != "" {
		m.failAll(reason)
		return nil
	}
	m.start()
	return nil
}

func (m *Machine) moved(in Moved) error {
	if m.s.Sandbox.State != SandboxPending {
		return errNotInLine
	}
	if m.s.Sandbox.Place != in.Place {
		m.place(in.Place)
	}
	return nil
}

// leaveLine gives up a place in the line, or the room of a start that is put off, if no turn needs it any more: whoever waited has stopped.
func (m *Machine) leaveLine() {
	b := &m.s.Sandbox
	if b.State != SandboxPending && !b.PutOff || m.s.Turn != nil {
		return
	}
	m.drop(EffectStart)
	b.Asked, b.Place, b.PutOff = time.Time{}, 0, false
	switch {
	case b.Image != "":
		b.State = SandboxStopped
	case b.Handle != (Handle{}):
		b.State = SandboxLost
	default:
		b.State = SandboxNone
	}
}

// roomNeeded puts an idle sandbox away, never one with a turn.
func (m *Machine) roomNeeded() error {
	if b := m.s.Sandbox; m.s.Turn != nil || b.State != SandboxReady || b.Kept {
		return Errorf(Conflict, "This session has no sandbox that is idle.")
	}
	m.putAway(othersWait)
	return nil
}

const othersWait = "others wait for room"

// giveWay ends a session's hold on its sandbox between two turns, so that no queue keeps others waiting for ever. It comes back at the end of
// the line, with its files.
func (m *Machine) giveWay() {
	b := &m.s.Sandbox
	switch {
	case b.State != SandboxReady:
	case b.Kept:
		b.Kept = false // it could not be put away lately; the next turn's end tries again
	case m.terms.Since.IsZero():
		b.Turns = 0
	default:
		b.Turns++
		if len(m.prompts) > 0 && (b.Turns >= turnsInARow || m.at.Sub(m.terms.Since) >= waitPatience) {
			m.putAway(othersWait)
		}
	}
}

// idle puts away what nobody used for a while. One that still boots, though whoever wanted it is gone, may never come to an end by itself.
func (m *Machine) idle() {
	switch b := m.s.Sandbox; b.State {
	case SandboxReady, SandboxBooting:
		m.putAway("idle")
	case SandboxSpawning:
		m.s.IdleAt = m.at.Add(IdleAfter)
	case SandboxNone, SandboxPending, SandboxRunning, SandboxSnapshotting, SandboxStopped, SandboxFailed, SandboxLost:
	}
}

// failAll ends the turn, and with it every prompt that waits: what has just kept a sandbox from starting would meet each of them likewise,
// one boot after another. One message tells all of them.
func (m *Machine) failAll(reason string) {
	if m.s.Turn == nil {
		return
	}
	first := m.s.Turn.PromptID
	for _, p := range slices.Clone(m.prompts) {
		if p.ID == first {
			continue
		}
		m.finish(p, PromptFailed, reason, first)
	}
	m.endTurn(PromptFailed, reason, "")
}

// began notes a start.
func (m *Machine) began() {
	b := &m.s.Sandbox
	b.Began = append(m.recent(), m.at)
	b.Asked, b.Place, b.PutOff, b.Turns, b.Kept = time.Time{}, 0, false, 0, false
}

// recent returns when the sandbox was started within the last hour, in a slice of its own.
func (m *Machine) recent() []time.Time {
	return slices.DeleteFunc(slices.Clone(m.s.Sandbox.Began), func(t time.Time) bool { return m.at.Sub(t) >= startsWithin })
}

// capped says why no sandbox may start now, and when one may again; "" if one may.
func (m *Machine) capped() string {
	again := func(at time.Time) string {
		wait := max(time.Minute, at.Sub(m.at).Round(time.Minute))
		words := fmt.Sprintf("%d minutes", int(wait.Minutes()))
		switch {
		case wait == time.Minute:
			words = "a minute"
		case wait >= time.Hour && wait <= 90*time.Minute:
			words = "an hour"
		case wait > 90*time.Minute:
			words = fmt.Sprintf("%d hours", int(wait.Round(time.Hour).Hours()))
		}
		return fmt.Sprintf(" Please send your message again in %s, after %s.", words, at.UTC().Format("15:04 MST"))
	}
	limit := m.terms.Starts
	if limit == 0 {
		limit = DefaultStarts
	}
	if recent := m.recent(); len(recent) >= limit {
		return fmt.Sprintf("This thread's sandbox was started %d times within an hour, which is the limit.", len(recent)) + again(recent[len(recent)-limit].Add(startsWithin))
	}
	if m.terms.Spent > 0 {
		midnight := m.at.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		return fmt.Sprintf("All sandboxes together have run for %s today, which is the limit.", count(int(m.terms.Spent.Hours()), "hour")) + again(midnight)
	}
	return ""
}

func (m *Machine) startDelayed(in StartDelayed) {
	if !m.spawning(in.Start, in.Effect) {
		return
	}
	m.s.Sandbox.PutOff = true
	if in.Reason != "" {
		m.tell(Event{Kind: KindSandbox, Sandbox: &SandboxChange{State: SandboxSpawning, Name: m.s.Sandbox.Name, Reason: in.Reason}})
	}
	m.leaveLine()
}

func (m *Machine) startTried(in StartTried) {
	if m.spawning(in.Start, in.Effect) {
		m.s.Sandbox.PutOff = false
	}
}

func (m *Machine) spawning(start, effect string) bool {
	b := m.s.Sandbox
	return start == b.Start && b.State == SandboxSpawning && slices.ContainsFunc(m.effects, func(e Effect) bool { return e.ID == effect })
}

// Lived is how long a sandbox lived on a day.
type Lived struct {
	Day string // 2026-11-24, UTC
	For time.Duration
}

// meter notes when the session's sandbox begins to take room, and how long it did when that ends.
func (m *Machine) meter(was Sandbox) {
	b := &m.s.Sandbox
	switch is := b.Occupied(); {
	case is && !was.Occupied():
		b.Since = m.at
	case !is && was.Occupied():
		until := m.at
		if ends := was.Ends; !ends.IsZero() && ends.Before(until) {
			until = ends // it ended while there was no bot to see it
		}
		m.out.Lived = lived(b.Since, until)
		b.Since = time.Time{}
	}
}

// lived splits a span of time into days; of a long one, the last two.
func lived(from, to time.Time) []Lived {
	if from.IsZero() {
		return nil // it lived before this was counted
	}
	var all []Lived
	for day := to.UTC().Truncate(24 * time.Hour); len(all) < 2 && from.Before(to); day = day.Add(-24 * time.Hour) {
		begin := day
		if from.After(begin) {
			begin = from
		}
		all = append(all, Lived{Day: dayOf(begin), For: to.Sub(begin)})
		to = day
	}
	return all
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }
