// Package agenttest is an agent that does what the prompt says, word for word: for tests that need many turns and no model. It works in
// the real checkout, runs real commands and calls the real tools.
//
// A prompt's lines hold directives; what stands before one on its line is ignored, and so are lines quoted with ">". Several on a line
// are separated by " ;; ".
//
//	!write PATH CONTENT        write a file; \n in CONTENT is a line break, and one is added at the end
//	!append PATH CONTENT       likewise, at the end of the file
//	!run COMMAND               bash -c in the checkout; a failure does not end the turn
//	!say TEXT                  words for the answer
//	!think TEXT                reasoning
//	!todo ITEM | ITEM          a todo list; "x ITEM" is completed, "> ITEM" in progress
//	!update TEXT               the tool post_update
//	!propose TITLE | BODY | TESTS
//	                           the tool propose_pull_request; !draft is the same, for a draft
//	!show PATH ALT             the tool upload_image
//	!ask QUESTION | OPTION …   the tool ask
//	!retry REASON              tells that a model call is tried again
//	!wait NAME                 waits until the file NAME is in the home directory, or until it is stopped
//	!hang                      does nothing more, and tells nothing, until it is stopped
//	!fail REASON               ends the turn as failed
//	!crash                     ends the runner's process at once, as SIGKILL does
//
// @{PATH} in an argument is what that file of the checkout holds.
//
// An answer is always given: "Done." if the prompt said nothing.
package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

// Agent is the scripted agent. Its zero value is ready for Start.
type Agent struct {
	Crash func() // what !crash does; nil: SIGKILL to this process

	mu     sync.Mutex
	config runner.AgentConfig
}

var _ runner.Agent = (*Agent)(nil)

// Start implements runner.Agent.
func (a *Agent) Start(ctx context.Context, c runner.AgentConfig) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.config = c
	return ctx.Err()
}

// Version implements runner.Agent.
func (a *Agent) Version() string { return "script 1" }

// Words implements runner.Agent.
func (a *Agent) Words() string { return "Its last words: the script hangs." }

// Config returns what Start was given.
func (a *Agent) Config() runner.AgentConfig {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.config
}

// Close implements runner.Agent. Commands end with the turn they belong to, so there is nothing left to end.
func (a *Agent) Close() error { return nil }

// directive is one order of a prompt.
type directive struct{ verb, argument string }

var directiveForm = regexp.MustCompile(`(?:^|\s)!(write|append|run|say|think|todo|update|propose|draft|show|ask|retry|wait|hang|fail|crash)(?:\s+(.*))?$`)

// parse finds the directives of a prompt.
func parse(text string) []directive {
	var found []directive
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, ">") {
			continue
		}
		for part := range strings.SplitSeq(strings.TrimSpace(line), " ;; ") {
			if m := directiveForm.FindStringSubmatch(part); m != nil {
				found = append(found, directive{m[1], strings.TrimSpace(m[2])})
			}
		}
	}
	return found
}

// Run implements runner.Agent.
func (a *Agent) Run(ctx context.Context, d session.Delivery, out runner.Output) error {
	t := &turn{agent: a, config: a.Config(), d: d, out: out}
	for _, order := range parse(d.Text) {
		if err := t.do(ctx, order); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if !t.said {
		t.say(session.KindText, "Done.")
	}
	return nil
}

// turn is one Run.
type turn struct {
	agent  *Agent
	config runner.AgentConfig
	d      session.Delivery
	out    runner.Output
	n      int // parts and calls so far
	said   bool
}

var fileForm = regexp.MustCompile(`@\{[^}]+\}`)

func (t *turn) do(ctx context.Context, o directive) error {
	o.argument = fileForm.ReplaceAllStringFunc(o.argument, func(form string) string {
		b, err := os.ReadFile(filepath.Join(t.config.Dir, form[2:len(form)-1]))
		if err != nil {
			return form
		}
		return strings.TrimSuffix(string(b), "\n")
	})
	switch o.verb {
	case "write", "append":
		name, content, _ := strings.Cut(o.argument, " ")
		t.edit(name, content, o.verb == "append")
	case "run":
		t.bash(ctx, o.argument)
	case "say":
		t.say(session.KindText, o.argument)
	case "think":
		t.say(session.KindReasoning, o.argument)
	case "todo":
		t.todo(o.argument)
	case "update":
		t.tool(ctx, "post_update", map[string]any{"text": o.argument})
	case "propose", "draft":
		title, body, _ := strings.Cut(o.argument, " | ")
		body, tests, _ := strings.Cut(body, " | ")
		call := map[string]any{"title": title, "body": lines(body)}
		if tests != "" {
			call["tests"] = lines(tests)
		}
		if o.verb == "draft" {
			call["draft"] = true
		}
		t.tool(ctx, "propose_pull_request", call)
	case "show":
		path, alt, _ := strings.Cut(o.argument, " ")
		t.tool(ctx, "upload_image", map[string]any{"path": path, "alt": alt})
	case "ask":
		words := strings.Split(o.argument, " | ")
		t.tool(ctx, "ask", map[string]any{"question": words[0], "options": words[1:]})
	case "retry":
		t.out.Event(session.Event{At: time.Now(), Kind: session.KindRetry, Retry: &session.Retry{Attempt: 1, Reason: o.argument}})
	case "wait":
		return t.wait(ctx, o.argument)
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "fail":
		return &session.Error{Code: session.Unavailable, Op: "agenttest.Run", Message: o.argument}
	case "crash":
		if t.agent.Crash != nil {
			t.agent.Crash()
			return &session.Error{Code: session.Unavailable, Op: "agenttest.Run", Message: "The agent crashed."}
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return nil
}

// lines makes line breaks of \n.
func lines(s string) string { return strings.ReplaceAll(s, `\n`, "\n") }

func (t *turn) id(kind string) string {
	t.n++
	return fmt.Sprintf("%s-%s-%d", kind, t.d.ID, t.n)
}

// say tells a part of words: first as deltas, then whole.
func (t *turn) say(kind session.Kind, text string) {
	text = lines(text)
	t.said = t.said || kind == session.KindText
	part := t.id("part")
	half := len([]rune(text)) / 2
	first, second := string([]rune(text)[:half]), string([]rune(text)[half:])
	t.out.Delta(session.Delta{Kind: kind, Part: part, Text: first})
	t.out.Delta(session.Delta{Kind: kind, Part: part, Offset: len(first), Text: second})
	t.out.Event(session.Event{At: time.Now(), Kind: kind, Text: &session.Text{Part: part, Text: text}})
}

func (t *turn) todo(items string) {
	var list []session.TodoItem
	for item := range strings.SplitSeq(items, " | ") {
		state := "pending"
		if rest, ok := strings.CutPrefix(item, "x "); ok {
			item, state = rest, "completed"
		} else if rest, ok := strings.CutPrefix(item, "> "); ok {
			item, state = rest, "in_progress"
		}
		list = append(list, session.TodoItem{Text: item, State: state})
	}
	t.out.Event(session.Event{At: time.Now(), Kind: session.KindTodo, Todo: list})
}

// call tells of a tool call when it begins, runs it, and tells how it went.
func (t *turn) call(name, title string, input any, run func(*session.Tool) error) {
	raw, err := json.Marshal(input)
	if err != nil {
		raw = nil // told without its input
	}
	tool := session.Tool{Call: t.id("call"), Name: name, Title: title, Input: raw, State: session.StepRunning}
	running := tool
	t.out.Event(session.Event{At: time.Now(), Kind: session.KindTool, Tool: &running})
	begin := time.Now()
	tool.State = session.StepDone
	if err := run(&tool); err != nil {
		tool.State, tool.Error = session.StepFailed, err.Error()
	}
	tool.Millis = max(1, time.Since(begin).Milliseconds())
	t.out.Event(session.Event{At: time.Now(), Kind: session.KindTool, Tool: &tool})
}

func (t *turn) edit(name, content string, appending bool) {
	content = lines(content) + "\n"
	t.call("edit", name, map[string]string{"filePath": name, "content": content}, func(tool *session.Tool) error {
		path := filepath.Join(t.config.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
		if appending {
			flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
		}
		f, err := os.OpenFile(path, flags, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		tool.Output = "Wrote " + name
		tool.Diff = fmt.Sprintf("--- %s\n+++ %s\n@@\n+%s", name, name, strings.ReplaceAll(strings.TrimSuffix(content, "\n"), "\n", "\n+")+"\n")
		_, err = f.WriteString(content)
		return err
	})
}

// wait looks for a file until it is there.
func (t *turn) wait(ctx context.Context, name string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(t.config.Home, filepath.Base(name))); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
