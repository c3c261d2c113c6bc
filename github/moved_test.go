package github

import (
	"context"
	"strings"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestRenamed: what a session does goes on under the name that its repository has now, and it is told that name.
func TestRenamed(t *testing.T) {
	w, commit := pulled(t)
	must(t, w.server.Rename("acme/web", "acme/shop"))
	w.commit(ada, "more.go", "package cart\n", "More")
	c, err := w.collect()
	must(t, err)
	if c.Repo != (session.Repo{Owner: "acme", Name: "shop"}) || c.Commits != 1 && c.Commits != 2 {
		t.Errorf("collected %+v", c)
	}
	if url := w.github.CloneURL(web); !strings.HasSuffix(url, "/acme/shop.git") {
		t.Errorf("it is cloned from %s", url)
	}
	if _, _, _, err := w.github.Clone(t.Context(), web); err != nil {
		t.Error(err)
	}
	pr, err := w.open(c.Head, bob)
	must(t, err)
	if pr.Number != 1 || w.server.Pulls("acme/shop")[0].HeadSHA != c.Head || c.Head == commit {
		t.Errorf("opened %+v", pr)
	}
	_, err = w.review(c.Head, cyd)
	must(t, err)
	_, err = w.merge(c.Head, cyd)
	must(t, err)
}

// TestTransferred: what was opened is found again when the repository has another owner by then.
func TestTransferred(t *testing.T) {
	w, commit := pulled(t)
	w.server.AddUser(githubtest.User{Login: "umbrella"})
	must(t, w.server.Rename("acme/web", "umbrella/web"))
	pr, err := w.open(commit, bob) // a crash before the first was recorded
	must(t, err)
	if pr.Number != 1 || pr.Adopted || len(w.server.Pulls("umbrella/web")) != 1 {
		t.Errorf("opened %+v", pr)
	}
}

// TestRenamedBeforeAPush: also where only git finds it out.
func TestRenamedBeforeAPush(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := w.collect()
	must(t, err)
	must(t, w.server.Rename("acme/web", "acme/shop"))
	if _, err := w.open(c.Head, bob); err != nil {
		t.Fatal(err)
	}
	if n := len(w.server.Pulls("acme/shop")); n != 1 {
		t.Errorf("%d pull requests", n)
	}
}

// TestLost: a session is told, once, that GitHub does not show its pull request any more, and all of it when it is back, under the name that it has then.
func TestLost(t *testing.T) {
	w, commit := pulled(t)
	clock := &sessiontest.Clock{}
	w.github.c.Clock = clock
	w.github.c.Report = func(string, error) {}
	seen := make(chan session.PullRequest, 10)
	w.github.c.Seen = func(_ context.Context, _ session.ID, in session.PullRequestSeen) error {
		seen <- in.PullRequest
		return nil
	}
	w.github.c.Followed = func(context.Context) ([]session.Followed, error) { return nil, nil }
	watch := newWatch(w.github)
	running(t, watch)
	watch.Follow(session.Followed{Session: id, Repo: web, Number: 1})
	after := func(d time.Duration) {
		t.Helper()
		clock.Wait(1)
		clock.Advance(d)
		clock.Wait(1)
	}
	after(soonEvery)
	if pr := <-seen; pr.Repo != web {
		t.Errorf("at first %+v", pr)
	}
	must(t, w.server.SetInstalled("acme/web", false))
	after(soonEvery)
	if pr := <-seen; pr.Number != 1 || !strings.Contains(pr.Lost, "the GitHub App taken off it") {
		t.Errorf("after it was taken off: %+v", pr)
	}
	after(troubledFor)
	after(troubledFor)
	if len(seen) != 0 {
		t.Errorf("told again: %+v", <-seen)
	}
	must(t, w.server.SetInstalled("acme/web", true))
	must(t, w.server.Rename("acme/web", "acme/shop"))
	after(troubledFor)
	if pr := <-seen; pr.Lost != "" || pr.Repo.Name != "shop" || pr.Head != commit {
		t.Errorf("after it was back: %+v", pr)
	}
	clock.Wait(1)
	if p := watch.pulls[id]; !readHook("status", []byte(`{"repository":{"full_name":"acme/shop"},"sha":"`+commit+`"}`)).of(p) {
		t.Errorf("a webhook under the new name is not about %+v", p.Followed)
	}
	after(usualEvery)
	if n := w.server.Calls()["GET /repos/{owner}/{repo}/pulls/{number}"]; n == 0 || len(seen) != 0 {
		t.Errorf("%d calls, told %d times", n, len(seen))
	}
}

// TestEmpty: an empty repository is said to be empty.
func TestEmpty(t *testing.T) {
	w := newWorld(t)
	empty := session.Repo{Owner: "acme", Name: "empty"}
	info, err := w.github.Repository(t.Context(), empty)
	if err != nil || !info.Bare {
		t.Errorf("%+v %v", info, err)
	}
	if info, err := w.github.Repository(t.Context(), web); err != nil || info.Bare {
		t.Errorf("%+v %v", info, err)
	}
	refusedWith(t, w.github.CheckBranch(t.Context(), empty, "main"), session.NotFound, "`acme/empty` is empty: it has no branch and no commit yet. Push a first commit")
	_, err = w.github.Collect(t.Context(), session.CollectRequest{Session: id, Repo: empty, Base: "main"}, nil)
	refusedWith(t, err, session.Conflict, "`acme/empty` is empty")
}
