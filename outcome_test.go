//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/boltdb"
)

// outcome is what an evening came to, as lines that are the same for every evening, whatever its names, hashes and times are: what is in
// Slack, on GitHub, in the bot's store and among the sandboxes. Two outcomes are equal if nothing was lost, doubled or left unsaid.
//
// What may differ, and is therefore taken out: session id, commit hashes (each becomes h1, h2 … in the order of the thread), Slack's
// timestamps (t1, t2 …), durations, codes, ports, and whether a message was edited on the way to what it says; what the bot says between
// what people say, whose order each keep; where in the log an event of the agent's journal, of its tools or of the sandbox stands between events of others; and how often
// an ephemeral came, which is at least once.
type outcome struct {
	lines []string
	names map[string]string
	next  map[byte]int
}

var (
	fullHash  = regexp.MustCompile(`\b[0-9a-f]{40}\b`)
	shortHash = regexp.MustCompile(`\b[0-9a-f]{7}\b`)
	slackTS   = regexp.MustCompile(`\b1[0-9]{9}\.[0-9]{6}\b`)
	duration  = regexp.MustCompile(` · (under 1 s|\d+ (s|min|h)( \d+ (s|min))?)\b`)
	minutes   = regexp.MustCompile(`within \d+ minutes`)
	numbered  = regexp.MustCompile(`/(note|private)/\d+\]`)
	linkFlow  = regexp.MustCompile(`linked/(U0\w+)/\w+\]`)
	edited    = regexp.MustCompile(` \(edited\)`)
	auditHead = regexp.MustCompile(`Inspect-Audit: \d+ [0-9a-f]{64}\b`)
	loopback  = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
)

// name returns what stands for one of the evening's own names.
func (o *outcome) name(kind byte, own string) string {
	if o.names[own] == "" {
		o.next[kind]++
		o.names[own] = fmt.Sprintf("%c%d", kind, o.next[kind])
	}
	return o.names[own]
}

func (o *outcome) plain(s string) string {
	for _, f := range []struct {
		re *regexp.Regexp
		to func(string) string
	}{
		{fullHash, func(h string) string { return o.name('h', h[:7]) }},
		{shortHash, func(h string) string { return o.name('h', h) }},
		{slackTS, func(ts string) string { return o.name('t', ts) }},
		{duration, func(string) string { return "" }},
		{minutes, func(string) string { return "within N minutes" }},
		{loopback, func(string) string { return "http://localhost" }},
		{numbered, func(key string) string { return numbered.ReplaceAllString(key, "/$1/N]") }},
		{linkFlow, func(key string) string { return linkFlow.ReplaceAllString(key, "linked/$1/FLOW]") }},
		{edited, func(string) string { return "" }},
		{userCode, func(string) string { return "CODE" }},
	} {
		s = f.re.ReplaceAllStringFunc(s, f.to)
	}
	return s
}

func (o *outcome) add(section, format string, args ...any) {
	for i, line := range strings.Split(o.plain(strings.TrimRight(fmt.Sprintf(format, args...), "\n")), "\n") {
		if i > 0 {
			line = "  " + line
		}
		o.lines = append(o.lines, section+" | "+line)
	}
}

// addSorted adds lines in an order of their own.
func (o *outcome) addSorted(section string, lines []string) {
	for i, l := range lines {
		lines[i] = o.plain(l)
	}
	slices.Sort(lines)
	for _, l := range lines {
		o.add(section, "%s", l)
	}
}

// outcome reads what the evening came to. The bot must not run.
func (e *evening) outcome(ctx context.Context) (*outcome, error) {
	o := &outcome{names: map[string]string{}, next: map[byte]int{}}
	e.id = regexp.MustCompile("$^")
	if err := e.store(func(db *boltdb.DB) error {
		list, err := db.List(ctx, 1)
		for _, s := range list {
			e.id = regexp.MustCompile(string(s.ID))
		}
		return err
	}); err != nil {
		return nil, err
	}
	o.slack(e)
	err := errors.Join(o.github(e), e.store(func(db *boltdb.DB) error { return o.store(ctx, db) }))
	list, listErr := e.sandboxes.List(ctx)
	images, imagesErr := e.sandboxes.Images(ctx)
	o.add("sandboxes", "%d listed, %d live, %d images", len(list), e.sandboxes.Live(), len(images))
	var runs []string
	for prompt, n := range e.runs {
		runs = append(runs, fmt.Sprintf("%s: %d run", prompt, n))
	}
	o.addSorted("agent", runs)
	o.forgive(e.unlinked)
	return o, errors.Join(err, listErr, imagesErr)
}

// forgive takes out what a bot said that was killed between GitHub's giving a person's token away, which it does once, and keeping it: that
// the linking came to nothing. She reacted again, so each of this is there once more for each time.
func (o *outcome) forgive(times int) {
	for range times {
		for _, line := range []string{
			"direct to cyd | [reaction/", "direct to cyd |     Open ", "direct to cyd |     Enter it ", "direct to cyd | [linked/U0CYD/FLOW] inspect: Your GitHub account was not linked.",
			"event | approval by Cyd Unlinked of c4 is linking", "event | approval by Cyd Unlinked of c4 is refused The code is used up", "audit | approve by U0CYD c4 h4: refused: The code is used up",
		} {
			i := len(o.lines) - 1
			for ; i >= 0 && !strings.HasPrefix(o.lines[i], line); i-- {
			}
			if i < 0 {
				o.add("UNSAID", "%s", line)
				continue
			}
			o.lines = slices.Delete(o.lines, i, i+1)
		}
	}
	o.lines = slices.DeleteFunc(o.lines, func(l string) bool { return times > 0 && strings.HasPrefix(l, "private to cyd | The code is used up") })
}

func (o *outcome) slack(e *evening) {
	n := e.stage.slack.Snapshot()
	bot := e.stage.slack.Bot().ID
	keys := map[string]int{}
	show := func(section string, m slacktest.Message) {
		what := ""
		if m.User == bot {
			what = "without a key"
			if m.Metadata != nil {
				key := fmt.Sprint(m.Metadata.EventPayload["key"])
				keys[key]++
				what = key
			}
			if m.Subtype == "file_share" || len(m.Files) > 0 {
				what = "file"
			}
		}
		o.add(section, "[%s] %s", e.id.ReplaceAllString(what, "SESSION"), e.id.ReplaceAllString(n.RenderMessage(slacktest.Rendering{URLs: true}, m), "SESSION"))
	}
	thread := n.Thread(e.channel, e.thread)
	for _, m := range thread {
		if m.User != bot {
			o.name('t', m.TS)
		}
	}
	for _, m := range thread {
		if m.User == bot {
			show("thread", m)
		}
	}
	for _, m := range thread {
		if m.User != bot {
			show("people", m)
		}
	}
	for _, m := range n.Messages(stageChannel) {
		if m.TS != e.thread && m.ThreadTS != e.thread {
			show("channel", m)
		}
	}
	for _, who := range []string{"ada", "bob", "cyd"} {
		u, _ := n.User(who)
		for _, m := range n.Messages("D" + strings.TrimPrefix(u.ID, "U")) {
			show("direct to "+who, m)
		}
		var told []string
		for _, m := range n.Ephemerals(who) {
			told = append(told, m.Text)
		}
		slices.Sort(told)
		o.addSorted("private to "+who, slices.Compact(told))
	}
	for key, times := range keys {
		if times > 1 {
			o.add("DOUBLED", "%s is there %d times", key, times)
		}
	}
	for _, d := range n.Deliveries() {
		if !d.Acked && d.Failed == "" {
			o.add("UNACKNOWLEDGED", "%s", d.Payload)
		}
	}
}

func (o *outcome) github(e *evening) error {
	g := e.stage.github
	for _, b := range g.Branches(stageRepo) {
		o.add("branch", "%s", e.id.ReplaceAllString(b, "SESSION"))
		commits, err := g.Log(stageRepo, "main.."+b)
		if err != nil {
			return err
		}
		for _, c := range commits {
			o.add("branch", "  %s by %s <%s>, committed by %s: %s", c.SHA, c.Author.Name, c.Author.Email, c.Committer.Name, e.id.ReplaceAllString(c.Message, "SESSION"))
		}
		for _, file := range []string{"a.txt", "b.txt", "c.txt", "never.txt"} {
			if content, err := g.File(stageRepo, b, file); err == nil {
				o.add("branch", "  %s: %q", file, content)
			}
		}
	}
	for _, p := range g.Pulls(stageRepo) {
		o.add("pull request", "#%d %s by %s: %s, %s to %s at %s\n%s", p.Number, p.State, p.Author, p.Title, e.id.ReplaceAllString(p.Head, "SESSION"), p.Base, p.HeadSHA,
			auditHead.ReplaceAllString(e.id.ReplaceAllString(p.Body, "SESSION"), "Inspect-Audit: HEAD"))
	}
	for _, t := range g.Tokens() {
		// A token that was never used died with the bot that asked for it; those without contents list what the App may see.
		if t.Login == "" && t.Revoked.IsZero() && t.Uses > 0 && t.Permissions["contents"] != "" {
			o.add("UNREVOKED", "a token for %v with %v", t.Repositories, t.Permissions)
		}
	}
	return nil
}

func (o *outcome) store(ctx context.Context, db *boltdb.DB) error {
	sessions, err := db.List(ctx, 100)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if err := o.session(ctx, db, s); err != nil {
			return err
		}
	}
	inbox, err1 := db.Inbox(ctx)
	pending, err2 := db.Pending(ctx)
	unpresented, err3 := db.Unpresented(ctx)
	open, err4 := db.Open(ctx)
	for _, r := range inbox {
		o.add("LEFT", "in the inbox: %s", r.Payload)
	}
	for _, m := range pending {
		if m.Op == session.MessageStatus { // Slack's own of a thread: the next start takes it away
			continue
		}
		o.add("LEFT", "in the outbox: %s, version %d, sent %d: %s", m.Key, m.Version, m.Sent, m.Text)
	}
	if len(unpresented)+len(open) > 0 {
		o.add("LEFT", "%d sessions unpresented, %d open", len(unpresented), len(open))
	}
	audit, err5 := db.AuditLog(ctx, session.AuditQuery{})
	for _, a := range audit {
		o.add("audit", "%s by %s %s %s: %s", a.Action, a.By.Slack, a.Card, a.Commit, a.Result)
	}
	secrets, err6 := db.Secrets(ctx, "")
	var kept []string
	for _, key := range secrets {
		for _, s := range sessions {
			key = strings.ReplaceAll(key, string(s.ID), "SESSION")
		}
		kept = append(kept, key)
	}
	o.addSorted("secret", kept)
	_, err7 := db.VerifyAudit(ctx)
	return errors.Join(err1, err2, err3, err4, err5, err6, err7)
}

func (o *outcome) session(ctx context.Context, db *boltdb.DB, s session.Session) error {
	st, err := db.Load(ctx, s.ID)
	if err != nil {
		return err
	}
	events, err := db.Events(ctx, s.ID, 0, 1<<20)
	if err != nil {
		return err
	}
	if int64(len(events)) != s.Seq {
		o.add("GAP", "%d events, the newest is %d", len(events), s.Seq)
	}
	var journal, said, boxes []string
	for i, e := range events {
		if e.Seq != int64(i+1) {
			o.add("GAP", "event %d in place %d", e.Seq, i+1)
		}
		switch line := strings.ReplaceAll(told(e), string(s.ID), "SESSION"); e.Kind {
		case session.KindText, session.KindReasoning, session.KindTool, session.KindTodo, session.KindRetry, session.KindBoot:
			journal = append(journal, line)
		case session.KindSandbox:
			boxes = append(boxes, line)
		case session.KindNote, session.KindModel:
			said = append(said, line)
		case session.KindPrompt, session.KindTurn, session.KindCommits, session.KindCard, session.KindApproval, session.KindPullRequest, session.KindBudget,
			session.KindError, session.KindRepository:
			o.add("event", "%s", line)
		}
	}
	for _, line := range journal {
		o.add("journal", "%s", line)
	}
	for _, line := range said {
		o.add("said", "%s", line)
	}
	for _, line := range boxes {
		o.add("sandbox", "%s", line)
	}
	o.add("session", "turn %v, %d prompts, %d approvals, %d effects, question %q, sandbox %s, started %d times", s.Turn != nil, len(st.Prompts), len(st.Approvals), len(st.Effects), s.Question, s.Sandbox.State, s.Sandbox.Starts)
	o.add("session", "collected %s, pushed %s, %d branches", s.Collected, s.Pushed, s.Branches)
	for _, p := range s.Contributors {
		o.add("session", "contributor %s", p.Name)
	}
	for _, a := range st.Draft.Asked {
		o.add("session", "asked by %s: %s", a.By.Name, a.Text)
	}
	for _, c := range st.Cards {
		o.add("card", "%s %s %s at %s: %s", c.ID, c.Kind, c.State, c.Commit, c.Outcome)
	}
	return nil
}

// told is an event in a line.
func told(e session.Event) string {
	switch e.Kind {
	case session.KindPrompt:
		return fmt.Sprintf("prompt of %s is %s: %s%s", e.Prompt.Author.Name, e.Prompt.State, e.Prompt.Text, e.Prompt.Reason)
	case session.KindBoot:
		return fmt.Sprintf("boot %s %s", e.Boot.Phase, e.Boot.State)
	case session.KindTurn:
		return fmt.Sprintf("turn of %s %s %s %s %s", e.PromptID, e.Turn.State, e.Turn.Outcome, e.Turn.Reason, e.Turn.Card)
	case session.KindText, session.KindReasoning:
		return fmt.Sprintf("%s: %s", e.Kind, e.Text.Text)
	case session.KindTool:
		return fmt.Sprintf("tool %s %s: %s%s", e.Tool.Name, e.Tool.State, e.Tool.Title, e.Tool.Error)
	case session.KindTodo:
		return fmt.Sprintf("todo %v", e.Todo)
	case session.KindModel:
		return fmt.Sprintf("model %s", e.Model.Model)
	case session.KindRetry:
		return fmt.Sprintf("retry: %s", e.Retry.Reason)
	case session.KindCommits:
		return fmt.Sprintf("%d commits, %d files at %s", e.Commits.Count, len(e.Commits.Files), e.Commits.Head)
	case session.KindCard:
		return fmt.Sprintf("card %s is %s: %s", e.Card.ID, e.Card.State, e.Card.Outcome)
	case session.KindApproval:
		return fmt.Sprintf("approval by %s of %s is %s %s", e.Approval.By.Name, e.Approval.Card, e.Approval.State, e.Approval.Reason)
	case session.KindPullRequest:
		return fmt.Sprintf("pull request #%d at %s", e.PullRequest.Number, e.PullRequest.Commit)
	case session.KindSandbox:
		return fmt.Sprintf("sandbox %s %s %s", e.Sandbox.Name, e.Sandbox.State, e.Sandbox.Reason)
	case session.KindBudget:
		return fmt.Sprintf("budget %s is %s", e.Budget.Pause, e.Budget.State)
	case session.KindRepository:
		return fmt.Sprintf("repository %s: %s %s %s", e.Repository.State, e.Repository.Repo, e.Repository.Base, e.Repository.Reason)
	case session.KindNote:
		return fmt.Sprintf("note %s: %s", e.Note.Kind, e.Note.Text)
	case session.KindError:
		return fmt.Sprintf("error %s: %s", e.Error.Code, e.Error.Message)
	}
	return string(e.Kind)
}

// lasting is what must be the same although sandboxes ended, and turns were run again: who prompted and what became of it, pull requests, audit,
// secrets, sandboxes; and whatever must never be.
func (o *outcome) lasting() *outcome {
	kept := &outcome{}
	for _, l := range o.lines {
		section, text, _ := strings.Cut(l, " | ")
		switch {
		case section == strings.ToUpper(section), slices.Contains([]string{"people", "pull request", "audit", "secret", "sandboxes", "direct to cyd", "private to cyd"}, section):
		case section == "event" && strings.HasPrefix(text, "prompt of"):
		case section == "card" && strings.Contains(text, " done at "):
		default:
			continue
		}
		kept.lines = append(kept.lines, hashName.ReplaceAllString(l, "h"))
	}
	return kept
}

var hashName = regexp.MustCompile(`\bh\d+\b`)

// diff tells where two outcomes differ: what one lacks (-) and what it has besides (+), and what stands before that.
func diff(want, got *outcome) string {
	a, b := want.lines, got.lines
	// Longest common subsequence: the outcomes have a few hundred lines.
	best := make([][]int, len(a)+1)
	for i := range best {
		best[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				best[i][j] = best[i+1][j+1] + 1
			} else {
				best[i][j] = max(best[i+1][j], best[i][j+1])
			}
		}
	}
	var out strings.Builder
	i, j, before := 0, 0, ""
	show := func(sign, line string) {
		if before != "" {
			fmt.Fprintf(&out, "  %s\n", before)
			before = ""
		}
		fmt.Fprintf(&out, "%s %s\n", sign, line)
	}
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			before = a[i]
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && best[i+1][j] >= best[i][j+1]:
			show("-", a[i])
			i++
		default:
			show("+", b[j])
			j++
		}
	}
	return out.String()
}
