package github

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// remark is one with its time and author, as GitHub has them.
type remark struct {
	session.Remark
	login string
	at    time.Time
}

// remarks are what people said of a pull request: reviews, each with its comments on lines, and the conversation. Apps are left out, and so are approvals
// without a word and those that were given in Slack.
func remarks(ctx context.Context, c *gh.Client, r session.Repo, number int, reviews []*gh.PullRequestReview) (all []remark, err error) {
	lines, err := lineComments(ctx, c, r, number)
	if err != nil {
		return nil, err
	}
	for _, v := range reviews {
		of := lines[v.GetID()]
		said := strings.TrimSpace(v.GetBody())
		switch state := v.GetState(); {
		case !human(v.GetUser()), state == "PENDING", state == "DISMISSED", said == "" && len(of) == 0:
			continue
		case state == stateApproved && len(of) == 0 && strings.Contains(said, trailerName):
			continue
		}
		m := remark{login: v.GetUser().GetLogin(), at: v.GetSubmittedAt().Time}
		m.ID, m.By, m.URL, m.Text = "r"+strconv.FormatInt(v.GetID(), 10), account(v.GetUser()), v.GetHTMLURL(), reviewText(said, of, v.GetHTMLURL())
		switch v.GetState() {
		case stateApproved:
			m.State = session.ReviewApproved
		case stateChanges:
			m.State = session.ReviewChanges
		}
		all = append(all, m)
	}
	options := &gh.IssueListCommentsOptions{ListOptions: gh.ListOptions{PerPage: perPage}}
	for {
		page, resp, err := c.Issues.ListComments(ctx, r.Owner, r.Name, number, options)
		if forbidden(err) {
			break // GitHub counts the conversation among issues, too; reviews are told without it
		}
		if err != nil {
			return nil, err
		}
		for _, s := range page {
			said := strings.TrimSpace(s.GetBody())
			if !human(s.GetUser()) || said == "" {
				continue
			}
			m := remark{login: s.GetUser().GetLogin(), at: s.GetCreatedAt().Time}
			m.ID, m.By, m.URL, m.Text = "c"+strconv.FormatInt(s.GetID(), 10), account(s.GetUser()), s.GetHTMLURL(), shortened(said, s.GetHTMLURL())
			all = append(all, m)
		}
		if options.Page = following(resp, options.Page, len(page)); options.Page == 0 {
			break
		}
	}
	slices.SortStableFunc(all, func(a, b remark) int { return a.at.Compare(b.at) })
	return all, nil
}

// human reports whether an account is a person's. That of somebody who left GitHub is nobody's.
func human(u *gh.User) bool { return u.GetLogin() != "" && u.GetType() != "Bot" }

// lineComments are the comments on lines, in order, by their review.
func lineComments(ctx context.Context, c *gh.Client, r session.Repo, number int) (map[int64][]*gh.PullRequestComment, error) {
	all := map[int64][]*gh.PullRequestComment{}
	options := &gh.PullRequestListCommentsOptions{ListOptions: gh.ListOptions{PerPage: perPage}}
	for {
		page, resp, err := c.PullRequests.ListComments(ctx, r.Owner, r.Name, number, options)
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			all[m.GetPullRequestReviewID()] = append(all[m.GetPullRequestReviewID()], m)
		}
		if options.Page = following(resp, options.Page, len(page)); options.Page == 0 {
			return all, nil
		}
	}
}

// reviewText is a review in one piece. Where it does not fit, what the lines look like is left out first.
func reviewText(said string, lines []*gh.PullRequestComment, url string) string {
	for _, context := range []int{4, 0} {
		var b strings.Builder
		b.WriteString(said)
		for _, m := range lines {
			b.WriteString("\n\n" + place(m) + "\n")
			if hunk := tail(m.GetDiffHunk(), context); hunk != "" {
				fence := fenceFor(hunk)
				b.WriteString(fence + "diff\n" + hunk + "\n" + fence + "\n")
			}
			b.WriteString(strings.TrimSpace(m.GetBody()))
		}
		if text := strings.TrimSpace(b.String()); context == 0 || utf8.RuneCountInString(text) <= session.MaxRemark {
			return shortened(text, url)
		}
	}
	return "" // not reached
}

// place is where a comment on a line is.
func place(m *gh.PullRequestComment) string {
	where := "`" + session.OneLine(m.GetPath(), 300) + "`"
	if line := cmp.Or(m.GetLine(), m.GetOriginalLine()); line != 0 {
		where += fmt.Sprintf(", line %d", line)
	}
	if m.GetInReplyTo() != 0 {
		where += ", in reply to what was said there"
	}
	return where + ":"
}

// tail are the last lines of a hunk: the comment is on the last.
func tail(hunk string, lines int) string {
	all := strings.Split(strings.TrimRight(hunk, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// fenceFor is a fence that nothing in a text ends.
func fenceFor(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}

// shortened is a text that an agent can be handed, which says where the rest is.
func shortened(text, url string) string {
	if utf8.RuneCountInString(text) <= session.MaxRemark {
		return text
	}
	end := "\n\n(It is longer. All of it: " + url + ")"
	return string([]rune(text)[:session.MaxRemark-utf8.RuneCountInString(end)]) + end
}
