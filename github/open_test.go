package github

import (
	"context"
	"strings"
	"testing"

	"openinspect/session"
)

// asked is what open asks for, changed.
func (w *world) asked(commit string, by session.Person, change func(*session.OpenRequest)) session.OpenRequest {
	r := session.OpenRequest{
		Session: id, Approval: "a1", Card: "c1", Repo: web, Base: "main", Branch: w.branch, Commit: commit,
		Title: "Fix the cart", Body: "It was broken. cc @everyone", By: by, Asked: []session.Asking{{By: ada, Text: "fix the cart"}}, Contributors: []session.Person{ada},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func (w *world) open(commit string, by session.Person) (session.PullRequest, error) {
	return w.github.Open(context.Background(), w.asked(commit, by, nil))
}

// A draft is opened as one, with what the agent says it ran; where the repository's plan has none it is opened for review.
func TestDraft(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	for n, drafts := range []bool{true, false} {
		if err := w.server.SetDrafts("acme/web", drafts); err != nil {
			t.Fatal(err)
		}
		w.branch = []string{"inspect/abcdefghij-draft", "inspect/abcdefghij-none"}[n]
		r := w.asked(c.Head, bob, func(r *session.OpenRequest) { r.Draft, r.Tests = true, "go test ./...: ok, says @ada" })
		for range 2 {
			pr, err := w.github.Open(t.Context(), r)
			if err != nil || pr.Draft != drafts || pr.Adopted {
				t.Errorf("drafts %t: %+v %v", drafts, pr, err)
			}
		}
		pull := w.server.Pulls("acme/web")[n]
		if pull.Draft != drafts || !strings.Contains(pull.Body, "### Tests, as reported by the agent\n\ngo test ./...: ok, says @\u200bada\n") {
			t.Errorf("%+v", pull)
		}
	}
}
