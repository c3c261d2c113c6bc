package bot

import (
	"fmt"
	"strings"
	"time"

	"openinspect/session"
	"openinspect/session/model"
)

// phases are the boot phases in people's words: while they run, and when they are over.
var phases = map[string][2]string{
	string(session.PhaseSync):  {"checking out the repository", "checked out"},
	string(session.PhaseSetup): {"running `setup.sh`", "`setup.sh`"},
	string(session.PhaseStart): {"running `start.sh`", "`start.sh`"},
	string(session.PhaseAgent): {"starting the agent", "agent started"},
	string(session.PhaseReady): {"getting ready", "ready"},
}

// status is the text of the status message of the turn that goes on, in Slack's markup.
func (d *digest) status(v view) (body, footer string) {
	t := d.turn
	lines := []string{"*" + d.heading() + "*"}
	if t.about != "" {
		lines = append(lines, t.about)
	}
	if t.note != "" {
		lines = append(lines, escape(short(t.note, 300)))
	}
	switch {
	case !t.booted:
	case t.state == session.TurnStarted:
		lines = append(lines, d.bootLines()...)
	default:
		for _, s := range d.boot {
			if s.state == session.StepWarning {
				lines = append(lines, s.String())
			}
		}
	}
	if t.steps.dropped > 0 {
		lines = append(lines, fmt.Sprintf("… %s before", plural(t.steps.dropped, "more line")))
	}
	for _, l := range t.steps.lines {
		lines = append(lines, l.String())
	}
	if t.update != "" {
		lines = append(lines, "“"+escape(short(t.update, 200))+"”")
	}
	for i, call := range t.steps.order {
		if i == 3 {
			lines = append(lines, fmt.Sprintf("▸ and %d more", len(t.steps.order)-3))
			break
		}
		lines = append(lines, "▸ "+t.steps.current[call])
	}
	if l := t.todoLine(); l != "" {
		lines = append(lines, l)
	}
	if t.retry != "" {
		lines = append(lines, t.retry)
	}
	facts := t.facts()
	if v.repo != "" {
		facts = append([]string{v.repo}, facts...)
	}
	if n := len(d.queue); n > 0 {
		facts = append(facts, fmt.Sprintf("%d queued (%s)", n, d.waiting()))
	}
	if v.logURL != "" {
		facts = append(facts, "<"+v.logURL+"|log>")
	}
	how := rule(v.rooted, d.muted, false, isDirect(v.thread.Channel))
	footer = strings.Join(append(facts, how+"; `stop` or :"+v.stop+": stops this turn"), " · ")
	return strings.Join(lines, "\n"), footer
}

func (d *digest) heading() string {
	t := d.turn
	name := escape(t.author.Name)
	switch {
	case t.state == session.TurnStarted && d.sandbox == session.SandboxPending:
		heading := "Waiting for room for " + name + "’s request"
		if d.why != "" {
			heading += ": " + escape(short(d.why, 40))
		}
		return heading
	case t.state == session.TurnStarted:
		return "Starting on " + name + "’s request"
	case t.state == session.TurnAnswered:
		return "Collecting what the agent did for " + name
	}
	if t.paused {
		return "Paused for " + name + ": the budget is spent"
	}
	return "Working for " + name
}

func (d *digest) bootLines() []string {
	if len(d.boot) == 0 {
		switch d.sandbox {
		case session.SandboxLost:
			return []string{"▸ the sandbox was lost"}
		case session.SandboxReady, session.SandboxRunning, session.SandboxPending:
			return nil
		case session.SandboxSnapshotting:
			line := "▸ waiting for the sandbox to be put away"
			if d.why != "" {
				line += ": " + escape(short(d.why, 120))
			}
			return []string{line}
		case session.SandboxSpawning:
			if d.why != "" {
				return []string{"▸ starting a sandbox. " + escape(short(d.why, 300))}
			}
		case session.SandboxNone, session.SandboxBooting, session.SandboxStopped, session.SandboxFailed:
		}
		return []string{"▸ starting a sandbox"}
	}
	var done, open []string
	for _, s := range d.boot {
		switch s.state {
		case session.StepDone:
			if s.name != string(session.PhaseReady) {
				done = append(done, s.String())
			}
		case session.StepSkipped:
		case session.StepRunning, session.StepWarning, session.StepFailed:
			open = append(open, s.String())
		}
	}
	var lines []string
	if len(done) > 0 {
		lines = append(lines, strings.Join(done, " · "))
	}
	return append(lines, open...)
}

// String is a boot phase in Slack's markup.
func (s step) String() string {
	words, ok := phases[s.name]
	if !ok {
		words = [2]string{escape(s.name), escape(s.name)}
	}
	detail := ""
	if s.detail != "" {
		detail = ": " + escape(short(s.detail, 120))
	}
	switch s.state {
	case session.StepDone:
		return fmt.Sprintf("%s %s ✓", words[1], elapsed(time.Duration(s.millis)*time.Millisecond))
	case session.StepWarning:
		return words[1] + " failed" + detail + "; going on without it"
	case session.StepFailed:
		return words[1] + " failed" + detail
	case session.StepSkipped:
		return words[1] + " skipped"
	case session.StepRunning:
	}
	return "▸ " + words[0]
}

// trying says what is tried again, why, and when that is a while ahead.
func (t *turnDigest) trying(e session.Event) string {
	r := e.Retry
	why := escape(short(strings.TrimSuffix(r.Reason, "."), 160))
	if t.state == session.TurnAnswered {
		return "The commits could not be collected yet: " + why + ". Trying again."
	}
	again := "trying again"
	if wait := r.Next.Sub(e.At); wait >= 2*time.Second {
		again += " in " + elapsed(wait)
	}
	if r.Attempt > 1 {
		again += fmt.Sprintf(" (attempt %d)", r.Attempt)
	}
	return "The model did not answer (" + why + "); " + again + "."
}

func (t *turnDigest) todoLine() string {
	done, total, now := 0, 0, ""
	for _, item := range t.todo {
		switch item.State {
		case "cancelled":
			continue
		case "completed":
			done++
		case "in_progress":
			if now == "" {
				now = item.Text
			}
		}
		total++
	}
	if total == 0 {
		return ""
	}
	s := fmt.Sprintf("Plan: %d of %d done", done, total)
	if now != "" {
		s += ", now: " + escape(short(now, 100))
	}
	return s
}

// facts are the model, the cost so far and the time, which is that of the newest event.
func (t *turnDigest) facts() []string {
	var facts []string
	if m, ok := model.Find(t.model); ok {
		facts = append(facts, m.Title)
	} else if t.model != "" {
		facts = append(facts, escape(short(t.model, 60)))
	}
	if t.cost > 0 {
		facts = append(facts, dollars(t.cost, t.estimate))
	}
	if d := t.last.Sub(t.start); d >= time.Second {
		facts = append(facts, elapsed(d))
	}
	return facts
}

// waiting names who waits, each once, in order.
func (d *digest) waiting() string {
	var names []string
	seen := map[string]bool{}
	for _, q := range d.queue {
		if !seen[q.author.Slack] {
			seen[q.author.Slack] = true
			names = append(names, escape(q.author.Name))
		}
	}
	if len(names) > 4 {
		names = append(names[:4], "…")
	}
	return strings.Join(names, ", ")
}

// closing is the one line that is left of a status message.
func (t *turnDigest) closing(c *session.TurnChange) string {
	words := "Done for " + escape(t.author.Name)
	switch c.Outcome {
	case session.PromptFailed:
		words = "Failed for " + escape(t.author.Name)
	case session.PromptStopped:
		if words = strings.TrimSuffix(escape(short(c.Reason, 200)), "."); words == "" {
			words = "Stopped"
		}
	case session.PromptDone, session.PromptQueued, session.PromptRunning, session.PromptWithdrawn:
	}
	facts := append([]string{words}, t.facts()...)
	if t.steps.total > 0 {
		facts = append(facts, plural(t.steps.total, "step"))
	}
	return strings.Join(facts, " · ")
}

// dollars is a cost for people.
func dollars(cost float64, estimate bool) string {
	about := ""
	if estimate {
		about = "about "
	}
	if cost < 0.01 {
		return "under $0.01"
	}
	return fmt.Sprintf("%s$%.2f", about, cost)
}

// elapsed is a duration for people: 4 s, 1 min 20 s, 2 h 5 min.
func elapsed(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 1:
		return "under 1 s"
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600 && s%60 == 0:
		return fmt.Sprintf("%d min", s/60)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
}
