package githubtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

func TestCreatePull(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("topic")
	ada, ctx := w.as("ada"), t.Context()
	p := w.open(ada, "topic")
	equal(t, "number", p.GetNumber(), 1)
	equal(t, "author", p.GetUser().GetLogin(), "ada")
	equal(t, "head", p.GetHead().GetSHA(), sha)
	equal(t, "commits", p.GetCommits(), 1)
	equal(t, "page", p.GetHTMLURL(), w.URL()+"/acme/web/pull/1")
	got := w.Pulls("acme/web")[0]
	equal(t, "seen author", got.Author, "ada")
	equal(t, "seen body", got.Body, "b")

	create := func(c *github.Client, head, base string) error {
		_, _, err := c.PullRequests.Create(ctx, "acme", "web", &github.NewPullRequest{
			Title: github.String("T"), Head: github.String(head), Base: github.String(base),
		})
		return err
	}
	refused(t, create(ada, "topic", "main"), 422, "A pull request already exists for acme:topic.")
	refused(t, create(ada, "acme:topic", "main"), 422, "A pull request already exists for acme:topic.")
	refused(t, create(ada, "main", "topic"), 422, "No commits between topic and main")
	refused(t, create(ada, "nope", "main"), 422, "head invalid")
	refused(t, create(ada, "topic", "nope"), 422, "base invalid")
	refused(t, create(ada, "zeta:topic", "main"), 422, "head invalid")
	refused(t, create(w.as("eve"), "topic", "main"), 404, "Not Found")
	refused(t, create(w.as("ron"), "topic", "main"), 422, "must be a collaborator")
	refused(t, create(w.with(w.scoped(contents("write"))), "topic", "main"), 403, "Resource not accessible by integration")
	equal(t, "pull requests", len(w.Pulls("acme/web")), 1)

	w.branch("other")
	bot := w.with(w.scoped(github.InstallationPermissions{PullRequests: github.String("write")}))
	equal(t, "bot", w.open(bot, "other").GetUser().GetLogin(), "open-inspect[bot]")
	list := func(opts *github.PullRequestListOptions) string {
		t.Helper()
		pulls, _, err := ada.PullRequests.List(ctx, "acme", "web", opts)
		equal(t, "error", err, nil)
		var heads []string
		for _, p := range pulls {
			heads = append(heads, p.GetHead().GetRef())
		}
		return strings.Join(heads, " ")
	}
	equal(t, "all", list(nil), "other topic")
	equal(t, "by head", list(&github.PullRequestListOptions{Head: "acme:topic"}), "topic")
	equal(t, "by bare head", list(&github.PullRequestListOptions{Head: "topic"}), "other topic")
	equal(t, "closed", list(&github.PullRequestListOptions{State: "closed"}), "")
	equal(t, "one", list(&github.PullRequestListOptions{Direction: "asc", ListOptions: github.ListOptions{PerPage: 1}}), "topic")
}

func TestEditPull(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	ada, ctx := w.as("ada"), t.Context()
	w.open(ada, "topic")
	p, _, err := ada.PullRequests.Edit(ctx, "acme", "web", 1, &github.PullRequest{Title: github.String("New"), State: github.String("closed")})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "title", p.GetTitle(), "New")
	equal(t, "state", p.GetState(), "closed")
	_, _, err = w.as("ron").PullRequests.Edit(ctx, "acme", "web", 1, &github.PullRequest{Title: github.String("Mine")})
	refused(t, err, 404, "Not Found")
	w.open(ada, "topic")
	reopen := &github.PullRequest{State: github.String("open")}
	_, _, err = ada.PullRequests.Edit(ctx, "acme", "web", 1, reopen)
	refused(t, err, 422, "There is already an open pull request from topic to main.")
	_, _, err = ada.PullRequests.Edit(ctx, "acme", "web", 2, &github.PullRequest{State: github.String("closed")})
	equal(t, "error", err, nil)
	p, _, err = ada.PullRequests.Edit(ctx, "acme", "web", 1, reopen)
	equal(t, "error", err, nil)
	equal(t, "state", p.GetState(), "open")
	comment, _, err := w.as("ron").Issues.CreateComment(ctx, "acme", "web", 1, &github.IssueComment{Body: github.String("hello")})
	equal(t, "error", err, nil)
	equal(t, "comment by", comment.GetUser().GetLogin(), "ron")
	equal(t, "comments", w.Pulls("acme/web")[0].Comments[0].Body, "hello")
}

// Whether a pull request can be merged is not known at once.
func TestMergeable(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	ada := w.as("ada")
	w.open(ada, "topic")
	state := func() string {
		p, _, err := ada.PullRequests.Get(t.Context(), "acme", "web", 1)
		if err != nil {
			t.Fatal(err)
		}
		return p.GetMergeableState()
	}
	equal(t, "settled", state(), "clean")
	must(w.Commit("acme/web", githubtest.Change{Files: map[string]string{"topic.txt": "mine\n"}}))
	equal(t, "after the base moved", state(), "unknown")
	equal(t, "then", state(), "dirty")
	_, _, err := ada.PullRequests.Merge(t.Context(), "acme", "web", 1, "", nil)
	refused(t, err, 405, "Pull Request is not mergeable")
}

func TestReview(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.Repositories[0].RequiredApprovals = 1 })
	sha := w.branch("topic")
	ada, bob, ctx := w.as("ada"), w.as("bob"), t.Context()
	w.open(ada, "topic")
	approve := func(c *github.Client, commit string) error {
		_, resp, err := c.PullRequests.CreateReview(ctx, "acme", "web", 1, &github.PullRequestReviewRequest{
			Event: github.String("APPROVE"), CommitID: github.String(commit), Body: github.String("ok"),
		})
		if err == nil {
			equal(t, "status", resp.StatusCode, http.StatusOK)
		}
		return err
	}
	merge := func(sha string) error {
		_, _, err := ada.PullRequests.Merge(ctx, "acme", "web", 1, "", &github.PullRequestOptions{SHA: sha})
		return err
	}
	refused(t, approve(ada, sha), 422, "Can not approve your own pull request")
	refused(t, approve(bob, strings.Repeat("0", 40)), 422, "Commit is not part of the pull request")
	refused(t, merge(sha), 405, "At least 1 approving review is required by reviewers with write access.")
	equal(t, "approval by a reader", approve(w.as("ron"), sha), nil)
	refused(t, merge(sha), 405, "At least 1 approving review")
	equal(t, "approval", approve(bob, sha), nil)
	reviews, _, err := bob.PullRequests.ListReviews(ctx, "acme", "web", 1, nil)
	equal(t, "error", err, nil)
	equal(t, "reviews", len(reviews), 2)
	seen := w.Pulls("acme/web")[0].Reviews[1]
	if seen.Author != "bob" || seen.State != "APPROVED" || seen.Commit != sha || seen.Body != "ok" {
		t.Errorf("review is %+v", seen)
	}
	refused(t, merge(strings.Repeat("1", 40)), 409, "Head branch was modified. Review and try the merge again.")
	equal(t, "merge", merge(sha), nil)
	refused(t, merge(sha), 405, "Pull Request is not mergeable")
}

func TestMergeMethods(t *testing.T) {
	ada := githubtest.Signature{Name: "Ada Lovelace", Email: "101+ada@users.noreply.github.com"}
	webFlow := githubtest.Signature{Name: "GitHub", Email: "noreply@github.com"}
	for method, want := range map[string]struct {
		parents           int
		author, committer githubtest.Signature
		message           string
	}{
		"merge":  {2, githubtest.Signature{Name: "Bob", Email: "102+bob@users.noreply.github.com"}, webFlow, "Merge pull request #1 from acme/topic\n\nT"},
		"squash": {1, ada, webFlow, "T (#1)\n\nCo-authored-by: Eve <eve@example.com>"},
		"rebase": {1, ada, githubtest.Signature{Name: "Bob", Email: "102+bob@users.noreply.github.com"}, "Topic\n\nCo-authored-by: Eve <eve@example.com>"},
	} {
		w := newWorld(t)
		sha := must(w.Commit("acme/web", githubtest.Change{
			Branch: "topic", Message: "Topic\n\nCo-authored-by: Eve <eve@example.com>", Author: ada, Files: map[string]string{"t": "t\n"},
		}))
		base := must(w.Commit("acme/web", githubtest.Change{Files: map[string]string{"other": "o\n"}}))
		w.open(w.as("ada"), "topic")
		_, _, err := w.as("ron").PullRequests.Merge(t.Context(), "acme", "web", 1, "", nil)
		refused(t, err, 404, "Not Found")
		res, _, err := w.as("bob").PullRequests.Merge(t.Context(), "acme", "web", 1, "", &github.PullRequestOptions{MergeMethod: method, SHA: sha})
		if err != nil {
			t.Fatal(err)
		}
		tip := must(w.Log("acme/web", "main"))[0]
		equal(t, method+": tip", tip.SHA, res.GetSHA())
		equal(t, method+": parents", len(tip.Parents), want.parents)
		equal(t, method+": first parent", tip.Parents[0], base)
		equal(t, method+": author", tip.Author, want.author)
		equal(t, method+": committer", tip.Committer, want.committer)
		equal(t, method+": message", tip.Message, want.message)
		equal(t, method+": file", must(w.File("acme/web", "main", "t")), "t\n")
		p := w.Pulls("acme/web")[0]
		if !p.Merged || p.MergedBy != "bob" || p.MergeSHA != tip.SHA || p.State != "closed" || p.HeadSHA != sha {
			t.Errorf("%s: pull request is %+v", method, p)
		}
	}
}

func TestMergeByPush(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	ada := must(w.Authorize("ada")).AccessToken
	w.open(w.with(ada), "topic")
	dir := w.clone(ada, "x", "x.txt", "x\n")
	w.mustGit(dir, ada, "push", "--quiet", "origin", "origin/topic:main")
	equal(t, "merged", w.Pulls("acme/web")[0].Merged, true)
}

func TestChecks(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("inspect/topic")
	c, ctx := w.as("ada"), t.Context()
	runs, _, err := c.Checks.ListCheckRunsForRef(ctx, "acme", "web", sha, nil)
	equal(t, "error", err, nil)
	equal(t, "runs", runs.GetTotal(), 0)
	status, _, err := c.Repositories.GetCombinedStatus(ctx, "acme", "web", sha, nil)
	equal(t, "error", err, nil)
	equal(t, "state of none", status.GetState(), "pending")
	equal(t, "statuses", status.GetTotalCount(), 0)
	for _, err := range []error{
		w.SetCheckRun("acme/web", sha, githubtest.CheckRun{Name: "test", Status: "in_progress"}),
		w.SetCheckRun("acme/web", sha, githubtest.CheckRun{Name: "test", Conclusion: "failure"}),
		w.SetStatus("acme/web", sha, githubtest.Status{State: "success"}),
	} {
		equal(t, "error", err, nil)
	}
	runs, _, err = c.Checks.ListCheckRunsForRef(ctx, "acme", "web", "inspect/topic", nil)
	equal(t, "error", err, nil)
	equal(t, "conclusion", runs.CheckRuns[0].GetConclusion(), "failure")
	status, _, err = c.Repositories.GetCombinedStatus(ctx, "acme", "web", sha, nil)
	equal(t, "error", err, nil)
	equal(t, "state", status.GetState(), "success")
}

func TestPullPage(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	pull := newPull("topic")
	pull.Title = github.String("<script>alert(1)</script>")
	_, _, err := w.as("ada").PullRequests.Create(t.Context(), "acme", "web", pull)
	equal(t, "error", err, nil)
	resp := must(http.Get(w.Pulls("acme/web")[0].URL))
	defer resp.Body.Close()
	body := string(must(io.ReadAll(resp.Body)))
	if resp.StatusCode != 200 || strings.Contains(body, "<script>") || !strings.Contains(body, "&#43;topic") && !strings.Contains(body, "+topic") {
		t.Errorf("page: %d\n%s", resp.StatusCode, body)
	}
}
