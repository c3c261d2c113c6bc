package github

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// States of a review, as GitHub writes them.
const (
	stateApproved = "APPROVED"
	stateChanges  = "CHANGES_REQUESTED"
)

// look returns what GitHub says of a pull request: all that a session.PullRequestSeen has.
func (g *GitHub) look(ctx context.Context, c *gh.Client, r session.Repo, number int) (session.PullRequest, error) {
	return g.lookAgain(ctx, c, r, number, &session.PullRequest{})
}

// lookAgain is look by a client that knows what has not changed: a review changes its pull request, so they are as they were then.
func (g *GitHub) lookAgain(ctx context.Context, c *gh.Client, r session.Repo, number int, was *session.PullRequest) (session.PullRequest, error) {
	pr, resp, err := c.PullRequests.Get(ctx, r.Owner, r.Name, number)
	if err != nil {
		return session.PullRequest{}, err
	}
	seen := described(r, pr)
	if seen.State != session.PullOpen {
		return seen, nil
	}
	if seen.Checks, err = checks(ctx, c, r, seen.Head); err != nil {
		return seen, err
	}
	if was.Number == number && settled(pr, resp) {
		seen.Reviews = was.Reviews
		return seen, nil
	}
	reviews, err := allReviews(ctx, c, r, number)
	if err != nil {
		return seen, err
	}
	for _, v := range standing(reviews) {
		review := session.Review{By: account(v.GetUser()), State: session.ReviewApproved, Commit: v.GetCommitID()}
		if v.GetState() == stateChanges {
			review.State = session.ReviewChanges
		}
		if review.Writes, err = writes(ctx, c, r, v.GetUser().GetLogin()); err != nil {
			return seen, err
		}
		seen.Reviews = append(seen.Reviews, review)
	}
	return seen, nil
}

// described is a pull request without what has to be asked for apart.
func described(r session.Repo, pr *gh.PullRequest) session.PullRequest {
	d := session.PullRequest{
		Number: pr.GetNumber(), URL: pr.GetHTMLURL(), Title: pr.GetTitle(), Repo: r, Branch: pr.GetHead().GetRef(), Base: pr.GetBase().GetRef(),
		Head: pr.GetHead().GetSHA(), State: session.PullOpen, Draft: pr.GetDraft(), Author: account(pr.GetUser()),
	}
	switch {
	case pr.GetMerged():
		d.State, d.MergedBy, d.MergedAs = session.PullMerged, account(pr.GetMergedBy()), pr.GetMergeCommitSHA()
	case pr.GetState() != "open":
		d.State = session.PullClosed
	}
	return d
}

// settled reports whether a pull request is what it was at the last look, and will tell of what comes: it is dated by the second, and a second change in
// the same one does not show.
func settled(pr *gh.PullRequest, resp *gh.Response) bool {
	now, err := http.ParseTime(resp.Header.Get("Date"))
	return err == nil && resp.Header.Get(headerUnchanged) != "" && now.Sub(pr.GetUpdatedAt().Time) > time.Minute
}

func allReviews(ctx context.Context, c *gh.Client, r session.Repo, number int) (all []*gh.PullRequestReview, err error) {
	options := &gh.ListOptions{PerPage: 100}
	for {
		page, resp, err := c.PullRequests.ListReviews(ctx, r.Owner, r.Name, number, options)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if resp.NextPage == 0 {
			return all, nil
		}
		options.Page = resp.NextPage
	}
}

// standing are the verdicts that count, of all reviews in order: of each person the newest that is one, unless it was dismissed. A comment after it
// changes nothing.
func standing(all []*gh.PullRequestReview) []*gh.PullRequestReview {
	var out []*gh.PullRequestReview
	for _, v := range all {
		verdict := v.GetState() == stateApproved || v.GetState() == stateChanges
		if !verdict && v.GetState() != "DISMISSED" {
			continue
		}
		out = slices.DeleteFunc(out, func(o *gh.PullRequestReview) bool { return o.GetUser().GetID() == v.GetUser().GetID() })
		if verdict {
			out = append(out, v)
		}
	}
	return out
}

// writes reports whether somebody may push to a repository; only then does their review count.
func writes(ctx context.Context, c *gh.Client, r session.Repo, login string) (bool, error) {
	p, _, err := c.Repositories.GetPermissionLevel(ctx, r.Owner, r.Name, login)
	if status, _ := answer(err); status == http.StatusNotFound {
		return false, nil // an account that is gone, or has nothing to do with it
	}
	return p.GetPermission() == "admin" || p.GetPermission() == "write", err
}

// checks sums up the check runs and the statuses of a commit; hidden if the App may see neither.
func checks(ctx context.Context, c *gh.Client, r session.Repo, commit string) (sum session.Checks, err error) {
	seen := 0
	options := &gh.ListCheckRunsOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	for {
		page, resp, err := c.Checks.ListCheckRunsForRef(ctx, r.Owner, r.Name, commit, options)
		if forbidden(err) {
			break
		}
		if err != nil {
			return sum, err
		}
		seen++
		for _, run := range page.CheckRuns {
			tally(&sum, run.GetStatus() == "completed", good(run.GetConclusion()), session.Check{Name: run.GetName(), URL: cmp.Or(run.GetHTMLURL(), run.GetDetailsURL())})
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	combined, _, err := c.Repositories.GetCombinedStatus(ctx, r.Owner, r.Name, commit, &gh.ListOptions{PerPage: 100})
	switch {
	case err == nil:
		seen++
		for _, s := range combined.Statuses {
			tally(&sum, s.GetState() != "pending", s.GetState() == "success", session.Check{Name: s.GetContext(), URL: s.GetTargetURL()})
		}
	case !forbidden(err):
		return sum, err
	}
	switch {
	case seen == 0:
		sum.State = session.ChecksHidden
	case len(sum.Failed) > 0:
		sum.State = session.ChecksFailed
	case sum.Pending > 0:
		sum.State = session.ChecksPending
	case sum.Total > 0:
		sum.State = session.ChecksGreen
	}
	slices.SortFunc(sum.Failed, func(a, b session.Check) int { return cmp.Compare(a.Name, b.Name) })
	sum.Failed = sum.Failed[:min(len(sum.Failed), session.MaxChecks)]
	return sum, nil
}

func tally(sum *session.Checks, over, good bool, c session.Check) {
	sum.Total++
	switch {
	case !over:
		sum.Pending++
	case !good:
		c.Name = session.OneLine(c.Name, 100)
		sum.Failed = append(sum.Failed, c)
	}
}

// good are the conclusions that GitHub lets a required check have: docs.github.com, "About status checks".
func good(conclusion string) bool {
	return conclusion == "success" || conclusion == "neutral" || conclusion == "skipped"
}

// forbidden reports whether the App lacks a permission.
func forbidden(err error) bool {
	status, _ := answer(err)
	return status == http.StatusForbidden && limited(err) == nil
}
