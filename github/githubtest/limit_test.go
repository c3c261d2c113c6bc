package githubtest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

// asks reads a path with conditions.
func (w *world) asks(c *github.Client, path string, conditions ...string) *http.Response {
	w.t.Helper()
	req := must(c.NewRequest("GET", path, nil))
	for i := 0; i < len(conditions); i += 2 {
		req.Header.Set(conditions[i], conditions[i+1])
	}
	resp, err := c.Do(w.t.Context(), req, nil)
	if resp == nil {
		w.t.Fatal(err)
	}
	return resp.Response
}

func TestLastModified(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	w.open(w.as("ada"), "topic")
	const pull, since = "repos/acme/web/pulls/1", "If-Modified-Since"
	token := func() *github.Client {
		return w.with(w.scoped(github.InstallationPermissions{PullRequests: github.String("read")}))
	}
	c := token()
	first := w.asks(c, pull)
	at, tag := first.Header.Get("Last-Modified"), first.Header.Get("ETag")
	equal(t, "last modified", at, w.Pulls(web)[0].Updated.Format(http.TimeFormat))
	equal(t, "unchanged", w.asks(c, pull, since, at).StatusCode, 304)
	equal(t, "unchanged, with another token", w.asks(token(), pull, since, at).StatusCode, 304)
	equal(t, "changed since", w.asks(c, pull, since, w.clock.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)).StatusCode, 200)
	equal(t, "no date", w.asks(c, pull, since, "yesterday").StatusCode, 200)

	w.clock.advance(time.Minute)
	must(w.Commit(web, githubtest.Change{Files: map[string]string{"base": "b\n"}})) // the base moved, which is not the pull request's doing
	equal(t, "by the date", w.asks(c, pull, since, at).StatusCode, 304)
	equal(t, "by the tag", w.asks(c, pull, "If-None-Match", tag).StatusCode, 200)
	equal(t, "by both", w.asks(c, pull, "If-None-Match", tag, since, at).StatusCode, 200)
	for what, change := range map[string]func(){
		"reviewed":  func() { w.done(w.Review(web, 1, "bob", "APPROVE", "")) },
		"commented": func() { w.done(w.Comment(web, 1, "bob", "x")) },
		"pushed":    func() { must(w.Push(web, 1, "bob", map[string]string{"x": "x\n"})) },
		"closed":    func() { w.done(w.ClosePull(web, 1, "bob")); w.done(w.ReopenPull(web, 1, "bob")) },
	} {
		at = w.asks(c, pull).Header.Get("Last-Modified")
		w.clock.advance(time.Minute)
		change()
		equal(t, what, w.asks(c, pull, since, at).StatusCode, 200)
	}
	list := w.asks(c, "repos/acme/web/pulls/1/reviews")
	equal(t, "last modified of a list", list.Header.Get("Last-Modified"), "")
	equal(t, "a list since", w.asks(c, "repos/acme/web/pulls/1/reviews", since, at).StatusCode, 200)

	none := newWorld(t, func(cfg *githubtest.Config) { cfg.NoLastModified = true })
	none.branch("topic")
	none.open(none.as("ada"), "topic")
	equal(t, "last modified", none.asks(none.as("ada"), pull).Header.Get("Last-Modified"), "")
	equal(t, "since", none.asks(none.as("ada"), pull, since, at).StatusCode, 200)
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	ada := w.with(must(w.Authorize("ada")).AccessToken)
	w.open(ada, "topic")
	const pull, reviews = "repos/acme/web/pulls/1", "repos/acme/web/pulls/1/reviews"
	value := w.scoped(github.InstallationPermissions{PullRequests: github.String("read")})
	c := w.with(value)
	tag := w.asks(c, reviews).Header.Get("ETag")
	at := w.asks(c, pull).Header.Get("Last-Modified")
	before := w.Usage()["installation acme"]
	equal(t, "first reads", before, githubtest.Usage{Paid: 2, First: 2, Peak: 2})
	for range 10 {
		equal(t, "status", w.asks(c, reviews, "If-None-Match", tag).StatusCode, 304)
	}
	w.clock.advance(time.Minute)
	w.done(w.Review(web, 1, "bob", "APPROVE", ""))
	equal(t, "status", w.asks(c, reviews, "If-None-Match", tag).StatusCode, 200)
	equal(t, "status", w.asks(c, "repos/acme/web/pulls/2").StatusCode, 404)
	equal(t, "used", w.Usage()["installation acme"], githubtest.Usage{Paid: 4, First: 3, Free: 10, Peak: 12})

	w.clock.advance(time.Hour)
	equal(t, "status of a token an hour old", w.asks(c, pull).StatusCode, 401)
	c = w.with(w.scoped(github.InstallationPermissions{PullRequests: github.String("read")}))
	equal(t, "by the date, with a new token", w.asks(c, pull, "If-Modified-Since", at).StatusCode, 200) // it was reviewed
	equal(t, "by the tag, with a new token", w.asks(c, reviews, "If-None-Match", tag).StatusCode, 200)
	equal(t, "used", w.Usage()["installation acme"], githubtest.Usage{Paid: 6, First: 5, Free: 10, Peak: 12})
	equal(t, "ada's", w.Usage()["user ada"], githubtest.Usage{Paid: 1, Peak: 5})
	if app := w.Usage()["app"]; app.Paid < 3 || app.First == 0 || app.First == app.Paid {
		t.Errorf("the app used %+v, want two tokens that were minted beside what was looked up", app)
	}
	for range 2 {
		equal(t, "status", w.asks(c, "rate_limit").StatusCode, 200)
	}
	equal(t, "used by asking for the limit", w.Usage()["installation acme"].Paid, 6)
}
