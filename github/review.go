package github

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// Review approves a pull request as a person, at the commit that their card showed and only while that is the head. Doing it again finds what was done
// before.
func (g *GitHub) Review(ctx context.Context, r session.ReviewRequest) (v session.Review, err error) {
	a := act{op: "github.Review", repo: r.Repo, by: r.By, what: "nothing in it can be reviewed", may: "review pull requests"}
	err = g.asPerson(ctx, r.By, func(c *gh.Client, t userToken) error {
		repo, _, err := c.Repositories.Get(ctx, r.Repo.Owner, r.Repo.Name)
		if err != nil {
			return a.personal(err, "")
		}
		pr, err := current(ctx, c, a, r.Number, r.Commit)
		if err != nil {
			return err
		}
		if pr.GetDraft() {
			return session.Errorf(session.Conflict, "#%d is a draft. Mark it as ready for review on GitHub, then react again: %s", r.Number, pr.GetHTMLURL())
		}
		if pr.GetUser().GetID() == t.Identity.ID {
			return ownPull(r.Number)
		}
		v = session.Review{By: t.Identity, State: session.ReviewApproved, Commit: r.Commit, Writes: repo.GetPermissions()["push"]}
		reviews, err := allReviews(ctx, c, r.Repo, r.Number)
		if err != nil {
			return a.personal(err, "")
		}
		for _, was := range standing(reviews) {
			if was.GetUser().GetID() == t.Identity.ID && was.GetState() == stateApproved && was.GetCommitID() == r.Commit {
				return nil
			}
		}
		_, _, err = c.PullRequests.CreateReview(ctx, r.Repo.Owner, r.Repo.Name, r.Number, &gh.PullRequestReviewRequest{
			CommitID: gh.String(r.Commit), Event: gh.String("APPROVE"),
			Body: gh.String(fmt.Sprintf("Approved by %s from Slack.\n\n%s", named(r.By), trailer(r.Session))),
		})
		if err != nil {
			return refusedReview(a, r, err)
		}
		// GitHub takes a review of any commit that the pull request ever had: perhaps the branch moved while we asked.
		_, err = current(ctx, c, a, r.Number, r.Commit)
		return err
	})
	g.watch.Follow(session.Followed{Session: r.Session, Repo: r.Repo, Number: r.Number}) // whatever came of it
	return v, err
}

func ownPull(number int) error {
	return session.Errorf(session.Forbidden, "You opened #%d, and GitHub lets nobody approve their own pull request. Somebody else has to.", number)
}

func refusedReview(a act, r session.ReviewRequest, err error) error {
	status, words := answer(err)
	if status == http.StatusUnprocessableEntity {
		switch {
		case strings.Contains(words, "approve your own"):
			return ownPull(r.Number)
		case strings.Contains(words, "pending review"):
			return session.Errorf(session.Conflict, "You have begun a review of #%d on GitHub. Submit or discard it there, then react again.", r.Number)
		}
	}
	return a.personal(err, "")
}

// current returns a pull request that is open, with commit as its head.
func current(ctx context.Context, c *gh.Client, a act, number int, commit string) (*gh.PullRequest, error) {
	pr, _, err := c.PullRequests.Get(ctx, a.repo.Owner, a.repo.Name, number)
	if err != nil {
		return nil, a.personal(err, "")
	}
	switch head := pr.GetHead().GetSHA(); {
	case pr.GetMerged():
		return pr, session.Errorf(session.Conflict, "#%d is merged already.", number)
	case pr.GetState() != "open":
		return pr, session.Errorf(session.Conflict, "#%d is closed: %s", number, pr.GetHTMLURL())
	case head != commit:
		return pr, session.Errorf(session.Conflict, "#%d has newer commits (%s) than this card's %s. Go on there: %s", number, head[:min(7, len(head))], commit[:7], pr.GetHTMLURL())
	}
	return pr, nil
}
