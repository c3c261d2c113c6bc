package githubtest_test

import (
	"testing"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

// reviewed is a world with a pull request that changes two places of one file.
func reviewed(t *testing.T) (*world, string) {
	w := newWorld(t, func(c *githubtest.Config) {
		c.Repositories[0].Files = map[string]string{"a.txt": "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18\n19\n20\n", "other.txt": "o\n"}
	})
	sha := must(w.Commit(web, githubtest.Change{Branch: "topic", Files: map[string]string{
		"a.txt": "1\n2\nthree\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n19\n20\n21\n",
	}}))
	w.open(w.as("ada"), "topic")
	return w, sha
}

func TestLineComments(t *testing.T) {
	w, sha := reviewed(t)
	bob, ctx := w.as("bob"), t.Context()
	list := func() []*github.PullRequestComment {
		got, _, err := bob.PullRequests.ListComments(ctx, "acme", "web", 1, nil)
		w.done(err)
		return got
	}
	const out = "Pull request review thread line must be part of the diff"
	told(t, w.Review(web, 1, "bob", "COMMENT", "", githubtest.LineComment{Path: "a.txt", Line: 10, Body: "x"}), out)
	told(t, w.Review(web, 1, "bob", "COMMENT", "", githubtest.LineComment{Path: "other.txt", Line: 1, Body: "x"}), "Path could not be resolved")
	equal(t, "reviews", len(w.Pulls(web)[0].Reviews), 0)

	w.done(w.Review(web, 1, "bob", "REQUEST_CHANGES", "Two things.",
		githubtest.LineComment{Path: "a.txt", Line: 3, Body: "Why?"}, githubtest.LineComment{Path: "a.txt", Line: 18, Side: "LEFT", Body: "Keep it."}))
	got := list()
	equal(t, "comments", len(got), 2)
	first := got[0]
	equal(t, "path", first.GetPath(), "a.txt")
	equal(t, "line", first.GetLine(), 3)
	equal(t, "position", first.GetPosition(), 4)
	equal(t, "hunk", first.GetDiffHunk(), "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+three")
	equal(t, "author", first.GetUser().GetLogin(), "bob")
	equal(t, "association", first.GetAuthorAssociation(), "MEMBER")
	equal(t, "commit", first.GetCommitID(), sha)
	equal(t, "hunk of a removed line", got[1].GetDiffHunk(), "@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18")
	equal(t, "its position", got[1].GetPosition(), 12)
	reviews, _, err := bob.PullRequests.ListReviews(ctx, "acme", "web", 1, nil)
	w.done(err)
	equal(t, "review", first.GetPullRequestReviewID(), reviews[0].GetID())
	its, _, err := bob.PullRequests.ListReviewComments(ctx, "acme", "web", 1, reviews[0].GetID(), nil)
	w.done(err)
	equal(t, "comments of the review", len(its), 2)
	equal(t, "count", w.pull().GetReviewComments(), 2)
	equal(t, "seen", w.Pulls(web)[0].Reviews[0].Lines[1], githubtest.LineComment{Path: "a.txt", Line: 18, Side: "LEFT", Body: "Keep it."})

	must(w.Push(web, 1, "ada", map[string]string{"new.txt": "n\n"}))
	equal(t, "line after another file changed", list()[0].GetLine(), 3)
	head := must(w.Push(web, 1, "ada", map[string]string{"a.txt": "1\n2\nIII\n"}))
	after := list()[0]
	equal(t, "line after this one changed", after.Line, nil)
	equal(t, "its line then", after.GetOriginalLine(), 3)
	if after.GetCommitID() == head {
		t.Error("an outdated comment is said to be at the head")
	}
}

func TestLineCommentAlone(t *testing.T) {
	w, sha := reviewed(t)
	ron, ctx := w.as("ron"), t.Context()
	make := func(c *github.PullRequestComment) (*github.PullRequestComment, error) {
		m, _, err := ron.PullRequests.CreateComment(ctx, "acme", "web", 1, c)
		return m, err
	}
	body, path := github.String("Hm."), github.String("a.txt")
	for _, bad := range []struct {
		c    github.PullRequestComment
		want string
	}{
		{github.PullRequestComment{Path: path, Line: github.Int(3), CommitID: &sha}, "body missing_field"},
		{github.PullRequestComment{Body: body, Path: path, Line: github.Int(3)}, "commit_id missing_field"},
		{github.PullRequestComment{Body: body, Path: path, Line: github.Int(10), CommitID: &sha}, "must be part of the diff"},
		{github.PullRequestComment{Body: body, Path: github.String("b"), Line: github.Int(10), CommitID: &sha}, "Path could not be resolved"},
		{github.PullRequestComment{Body: body, Path: path, Line: github.Int(3), CommitID: github.String(w.CommitSHA(web, "main"))}, "not part of the pull request"},
	} {
		_, err := make(&bad.c)
		refused(t, err, 422, bad.want)
	}
	m, err := make(&github.PullRequestComment{Body: body, Path: path, Line: github.Int(3), CommitID: &sha})
	w.done(err)
	equal(t, "association", m.GetAuthorAssociation(), "COLLABORATOR")
	reply, _, err := ron.PullRequests.CreateCommentInReplyTo(ctx, "acme", "web", 1, "Indeed.", m.GetID())
	w.done(err)
	equal(t, "reply to", reply.GetInReplyTo(), m.GetID())
	equal(t, "reply's hunk", reply.GetDiffHunk(), m.GetDiffHunk())
	_, _, err = ron.PullRequests.CreateCommentInReplyTo(ctx, "acme", "web", 1, "?", 7)
	refused(t, err, 422, "in_reply_to invalid")
	// Each became a review.
	got := w.Pulls(web)[0].Reviews
	if len(got) != 2 || got[0].State != "COMMENTED" || got[0].Body != "" || got[0].Lines[0].Body != "Hm." {
		t.Errorf("reviews are %+v", got)
	}
}
