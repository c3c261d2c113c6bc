package github

import (
	"testing"

	"openinspect/session"
)

func TestCheckBranch(t *testing.T) {
	w := newWorld(t)
	if err := w.github.CheckBranch(t.Context(), web, "main"); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		repo         string
		branch, want string
	}{
		{"acme/web", "mian", "acme/web has no branch `mian`. Did you mean `main`?"},
		{"acme/web", "production", "acme/web has no branch `production`."},
		{"acme/web", "../../x?y#z", "acme/web has no branch `../../x?y#z`."},
		{"acme/web", "../heads/main", "acme/web has no branch `../heads/main`. Did you mean `main`?"}, // leads to main
		{"acme/empty", "main", "`acme/empty` is empty: it has no branch and no commit yet. Push a first commit to it, then ask again."},
	} {
		repo, _ := session.ParseRepo(c.repo)
		if err := w.github.CheckBranch(t.Context(), repo, c.branch); session.CodeOf(err) != session.NotFound || session.Sentence(err) != c.want {
			t.Errorf("%s: %v; want %q", c.branch, err, c.want)
		}
	}
	hidden, _ := session.ParseRepo("acme/hidden")
	if err := w.github.CheckBranch(t.Context(), hidden, "main"); err == nil {
		t.Error("a repository without the App has branches")
	}
}
