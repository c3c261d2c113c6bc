package github

import (
	"testing"

	"openinspect/session"
)

func TestTip(t *testing.T) {
	w := newWorld(t)
	branch, commit, err := w.github.Tip(t.Context(), web)
	if err != nil || branch != "main" || len(commit) != 40 {
		t.Errorf("%s at %s, %v", branch, commit, err)
	}
	empty, _ := session.ParseRepo("acme/empty")
	if branch, commit, err := w.github.Tip(t.Context(), empty); err != nil || branch != "main" || commit != "" {
		t.Errorf("of an empty one: %s at %s, %v", branch, commit, err)
	}
	hidden, _ := session.ParseRepo("acme/hidden")
	if _, _, err := w.github.Tip(t.Context(), hidden); session.CodeOf(err) != session.NotFound {
		t.Errorf("of one without the App: %v", err)
	}
}
