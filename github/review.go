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
		pr, _, err := c.PullRequests.Get(ctx, r.Repo.Owner, r.Repo.Name, r.Number)
		if err != nil {
			return a.personal(err, "")
		}
		v = session.Review{By: t.Identity, State: session.ReviewApproved, Commit: r.Commit, Writes: repo.GetPermissions()["push"]}
		reviews, err := allReviews(ctx, c, r.Repo, r.Number)
		if err != nil {
			return a.personal(err, "")
		}
		for _, was := range standing(reviews) {
			if was.GetUser().GetID() == t.Identity.ID && was.GetState() == stateApproved && was.GetCommitID() == r.Commit {
				v.ID = was.GetID()
				return nil // an attempt of before whose answer was lost, or they did it themselves; whatever has happened since
			}
		}
		if reason := described(r.Repo, pr).Unfit(r.Commit); reason != "" {
			return session.Errorf(session.Conflict, "%s", reason)
		}
		if pr.GetUser().GetID() == t.Identity.ID {
			return ownPull(r.Number)
		}
		made, _, err := c.PullRequests.CreateReview(ctx, r.Repo.Owner, r.Repo.Name, r.Number, &gh.PullRequestReviewRequest{
			CommitID: gh.String(r.Commit), Event: gh.String("APPROVE"),
			Body: gh.String(fmt.Sprintf("Approved by %s from Slack.\n\n%s%s", named(r.By), trailer(r.Session), audited(r.Audit))),
		})
		if err != nil {
			return refusedReview(a, r, err)
		}
		v.ID = made.GetID()
		return nil // should the branch move meanwhile, it is of this commit still: GitHub takes a review of any that the pull request ever had
	})
	g.watch.Follow(session.Followed{Session: r.Session, Repo: r.Repo, Number: r.Number}) // whatever came of it
	return v, err
}

func ownPull(number int) error {
	return session.Errorf(session.Forbidden, "%s", session.OwnPull(number))
}

func refusedReview(a act, r session.ReviewRequest, err error) error {
	status, words := answer(err)
	if strings.Contains(words, "is locked") {
		return session.Errorf(session.Forbidden, "The conversation of #%d is locked on GitHub, and your account %s has no write access to %s, so you cannot review it. Somebody who has can, or unlock it.", r.Number, r.By.GitHub.Login, r.Repo)
	}
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
