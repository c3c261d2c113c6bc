package bot

import (
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// pullRequest is the card of a pull request: what GitHub says of it, and what a reaction does.
func (v view) pullRequest(c *session.Card) session.Message {
	m := v.message(cardKey(c.ID), session.MessagePost, "card", c.PromptID)
	m.Subject.Card, m.Urgent = c.ID, true
	pr := c.PullRequest
	heading := pullHeading(c)
	where := fmt.Sprintf("%s: %s ← %s at %s", code(pr.Repo.String()), code(short(pr.Base, 100)), code(short(pr.Branch, 100)), code(sevenDigits(c.Commit)))
	lines := []string{heading, where}
	if c.State == session.CardOpen {
		if checks := checksLine(pr.Checks); checks != "" {
			lines = append(lines, checks)
		}
		if reviews := reviewsLine(pr.Reviews, c.Commit); reviews != "" {
			lines = append(lines, reviews)
		}
		if pr.Lost != "" {
			lines = append(lines, ":warning: "+prose(pr.Lost))
		}
		if pr.Outside > 0 {
			lines = append(lines, "People without write access made "+plural(pr.Outside, "remark")+", not told here: "+pullLink(pr))
		}
	}
	var facts []string
	if len(c.Contributors) > 0 {
		facts = append(facts, "Contributors: "+people(c.Contributors))
	}
	if c.State == session.CardOpen && !pr.Draft {
		facts = append(facts, ":"+v.approve+": approves this commit on GitHub as you, if you did not contribute")
		switch {
		case v.merge == "":
		case c.Merging != nil:
			facts = append(facts, "taking :"+v.merge+": off again within ten seconds cancels it")
		default:
			facts = append(facts, ":"+v.merge+": merges it as you, "+conditions(v.quorum))
		}
	}
	m.Text = heading + " " + where
	text, _ := cut(strings.Join(lines, "\n"), maxList)
	parts := []slack.Block{section(text), plainSection("Title, by the agent: " + c.Title)}
	if len(facts) > 0 {
		parts = append(parts, note(strings.Join(facts, " · ")))
	}
	m.Blocks = blocks(parts...)
	return m
}

// cardKey is the key, within a session, of the message that a pull request's card is.
func cardKey(card string) string { return "card/" + card }

func pullHeading(c *session.Card) string {
	pr := c.PullRequest
	switch {
	case c.State == session.CardDone:
		return "*" + opened(c) + "*"
	case c.State == session.CardStale:
		return fmt.Sprintf("*Pull request %s* at an older commit. %s", pullLink(pr), prose(c.Outcome))
	case c.Merging != nil:
		return fmt.Sprintf("*Merging %s* for %s …", pullLink(pr), escape(c.Merging.Name))
	}
	kind := "Pull request"
	if pr.Draft {
		kind = "Draft pull request"
	}
	return fmt.Sprintf("*%s %s*, opened by %s", kind, pullLink(pr), escape(pr.OpenedBy.Name))
}

// checksLine sums the checks up; "" while there are none.
func checksLine(c session.Checks) string {
	switch c.State {
	case session.ChecksNone:
	case session.ChecksGreen:
		return ":large_green_circle: " + plural(c.Total, "check") + " passed"
	case session.ChecksPending:
		return fmt.Sprintf(":large_yellow_circle: %d of %s still running", c.Pending, plural(c.Total, "check"))
	case session.ChecksFailed:
		names := make([]string, len(c.Failed))
		for i, f := range c.Failed {
			names[i] = code(short(f.Name, 60))
		}
		return ":red_circle: Failed: " + strings.Join(names, ", ")
	case session.ChecksHidden:
		return "Checks are hidden from the GitHub App: it needs the permissions “Checks: read” and “Commit statuses: read”"
	}
	return ""
}

// reviewsLine tells who approved this commit, and who wants something else; "" while nobody does.
func reviewsLine(reviews []session.Review, commit string) string {
	var said []string
	for _, r := range reviews {
		who := escape(r.By.Login)
		switch {
		case r.State == session.ReviewChanges:
			said = append(said, who+" asks for changes")
		case r.Commit != commit:
			said = append(said, who+" approved an older commit")
		case !r.Writes:
			said = append(said, who+" approved this commit, without write access")
		default:
			said = append(said, who+" approved this commit")
		}
	}
	text, _ := cut(strings.Join(said, " · "), maxNames)
	return text
}
