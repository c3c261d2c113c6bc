package sessiontest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

var update = flag.Bool("update", false, "rewrite the dialogues' expected output")

// Epoch is the time a dialogue begins at.
var Epoch = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// People of the dialogues. Ada and Bob have linked an account, Cyd has not.
var (
	Ada = session.Person{Slack: "UADA", Name: "Ada", GitHub: &session.Identity{ID: 101, Login: "ada-l"}}
	Bob = session.Person{Slack: "UBOB", Name: "Bob", GitHub: &session.Identity{ID: 102, Login: "bob"}}
	Cyd = session.Person{Slack: "UCYD", Name: "Cyd"}
)

// Dialogues runs every file of dir: a line that begins with "> " is an input, the lines below it are what the machine decided,
// whole. With -update the files are rewritten, to be reviewed as a diff.
func Dialogues(t *testing.T, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues in %s: %v", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { dialogue(t, file) })
	}
}

func dialogue(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &speaker{now: Epoch, prompts: map[string]session.Prompt{}}
	d.restart(session.State{})
	var got strings.Builder
	speaking := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "> "):
			speaking = true
			got.WriteString(line + "\n")
			got.WriteString(d.say(t, strings.TrimPrefix(line, "> ")))
		case strings.HasPrefix(line, "#") || line == "":
			speaking = false
			got.WriteString(line + "\n")
		case !speaking:
			t.Fatalf("%s: stray line %q", file, line)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(text) {
		t.Errorf("%s: the machine said otherwise; run with -update and review the diff.\ngot:\n%s", file, got.String())
	}
}

// speaker turns the words of a dialogue into inputs.
type speaker struct {
	machine *session.Machine
	now     time.Time
	budget  float64
	allowed session.Terms
	prompts map[string]session.Prompt // as they are stored
	draft   session.Draft             // as it was committed
	patch   *session.Patch            // that is kept of the sandbox from now on
}

// terms sets what the steps that follow are allowed: "free"; "full 3", there is no room and who comes is third; "waits", somebody has just
// begun to wait for whom no room is made; "starts 2", in an hour; "spent 36h", all of today's sandbox-hours.
func (d *speaker) terms(t *testing.T, w []string) {
	var err error
	switch w[0] {
	case "free":
		d.allowed = session.Terms{}
	case "full":
		d.allowed.Full = true
		d.allowed.Place, err = strconv.Atoi(w[1])
	case "waits":
		d.allowed.Since = d.now
	case "starts":
		d.allowed.Starts, err = strconv.Atoi(w[1])
	case "spent":
		d.allowed.Spent, err = time.ParseDuration(w[1])
	default:
		t.Fatalf("no such terms: %v", w)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.machine.Allow(d.allowed)
}

func (d *speaker) restart(st session.State) { d.machine = session.NewMachine(st).WithBudget(d.budget) }

func (d *speaker) say(t *testing.T, line string) string {
	words := strings.Fields(line)
	if words[0] == "wait" {
		by, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		d.now = d.now.Add(by)
		return ""
	}
	if words[0] == "budget" { // what the operator sets, with a restart
		d.budget, _ = strconv.ParseFloat(words[1], 64)
		d.restart(d.machine.State())
		return ""
	}
	if words[0] == "terms" {
		d.terms(t, words[1:])
		return ""
	}
	if words[0] == "patch" { // patch FROM SIZE: what is kept with an image; FROM is - for the base branch
		size, err := strconv.Atoi(words[2])
		if err != nil {
			t.Fatal(err)
		}
		d.patch = &session.Patch{From: strings.Trim(words[1], "-"), Size: size}
		return ""
	}
	if words[0] == "restart" {
		var b strings.Builder
		d.restart(d.machine.State())
		d.machine.Allow(d.allowed)
		for _, e := range d.machine.Resume() {
			b.WriteString(effectLine(e))
		}
		return b.String()
	}
	in, err := d.input(words, line)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	ready, err := d.machine.Step(d.now, in)
	if err != nil {
		return fmt.Sprintf("refused %s: %s\n", session.CodeOf(err), session.Sentence(err))
	}
	for _, p := range ready.Record.Prompts {
		d.prompts[p.ID] = p
	}
	if ready.Record.Draft != nil {
		d.draft = *ready.Record.Draft
	}
	if !reflect.DeepEqual(d.draft, d.machine.State().Draft) {
		t.Errorf("%q: the draft is %+v, and %+v was committed", line, d.machine.State().Draft, d.draft)
	}
	return Render(ready)
}

func person(name string) session.Person {
	switch name {
	case "ada":
		return Ada
	case "bob":
		return Bob
	}
	return Cyd
}

// rest returns what follows the first n words of line.
func rest(line string, n int) string {
	for range n {
		_, line, _ = strings.Cut(strings.TrimLeft(line, " "), " ")
	}
	return line
}

func (d *speaker) input(w []string, line string) (session.Input, error) {
	s := d.machine.State().Session
	effect := func(kind session.EffectKind) string {
		for _, e := range d.machine.State().Effects {
			if e.Kind == kind {
				return e.ID
			}
		}
		return "none"
	}
	running := ""
	if s.Turn != nil {
		running = s.Turn.PromptID
	}
	journal := func(events ...session.Event) session.Input {
		return session.Journaled{Start: s.Sandbox.Start, Cursor: session.Cursor{Journal: "j", N: s.Cursor.N + int64(len(events))}, Events: events}
	}
	switch w[0] {
	case "open", "open-asking":
		o := session.Opening{
			ID: "abcdefghij", Thread: session.Thread{Team: "T1", Channel: "C1", TS: "1.0"}, Rooted: true, Requester: person(w[1]),
			Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-4-6",
		}
		if w[0] == "open-asking" {
			o.Repo, o.Base, o.Await = session.Repo{}, "", session.AwaitRepository
		}
		return session.Opened{Opening: o}, nil
	case "prompt":
		text := rest(line, 3)
		if n, ok := strings.CutPrefix(text, "characters:"); ok {
			count, _ := strconv.Atoi(n)
			text = strings.Repeat("x", count)
		}
		return session.Prompted{Prompt: session.Prompt{ID: w[2], Author: person(w[1]), Text: text}}, nil
	case "prompt-with-secret": // as it comes from whoever took the secret out
		return session.Prompted{Prompt: session.Prompt{ID: w[2], Author: person(w[1]), Text: rest(line, 3), Redacted: true}}, nil
	case "edit": // edit PERSON PROMPT EDIT TEXT
		return session.Edited{ID: w[3], Prompt: session.Prompt{ID: w[2], Author: person(w[1]), Text: rest(line, 4)}}, nil
	case "edit-with-secret":
		return session.Edited{ID: w[3], Prompt: session.Prompt{ID: w[2], Author: person(w[1]), Text: rest(line, 4), Redacted: true}}, nil
	case "delete":
		return session.Withdrawn{By: person(w[1]), PromptID: w[2]}, nil
	case "aside": // the message was edited, and is not for the agent any more
		return session.Withdrawn{By: person(w[1]), PromptID: w[2], Kept: true}, nil
	case "retry": // retry PERSON MESSAGE PROMPT
		in := session.Retried{ID: w[2], By: person(w[1])}
		if len(w) > 3 {
			in.Prompt = d.prompts[w[3]]
		}
		return in, nil
	case "mute", "unmute":
		return session.Muted{ID: w[2], By: person(w[1]), Off: w[0] == "unmute"}, nil
	case "close":
		return session.Closed{ID: w[2], By: person(w[1])}, nil
	case "choose":
		if w[2] == "none" {
			return session.RepositoryChosen{By: person(w[1])}, nil
		}
		repo, _ := session.ParseRepo(w[2])
		return session.RepositoryChosen{By: person(w[1]), Repo: repo, Base: w[3]}, nil
	case "stop":
		in := session.StopAsked{By: person(w[1])}
		if len(w) > 2 {
			in.PromptID = w[2]
		}
		if len(w) > 3 {
			in.Pause = w[3]
		}
		return in, nil
	case "approve":
		return session.Approved{By: person(w[1]), Card: w[2]}, nil
	case "ship": // ship PERSON CARD [QUORUM|off] [at SECOND]
		w, put := atSecond(w)
		in := session.MergeAsked{By: person(w[1]), Card: w[2], Put: put, Allowed: true, Quorum: 1}
		if len(w) > 3 {
			in.Allowed = w[3] != "off"
			in.Quorum, _ = strconv.Atoi(w[3])
		}
		return in, nil
	case "second": // second PERSON CARD APPROVAL
		return session.Approved{By: person(w[1]), Card: w[2], Seconds: w[3]}, nil
	case "unapprove", "unship": // unship PERSON CARD [at SECOND]
		w, at := atSecond(w)
		return session.Unreacted{By: person(w[1]), Card: w[2], At: at, Merge: w[0] == "unship"}, nil
	case "reviewed":
		e, _ := effectOf(d.machine, session.EffectReview)
		in := session.Reviewed{Effect: e.ID}
		if e.Review != nil {
			in.Review = session.Review{By: *e.Review.By.GitHub, State: session.ReviewApproved, Commit: e.Review.Commit, Writes: len(w) == 1}
		}
		return in, nil
	case "review-failed":
		return session.ReviewFailed{Effect: effect(session.EffectReview), Err: session.Failure{Code: session.Conflict, Message: rest(line, 1)}}, nil
	case "merged":
		return session.Merged{Effect: effect(session.EffectMerge), Commit: w[1]}, nil
	case "taken-back": // found by the forge
		return session.MergeFailed{Effect: effect(session.EffectMerge), TakenBack: true}, nil
	case "merge-failed":
		return session.MergeFailed{Effect: effect(session.EffectMerge), Err: session.Failure{Code: session.Conflict, Message: rest(line, 1)}}, nil
	case "seen":
		in := session.PullRequestSeen{PullRequest: seen(s, w[1:])}
		if slices.Contains(w, "failed") {
			in.Output = "what fails, and why"
		}
		return in, nil
	case "said": // said ID LOGIN approved|changes_requested|- TEXT: on GitHub
		r := session.Remark{ID: w[1], By: session.Identity{ID: 200, Login: w[2]}, State: session.ReviewState(strings.Trim(w[3], "-")), Text: rest(line, 4), URL: "https://github.test/" + w[1]}
		return session.PullRequestSeen{PullRequest: seen(s, nil), Remarks: []session.Remark{r}}, nil
	case "address": // address PERSON PROMPT OFFER
		return session.Addressed{By: person(w[1]), ID: w[2], Offer: w[3], Quote: "quoted\nwords"}, nil
	case "linked":
		p := person(w[1])
		p.GitHub = &session.Identity{ID: 103, Login: w[1]}
		return session.Linked{By: p}, nil
	case "link-failed":
		return session.LinkFailed{By: person(w[1]), Reason: rest(line, 2)}, nil
	case "started", "started-mortal": // started-mortal HANDLE LIFETIME: it ends by itself, and its files with it
		b := session.Begun{Handle: session.Handle{Provider: "local", Name: s.Sandbox.Name, ID: "h1"}, Start: s.Sandbox.Start, Mode: s.Sandbox.Mode}
		if len(w) > 1 {
			lifetime, err := time.ParseDuration(w[2])
			if err != nil {
				return nil, err
			}
			b.Handle.ID, b.Ends = w[1], d.now.Add(lifetime)
		}
		return session.Started{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Begun: b}, nil
	case "started-from": // started-from IMAGE: the repository's
		b := session.Begun{Handle: session.Handle{Provider: "local", Name: s.Sandbox.Name, ID: "h1"}, Start: s.Sandbox.Start, Mode: session.BootImage, Image: w[1]}
		return session.Started{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Begun: b}, nil
	case "started-ahead": // started-ahead NAME MODE: a warm sandbox is taken
		b := session.Begun{Handle: session.Handle{Provider: "local", Name: w[1], ID: "h1"}, Start: strings.TrimPrefix(w[1], "inspect-"), Mode: session.BootMode(w[2])}
		return session.Started{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Begun: b}, nil
	case "start-failed":
		return session.StartFailed{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Err: session.Failure{Code: session.Unavailable, Message: rest(line, 1)}}, nil
	case "image-gone":
		return session.StartFailed{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Err: session.Failure{Code: session.NotFound, Message: "The snapshot does not exist any more."}}, nil
	case "attached":
		return session.Attached{Effect: effect(session.EffectAttach), Start: s.Sandbox.Start}, nil
	case "boot":
		detail := rest(line, 3)
		if len(w) == 3 {
			detail = ""
		}
		return journal(session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.Phase(w[1]), State: session.StepState(w[2]), Detail: detail}}), nil
	case "lost":
		return session.Lost{Start: s.Sandbox.Start, Reason: rest(line, 1)}, nil
	case "delivered":
		return session.Delivered{Effect: effect(session.EffectPrompt), PromptID: running}, nil
	case "delivery-failed":
		return session.DeliveryFailed{Effect: effect(session.EffectPrompt), PromptID: running, Err: session.Failure{Code: session.Invalid, Message: rest(line, 1)}}, nil
	case "confirmed":
		return session.Confirmed{Effect: effect(session.EffectStop)}, nil
	case "tool": // tool NAME
		return journal(session.Event{Kind: session.KindTool, PromptID: running, Tool: &session.Tool{Call: "t1", Name: w[1], State: session.StepDone}}), nil
	case "text":
		return journal(session.Event{Kind: session.KindText, PromptID: running, Text: &session.Text{Part: "p1", Text: rest(line, 1)}}), nil
	case "forged": // an event of a kind, or a prompt, that is not the runner's to tell
		e := session.Event{Kind: session.Kind(w[1]), PromptID: running, Note: &session.Note{}, Card: &session.Card{}, Text: &session.Text{}}
		if len(w) > 2 {
			e.PromptID = w[2]
		}
		return journal(e), nil
	case "earlier": // what the journal of a runner that was lost still held: the input that follows
		in, err := d.input(w[1:], rest(line, 1))
		j, ok := in.(session.Journaled)
		if err != nil || !ok {
			return nil, fmt.Errorf("not a journal's: %w", err)
		}
		j.Earlier = true
		return j, nil
	case "answered":
		reason := ""
		if len(w) > 2 {
			reason = rest(line, 2)
		}
		return journal(session.Event{Kind: session.KindTurn, PromptID: running,
			Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptState(w[1]), Reason: reason}}), nil
	case "named": // named ID and an input that is taken once under it
		in, err := d.input(w[2:], rest(line, 2))
		switch in := in.(type) {
		case session.Proposed:
			in.Call = w[1]
			return in, err
		case session.Updated:
			in.Call = w[1]
			return in, err
		case session.Asked:
			in.Call = w[1]
			return in, err
		case session.StopAsked:
			in.ID = w[1]
			return in, err
		case session.Approved:
			in.ID = w[1]
			return in, err
		}
		return nil, fmt.Errorf("it has no name: %w", err)
	case "propose", "propose-draft": // propose TITLE | BODY | TESTS
		title, body, _ := strings.Cut(rest(line, 1), " | ")
		body, tests, _ := strings.Cut(body, " | ")
		return session.Proposed{Proposal: session.Proposal{Title: title, Body: body, Tests: tests, Draft: w[0] == "propose-draft"}}, nil
	case "update":
		return session.Updated{Text: rest(line, 1)}, nil
	case "ask":
		question, options, _ := strings.Cut(rest(line, 1), " | ")
		return session.Asked{Question: question, Options: strings.Split(options, ", ")}, nil
	case "press": // ada 9.1 q7 0
		option, err := strconv.Atoi(w[4])
		return session.Answered{By: person(w[1]), ID: w[2], Question: w[3], Option: option}, err
	case "collected", "collected-workflow": // the second touches what has to be named
		in := session.Collected{Effect: effect(session.EffectCollect)}
		if w[1] != "nothing" {
			in.Changes = &session.Changes{Head: strings.TrimSuffix(w[1], "@renamed"), Commits: 1, Subject: rest(line, 2), Files: []session.FileChange{{Path: "a.go", Added: 2, Deleted: 1}}}
			if strings.HasSuffix(w[1], "@renamed") {
				in.Changes.Repo = session.Repo{Owner: "acme", Name: "renamed"}
			}
			if w[0] == "collected-workflow" {
				in.Changes.Attention, in.Changes.Named = []string{".github/workflows/ci.yml", "sub (a submodule)"}, []string{".github/workflows/ci.yml"}
			}
		}
		return in, nil
	case "collect-failed":
		return session.CollectFailed{Effect: effect(session.EffectCollect), Err: session.Failure{Code: session.Invalid, Message: rest(line, 1)}}, nil
	case "collect-delayed":
		n, _ := strconv.Atoi(w[1])
		return session.CollectDelayed{Effect: effect(session.EffectCollect), Attempt: n, Err: session.Failure{Code: session.Unavailable, Message: rest(line, 2)}}, nil
	case "opened": // opened NUMBER [adopted | by LOGIN, who is nobody of the thread and had opened it]
		e, _ := effectOf(d.machine, session.EffectOpen)
		number, _ := strconv.Atoi(w[1])
		pr := session.PullRequest{Number: number, URL: "https://github.test/acme/web/pull/" + w[1], Repo: s.Repo, Base: s.Base, Branch: s.Branch, State: session.PullOpen, Adopted: len(w) > 2}
		if e.Open != nil {
			pr.Title, pr.Commit, pr.OpenedBy, pr.Draft = e.Open.Title, e.Open.Commit, e.Open.By, e.Open.Draft
		}
		if len(w) > 3 {
			pr.Author = session.Identity{ID: 200, Login: w[3]}
		}
		return session.PullRequestOpened{Effect: e.ID, PullRequest: pr}, nil
	case "open-failed":
		return session.OpenFailed{Effect: effect(session.EffectOpen), Err: session.Failure{Code: session.Forbidden, Message: rest(line, 1)}}, nil
	case "suspended":
		in := session.Suspended{Effect: effect(session.EffectSuspend), Kept: session.Kept{Patch: d.patch}}
		if w[1] != "gone" {
			in.Kept.Image = w[1]
		}
		return in, nil
	case "snapshotted":
		return session.Snapshotted{Effect: effect(session.EffectSnapshot), Kept: session.Kept{Image: w[1], Patch: d.patch}}, nil
	case "snapshot-failed":
		return session.SnapshotFailed{Effect: effect(session.EffectSnapshot), Patch: d.patch, Err: session.Failure{Code: session.Unavailable, Message: rest(line, 1)}}, nil
	case "suspend-failed":
		return session.SuspendFailed{Effect: effect(session.EffectSuspend), Patch: d.patch, Err: session.Failure{Code: session.Internal, Message: rest(line, 1)}}, nil
	case "call": // call ID: may it be made?
		return session.CallBegun{Call: session.OpenCall{ID: w[1], Call: session.ModelCall{
			Model: "anthropic/claude-sonnet-4-6", Usage: session.Usage{Input: 500}, Cost: 0.25, Estimate: true}}}, nil
	case "called": // called ID DOLLARS, or called ID unreached
		call := session.ModelCall{Model: "anthropic/claude-sonnet-4-6"}
		if w[2] != "unreached" {
			call.Usage.Output = 100
			call.Cost, _ = strconv.ParseFloat(w[2], 64)
		}
		return session.ModelCalled{ID: w[1], Call: call}, nil
	case "held":
		return session.CallHeld{}, nil
	case "raise":
		return session.Raised{By: person(w[1]), Pause: w[2]}, nil
	case "restarted":
		return session.Restarted{}, nil
	case "model":
		return session.ModelCalled{Call: session.ModelCall{Model: "anthropic/claude-sonnet-4-6", Usage: session.Usage{Input: 1000, Output: 100}, Cost: 0.5}}, nil
	case "stalled":
		return session.Stalled{Start: s.Sandbox.Start, Words: rest(line, 1)}, nil
	case "granted":
		return session.RoomGranted{}, nil
	case "moved":
		place, err := strconv.Atoi(w[1])
		return session.Moved{Place: place}, err
	case "needed":
		return session.RoomNeeded{}, nil
	case "delayed":
		return session.StartDelayed{Effect: effect(session.EffectStart), Start: s.Sandbox.Start, Reason: rest(line, 1)}, nil
	case "tried":
		return session.StartTried{Effect: effect(session.EffectStart), Start: s.Sandbox.Start}, nil
	case "tick":
		return session.Tick{}, nil
	}
	return nil, fmt.Errorf("no such input")
}

func effectOf(m *session.Machine, kind session.EffectKind) (session.Effect, bool) {
	for _, e := range m.State().Effects {
		if e.Kind == kind {
			return e, true
		}
	}
	return session.Effect{}, false
}
