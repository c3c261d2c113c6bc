package github

import (
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
)

func TestPaths(t *testing.T) {
	paths, err := ParsePaths([]string{"**/CODEOWNERS", "Infra/", "/deploy/*.yml", "a/**/b/**/c", "*.tf", " spaced.txt "})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		".github/workflows/ci.yml": true, ".github/workflows": true, ".github/workflows2/x": false, "x/.github/workflows/ci.yml": false,
		"codeowners": true, "docs/codeowners": true, "docs/codeowners.md": false,
		"infra": true, "infra/a/b": true, "infrared": false,
		"deploy/a.yml": true, "deploy/a/b.yml": false, "deploy/yml": false,
		"a/b/c": true, "a/x/b/y/z/c": true, "a/b": false, "a/c": false,
		"main.tf": true, "x/main.tf": false, "spaced.txt": true,
	} {
		if got := paths.match(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
	for _, bad := range []string{"", "a//b", "[", "a/[/b", "../x", "!x", "."} {
		if _, err := ParsePaths([]string{bad}); session.CodeOf(err) != session.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// A path is gone through once, however deep it is and however many ** there are.
	deep, err := ParsePaths([]string{strings.Repeat("**/a/", 50) + "b"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	go func() { done <- deep.match(strings.Repeat("a/", maxPath/2)) }()
	select {
	case got := <-done:
		if got {
			t.Error("it matches")
		}
	case <-time.After(time.Minute):
		t.Fatal("a pattern takes for ever")
	}
}

// What has to be named is what no approval has pushed yet: of every new commit, and what a merge brings that none of them shows.
func TestNamed(t *testing.T) {
	w := newWorld(t)
	var err error
	if w.github.paths, err = ParsePaths([]string{"infra/**"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.Commit("acme/web", githubtest.Change{Branch: "old", Message: "Old", Files: map[string]string{"infra/old.tf": "old\n"}}); err != nil {
		t.Fatal(err)
	}
	w.link(bob)
	w.clone()
	pushed := ""
	look := func(want, attention []string) string {
		t.Helper()
		r := w.request()
		r.Pushed = pushed
		c, err := w.github.Collect(t.Context(), r, w.bundler)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Named, want) || !slices.Equal(c.Attention, attention) {
			t.Errorf("named %q, attention %q", c.Named, c.Attention)
		}
		return c.Head
	}
	w.commit(ada, "Infra/Main.tf", "x\n", "a")
	w.commit(ada, ".gitattributes", "x\n", "b")
	w.run("", "git", "rm", "-q", "Infra/Main.tf")
	w.commit(ada, "infra/other.tf", "x\n", "c")
	head := look([]string{"Infra/Main.tf", "infra/other.tf"}, []string{"Infra/Main.tf", "infra/other.tf", ".gitattributes"})
	if _, err := w.github.Open(t.Context(), w.asked(head, bob, nil)); err != nil {
		t.Fatal(err)
	}
	pushed = head
	w.commit(ada, "ordinary.txt", "x\n", "d")
	look(nil, []string{".gitattributes"})
	w.run("", "git", "fetch", "-q", "origin")
	a, _ := ada.Author()
	w.run(w.as(a), "git", "merge", "-q", "-m", "Merge", "origin/old")
	look([]string{"infra/old.tf"}, []string{"infra/old.tf", ".gitattributes"})
	pushed = strings.Repeat("0", 40) // not held: nothing is taken for approved
	look([]string{"infra/old.tf", "infra/other.tf"}, []string{"infra/old.tf", "infra/other.tf", ".gitattributes"})
}
