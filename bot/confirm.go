package bot

import (
	"fmt"
	"strings"

	"openinspect/session"
)

// nameKey is the key, in its session, of the message that asks for the second one of an approval.
func nameKey(approval string) string { return "name/" + approval }

// confirm is the message that asks for a second approval, by the paths that it is about; later, what became of it.
func (v view) confirm(a *session.Approval, c *session.Card) session.Message {
	m := v.message(nameKey(a.ID), session.MessagePost, "confirm", c.PromptID)
	m.Subject.Card, m.Subject.Approval, m.Urgent = c.ID, a.ID, true
	heading, foot := "*A second :"+v.approve+": is needed, on this message.*", ""
	switch a.State {
	case session.ApprovalNaming:
		foot = "Nothing is pushed until then. Whoever puts :" + v.approve + ": here within 15 minutes " + v.seconds(c) + "."
	case session.ApprovalRefused:
		heading = "*Not approved a second time.*"
		if a.Seconds == "" { // else it is for that person alone
			foot = prose(a.Reason)
		}
	case session.ApprovalFailed:
		heading = "*Approved a second time,* and nothing came of it: the card is open again."
	case session.ApprovalWithdrawn:
		heading, foot = "*Nothing was pushed.* "+escape(a.By.Name)+" took the approval back.", ""
	case session.ApprovalLinking, session.ApprovalMerging, session.ApprovalAccepted, session.ApprovalDone:
		heading = "*Approved a second time.*"
	}
	said := fmt.Sprintf("%s What %s approved, %s, changes", heading, escape(a.By.Name), code(sevenDigits(c.Commit)))
	var lines []string
	for _, p := range c.Named[:min(maxFiles, len(c.Named))] {
		lines = append(lines, "• "+code(short(p, 200)))
	}
	if more := len(c.Named) - len(lines); more > 0 {
		rest := "more: see the diff" // the list itself may have been cut
		if v.logURL != "" {
			rest = "<" + v.logURL + "|" + rest + ">"
		}
		lines = append(lines, "• and "+rest)
	}
	text := said + "\n" + strings.Join(lines, "\n")
	m.Text = text
	parts := blocks(section(text))
	if foot != "" {
		m.Text += "\n" + foot
		parts = blocks(section(text), section(foot))
	}
	m.Blocks = parts
	return m
}

// seconds is what a second approval does.
func (v view) seconds(c *session.Card) string {
	switch {
	case c.PullRequest != nil:
		return "has it pushed to " + pullLink(c.PullRequest)
	case c.Draft:
		return "opens the draft as themselves, and then cannot review it"
	}
	return "opens the pull request as themselves, and then cannot review it"
}
