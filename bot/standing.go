package bot

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"openinspect/session"
)

// standing says how things stand in a session, from what is stored, in Slack's markup.
func (b *Bot) standing(ctx context.Context, c conversation) (string, error) {
	s := c.state.Session
	v := b.presenter.view(ctx, s)
	heading := "*" + escape(short(s.Title, 80)) + "*"
	if v.repo != "" {
		heading += " · " + v.repo
	}
	lines := []string{heading, b.goesOn(c.state)}
	if queue := queueOf(c.state); queue != "" {
		lines = append(lines, queue)
	}
	lines = append(lines, "Sandbox: "+sandboxWords(s.Sandbox))
	if work := workOf(c.state); work != "" {
		lines = append(lines, work)
	}
	facts := []string{modelTitle(s.Model)}
	if s.Effort != "" {
		facts[0] += " (" + escape(s.Effort) + ")"
	}
	if s.Cost > 0 {
		facts = append(facts, dollars(s.Cost, false)+" so far")
	}
	if v.logURL != "" {
		facts = append(facts, "<"+v.logURL+"|log>")
	}
	facts = append(facts, rule(s.Rooted, s.Muted, s.Closed, isDirect(s.Thread.Channel)))
	return strings.Join(append(lines, strings.Join(facts, " · ")), "\n"), nil
}

// goesOn says what runs and since when, or how the last turn ended.
func (b *Bot) goesOn(st session.State) string {
	s, now := st.Session, b.clock.Now()
	t := s.Turn
	switch {
	case t == nil && s.Await == session.AwaitRepository && len(st.Prompts) > 0:
		return "Waits for " + escape(s.Requester.Name) + " to say which repository this is about."
	case t == nil && s.Closed:
		return "Closed. A mention goes on where it ended."
	case t == nil && s.Ended.PromptID == "":
		return "Nothing has run yet."
	case t == nil:
		ended := "Nothing runs. The last turn was done"
		switch s.Ended.State {
		case session.PromptFailed:
			ended = "Nothing runs. The last turn failed"
		case session.PromptStopped, session.PromptWithdrawn:
			ended = "Nothing runs. The last turn was stopped"
		case session.PromptDone, session.PromptQueued, session.PromptRunning:
		}
		ended += " " + elapsed(now.Sub(s.Ended.At)) + " ago."
		if (s.Ended.State == session.PromptFailed || s.Ended.State == session.PromptStopped) && !s.Ended.Again {
			ended += " `!retry` runs it again."
		}
		return ended
	}
	author, text := "somebody", ""
	if i := slices.IndexFunc(st.Prompts, func(p session.Prompt) bool { return p.ID == t.PromptID }); i >= 0 {
		author, text = escape(st.Prompts[i].Author.Name), " “"+escape(short(st.Prompts[i].Text, 100))+"”"
	}
	doing := "Working for "
	switch {
	case t.Stopping:
		doing = "Stopping what runs for "
	case t.Pause != nil:
		doing = "Paused, because the budget is spent, for "
	case t.State == session.TurnAnswered:
		doing = "Collecting what the agent did for "
	case t.State == session.TurnStarted && s.Sandbox.State == session.SandboxPending:
		doing = "Waiting for room, for "
	case t.State == session.TurnStarted:
		doing = "Starting for "
	}
	during := ""
	if !t.Began.IsZero() {
		during = ", for " + elapsed(now.Sub(t.Began))
	}
	return doing + author + during + ":" + text
}

// queueOf lists what waits, with its authors; "" if nothing does.
func queueOf(st session.State) string {
	var waiting []string
	for _, p := range st.Prompts {
		if t := st.Session.Turn; t == nil || t.PromptID != p.ID {
			waiting = append(waiting, escape(p.Author.Name)+": “"+escape(short(p.Text, 60))+"”")
		}
	}
	if len(waiting) == 0 {
		return ""
	}
	return fmt.Sprintf("%d queued: ", len(waiting)) + strings.Join(waiting, "; ")
}

// sandboxWords is a sandbox's state in people's words.
func sandboxWords(box session.Sandbox) string {
	switch box.State {
	case session.SandboxNone:
		return "none yet"
	case session.SandboxPending:
		return fmt.Sprintf("waits for room, number %d in line", box.Place)
	case session.SandboxSpawning:
		return "starting"
	case session.SandboxBooting:
		return "booting"
	case session.SandboxReady:
		return "ready"
	case session.SandboxRunning:
		return "in use"
	case session.SandboxSnapshotting:
		return "being put away, with its files"
	case session.SandboxStopped:
		return "put away; the next prompt brings it back with its files"
	case session.SandboxFailed:
		return "did not start; the next prompt tries again"
	case session.SandboxLost:
		return "lost; the next prompt starts another"
	}
	return string(box.State)
}

// workOf says what has come of a session: its pull request, or changes that wait for somebody's approval.
func workOf(st session.State) string {
	var lines []string
	if pr := st.Session.PullRequest; pr != nil {
		line := "Pull request: " + pullLink(pr) + " (" + string(pr.State) + ")"
		if checks := checksLine(pr.Checks); checks != "" && pr.State == session.PullOpen {
			line += " · " + checks
		}
		if reviews := reviewsLine(pr.Reviews, pr.Commit); reviews != "" && pr.State == session.PullOpen {
			line += " · " + reviews
		}
		lines = append(lines, line)
	}
	for _, c := range slices.Backward(st.Cards) {
		if c.Kind == session.CardChanges && c.State == session.CardOpen {
			lines = append(lines, "Changes ready at "+code(sevenDigits(c.Commit))+": "+escape(short(c.Title, 80)))
			break
		}
	}
	for _, a := range st.Approvals {
		if words := underWay(a); words != "" {
			lines = append(lines, "An approval "+words)
		}
	}
	return strings.Join(lines, "\n")
}

// underWay says what an approval waits for, or what is being done for it, in Slack's markup; "" of one that is over.
func underWay(a session.Approval) string {
	who := escape(a.By.Name)
	switch a.State {
	case session.ApprovalLinking:
		return "waits for " + who + " to link a GitHub account"
	case session.ApprovalNaming:
		return "waits for a second one, on the message that names what it touches, after " + who + "’s"
	case session.ApprovalMerging, session.ApprovalAccepted:
		switch a.Kind {
		case session.ApprovalReview:
			return "is being submitted as " + who + "’s review"
		case session.ApprovalMerge:
			return "is being carried out: the pull request is merged for " + who
		case session.ApprovalOpen:
		}
		return "is being carried out: the changes are on their way to GitHub, for " + who
	case session.ApprovalDone, session.ApprovalRefused, session.ApprovalFailed, session.ApprovalWithdrawn:
	}
	return ""
}

// shut tells that a session was closed, and those whose messages waited that these were not run.
func (v view) shut(seq int64, promptID string, n *session.Note) []session.Message {
	var authors []session.Person
	var messages []session.Message
	for _, w := range n.Withdrawn {
		authors = append(authors, w.Author)
		if messageTS.FindString(w.PromptID) != w.PromptID {
			continue // a correction, of which the message itself was taken, or a press
		}
		messages = append(messages, session.Message{Key: "eyes/" + v.thread.Channel + "/" + w.PromptID, Op: session.MessageUnreact, Channel: v.thread.Channel,
			Thread: v.thread.TS, TS: w.PromptID, Emoji: "eyes", Urgent: true})
	}
	text := prose(n.Text)
	if len(authors) > 0 {
		text += "\nNot run: " + plural(len(authors), "message") + " that waited, by " + naming(authors) + "."
	}
	return append([]session.Message{v.notice(seq, promptID, text)}, messages...)
}

// naming mentions people, each once.
func naming(all []session.Person) string {
	var names []string
	for _, p := range all {
		if name := "<@" + p.Slack + ">"; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
