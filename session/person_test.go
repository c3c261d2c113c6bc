package session

import (
	"slices"
	"testing"
)

// Somebody renames themselves between two turns: commits of before, which are not pushed yet, are still by somebody of this session.
func TestIdentitiesKeepOldNames(t *testing.T) {
	ada := Person{Slack: "UADA", Name: "Ada", GitHub: &Identity{ID: 101, Login: "ada"}}
	old, _ := ada.Author()
	ada.Name = "Ada L."
	now, _ := ada.Author()
	m := &Machine{s: Session{Contributors: []Person{ada}, Identities: addAuthor(addAuthor([]Author{old}, now), now)}}
	if got := m.identities(); !slices.Equal(got, []Author{now, old}) {
		t.Errorf("%+v", got)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{"a\nb\tc": "a b c", "<b>": "b", "a\u202egpj.exe": "a gpj.exe", "a\u2029b\u2066": "a b", "Ada\u200dX": "Ada\u200dX", "four more": "fou…"} {
		limit := 20
		if in == "four more" {
			limit = 4
		}
		if got := OneLine(in, limit); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
