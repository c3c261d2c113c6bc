package bot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"openinspect/session"
	"openinspect/session/model"
)

// phases are the boot phases in people's words: what is done while they run, and what was done when they are over.
var phases = map[string]struct{ verb, what, done string }{
	string(session.PhaseSync):    {"checking out", "the repository", "checked out"},
	string(session.PhaseSecrets): {"getting", "the repository’s secrets", "secrets"},
	string(session.PhaseSetup):   {"running", "`setup.sh`", "`setup.sh`"},
	string(session.PhaseStart):   {"running", "`start.sh`", "`start.sh`"},
	string(session.PhaseAgent):   {"starting", "the agent", "agent started"},
	string(session.PhaseReady):   {"getting ready", "", "ready"},
}

// warnings are phases that failed and kept nobody from working, as a turn's closing line has them: what the agent worked without explains what it found.
var warnings = map[session.Phase]string{session.PhaseSync: "checkout not up to date", session.PhaseSetup: "`setup.sh` failed"}

// maxParticipants is how many people a status message names.
const maxParticipants = 5

// status is the status message of the turn that goes on, in Slack's markup: its heading, what goes on, line by line, and its footer.
func (d *digest) status(v view) (heading string, lines []string, footer string) {
	t := d.turn
	if t.about != "" {
		lines = append(lines, t.about)
	}
	if t.note != "" {
		lines = append(lines, escape(short(t.note, 300)))
	}
	switch {
	case !t.booted:
	case t.state == session.TurnStarted:
		lines = append(lines, d.bootLines(v)...)
	default:
		for _, s := range d.boot {
			if s.state == session.StepWarning {
				lines = append(lines, s.show(d, v))
			}
		}
	}
	if t.steps.dropped > 0 {
		lines = append(lines, "… "+v.link(t.steps.first, plural(t.steps.dropped, "more line")+" before"))
	}
	for _, l := range t.steps.lines {
		lines = append(lines, l.show(v.link))
	}
	if t.update != "" {
		lines = append(lines, v.link(t.updated, "“"+escape(short(t.update, 200))+"”"))
	}
	for i, id := range t.steps.order {
		if i == 3 {
			lines = append(lines, fmt.Sprintf("▸ and %d more", len(t.steps.order)-3))
			break
		}
		c := t.steps.current[id]
		lines = append(lines, strings.TrimSpace("▸ "+v.link(c.seq, c.verb)+" "+c.what)+d.going(c.since))
	}
	if l := t.todoLine(v); l != "" {
		lines = append(lines, l)
	}
	if t.retry.words != "" {
		lines = append(lines, v.link(t.retry.seq, t.retry.words)+t.retry.then)
	}
	if t.failure != "" {
		lines = append(lines, prose(short(t.failure, 300)))
	}
	facts := d.facts()
	if v.repo != "" {
		facts = append([]string{v.repo}, facts...)
	}
	if n := len(d.queue); n > 0 {
		facts = append(facts, fmt.Sprintf("%d queued (%s)", n, d.waiting()))
	}
	if len(d.people) > 1 {
		facts = append(facts, "with "+shortList(d.people, maxParticipants))
	}
	if v.logURL != "" {
		facts = append(facts, "<"+v.logURL+"|log>")
	}
	how := rule(v.rooted, d.muted, false, isDirect(v.thread.Channel))
	footer = strings.Join(append(facts, how+"; `stop` or :"+v.stop+": stops this turn"), " · ")
	return "*" + d.heading() + "*", lines, footer
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

func (d *digest) bootLines(v view) []string {
	if len(d.boot) == 0 {
		at := func(words string) string { return v.link(d.change, words) }
		switch d.sandbox {
		case session.SandboxLost:
			return []string{"▸ " + at("the sandbox was lost")}
		case session.SandboxReady, session.SandboxRunning, session.SandboxPending:
			return nil
		case session.SandboxSnapshotting:
			line := "▸ " + at("waiting for the sandbox to be put away")
			if d.why != "" {
				line += ": " + escape(short(d.why, 120))
			}
			return []string{line}
		case session.SandboxSpawning:
			if d.why != "" {
				return []string{"▸ " + at("waiting for a sandbox") + ". " + escape(short(d.why, 300))}
			}
		case session.SandboxNone, session.SandboxBooting, session.SandboxStopped, session.SandboxFailed:
		}
		return []string{"▸ " + at("starting a sandbox") + d.going(d.moved)}
	}
	var done, open []string
	for _, s := range d.boot {
		switch s.state {
		case session.StepDone:
			if s.name != string(session.PhaseReady) {
				done = append(done, s.show(d, v))
			}
		case session.StepSkipped:
		case session.StepRunning, session.StepWarning, session.StepFailed:
			open = append(open, s.show(d, v))
		}
	}
	var lines []string
	if len(done) > 0 {
		lines = append(lines, strings.Join(done, " · "))
	}
	return append(lines, open...)
}

// show is a boot phase in Slack's markup.
func (s step) show(d *digest, v view) string {
	words, ok := phases[s.name]
	if !ok {
		words.done = escape(short(s.name, 40))
		words.verb = words.done
	}
	detail := ""
	if s.detail != "" {
		detail = ": " + escape(strings.TrimSuffix(short(s.detail, 120), "."))
	}
	switch s.state {
	case session.StepDone:
		return words.done + " " + v.link(s.seq, elapsed(time.Duration(s.millis)*time.Millisecond)+" ✓")
	case session.StepWarning:
		if s.name == string(session.PhaseSync) {
			return words.done + ", but " + v.link(s.seq, "not up to date") + detail
		}
		return words.done + " " + v.link(s.seq, "failed") + detail + "; going on without it"
	case session.StepFailed:
		return words.done + " " + v.link(s.seq, "failed") + detail
	case session.StepSkipped:
		return words.done + " skipped"
	case session.StepRunning:
	}
	return strings.TrimSpace("▸ "+v.link(s.seq, words.verb)+" "+words.what) + d.going(s.since)
}

// retrying is what is tried again: what happened, and what comes of it.
type retrying struct {
	words, then string
	seq         int64
}

// trying says what is tried again, why, and when that is a while ahead.
func (t *turnDigest) trying(e session.Event) retrying {
	r := e.Retry
	why := escape(short(strings.TrimSuffix(r.Reason, "."), 160))
	if t.state == session.TurnAnswered {
		return retrying{"The commits could not be collected yet", ": " + why + ". Trying again.", e.Seq}
	}
	again := "trying again"
	if wait := r.Next.Sub(e.At); wait >= 2*time.Second {
		again += " in " + elapsed(wait)
	}
	if r.Attempt > 1 {
		again += fmt.Sprintf(" (attempt %d)", r.Attempt)
	}
	return retrying{"The model did not answer", " (" + why + "); " + again + ".", e.Seq}
}

func (t *turnDigest) todoLine(v view) string {
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
	s := v.link(t.planned, "Plan") + fmt.Sprintf(": %d of %d done", done, total)
	if now != "" {
		s += ", now: " + escape(short(now, 100))
	}
	return s
}

// facts are the model, the cost so far and the time of the turn that goes on.
func (d *digest) facts() []string { return d.turn.facts(d.now) }

func (t *turnDigest) facts(until time.Time) []string {
	var facts []string
	if m, ok := model.Find(t.model); ok {
		facts = append(facts, m.Title)
	} else if t.model != "" {
		facts = append(facts, escape(short(t.model, 60)))
	}
	if t.cost > 0 {
		facts = append(facts, dollars(t.cost, t.estimate))
	}
	if d := until.Sub(t.start); d >= time.Second {
		facts = append(facts, elapsed(d))
	}
	return facts
}

// patience is how long a status message may stay as it is: people see that time passes, and Slack's own status is set again.
func (d *digest) patience(now time.Time) time.Duration {
	every := int64(pulseEvery / time.Second)
	pulse := time.Duration(every-d.now.Unix()%every) * time.Second
	since := d.now.Sub(d.turn.start)
	for _, at := range d.since() {
		since = min(since, d.now.Sub(at))
	}
	grain := grainOf(since)
	return max(time.Second, min(pulse, grain-since%grain)-max(0, now.Sub(d.now)))
}

// grainOf is how exactly people are told how long something goes on: they should see that it moves, not count along.
func grainOf(d time.Duration) time.Duration {
	if d < time.Minute {
		return 15 * time.Second
	}
	return time.Minute
}

// going is how long something goes on already, after it; empty while that is no news.
func (d *digest) going(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	took := d.now.Sub(since)
	if took = took.Truncate(grainOf(took)); took <= 0 {
		return ""
	}
	return " · " + elapsed(took)
}

// since lists when what goes on began: a phase of the boot, calls of tools.
func (d *digest) since() []time.Time {
	var all []time.Time
	for _, s := range d.boot {
		if s.state == session.StepRunning && d.turn.state == session.TurnStarted {
			all = append(all, s.since)
		}
	}
	for _, call := range d.turn.steps.current {
		all = append(all, call.since)
	}
	return all
}

// waiting names who waits, each once, in order.
func (d *digest) waiting() string {
	var people []session.Person
	for _, q := range d.queue {
		if !slices.ContainsFunc(people, func(p session.Person) bool { return p.Slack == q.author.Slack }) {
			people = append(people, q.author)
		}
	}
	return shortList(people, 4)
}

// shortList names people, at most so many.
func shortList(people []session.Person, most int) string {
	var all []string
	for _, p := range people[:min(most, len(people))] {
		all = append(all, escape(p.Name))
	}
	if len(people) > most {
		all = append(all, fmt.Sprintf("%d more", len(people)-most))
	}
	return strings.Join(all, ", ")
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
	facts := append([]string{words}, t.facts(t.last)...)
	if t.steps.total > 0 {
		facts = append(facts, plural(t.steps.total, "step"))
	}
	facts = append(facts, t.warned...)
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
