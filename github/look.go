package github

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// States of a review, as GitHub writes them.
const (
	stateApproved = "APPROVED"
	stateChanges  = "CHANGES_REQUESTED"
)

// look returns what GitHub says of a pull request, but for what people say of it.
func (g *GitHub) look(ctx context.Context, c *gh.Client, r session.Repo, number int) (session.PullRequest, error) {
	pr, _, err := c.PullRequests.Get(ctx, r.Owner, r.Name, number)
	if err != nil {
		return session.PullRequest{}, err
	}
	seen := described(r, pr)
	if seen.State != session.PullOpen {
		return seen, nil
	}
	if seen.Checks, _, err = checks(ctx, c, r, seen.Head); err != nil {
		return seen, err
	}
	_, err = judged(ctx, c, &seen, permissions{})
	return seen, err
}

// lookAgain returns all that a session is told, by a client that knows what has not changed. What people say of a pull request changes it, so while it
// does not, reviews are as they were, and there are no remarks to be told.
func (g *GitHub) lookAgain(ctx context.Context, c *gh.Client, r session.Repo, number int, was *session.PullRequest) (in session.PullRequestSeen, err error) {
	pr, resp, err := c.PullRequests.Get(ctx, r.Owner, r.Name, number)
	if err != nil {
		return in, err
	}
	in.PullRequest = described(r, pr)
	seen := &in.PullRequest
	if seen.State != session.PullOpen {
		return in, nil
	}
	if seen.Checks, in.Output, err = checks(ctx, c, r, seen.Head); err != nil {
		return in, err
	}
	if was.Number == number && settled(pr, resp) {
		seen.Reviews, seen.Outside = was.Reviews, was.Outside
		return in, nil
	}
	may := permissions{}
	reviews, err := judged(ctx, c, seen, may)
	if err != nil {
		return in, err
	}
	said, err := remarks(ctx, c, r, number, reviews)
	if err != nil {
		return in, err
	}
	for _, m := range said {
		switch writes, err := may.write(ctx, c, r, m.login); {
		case err != nil:
			return in, err
		case writes:
			in.Remarks = append(in.Remarks, m.Remark)
		default:
			seen.Outside++
		}
	}
	return in, nil
}

// judged adds the verdicts that count to what was seen, and returns all reviews.
func judged(ctx context.Context, c *gh.Client, seen *session.PullRequest, may permissions) ([]*gh.PullRequestReview, error) {
	reviews, err := allReviews(ctx, c, seen.Repo, seen.Number)
	if err != nil {
		return nil, err
	}
	for _, v := range standing(reviews) {
		review := session.Review{ID: v.GetID(), By: account(v.GetUser()), State: session.ReviewApproved, Commit: v.GetCommitID()}
		if v.GetState() == stateChanges {
			review.State = session.ReviewChanges
		}
		if review.Writes, err = may.write(ctx, c, seen.Repo, v.GetUser().GetLogin()); err != nil {
			return nil, err
		}
		seen.Reviews = append(seen.Reviews, review)
	}
	return reviews, nil
}

// described is a pull request without what has to be asked for apart.
func described(r session.Repo, pr *gh.PullRequest) session.PullRequest {
	if now, ok := session.ParseRepo(pr.GetBase().GetRepo().GetFullName()); ok {
		r = now // it may have another name by now
	}
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
	options := &gh.ListOptions{PerPage: perPage}
	for {
		page, resp, err := c.PullRequests.ListReviews(ctx, r.Owner, r.Name, number, options)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if options.Page = following(resp, options.Page, len(page)); options.Page == 0 {
			return all, nil
		}
	}
}

// perPage is how much of a list is asked for at a time: as much as GitHub gives.
const perPage = 100

// following is the page to ask for after one; 0 if it was the last. The tag of a full page may stay the same when another comes after it, and then the
// answer that is remembered does not tell of that one.
func following(resp *gh.Response, page, have int) int {
	if resp.NextPage == 0 && have >= perPage && resp.Header.Get(headerUnchanged) != "" {
		return max(page, 1) + 1
	}
	return resp.NextPage
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

// permissions remembers for one look, by login, who may push to a repository.
type permissions map[string]bool

// write reports whether somebody may push to a repository; only then does what they say count.
func (p permissions) write(ctx context.Context, c *gh.Client, r session.Repo, login string) (bool, error) {
	if may, known := p[login]; known {
		return may, nil
	}
	level, _, err := c.Repositories.GetPermissionLevel(ctx, r.Owner, r.Name, login)
	if status, _ := answer(err); status == http.StatusNotFound {
		err = nil // an account that is gone, or has nothing to do with it
	}
	if err != nil {
		return false, err
	}
	p[login] = level.GetPermission() == "admin" || level.GetPermission() == "write"
	return p[login], nil
}

// failure is a check that failed, and what it says.
type failure struct {
	session.Check
	said string
}

// maxSays is how many characters of what failing checks say an agent is handed.
const maxSays = 16_000

// saying is what failing checks say, each as much as there is room for. All of it is the words of whatever ran there.
func saying(failed []failure) string {
	var b strings.Builder
	for _, f := range failed {
		said := []rune(strings.TrimSpace(f.said))
		if room := maxSays / len(failed); len(said) > room {
			said = append(said[:room], []rune("… (cut)")...)
		}
		fmt.Fprintf(&b, "%s failed. %s\n%s\n\n", f.Name, f.URL, string(said))
	}
	return strings.TrimSpace(b.String())
}

// checks sums up the check runs and the statuses of a commit, and returns what those say that failed; hidden if the App may not see one or the other: what
// it cannot see may have failed.
func checks(ctx context.Context, c *gh.Client, r session.Repo, commit string) (sum session.Checks, says string, err error) {
	hidden := false
	var failed []failure
	tally := func(over, good bool, f failure) {
		sum.Total++
		switch {
		case !over:
			sum.Pending++
		case !good:
			f.Name = session.OneLine(f.Name, 100)
			failed = append(failed, f)
		}
	}
	options := &gh.ListCheckRunsOptions{ListOptions: gh.ListOptions{PerPage: perPage}}
	for {
		page, resp, err := c.Checks.ListCheckRunsForRef(ctx, r.Owner, r.Name, commit, options)
		if forbidden(err) {
			hidden = true
			break
		}
		if err != nil {
			return sum, "", err
		}
		for _, run := range page.CheckRuns {
			said := strings.Join([]string{run.GetOutput().GetTitle(), run.GetOutput().GetSummary(), run.GetOutput().GetText()}, "\n")
			tally(run.GetStatus() == "completed", good(run.GetConclusion()), failure{session.Check{Name: run.GetName(), URL: cmp.Or(run.GetHTMLURL(), run.GetDetailsURL())}, said})
		}
		if options.Page = following(resp, options.Page, len(page.CheckRuns)); options.Page == 0 {
			break
		}
	}
	of := &gh.ListOptions{PerPage: perPage}
	for {
		page, resp, err := c.Repositories.GetCombinedStatus(ctx, r.Owner, r.Name, commit, of)
		if forbidden(err) {
			hidden = true
			break
		}
		if err != nil {
			return sum, "", err
		}
		for _, s := range page.Statuses {
			tally(s.GetState() != "pending", s.GetState() == "success", failure{session.Check{Name: s.GetContext(), URL: s.GetTargetURL()}, s.GetDescription()})
		}
		if of.Page = following(resp, of.Page, len(page.Statuses)); of.Page == 0 {
			break
		}
	}
	switch {
	case len(failed) > 0:
		sum.State = session.ChecksFailed
	case hidden:
		sum.State = session.ChecksHidden
	case sum.Pending > 0:
		sum.State = session.ChecksPending
	case sum.Total > 0:
		sum.State = session.ChecksGreen
	}
	slices.SortFunc(failed, func(a, b failure) int { return cmp.Compare(a.Name, b.Name) })
	failed = failed[:min(len(failed), session.MaxChecks)]
	for _, f := range failed {
		sum.Failed = append(sum.Failed, f.Check)
	}
	return sum, saying(failed), nil
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
