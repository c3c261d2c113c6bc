package github

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestWatch: what happens to a pull request on GitHub is told once, soon after somebody acted from Slack, then every minute, until it is over.
func TestWatch(t *testing.T) {
	w, commit := pulled(t)
	clock := &sessiontest.Clock{}
	w.github.c.Clock = clock
	seen := make(chan session.PullRequestSeen, 10)
	var busy atomic.Bool
	w.github.c.Seen = func(_ context.Context, _ session.ID, in session.PullRequestSeen) error {
		defer func() { seen <- in }()
		if busy.Load() {
			return session.ErrBusy
		}
		return nil
	}
	w.github.c.Report = func(_ string, err error) {
		if !strings.Contains(err.Error(), "502") {
			t.Error(err)
		}
	}
	w.github.c.Followed = func(context.Context) ([]session.Followed, error) { return nil, nil }
	watch := newWatch(w.github)
	running(t, watch)
	watch.Follow(session.Followed{Session: id, Repo: web, Number: 1})
	after := func(d time.Duration) {
		t.Helper()
		clock.Wait(1)
		clock.Advance(d)
	}
	after(soonEvery)
	if pr := (<-seen).PullRequest; pr.Head != commit || pr.State != session.PullOpen || pr.Checks.State != session.ChecksNone {
		t.Errorf("seen at first: %+v", pr)
	}
	clock.Wait(1)
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "test", Status: "completed", Conclusion: "failure"}))
	after(soonEvery)
	if pr := (<-seen).PullRequest; pr.Checks.State != session.ChecksFailed {
		t.Errorf("seen after a check failed: %+v", pr)
	}
	for range 30 { // nothing is new
		after(soonEvery)
	}
	clock.Wait(1) // else a look that is under way may see it
	busy.Store(true)
	must(t, w.server.Review("acme/web", 1, "cyd", "APPROVE", ""))
	after(usualEvery)
	if pr := (<-seen).PullRequest; len(pr.Reviews) != 1 || !pr.Reviews[0].Writes {
		t.Errorf("seen after a review: %+v", pr)
	}
	busy.Store(false)
	after(usualEvery)
	<-seen // told again, because it was refused
	clock.Wait(1)
	w.server.Fail(routePull, 1, false, githubtest.Busy(502))
	must(t, w.server.Merge("acme/web", 1, "cyd", ""))
	after(usualEvery)
	after(troubledFor)
	if pr := (<-seen).PullRequest; pr.State != session.PullMerged || pr.MergedBy.Login != "cyd" {
		t.Errorf("seen after the merge: %+v", pr)
	}
	calls := w.server.Calls()[routePull]
	clock.Advance(time.Hour)
	if n := w.server.Calls()[routePull]; n != calls || len(seen) != 0 {
		t.Errorf("it is looked at after its end: %d calls more, %d told", n-calls, len(seen))
	}
}

// TestWatchIsCheap: an hour of following many pull requests, in which nothing happens but to a few of them, though others push to their repository, costs
// few of the requests that GitHub counts: of 200, at most 1,000. First reads, and those after the token's hour, are not among them.
func TestWatchIsCheap(t *testing.T) {
	many := 12
	if os.Getenv("TEST_LONG") != "" {
		many = 200
	}
	clock := &sessiontest.Clock{}
	w := newWorld(t, func(c *githubtest.Config) { c.Now = clock.Now })
	w.github.c.Clock = clock
	var all []session.Followed
	for i := range many {
		branch := fmt.Sprintf("inspect/session%03d-x", i)
		if _, err := w.server.Commit("acme/web", githubtest.Change{Branch: branch, Message: "x", Files: map[string]string{fmt.Sprintf("f%d", i): "x"}}); err != nil {
			t.Fatal(err)
		}
		must(t, w.server.OpenPull("acme/web", "ada", branch, "main", "x"))
		all = append(all, session.Followed{Session: session.ID(fmt.Sprintf("session%03d", i)), Repo: web, Number: i + 1})
	}
	var mu sync.Mutex
	told := map[session.ID]int{}
	w.github.c.Seen = func(_ context.Context, id session.ID, _ session.PullRequestSeen) error {
		mu.Lock()
		defer mu.Unlock()
		told[id]++
		return nil
	}
	asked := 0
	w.github.c.Followed = func(context.Context) ([]session.Followed, error) {
		if asked++; asked == 1 {
			return nil, session.Errorf(session.Unavailable, "the disk refuses")
		}
		return all, nil
	}
	w.github.c.Report = func(string, error) {}
	watch := newWatch(w.github)
	running(t, watch)
	paid := func() (n int) {
		for who, u := range w.server.Usage() {
			if strings.HasPrefix(who, "installation") {
				n += u.Paid
			}
		}
		return n
	}
	clock.Wait(1)
	clock.Advance(troubledFor)
	for range 70 {
		clock.Wait(1)
		clock.Advance(time.Second)
	}
	clock.Wait(1)
	first := paid()
	for minute := range 57 {
		if minute%5 == 0 { // others work there, too, which changes the tag of every pull request of the repository
			_, err := w.server.Commit("acme/web", githubtest.Change{Message: "busy", Files: map[string]string{"busy": fmt.Sprint(minute)}})
			must(t, err)
		}
		if minute == 30 {
			must(t, w.server.Review("acme/web", 1, "bob", "APPROVE", ""))
		}
		for range 60 {
			clock.Wait(1)
			clock.Advance(time.Second)
		}
	}
	clock.Wait(1)
	mu.Lock()
	defer mu.Unlock()
	if told["session000"] != 2 || told["session001"] != 1 {
		t.Errorf("told %d and %d times, want 2 and 1", told["session000"], told["session001"])
	}
	t.Logf("an hour of %d pull requests cost %d requests, and the first reads %d", many, paid()-first, first)
	if cost := paid() - first; first == 0 || cost > 5*many {
		t.Errorf("an hour of %d pull requests cost %d requests, want at most %d; the first reads cost %d", many, cost, 5*many, first)
	}
}

// TestWatchLooksFirstWhereSomebodyWaits: with many pull requests due, the one that somebody just did something to from Slack is not last.
func TestWatchLooksFirstWhereSomebodyWaits(t *testing.T) {
	clock := &sessiontest.Clock{}
	g := &GitHub{c: Config{Clock: clock}}
	w := newWatch(g)
	for i := range 50 {
		f := session.Followed{Session: session.ID(fmt.Sprint(i)), Repo: web, Number: i + 1}
		w.pulls[f.Session] = &watched{Followed: f, next: clock.Now()}
	}
	w.Follow(session.Followed{Session: id, Repo: web, Number: 100})
	if p, wait, _ := w.first(); p.Session == id || wait > 0 {
		t.Errorf("first is %s, in %v: it is not due yet", p.Session, wait)
	}
	clock.Advance(soonEvery)
	if p, _, _ := w.first(); p.Session != id {
		t.Errorf("first is %s", p.Session)
	}
	clock.Advance(soonFor)
	if p, _, _ := w.first(); p.Session == id {
		t.Error("what was done a while ago still goes before others")
	}
}

// running follows pull requests until the test ends.
func running(t *testing.T, w *watch) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
}
