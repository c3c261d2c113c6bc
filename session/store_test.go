package session_test

import (
	"slices"
	"testing"
	"time"

	"openinspect/session"
)

// A sandbox is a session's as long as it has it, or asks for one. Its name alone, of one that did not start or has ended, keeps nothing alive.
func TestHolds(t *testing.T) {
	const name, other = "inspect-abcdefghij-2", "inspect-abcdefghij-1"
	had := session.Sandbox{Name: name, Image: "image", From: "from", Handle: session.Handle{Provider: "modal", Name: name, ID: "h2"}}
	for _, c := range []struct {
		what    string
		sandbox session.Sandbox
		effect  session.EffectKind
		holds   []string
		not     []string
	}{
		{what: "it has one", sandbox: had, holds: []string{name, "image", "from"}, not: []string{other}},
		{what: "one that was asked for", sandbox: session.Sandbox{Name: name, State: session.SandboxSpawning}, effect: session.EffectStart, holds: []string{name, other}},
		{what: "one that did not start", sandbox: session.Sandbox{Name: name, State: session.SandboxFailed}, not: []string{name, other}},
		{what: "one that was put away", sandbox: session.Sandbox{Name: name, State: session.SandboxStopped, Image: "image"}, holds: []string{"image"}, not: []string{name}},
		{what: "one that is being put away", sandbox: had, effect: session.EffectSuspend, holds: []string{name, "another image"}},
		{what: "an image that is being made", sandbox: had, effect: session.EffectSnapshot, holds: []string{"another image"}},
	} {
		st := session.State{Session: session.Session{ID: "abcdefghij", Sandbox: c.sandbox}}
		if c.effect != "" {
			st.Effects = []session.Effect{{ID: "e1", Kind: c.effect}}
		}
		for _, n := range c.holds {
			if !st.Holds(n) {
				t.Errorf("%s: %s is nobody's", c.what, n)
			}
		}
		for _, n := range c.not {
			if st.Holds(n) {
				t.Errorf("%s: %s is held", c.what, n)
			}
		}
	}
}

// A sandbox that its provider ended while there was no bot has not lived since then.
func TestLivedWithoutABot(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	want := []session.Lived{{Day: "2026-11-24", For: 3 * time.Hour}}
	spare := session.NewSpare(session.SpareWarm, session.BootFresh, session.Repo{Owner: "acme", Name: "web"}, "main", at)
	spare.Ends = at.Add(3 * time.Hour)
	if got := spare.Lived(at.Add(40 * time.Hour)); !slices.Equal(got, want) {
		t.Errorf("a spare one lived %v", got)
	}
	m := session.NewMachine(session.State{Session: session.Session{ID: "abcdefghij", Sandbox: session.Sandbox{
		State: session.SandboxReady, Name: "n", Start: "s", Handle: session.Handle{Provider: "modal", Name: "n", ID: "h"}, Image: "i", Since: at, Ends: spare.Ends,
	}}})
	var lived []session.Lived
	for _, in := range []session.Input{session.Lost{Start: "s"}, session.Suspended{Effect: "e1"}} {
		ready, err := m.Step(at.Add(40*time.Hour), in)
		if err != nil {
			t.Fatal(err)
		}
		lived = append(lived, ready.Lived...)
	}
	if !slices.Equal(lived, want) {
		t.Errorf("a session's lived %v", lived)
	}
}
