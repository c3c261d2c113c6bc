package sessiontest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"openinspect/session"
)

// Render writes a Ready as people read it: one line for each event, each changed record, each effect.
func Render(r session.Ready) string {
	var b strings.Builder
	for _, e := range r.Events {
		b.WriteString(eventLine(e))
	}
	for _, a := range r.Audit() {
		switch a.Action {
		case "approve", "review", "merge": // told below
		default:
			fmt.Fprintf(&b, "  audit    %s by %s%s\n", a.Action, a.By.Name, reason(a.Result))
		}
	}
	for _, p := range r.Record.Prompts {
		fmt.Fprintf(&b, "  prompt   %s %s%s\n", p.ID, p.State, reason(p.Reason))
	}
	for _, c := range r.Record.Cards {
		fmt.Fprintf(&b, "  card     %s %s %s%s\n", c.ID, c.Kind, c.State, reason(c.Outcome))
	}
	for _, a := range r.Record.Approvals {
		fmt.Fprintf(&b, "  approval %s %s\n", a.ID, a.State)
	}
	for _, id := range r.Done {
		fmt.Fprintf(&b, "  done     %s\n", id)
	}
	for _, e := range r.Effects {
		b.WriteString(effectLine(e))
	}
	return b.String()
}

func reason(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func effectLine(e session.Effect) string {
	var v any
	switch e.Kind {
	case session.EffectStart:
		v = e.Boot
	case session.EffectAttach:
		v = e.Attach
	case session.EffectPrompt:
		v = e.Prompt
	case session.EffectCollect:
		v = e.Collect
	case session.EffectOpen:
		v = e.Open
	case session.EffectReview:
		v = e.Review
	case session.EffectMerge:
		v = e.Merge
	case session.EffectSuspend:
		v = e.Suspend
	case session.EffectSnapshot:
		v = e.Snapshot
	case session.EffectStop:
		v = e.PromptID
	}
	body, _ := json.Marshal(v)
	return fmt.Sprintf("  effect   %s %s %s\n", e.ID, e.Kind, body)
}

func eventLine(e session.Event) string {
	s := fmt.Sprintf("  %-3d %s", e.Seq, e.Kind)
	if e.PromptID != "" {
		s += " [" + e.PromptID + "]"
	}
	switch {
	case e.Prompt != nil:
		s += fmt.Sprintf(" %s %s", e.Prompt.Author.Name, e.Prompt.State)
		if e.Prompt.Position > 0 {
			s += fmt.Sprintf(" #%d", e.Prompt.Position)
		}
		if e.Prompt.Edited {
			s += ", edited to " + strconv.Quote(e.Prompt.Text)
		}
		if e.Prompt.Corrects != "" {
			s += ", corrects " + e.Prompt.Corrects
		}
		if e.Prompt.AskedBy != "" {
			s += ", again, for " + e.Prompt.AskedBy
		}
		s += reason(e.Prompt.Reason)
	case e.Turn != nil:
		s += fmt.Sprintf(" %s %s%s %s", e.Turn.State, e.Turn.Outcome, reason(e.Turn.Reason), e.Turn.Card)
	case e.Boot != nil:
		s += fmt.Sprintf(" %s %s%s", e.Boot.Phase, e.Boot.State, reason(e.Boot.Detail))
	case e.Sandbox != nil:
		s += fmt.Sprintf(" %s %s%s", e.Sandbox.State, e.Sandbox.Name, reason(e.Sandbox.Reason))
	case e.Text != nil:
		s += " " + e.Text.Text
	case e.Note != nil:
		s += fmt.Sprintf(" %s %s", e.Note.Kind, cmp.Or(e.Note.Text, e.Note.ID+" is over: "+e.Note.Over))
		if e.Note.Quote != "" {
			s += fmt.Sprintf(" %s %q", e.Note.ID, e.Note.Quote)
		}
	case e.Commits != nil:
		s += fmt.Sprintf(" %s (%d)", e.Commits.Head, e.Commits.Count)
	case e.Card != nil:
		s += fmt.Sprintf(" %s %s %s %q%s", e.Card.ID, e.Card.Kind, e.Card.State, e.Card.Title, reason(e.Card.Outcome))
		if to := e.Card.PullRequest; to != nil && e.Card.Kind == session.CardChanges && e.Card.State == session.CardOpen {
			s += fmt.Sprintf(", for #%d", to.Number)
		}
		if e.Card.Draft {
			s += ", a draft"
		}
		if e.Card.Tests != "" {
			s += ", tests " + strconv.Quote(e.Card.Tests)
		}
	case e.Approval != nil:
		s += fmt.Sprintf(" %s by %s on %s: %s%s%s", e.Approval.ID, e.Approval.By.Name, e.Approval.Card, kind(e.Approval.Kind), e.Approval.State, reason(e.Approval.Reason))
	case e.PullRequest != nil:
		s += pullLine(e.PullRequest)
	case e.Model != nil:
		s += fmt.Sprintf(" %s $%.2f", e.Model.Model, e.Model.Cost)
	case e.Budget != nil:
		c := e.Budget
		s += fmt.Sprintf(" %s %s: %s of %s", c.State, c.Pause, session.Dollars(c.Spent), session.Dollars(c.Limit))
		if c.More > 0 {
			s += ", " + session.Dollars(c.More) + " more"
		}
		if c.By.Name != "" {
			s += ", by " + c.By.Name
		}
		s += reason(c.Reason)
	case e.Repository != nil:
		s += fmt.Sprintf(" %s %s %s %s%s", e.Repository.State, e.Repository.Repo, e.Repository.Base, e.Repository.By.Name, reason(e.Repository.Reason))
	case e.Retry != nil:
		s += fmt.Sprintf(" %d%s", e.Retry.Attempt, reason(e.Retry.Reason))
	case e.Error != nil:
		s += " " + e.Error.Message
	}
	return strings.TrimRight(s, " ") + "\n"
}

func kind(k session.ApprovalKind) string {
	if k == session.ApprovalOpen {
		return ""
	}
	return string(k) + " "
}

func pullLine(p *session.PullRequest) string {
	s := fmt.Sprintf(" #%d %s", p.Number, p.State)
	if p.Adopted {
		s += ", opened by " + p.OpenedBy.Name
	}
	if p.Draft {
		s += ", draft"
	}
	if p.Head != "" {
		s += ", moved to " + p.Head
	}
	if p.Checks.State != session.ChecksNone {
		s += ", checks " + string(p.Checks.State)
	}
	for _, v := range p.Reviews {
		s += ", " + v.By.Login + " " + string(v.State)
		if !v.Writes {
			s += " (does not count yet)"
		}
	}
	if p.MergedAs != "" {
		s += ", as " + p.MergedAs + " by " + p.MergedBy.Login
	}
	return s
}
