package session

import (
	"fmt"
	"slices"
	"strconv"
)

// pullRefusal says why nothing can be done from a pull request's card; "" if something can.
func pullRefusal(c *Card) string {
	if c.State == CardStale && c.PullRequest.Head == "" {
		return superseded(c)
	}
	return c.PullRequest.Unfit(c.Commit)
}

// reviewRefusal says why a pull request cannot be approved by somebody; "" if it can.
func (m *Machine) reviewRefusal(a Approval, c *Card) string {
	if reason := pullRefusal(c); reason != "" {
		return reason
	}
	pr := c.PullRequest
	if a.By.Slack == pr.OpenedBy.Slack && !pr.Adopted || a.By.GitHub != nil && a.By.GitHub.ID == pr.Author.ID {
		return OwnPull(pr.Number)
	}
	if contributed(c.Contributors, a.By) || contributed(m.s.Contributors, a.By) {
		return "You prompted some of these changes, so your approval would not be a second pair of eyes. Somebody else has to approve them."
	}
	return ""
}

// review has an approval submitted as a review.
func (m *Machine) review(a Approval, c *Card) {
	a.State = ApprovalAccepted
	m.setApproval(a)
	m.ask(Effect{Kind: EffectReview, PromptID: c.PromptID, Review: &ReviewRequest{
		Session: m.s.ID, Approval: a.ID, Repo: c.Repo, Number: c.PullRequest.Number, Commit: c.Commit, By: a.By,
	}})
}

func (m *Machine) reviewed(in Reviewed) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	a, c := m.approval(e.Review.Approval)
	if c == nil {
		return
	}
	words := ""
	if !in.Review.Writes {
		words = fmt.Sprintf("Approved on GitHub. Your account %s has no write access to %s, so it does not count for a merge.", in.Review.By.Login, c.Repo)
	}
	a.Ref = strconv.FormatInt(in.Review.ID, 10)
	m.finishApproval(a, ApprovalDone, words)
	was := m.follows()
	if was == nil || was.Number != c.PullRequest.Number {
		return // it came to an end meanwhile
	}
	pr := *was
	pr.Reviews = slices.DeleteFunc(slices.Clone(pr.Reviews), func(v Review) bool { return v.By.ID == in.Review.By.ID })
	pr.Reviews = append(pr.Reviews, in.Review)
	m.saw(pr)
}

func (m *Machine) reviewFailed(in ReviewFailed) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	if a, c := m.approval(e.Review.Approval); c != nil {
		m.finishApproval(a, ApprovalFailed, m.outrun(c, in.Err))
	}
}

// outrun is what to tell whoever reacted on a pull request's card of a failure. Newer commits that GitHub has may be the session's own, pushed meanwhile:
// then GitHub is not the place to go on.
func (m *Machine) outrun(c *Card, err Failure) string {
	if err.Code == Conflict && (m.pending(EffectOpen) || c.State == CardStale && c.PullRequest.Head == "") {
		return superseded(c)
	}
	return err.Message
}
