package session_test

import (
	"slices"
	"testing"
	"time"

	"openinspect/session"
)

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

// A record of before it was known when a sandbox ends, and what is in it, has a new runner in the same one: that lives no longer by it, and its files are kept.
func TestSandboxOfBefore(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	had := session.Handle{Provider: "modal", Name: "n", ID: "h"}
	m := session.NewMachine(session.State{Session: session.Session{ID: "abcdefghij", Sandbox: session.Sandbox{
		State: session.SandboxSpawning, Name: "n", Start: "s", Handle: had, Image: "older", Since: at,
	}}, Effects: []session.Effect{{ID: "e1", Kind: session.EffectStart, Start: "s", Boot: &session.StartRequest{At: at.Add(10 * time.Hour)}}}})
	begun := session.Begun{Handle: had, Start: "s", Mode: session.BootSnapshot, Ends: at.Add(34 * time.Hour)}
	if _, err := m.Step(at.Add(10*time.Hour), session.Started{Effect: "e1", Start: "s", Begun: begun}); err != nil {
		t.Fatal(err)
	}
	if ends := m.State().Session.Sandbox.Ends; !ends.Equal(at.Add(24 * time.Hour)) {
		t.Errorf("it ends at %v", ends)
	}
	ready, err := m.Step(at.Add(11*time.Hour), session.Lost{Start: "s"})
	if err != nil || len(ready.Effects) != 1 || ready.Effects[0].Suspend == nil || ready.Effects[0].Suspend.Same {
		t.Errorf("%+v, %v", ready.Effects, err)
	}
}
