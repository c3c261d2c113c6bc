package github

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	gh "github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestRemarks: what people who may write said is told whole, each once, also when the session could not take it at first; of others there is a number.
func TestRemarks(t *testing.T) {
	w, commit := pulled(t)
	w.server.SetAccess("eve", "acme/web", "read")
	clock := &sessiontest.Clock{}
	w.github.c.Clock = clock
	seen := make(chan session.PullRequestSeen, 10)
	busy := true
	w.github.c.Seen = func(_ context.Context, _ session.ID, in session.PullRequestSeen) error {
		defer func() { seen <- in }()
		if busy {
			return session.ErrBusy
		}
		return nil
	}
	w.github.c.Followed = func(context.Context) ([]session.Followed, error) { return nil, nil }
	_, err := w.review(commit, cyd) // from Slack
	must(t, err)
	must(t, w.server.Review("acme/web", 1, "ada", "REQUEST_CHANGES", "Rename it.", githubtest.LineComment{Path: "cart.go", Line: 3, Body: "Not `fixed`."}))
	must(t, w.server.Comment("acme/web", 1, "ada", "And @eve says so, too."))
	must(t, w.server.Review("acme/web", 1, "eve", "COMMENT", "Buy my coins."))
	must(t, w.server.Comment("acme/web", 1, "eve", "Buy them."))
	watch := newWatch(w.github)
	running(t, watch)
	watch.Follow(session.Followed{Session: id, Repo: web, Number: 1})
	look := func() session.PullRequestSeen {
		t.Helper()
		clock.Wait(1)
		clock.Advance(soonEvery)
		clock.Wait(1)
		select {
		case in := <-seen:
			return in
		default:
			return session.PullRequestSeen{}
		}
	}
	for range 2 { // it is busy the first time
		in := look()
		if len(in.Remarks) != 2 || in.PullRequest.Outside != 2 || len(in.PullRequest.Reviews) != 2 {
			t.Fatalf("%+v", in)
		}
		r, c := in.Remarks[0], in.Remarks[1]
		want := "Rename it.\n\n`cart.go`, line 3:\n```diff\n@@ -1 +1,3 @@\n package cart\n+\n+var fixed = true\n```\nNot `fixed`."
		if r.By != *ada.GitHub || r.State != session.ReviewChanges || r.Text != want || !strings.Contains(r.URL, "#pullrequestreview-") || !strings.HasPrefix(r.ID, "r") {
			t.Errorf("the review is %+v", r)
		}
		if c.By != *ada.GitHub || c.State != "" || c.Text != "And @eve says so, too." || !strings.HasPrefix(c.ID, "c") {
			t.Errorf("the comment is %+v", c)
		}
		busy = false
	}
	if in := look(); in.PullRequest.Number != 0 {
		t.Errorf("told again: %+v", in)
	}
	w.server.Fail("GET /repos/{owner}/{repo}/issues/{number}/comments", 1, false, githubtest.Refusal(403, "Resource not accessible by integration"))
	must(t, w.server.Review("acme/web", 1, "ada", "COMMENT", "Hm."))
	if in := look(); len(in.Remarks) != 1 || in.Remarks[0].Text != "Hm." {
		t.Errorf("without the conversation: %+v", in)
	}
	w.server.SetAccess("eve", "acme/web", "write")
	must(t, w.server.Comment("acme/web", 1, "ada", "One more."))
	if in := look(); len(in.Remarks) != 3 || in.Remarks[0].Text != "Buy my coins." || in.Remarks[2].Text != "One more." || in.PullRequest.Outside != 0 {
		t.Errorf("after eve may write: %+v", in)
	}
}

// TestWhatChecksSay: the words of those that fail, cut, each with its name.
func TestWhatChecksSay(t *testing.T) {
	w, commit := pulled(t)
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "unit", Conclusion: "failure", Title: "2 failed", Summary: strings.Repeat("TestCart ", 5_000)}))
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "build", Conclusion: "success", Summary: "nothing to say"}))
	must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: "lint", State: "error", Description: "cart.go:3"}))
	w.link(ada)
	token, err := w.github.token(t.Context(), "UADA", "")
	must(t, err)
	c, err := w.github.userClient(token)
	must(t, err)
	in, err := w.github.lookAgain(t.Context(), c, web, 1, &session.PullRequest{})
	must(t, err)
	if s := in.Output; !strings.Contains(s, "unit failed. ") || !strings.Contains(s, "\n2 failed\nTestCart TestCart") || !strings.Contains(s, "lint failed. \ncart.go:3") || strings.Contains(s, "nothing to say") || utf8.RuneCountInString(s) > maxSays+500 {
		t.Errorf("they say %d characters: %.300s", len(s), s)
	}
}

// TestLongRemark: of a review that is too long what the lines look like is left out, and then the end, with where it is.
func TestLongRemark(t *testing.T) {
	lines := func(n int, said, hunk string) (all []*gh.PullRequestComment) {
		for range n {
			all = append(all, &gh.PullRequestComment{Path: gh.String("a`<b>.go"), Body: &said, DiffHunk: &hunk, OriginalLine: gh.Int(7), InReplyTo: gh.Int64(1)})
		}
		return all
	}
	short := reviewText("Hm.", lines(1, "no", "@@\n 1\n 2\n 3\n+```\n+5"), "u")
	if short != "Hm.\n\n`a b .go`, line 7, in reply to what was said there:\n````diff\n 2\n 3\n+```\n+5\n````\nno" {
		t.Errorf("%q", short)
	}
	bare := reviewText("", lines(500, "no", strings.Repeat("x", 100)), "u")
	if strings.Contains(bare, "xxx") || strings.Count(bare, "\nno") != 500 {
		t.Errorf("%d: %.200s", len(bare), bare)
	}
	cut := reviewText(strings.Repeat("é", session.MaxRemark), lines(1, "no", ""), "https://u")
	if n := utf8.RuneCountInString(cut); n != session.MaxRemark || !strings.HasSuffix(cut, "é\n\n(It is longer. All of it: https://u)") {
		t.Errorf("%d: %s", n, cut[len(cut)-60:])
	}
}
