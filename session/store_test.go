package session_test

import (
	"testing"

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
