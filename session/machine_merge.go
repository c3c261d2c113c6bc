package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// mergeRequest is what a 🚢 asks for.
func (m *Machine) mergeRequest(a Approval, c *Card) MergeRequest {
	return MergeRequest{
		Session: m.s.ID, Approval: a.ID, Card: c.ID, Repo: c.Repo, Number: c.PullRequest.Number, Commit: c.Commit, Base: cmp.Or(a.Base, c.PullRequest.Base), By: a.By, Quorum: a.Quorum,
		Contributors: slices.Clone(m.s.Contributors), Known: slices.Clone(m.s.Participants),
	}
}

// mergeRefusal says why a pull request cannot be merged now; "" if it can.
func (m *Machine) mergeRefusal(a Approval, c *Card) string {
	if c.Kind != CardPullRequest {
		return notPulled(c)
	}
	if reason := pullRefusal(c); reason != "" {
		return reason
	}
	if c.Merging != nil && c.Merging.Slack != a.By.Slack {
		return c.Merging.Name + " is merging it already."
	}
	return m.mergeRequest(a, c).Blocked(*c.PullRequest)
}

// notPulled says where to go on from a card of changes to merge them.
func notPulled(c *Card) string {
	const then = "then its own card can be merged."
	switch c.State {
	case CardOpen:
		if c.PullRequest != nil {
			return fmt.Sprintf("These changes are not in #%d yet. Approving this card pushes them to it; %s", c.PullRequest.Number, then)
		}
		return "There is no pull request of these changes yet. Approving this card opens it; " + then
	case CardOpening:
		return "These changes are on their way to GitHub. Wait for their pull request; " + then
	case CardDone:
		return fmt.Sprintf("This card is done. The one of #%d is below it; react there.", c.PullRequest.Number)
	case CardStale:
		return superseded(c)
	}
	return "This card is closed."
}

// merging gives whoever asked for a merge time to take it back.
func (m *Machine) merging(a Approval, c *Card) {
	a.State, a.Deadline, a.Base = ApprovalMerging, m.at.Add(MergeWithin), c.PullRequest.Base
	m.setApproval(a)
	by := a.By
	c.Merging = &by
	m.tellCard(c)
}

// mergeDue carries out the merges that nobody took back.
func (m *Machine) mergeDue() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State != ApprovalMerging || a.Deadline.After(m.at) {
			continue
		}
		c := m.card(a.Card)
		c.Merging = nil // the one under way is the only one that there can be
		if reason := m.mergeRefusal(a, c); reason != "" {
			m.finishApproval(a, ApprovalRefused, reason)
			m.tellCard(c)
			continue
		}
		by := a.By
		c.Merging = &by
		a.State, a.Deadline = ApprovalAccepted, time.Time{}
		m.setApproval(a)
		r := m.mergeRequest(a, c)
		m.ask(Effect{Kind: EffectMerge, PromptID: c.PromptID, Merge: &r})
	}
}

// mergeLater gives those who can take a merge back their time anew: while the bot was away it heard of nobody's.
func (m *Machine) mergeLater() {
	for _, a := range slices.Clone(m.approvals) {
		if a.State == ApprovalMerging {
			a.Deadline = m.at.Add(MergeWithin)
			m.setApproval(a)
		}
	}
}

// unreacted takes back what is not done yet, and else says where it is undone.
func (m *Machine) unreacted(in Unreacted) error {
	c := m.card(in.Card)
	if c == nil {
		return errNoCard
	}
	if m.heard(in.ID) {
		return nil
	}
	for _, a := range slices.Clone(m.approvals) {
		if a.Card != c.ID || a.By.Slack != in.By.Slack || (a.Kind == ApprovalMerge) != in.Merge {
			continue
		}
		if !in.At.IsZero() && in.At.Before(a.Put) {
			return nil // it was put there again since
		}
		switch a.State {
		case ApprovalLinking, ApprovalNaming, ApprovalMerging:
			m.hear(in.ID)
			m.finishApproval(a, ApprovalWithdrawn, "")
			if a.State == ApprovalMerging { // else it is somebody else's merge that the card shows
				c.Merging = nil
				m.tellCard(c)
			}
			return nil
		case ApprovalAccepted, ApprovalDone, ApprovalRefused, ApprovalFailed, ApprovalWithdrawn:
			return Errorf(Conflict, "%s", tooLate(a.Kind, c))
		}
	}
	pr := c.PullRequest
	if now := m.s.PullRequest; pr != nil && now.Number == pr.Number {
		pr = now
	}
	switch {
	case pr == nil:
		return nil // nothing came of it
	case in.Merge && pr.State == PullMerged:
		return Errorf(Conflict, "That was too late: #%d is merged. It can be reverted on GitHub: %s", pr.Number, pr.URL)
	case in.Merge:
		return nil
	case c.Kind == CardChanges && c.State == CardDone && pr.State == PullOpen:
		return Errorf(Conflict, "#%d is open. If it should not be, close it on GitHub: %s", pr.Number, pr.URL)
	case c.Kind == CardPullRequest && slices.ContainsFunc(pr.Reviews, func(v Review) bool {
		return in.By.GitHub != nil && v.By.ID == in.By.GitHub.ID && v.State == ReviewApproved
	}):
		return Errorf(Conflict, "Your approval of #%d stands. Dismiss it on GitHub, if you take it back: %s", pr.Number, pr.URL)
	}
	return nil
}

// tooLate says what becomes of an approval that is being carried out, to whoever takes it back.
func tooLate(kind ApprovalKind, c *Card) string {
	switch kind {
	case ApprovalReview:
		return fmt.Sprintf("Your approval of #%d is being submitted. If you take it back, dismiss it on GitHub: %s", c.PullRequest.Number, c.PullRequest.URL)
	case ApprovalMerge:
		return fmt.Sprintf("That may be too late: #%d is being merged just now. Its card will tell; a merge can be reverted on GitHub: %s", c.PullRequest.Number, c.PullRequest.URL)
	case ApprovalOpen:
	}
	return "That was too late: it is on its way to GitHub. If the pull request should not be there, close it on GitHub."
}

func (m *Machine) merged(in Merged) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	a, c := m.approval(e.Merge.Approval)
	if c == nil {
		return
	}
	a.Ref = in.Commit
	m.finishApproval(a, ApprovalDone, "")
	c.Merging = nil
	was := m.follows()
	if was == nil || was.Number != c.PullRequest.Number { // GitHub's word came first
		m.tellCard(c)
		return
	}
	pr := *was
	pr.State, pr.MergedAs, pr.MergedBy = PullMerged, in.Commit, *a.By.GitHub
	m.saw(pr)
}

func (m *Machine) mergeFailed(in MergeFailed) {
	e, ok := m.confirm(in.Effect)
	if !ok {
		return
	}
	a, c := m.approval(e.Merge.Approval)
	if c == nil {
		return
	}
	if in.TakenBack {
		m.finishApproval(a, ApprovalWithdrawn, "")
	} else {
		m.finishApproval(a, ApprovalFailed, m.outrun(c, in.Err))
	}
	c.Merging = nil
	m.tellCard(c)
}
