package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/session"
)

var cyd = session.Person{Slack: "UCYD", Name: "Cyd", GitHub: &session.Identity{ID: 104, Login: "cyd"}}

const (
	routePull    = "GET /repos/{owner}/{repo}/pulls/{number}"
	routeReview  = "POST /repos/{owner}/{repo}/pulls/{number}/reviews"
	routeReviews = "GET /repos/{owner}/{repo}/pulls/{number}/reviews"
	routeMerge   = "PUT /repos/{owner}/{repo}/pulls/{number}/merge"
)

// pulled is a world in which Bob opened #1 of Ada's commit, and Bob and Cyd are linked.
func pulled(t *testing.T) (w *world, commit string) {
	t.Helper()
	w = newWorld(t)
	w.link(bob)
	w.link(cyd)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(c.Head, bob); err != nil {
		t.Fatal(err)
	}
	return w, c.Head
}

func (w *world) review(commit string, by session.Person) (session.Review, error) {
	return w.github.Review(context.Background(), session.ReviewRequest{Session: id, Approval: "a2", Repo: web, Number: 1, Commit: commit, By: by, Audit: auditHead})
}

// auditHead is what the audit log had come to.
var auditHead = session.AuditHead{N: 412, MAC: strings.Repeat("3f9a", 16)}

func (w *world) merge(commit string, by session.Person) (string, error) {
	return w.github.Merge(context.Background(), session.MergeRequest{
		Session: id, Approval: "a3", Repo: web, Number: 1, Commit: commit, Base: "main", By: by, Quorum: 1, Contributors: []session.Person{ada, bob}, Known: []session.Person{ada, bob, cyd},
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refusedWith checks an error's code and its sentence.
func refusedWith(t *testing.T, err error, code session.Code, words string) {
	t.Helper()
	if session.CodeOf(err) != code || !strings.Contains(session.Sentence(err), words) {
		t.Errorf("got %s: %q, want %s: %q", session.CodeOf(err), session.Sentence(err), code, words)
	}
}

func TestReviewAndMerge(t *testing.T) {
	w, commit := pulled(t)
	var ids []int64
	for range 2 { // the second time is a crash before the first was recorded
		v, err := w.review(commit, cyd)
		must(t, err)
		ids = append(ids, v.ID)
		if v != (session.Review{ID: v.ID, By: *cyd.GitHub, State: session.ReviewApproved, Commit: commit, Writes: true}) {
			t.Errorf("the review is %+v", v)
		}
	}
	token, err := w.github.token(t.Context(), "UCYD", "")
	must(t, err)
	c, err := w.github.userClient(token)
	must(t, err)
	seen, err := w.github.look(t.Context(), c, web, 1)
	must(t, err)
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == 0 || len(seen.Reviews) != 1 || seen.Reviews[0].ID != ids[0] {
		t.Errorf("the review's id is %v, and is seen in %+v", ids, seen.Reviews)
	}
	reviews := w.server.Pulls("acme/web")[0].Reviews
	if len(reviews) != 1 || reviews[0].Author != "cyd" || reviews[0].State != "APPROVED" || reviews[0].Commit != commit || !strings.Contains(reviews[0].Body, "Approved by Cyd (@cyd) from Slack.\n\nInspect-Session: abcdefghij\nInspect-Audit: "+auditHead.String()) {
		t.Fatalf("recorded is %+v", reviews)
	}
	must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: "test", Status: "completed", Conclusion: "success"}))
	must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: "lint", State: "pending"}))
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "1 of 2 checks are still running")
	must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: "lint", State: "failure"}))
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "while checks fail: `lint`")
	must(t, w.server.SetStatus("acme/web", commit, githubtest.Status{Context: "lint", State: "success"}))
	must(t, w.server.Review("acme/web", 1, "ada", "REQUEST_CHANGES", "no"))
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "ada asks for changes")
	must(t, w.server.Dismiss("acme/web", 1, "bob", "ada"))

	w.server.Fail(routeMerge, 1, true, cut()) // merged, and the answer is lost
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Unavailable, "")
	merged, err := w.merge(commit, bob)
	must(t, err)
	pull := w.server.Pulls("acme/web")[0]
	if !pull.Merged || pull.MergedBy != "bob" || merged == "" || w.server.CommitSHA("acme/web", "main") != merged {
		t.Errorf("merged as %s: %+v", merged, pull)
	}
	if n := w.server.Calls()[routeMerge]; n != 1 {
		t.Errorf("%d calls to merge, want 1", n)
	}
}

func TestReviewRefused(t *testing.T) {
	answers := func(route string, r *githubtest.Response) func(*world) {
		return func(w *world) { w.server.Fail(route, 1, false, r) }
	}
	for _, tt := range []struct {
		name  string
		by    session.Person
		do    func(w *world)
		code  session.Code
		words string
	}{
		{"own", bob, nil, session.Forbidden, "You opened #1, and GitHub lets nobody approve their own"},
		{"own, by GitHub", cyd, answers(routeReview, githubtest.Refusal(422, "Unprocessable Entity", "Can not approve your own pull request")), session.Forbidden, "You opened #1"},
		{"begun there", cyd, answers(routeReview, githubtest.Refusal(422, "Unprocessable Entity", "User can only have one pending review per pull request")), session.Conflict, "You have begun a review of #1 on GitHub"},
		{"locked, for a reader", cyd, answers(routeReview, githubtest.Refusal(403, "Unable to create comment because issue is locked.")), session.Forbidden, "The conversation of #1 is locked on GitHub, and your account cyd has no write access to acme/web, so you cannot review it. Somebody who has can, or unlock it."},
		{"repository gone", cyd, func(w *world) { w.server.SetAccess("cyd", "*", "none") }, session.NotFound, "Your GitHub account cyd cannot see acme/web. Ask for access to it, then react again."},
		{"single sign-on", cyd, answers(routeRepo, githubtest.SSO("acme")), session.Forbidden, "sign in to acme first"},
		{"app may not", cyd, answers(routeReview, githubtest.Refusal(403, "Resource not accessible by integration")), session.Forbidden, "The GitHub App may not review pull requests"},
		{"blocked", cyd, answers(routePull, githubtest.Refusal(403, "Repository access blocked")), session.Forbidden, "GitHub has blocked `acme/web`"},
		{"is blocked themselves", cyd, answers(routeReview, githubtest.Refusal(403, "User is blocked")), session.Forbidden, "GitHub refused: User is blocked."},
		{"does not work", cyd, answers(routeReview, githubtest.Busy(502)), session.Unavailable, "it answered 502"},
		{"unlinked", session.Person{Slack: "UDAN", Name: "Dan"}, nil, session.Forbidden, "not linked any more"},
		{"another account", session.Person{Slack: "UCYD", Name: "Cyd", GitHub: &session.Identity{ID: 999, Login: "old"}}, nil, session.Conflict, "linked another GitHub account"},
		{"revoked", cyd, func(w *world) { w.server.RevokeAuthorization("cyd") }, session.Forbidden, "not linked any more"},
		{"draft", cyd, func(w *world) { must(w.t.(*testing.T), w.server.SetDraft("acme/web", 1, "bob", true)) }, session.Conflict, "#1 is a draft"},
		{"closed", cyd, func(w *world) { must(w.t.(*testing.T), w.server.ClosePull("acme/web", 1, "bob")) }, session.Conflict, "#1 is closed"},
		{"merged", cyd, func(w *world) { must(w.t.(*testing.T), w.server.Merge("acme/web", 1, "bob", "")) }, session.Conflict, "#1 is merged already"},
		{"moved", cyd, func(w *world) {
			_, err := w.server.Push("acme/web", 1, "bob", map[string]string{"b.txt": "b"})
			must(w.t.(*testing.T), err)
		}, session.Conflict, "Somebody pushed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, commit := pulled(t)
			if tt.do != nil {
				tt.do(w)
			}
			_, err := w.review(commit, tt.by)
			refusedWith(t, err, tt.code, tt.words)
			if n := len(w.server.Pulls("acme/web")[0].Reviews); n != 0 {
				t.Errorf("%d reviews", n)
			}
		})
	}
}

// TestReviewFoundAgain: what was approved stays so, also where the answer was lost and the branch has moved since.
func TestReviewFoundAgain(t *testing.T) {
	w, commit := pulled(t)
	w.server.Fail(routeReview, 1, true, cut())
	_, err := w.review(commit, cyd)
	refusedWith(t, err, session.Unavailable, "")
	_, err = w.server.Push("acme/web", 1, "bob", map[string]string{"b.txt": "b"})
	must(t, err)
	v, err := w.review(commit, cyd)
	if err != nil || v.Commit != commit {
		t.Errorf("the review is %+v, %v", v, err)
	}
	if n := len(w.server.Pulls("acme/web")[0].Reviews); n != 1 {
		t.Errorf("%d reviews", n)
	}
}

// TestReviewWithoutWriteAccess: GitHub takes it; it does not count.
func TestReviewWithoutWriteAccess(t *testing.T) {
	w, commit := pulled(t)
	w.server.SetAccess("cyd", "acme/web", "read")
	v, err := w.review(commit, cyd)
	if err != nil || v.Writes {
		t.Errorf("the review is %+v, %v", v, err)
	}
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "It needs one approving review")
	must(t, w.server.Review("acme/web", 1, "ada", "APPROVE", "")) // who contributed
	_, err = w.merge(commit, bob)
	refusedWith(t, err, session.Conflict, "and has 0")
}

// hasty is a clock on which every wait is over at once.
type hasty struct{ session.SystemClock }

func (hasty) AfterFunc(_ time.Duration, f func()) (stop func() bool) {
	go f()
	return func() bool { return false }
}

// TestMergeRefused: what GitHub, or a look at it, has against a merge, in words for whoever asked.
func TestMergeRefused(t *testing.T) {
	base := githubtest.Refusal(http.StatusMethodNotAllowed, "Base branch was modified. Review and try the merge again.")
	w, commit := pulled(t)
	_, err := w.review(commit, cyd)
	must(t, err)
	w.github.c.Clock = hasty{}
	for _, tt := range []struct {
		name   string
		answer *githubtest.Response
		times  int
		code   session.Code
		words  string
	}{
		{"head moved at last", githubtest.Refusal(409, "Head branch was modified. Review and try the merge again."), 1, session.Conflict, "#1 has newer commits than this card's"},
		{"no right", githubtest.Refusal(404, "Not Found"), 1, session.Forbidden, "Your GitHub account bob may not merge in acme/web. Ask for write access to it"},
		{"no right, in words", githubtest.Refusal(403, "You must have push access to this repository."), 1, session.Forbidden, "Your GitHub account bob may not merge in acme/web"},
		{"single sign-on", githubtest.SSO("acme"), 1, session.Forbidden, "Start a single sign-on session for it on GitHub, then react again."},
		{"app may not", githubtest.Refusal(403, "Resource not accessible by integration"), 1, session.Forbidden, "The GitHub App may not merge pull requests in `acme/web`"},
		{"archived", githubtest.Refusal(403, "Repository was archived so is read-only."), 1, session.Forbidden, "`acme/web` is archived, so nothing can be merged in it."},
		{"does not work", githubtest.Busy(502), 1, session.Unavailable, "it answered 502"},
		{"required by GitHub", githubtest.Refusal(405, `Required status check "test" is expected.`), 1, session.Conflict, `GitHub does not merge it: Required status check "test" is expected.`},
		{"not mergeable", githubtest.Refusal(405, "Pull Request is not mergeable"), 1, session.Conflict, "GitHub does not merge it: Pull Request is not mergeable."},
		{"no method at all", githubtest.Refusal(405, "Merge commits are not allowed on this repository."), 3, session.Conflict, "acme/web allows none of GitHub's ways to merge from outside. Merge it on GitHub."},
		{"base keeps moving", base, 1 + baseMoved, session.Conflict, "`acme/web` keeps moving, so GitHub did not merge. Please react again in a while."},
	} {
		w.server.Fail(routeMerge, tt.times, false, tt.answer)
		_, err := w.merge(commit, bob)
		t.Log(tt.name)
		refusedWith(t, err, tt.code, tt.words)
		if w.server.Pulls("acme/web")[0].Merged {
			t.Fatal("merged")
		}
	}
	w.server.Fail(routeMerge, baseMoved, false, base)
	_, err = w.merge(commit, bob)
	must(t, err)
	if !w.server.Pulls("acme/web")[0].Merged {
		t.Error("not merged, although the base has come to rest")
	}
}

// TestMergeJudgedAnew: what is so on GitHub when it is merged counts, not what was seen when somebody asked.
func TestMergeJudgedAnew(t *testing.T) {
	for _, tt := range []struct {
		name  string
		do    func(w *world)
		code  session.Code
		words string
	}{
		{"required by GitHub", func(w *world) { must(w.t.(*testing.T), w.server.Protect("acme/web", 2)) }, session.Conflict, "GitHub does not merge it: At least 2 approving reviews"},
		{"another method", func(w *world) { must(w.t.(*testing.T), w.server.SetMergeMethods("acme/web", "rebase")) }, "", ""},
		{"closed", func(w *world) { must(w.t.(*testing.T), w.server.ClosePull("acme/web", 1, "bob")) }, session.Conflict, "#1 is closed"},
		{"moved", func(w *world) {
			_, err := w.server.ForcePush("acme/web", 1, "bob", map[string]string{"b.txt": "b"})
			must(w.t.(*testing.T), err)
		}, session.Conflict, "Somebody pushed"},
		{"into another branch", func(w *world) {
			must(w.t.(*testing.T), w.server.CreateBranch("acme/web", "production", "main", "ada"))
			must(w.t.(*testing.T), w.server.Retarget("acme/web", 1, "ada", "production"))
		}, session.Conflict, "#1 goes into `production` by now, and its card said `main`. If that is right, react again once the card says so, too."},
		{"draft", func(w *world) { must(w.t.(*testing.T), w.server.SetDraft("acme/web", 1, "bob", true)) }, session.Conflict, "#1 is a draft"},
		{"blocked", func(w *world) { must(w.t.(*testing.T), w.server.SetBlocked("acme/web", true)) }, session.Forbidden, "GitHub has blocked `acme/web`"},
		{"account cannot see it", func(w *world) { w.server.SetAccess("bob", "*", "none") }, session.NotFound, "Your GitHub account bob cannot see acme/web"},
		{"link taken back", func(w *world) { w.server.RevokeAuthorization("bob") }, session.Forbidden, "Your GitHub account is not linked any more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, commit := pulled(t)
			_, err := w.review(commit, cyd)
			must(t, err)
			tt.do(w)
			_, err = w.merge(commit, bob)
			if tt.code != "" {
				refusedWith(t, err, tt.code, tt.words)
			} else if err != nil {
				t.Error(err)
			}
			if merged := w.server.Pulls("acme/web")[0].Merged; merged != (tt.code == "") {
				t.Errorf("merged: %v", merged)
			}
		})
	}
}

// TestMergeStands: whether a merge is still wanted is asked last before each attempt, and not of one that is done.
func TestMergeStands(t *testing.T) {
	moved := githubtest.Refusal(http.StatusMethodNotAllowed, "Base branch was modified. Review and try the merge again.")
	w, commit := pulled(t)
	_, err := w.review(commit, cyd)
	must(t, err)
	asked, answers := 0, []error{nil, session.ErrTakenBack, nil}
	w.github.c.Stands = func(_ context.Context, r session.MergeRequest) error {
		if asked++; r.Commit != commit || r.By.Slack != bob.Slack {
			t.Errorf("asked about %+v", r)
		}
		return answers[asked-1]
	}
	w.server.Fail(routeMerge, 1, false, moved)
	if _, err = w.merge(commit, bob); !errors.Is(err, session.ErrTakenBack) || session.CodeOf(err) != session.Conflict {
		t.Errorf("it was taken back, and it says %v", err)
	}
	if w.server.Pulls("acme/web")[0].Merged || asked != 2 {
		t.Errorf("merged, or asked %d times", asked)
	}
	for range 2 { // the second time is a crash before the first was recorded
		_, err = w.merge(commit, bob)
		must(t, err)
	}
	if !w.server.Pulls("acme/web")[0].Merged || asked != 3 {
		t.Errorf("not merged, or asked %d times", asked)
	}
}

// TestAdmin: GitHub says who administers a repository, asked as that person.
func TestAdmin(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	for _, role := range []string{"write", "admin", "maintain"} {
		w.server.SetAccess("bob", "acme/web", role)
		if admin, err := w.github.Admin(t.Context(), bob, web); err != nil || admin != (role == "admin") {
			t.Errorf("with %s: %v, %v", role, admin, err)
		}
	}
	w.server.Fail(routeRepo, 1, false, githubtest.SSO("acme"))
	_, err := w.github.Admin(t.Context(), bob, web)
	refusedWith(t, err, session.Forbidden, "Start a single sign-on session for it on GitHub, then give the command again.")
	w.server.SetAccess("bob", "acme/web", "none")
	w.server.SetAccess("bob", "*", "none")
	_, err = w.github.Admin(t.Context(), bob, web)
	refusedWith(t, err, session.NotFound, "Your GitHub account bob cannot see acme/web. Ask for access to it, then give the command again.")
	w.server.RevokeAuthorization("bob")
	_, err = w.github.Admin(t.Context(), bob, web)
	refusedWith(t, err, session.Forbidden, "Link it with `/inspect link`, then give the command again.")
}

// TestLook: everything that people are shown of a pull request, page by page.
func TestLook(t *testing.T) {
	w, commit := pulled(t)
	for i := range 130 {
		must(t, w.server.SetCheckRun("acme/web", commit, githubtest.CheckRun{Name: fmt.Sprintf("run %03d", i), Status: "completed", Conclusion: "failure"}))
	}
	must(t, w.server.Review("acme/web", 1, "cyd", "REQUEST_CHANGES", "no"))
	must(t, w.server.Review("acme/web", 1, "cyd", "COMMENT", "a remark changes nothing"))
	must(t, w.server.Review("acme/web", 1, "ada", "APPROVE", ""))
	must(t, w.server.Dismiss("acme/web", 1, "bob", "ada"))
	token, err := w.github.token(t.Context(), "UBOB", "")
	must(t, err)
	c, err := w.github.userClient(token)
	must(t, err)
	pr, err := w.github.look(t.Context(), c, web, 1)
	must(t, err)
	if pr.Head != commit || pr.State != session.PullOpen || pr.Author.Login != "bob" || pr.Checks.State != session.ChecksFailed || pr.Checks.Total != 130 || len(pr.Checks.Failed) != session.MaxChecks || pr.Checks.Failed[0].Name != "run 000" {
		t.Errorf("%+v", pr)
	}
	if len(pr.Reviews) != 1 || pr.Reviews[0] != (session.Review{ID: pr.Reviews[0].ID, By: *cyd.GitHub, State: session.ReviewChanges, Commit: commit, Writes: true}) {
		t.Errorf("the reviews are %+v", pr.Reviews)
	}
	must(t, w.server.Review("acme/web", 1, "cyd", "APPROVE", ""))
	must(t, w.server.Merge("acme/web", 1, "cyd", "merge"))
	if pr, err = w.github.look(t.Context(), c, web, 1); err != nil || pr.State != session.PullMerged || pr.MergedBy != *cyd.GitHub || pr.MergedAs != w.server.CommitSHA("acme/web", "main") {
		t.Errorf("%+v, %v", pr, err)
	}
}
