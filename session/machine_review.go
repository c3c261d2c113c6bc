package session

import (
	"fmt"
	"slices"
)

// pullRefusal says why nothing can be done from a pull request's card; "" if something can.
func (m *Machine) pullRefusal(c *Card) string {
	pr := c.PullRequest
	switch c.State {
	case CardDone:
		if pr.State == PullMerged {
			return fmt.Sprintf("#%d is merged already.", pr.Number)
		}
		return fmt.Sprintf("#%d is closed: %s", pr.Number, pr.URL)
	case CardStale:
		if pr.Head != "" {
			return fmt.Sprintf("Somebody pushed %s on GitHub after this card's %s. Go on there: %s", short(pr.Head), short(c.Commit), pr.URL)
		}
		return superseded(c)
	case CardOpen, CardOpening:
	}
	if pr.Draft {
		return fmt.Sprintf("#%d is a draft. Mark it as ready for review on GitHub, then react again: %s", pr.Number, pr.URL)
	}
	return ""
}

// reviewRefusal says why a pull request cannot be approved by somebody; "" if it can.
func (m *Machine) reviewRefusal(a Approval, c *Card) string {
	if reason := m.pullRefusal(c); reason != "" {
		return reason
	}
	pr := c.PullRequest
	if a.By.Slack == pr.OpenedBy.Slack && !pr.Adopted || a.By.GitHub != nil && a.By.GitHub.ID == pr.Author.ID {
		return fmt.Sprintf("You opened #%d, and GitHub lets nobody approve their own pull request. Somebody else has to.", pr.Number)
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
		m.finishApproval(a, ApprovalFailed, in.Err.Message)
	}
}
