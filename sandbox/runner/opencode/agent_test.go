package opencode

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"openinspect/sandbox/runner/proc"
	"openinspect/session"
	"openinspect/session/model/modeltest"
)

const scripts = `
script greeting
match fix the greeting
think I should look first.
say Let me see.
tool read {"filePath":"hello.txt"}
step
tool edit {"filePath":"hello.txt","oldString":"helo","newString":"hello"}
step
tool bash {"command":"cat hello.txt; env | grep -c ^OPENCODE_; echo $OPENINSPECT_SESSION; exit 3","description":"Show the file"}
step
say It says hello now.

script what
match what did I ask before
say You asked me about the greeting.

script break
match break in the middle
say First half.
gate middle
say Second half.

script slow
match wait for it
say I wait.
tool bash {"command":"echo $$ > pid; exec sleep 300","description":"Wait"}
step
say Never said.

script plan
match make a plan
tool todowrite {"todos":[{"content":"Look","status":"completed","priority":"high"},{"content":"Act","status":"in_progress","priority":"high"}]}
tool inspect_post_update {"text":"There is a plan."}
step
say There it is.

script delegate
match have somebody count
tool task {"description":"Count","prompt":"count the files","subagent_type":"general"}
step
say There is one.

script count
match count the files
say I count.
tool bash {"command":"ls | wc -l","description":"Count"}
step
say One.

script delegated-wait
match have somebody sit
tool task {"description":"Sit","prompt":"sit down","subagent_type":"general"}
step
say Never said.

script stubborn
match be stubborn
tool bash {"command":"trap '' TERM; echo $$ > stubborn; while :; do sleep 1; done","description":"Be stubborn"}
step
say Never said.

script deaf
match be deaf
tool bash {"command":"bash -c 'trap \"\" TERM; echo $$ > deaf; sleep 300'; echo done","description":"Be deaf"}
step
say Never said.

script timed
match take your time
tool bash {"command":"timeout 300 bash -c 'echo $$ > timed; sleep 300; true' 2>&1 | cat","description":"Take time"}
step
say Never said.

script sit
match sit down
tool bash {"command":"echo $$ > child; exec sleep 300","description":"Sit"}
step
say Never said.
`

// One server for all of them: it is heavy, and going on after a failure is part of what is tested.
func TestTurns(t *testing.T) {
	r := newRig(t, scripts)
	if v := r.agent.Version(); v != "opencode "+Version {
		t.Errorf("the version is %q; what this package knows was read from %s", v, Version)
	}
	t.Run("edit", func(t *testing.T) { testEdit(t, r) })
	t.Run("tools", func(t *testing.T) {
		out, err := r.run(t.Context(), "plan", "make a plan")
		if err != nil {
			t.Fatal(err)
		}
		if u := <-r.tools; u.Text != "There is a plan." {
			t.Errorf("%+v", u)
		}
		events, _ := out.all()
		todos := 0
		for _, e := range events {
			if len(e.Todo) == 2 && e.Todo[1] == (session.TodoItem{Text: "Act", State: "in_progress"}) {
				todos++
			}
			if e.Tool != nil && e.Tool.Name == "inspect_post_update" && e.Tool.State == session.StepDone && e.Tool.Output != "Posted, thank you." {
				t.Errorf("%+v", e.Tool)
			}
		}
		if todos != 1 {
			t.Errorf("the plan was told %d times: %+v", todos, events)
		}
	})
	t.Run("sub-agent", func(t *testing.T) {
		out, err := r.run(t.Context(), "task", "have somebody count")
		if err != nil {
			t.Fatal(err)
		}
		words, calls := out.words()
		if got := strings.Join(words, "\n"); got != "text There is one." {
			t.Errorf("said:\n%s", got)
		}
		if got := strings.Join(calls, ", "); got != "task running, bash running, bash done, task done" {
			t.Errorf("called: %s", got)
		}
		events, _ := out.all()
		for _, e := range events {
			if e.Tool != nil && e.Tool.Child != (e.Tool.Name == "bash") {
				t.Errorf("%+v", e.Tool)
			}
		}
	})
	for name, c := range map[string]struct{ transcript, text, pipe string }{
		"stop": {"stop", "wait for it", "pid"}, "stop of a sub-agent": {"stop-of-a-sub-agent", "have somebody sit", "child"},
		"stop of a command that goes on":        {"", "be stubborn", "stubborn"},
		"stop of a command's part that goes on": {"", "be deaf", "deaf"}, "stop of a command in groups of its own": {"", "take your time", "timed"},
	} {
		t.Run(name, func(t *testing.T) { testStop(t, r, c.transcript, c.text, r.fifo(c.pipe)) })
	}
	t.Run("the conversation goes on in a new server", func(t *testing.T) {
		before := r.agent
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		if err := before.Run(t.Context(), session.Delivery{ID: "1.1", Text: "what", Model: sonnet}, newRecorder()); session.CodeOf(err) != session.Conflict {
			t.Errorf("after Close: %v", err)
		}
		r.start()
		r.remembers(t)
	})
	t.Run("the server crashed", func(t *testing.T) {
		if err := syscall.Kill(r.agent.server.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-r.agent.server.exited
		r.remembers(t)
	})
	// What will not pass by waiting is not tried again: a second try would be answered.
	for _, c := range []struct {
		fault modeltest.Fault
		code  session.Code
		words string
	}{
		{modeltest.Refused(), session.Forbidden, "refused the bot's key"},
		{modeltest.Fault{Status: 403}, session.Forbidden, "refused the bot's key"},
		{modeltest.Fault{Status: 402, Message: "Payment required"}, session.Forbidden, "out of credit"},
		{modeltest.Fault{Status: 400, Message: "The budget of this thread is spent."}, session.Unavailable, "The budget of this thread is spent."},
		{modeltest.Fault{Status: 404, Message: "model: claude-sonnet-5"}, session.Invalid, "does not know this model, or the bot's key may not use it (model: claude-sonnet-5). Please name another one."},
		{modeltest.RateLimited(3600), session.Unavailable, "takes no requests for another 60 minutes. Please send your message again then"},
		{modeltest.Blocked("anthropic"), session.Invalid, "refused to answer this. Please word it differently."},
		{modeltest.OutOfCredit("anthropic"), session.Forbidden, "out of credit"},
		{modeltest.Fault{Finish: modeltest.Declined}, session.Invalid, "refused to answer this"},
		{modeltest.Fault{Finish: modeltest.TooLong}, session.Invalid, "was cut off at its longest. Ask for the task in smaller steps."},
	} {
		t.Run(fmt.Sprintf("refused with %d %s", c.fault.Status, c.fault.Finish), func(t *testing.T) {
			r.models.Fail(c.fault)
			_, err := r.run(t.Context(), "", "what did I ask before?")
			if session.CodeOf(err) != c.code || !strings.Contains(session.Sentence(err), c.words) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("unknown model", func(t *testing.T) {
		_, err := r.runOn(t.Context(), "model", "what did I ask before?", "anthropic/claude-unheard-of", newRecorder())
		if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "does not know this model") {
			t.Errorf("%v", err)
		}
	})
	t.Run("retry", func(t *testing.T) {
		r.models.Fail(modeltest.RateLimited(1))
		out, err := r.run(t.Context(), "retry", "what did I ask before?")
		if err != nil {
			t.Fatal(err)
		}
		events, _ := out.all()
		if len(events) < 2 || events[0].Retry == nil || events[0].Retry.Attempt != 1 {
			t.Errorf("%+v", events)
		}
	})
	t.Run("answer cut in its middle", func(t *testing.T) {
		r.models.Fail(modeltest.Fault{CutAfterEvents: 5})
		out, done := newRecorder(), make(chan error, 1)
		go func() {
			_, err := r.runOn(t.Context(), "cut", "break in the middle", sonnet, out)
			done <- err
		}()
		<-out.told // the first words have arrived
		r.models.Open("middle")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(out.lines, "\n"); !strings.HasPrefix(got, "~ text 1 at 0 \"First half.\"\n") || !strings.Contains(got, "~ text 1 at 0 \"\"\n") {
			t.Errorf("what was shown was not taken back:\n%s", got)
		}
		words, _ := out.words()
		if live := shown(t, out); len(words) != 1 || len(live) != 1 {
			t.Errorf("told %q; shown live %q", words, live)
		}
	})
	t.Run("overflow", func(t *testing.T) {
		r.models.Fail(modeltest.Fault{Status: 400, Message: "prompt is too long: 250000 tokens > 200000 maximum"})
		out, err := r.run(t.Context(), "overflow", "what did I ask before?")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range out.lines {
			if strings.Contains(line, "Scripted session") {
				t.Errorf("the summary was told: %s", line)
			}
		}
	})
}

// remembers asks the agent about its first prompt.
func (r *rig) remembers(t *testing.T) {
	t.Helper()
	if _, err := r.run(t.Context(), "", "what did I ask before?"); err != nil {
		t.Fatal(err)
	}
	all := r.models.Requests()
	if last := string(all[len(all)-1].Body); !strings.Contains(last, "fix the greeting") {
		t.Error("the agent has forgotten the first prompt")
	}
}

// shown is what stands on a page that shows the deltas: text by part, without what was taken back.
func shown(t *testing.T, out *recorder) map[string]string {
	t.Helper()
	live := map[string]string{}
	_, deltas := out.all()
	for _, d := range deltas {
		switch {
		case d.Offset == 0 && d.Text == "":
			delete(live, d.Part)
		case d.Offset != len(live[d.Part]):
			t.Errorf("a delta at %d after %d bytes", d.Offset, len(live[d.Part]))
		default:
			live[d.Part] += d.Text
		}
	}
	return live
}

func testEdit(t *testing.T, r *rig) {
	out, err := r.run(t.Context(), "edit", "fix the greeting")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(filepath.Join(r.config.Dir, "hello.txt")); string(b) != "hello\n" {
		t.Errorf("the file says %q", b)
	}
	events, _ := out.all()
	words, calls := out.words()
	for _, e := range events {
		if e.Tool == nil || e.Tool.State != session.StepDone {
			continue
		}
		// The shell does not know the server's own variables.
		if e.Tool.Name == "bash" && (e.Tool.Exit == nil || *e.Tool.Exit != 3 || !strings.Contains(e.Tool.Output, "hello\n0\nabcdefghij")) {
			t.Errorf("bash: %+v", e.Tool)
		}
		if e.Tool.Name == "edit" && !strings.Contains(e.Tool.Diff, "+hello") {
			t.Errorf("edit: %+v", e.Tool)
		}
	}
	if got := strings.Join(words, "\n"); got != "reasoning I should look first.\ntext Let me see.\ntext It says hello now." {
		t.Errorf("said:\n%s", got)
	}
	if got := strings.Join(calls, ", "); got != "read running, read done, edit running, edit done, bash running, bash done" {
		t.Errorf("called: %s", got)
	}
	if told := r.models.Requests()[0]; !strings.Contains(string(told.Body), "Greetings have a full stop.") {
		t.Errorf("the agent was not told what the repository says to agents: %s", told.Body)
	}
	for _, dir := range []string{".config/opencode", ".openinspect/opencode"} {
		if entries, err := os.ReadDir(filepath.Join(r.config.Home, dir, "node_modules")); err != nil || len(entries) != 1 {
			t.Errorf("packages were fetched into the home: %v %v", entries, err)
		}
	}
	live := shown(t, out)
	for _, e := range events {
		if e.Text != nil && live[e.Text.Part] != e.Text.Text {
			t.Errorf("shown live: %q; told: %q", live[e.Text.Part], e.Text.Text)
		}
	}
}

func TestGuidance(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ there, read string }{{"", "AGENTS.md"}, {"CLAUDE.md", "CLAUDE.md"}, {"AGENTS.md", "AGENTS.md"}} {
		if c.there != "" {
			if err := os.WriteFile(filepath.Join(dir, c.there), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := filepath.Base(guidance(dir)); got != c.read {
			t.Errorf("with %q: %s", c.there, got)
		}
	}
}

// testStop stops a turn while a command runs that wrote its process id into a pipe.
func testStop(t *testing.T, r *rig, name, text string, pid func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, done := newRecorder(), make(chan error, 1)
	go func() {
		_, err := r.runOn(ctx, name, text, sonnet, out)
		done <- err
	}()
	command := pid()
	if proc.Read(command).Ended() {
		t.Errorf("process %d does not run", command)
	}
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("%v", err)
	}
	if !proc.Read(command).Ended() {
		t.Errorf("process %d runs on after the stop", command)
	}
	for _, e := range out.events {
		if e.Text != nil && strings.Contains(e.Text.Text, "Never") {
			t.Errorf("it went on: %q", e.Text.Text)
		}
	}
}

// A rehearsal leaves nothing: no session, and no words in the next.
func TestRehearsal(t *testing.T) {
	r := newRig(t, scripts)
	r.models.Fail(modeltest.Fault{Status: 403})
	r.agent.Rehearse(t.Context())
	if all := r.models.Requests(); len(all) != 1 || !strings.Contains(string(all[0].Body), rehearsal) {
		t.Errorf("%d calls of models", len(all))
	}
	var left []struct{ Title string }
	if err := r.agent.server.call(t.Context(), "GET", "/session", nil, &left); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := r.run(t.Context(), "", "what did I ask before"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(r.models.Requests()[1].Body), rehearsal) {
		t.Error("it is part of the conversation")
	}
}
