package github

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"openinspect/github/githubtest"
	"openinspect/session"
)

const routeChecks = "GET /repos/{owner}/{repo}/commits/{ref...}"

// TestChecksAreWhole: the 101st status counts as the first does, and of checks that the App may not all see nobody says that they are green.
func TestChecksAreWhole(t *testing.T) {
	w, commit := pulled(t)
	_, err := w.review(commit, cyd)
	must(t, err)
	for i := range 101 {
		state := "success"
		if i == 100 {
			state = "failure"
		}
		must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: fmt.Sprintf("status %03d", i), State: state}))
	}
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "It cannot be merged while checks fail: `status 100`.")
	must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: "status 100", State: "success"}))
	w.server.Fail(routeChecks, 1, false, githubtest.Refusal(http.StatusForbidden, "Resource not accessible by integration"))
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "The bot may not see this repository's checks, so it does not merge.")
	_, err = w.merge(commit, bob)
	must(t, err)
}

// TestNextPage: what comes after a full page is read, also where that page is as it was and so its tag.
func TestNextPage(t *testing.T) {
	w, _ := pulled(t)
	token, revoke, err := w.github.mint(t.Context(), web, readPulls(), w.github.c.Clock.Now())
	must(t, err)
	defer revoke()
	cache := &conditional{next: http.DefaultTransport, known: map[string]remembered{}}
	c, err := w.github.client(cache, token)
	must(t, err)
	last := func() string {
		t.Helper()
		in, err := w.github.lookAgain(t.Context(), c, web, 1, &session.PullRequest{})
		must(t, err)
		return fmt.Sprintf("%d reviews, %d remarks, the last %q", len(in.PullRequest.Reviews), len(in.Remarks), in.Remarks[len(in.Remarks)-1].Text)
	}
	for i := range 100 {
		must(t, w.server.Comment("acme/web", 1, "ada", fmt.Sprint("comment ", i)))
	}
	if got := last(); got != `0 reviews, 100 remarks, the last "comment 99"` {
		t.Error(got)
	}
	must(t, w.server.Comment("acme/web", 1, "ada", "one more"))
	if got := last(); got != `0 reviews, 101 remarks, the last "one more"` {
		t.Error(got)
	}
}

// TestRememberedIsBounded: however many commits a branch is moved to, and however much runs on them, what is kept of a pull request has an end.
func TestRememberedIsBounded(t *testing.T) {
	g := &answers{tag: `"1"`, body: strings.Repeat("x", maxRemembered-1), left: "5000"}
	c := &conditional{next: g, known: map[string]remembered{}}
	for i := range 10 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://github.test/commits/%d", i/2), nil)
		must(t, err)
		resp, err := c.RoundTrip(r)
		must(t, err)
		resp.Body.Close()
		size := 0
		for _, k := range c.known {
			size += len(k.body)
		}
		if size > maxRememberedAll || size != c.size || len(c.known) == 0 {
			t.Fatalf("%d bytes of %d addresses are kept, and %d counted", size, len(c.known), c.size)
		}
	}
}

// TestOtherBases: a pull request that somebody opened from the branch to another base is not the one that a card opens.
func TestOtherBases(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	must(t, w.server.CreateBranch("acme/web", "release", "main", "ada"))
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := w.collect()
	must(t, err)
	w.server.Fail(routeCreate, 1, false, githubtest.Busy(502)) // pushed, and not opened
	_, err = w.open(c.Head, bob)
	refusedWith(t, err, session.Unavailable, "it answered 502")
	must(t, w.server.OpenPull("acme/web", "ada", w.branch, "release", "Into the release"))
	pr, err := w.open(c.Head, bob)
	must(t, err)
	if pr.Number != 2 || pr.Adopted || pr.Author != *bob.GitHub || w.server.Pulls("acme/web")[1].Base != "main" {
		t.Errorf("%+v", pr)
	}
}

// TestMergeByReaders: GitHub does not tell readers who may push; it is not what keeps them from merging.
func TestMergeByReaders(t *testing.T) {
	w, commit := pulled(t)
	_, err := w.review(commit, cyd)
	must(t, err)
	w.server.SetAccess("bob", "acme/web", "read")
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Forbidden, "Your GitHub account bob may not merge in acme/web. Ask for write access to it, or somebody who has it.")
	if admin, err := w.github.Admin(t.Context(), bob, web); err != nil || admin {
		t.Errorf("a reader is an administrator: %v, %v", admin, err)
	}
}
