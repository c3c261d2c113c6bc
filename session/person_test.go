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
