package opencode

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

// maxOutput is how much of a tool's output is told, in bytes.
const maxOutput = 32 << 10

// telling turns OpenCode's events into ours, and knows when a turn has ended. It does no I/O.
type telling struct {
	clock  session.Clock
	out    runner.Output
	id     string // OpenCode's session
	prompt string // id of the message that is the prompt
	began  int64  // ms by the server's clock, once it has the prompt; what the agent said before is not this turn's

	parts    map[string]*progress // text and reasoning, by part id
	tools    map[string]string    // by part id: the newest status that was told
	messages map[string]bool      // messages of this turn
	children map[string]bool      // sessions of sub-agents
	settled  bool                 // something finished or failed: the next idle is the end
	failure  *fault
	cutOff   bool          // the newest answer reached the most it may have
	retries  int           // newest attempt that was told
	pause    time.Duration // until the next attempt
}

// progress is how much of a part was told.
type progress struct {
	kind   session.Kind
	offset int
	gap    bool // some of it was missed: the rest is told when it is whole
	done   bool
}

func newTelling(clock session.Clock, out runner.Output, id, prompt string) *telling {
	return &telling{
		clock: clock, out: out, id: id, prompt: prompt,
		parts: map[string]*progress{}, tools: map[string]string{}, messages: map[string]bool{}, children: map[string]bool{},
	}
}

// take handles one event and reports whether the turn has ended.
func (t *telling) take(e event) (ended bool) {
	p := e.Properties
	switch e.Type {
	case "session.created":
		if p.Info.ParentID == t.id || t.children[p.Info.ParentID] {
			t.children[p.Info.ID] = true
		}
		return false
	case "session.error":
		// One that comes before the prompt is there belongs to the turn before. An error that concerns no session has no id.
		if p.Error != nil && t.began != 0 && (p.SessionID == t.id || p.SessionID == "") {
			t.fail(p.Error)
		}
		return false
	}
	ours := p.SessionID == t.id || p.Part.SessionID == t.id || p.Info.SessionID == t.id
	child := t.children[p.SessionID] || t.children[p.Part.SessionID]
	if !ours && !child {
		return false
	}
	if child {
		if e.Type == "message.part.updated" && p.Part.Type == "tool" {
			t.tool(p.Part, true)
		}
		return false
	}
	switch e.Type {
	case "message.updated":
		t.message(p.Info)
	case "message.part.delta":
		t.delta(p.MessageID, p.PartID, p.Field, p.Delta)
	case "message.part.updated":
		t.part(p.Part)
	case "todo.updated":
		t.out.Event(session.Event{At: t.clock.Now(), Kind: session.KindTodo, Todo: todo(p.Todos)})
	case "session.status":
		t.retry(p.Status)
	case "session.compacted":
		// The overflow that led to it is dealt with; the turn goes on.
		t.failure, t.settled = nil, false
	case "session.idle":
		if t.settled && t.cutOff && t.failure == nil {
			t.failure = &fault{Name: "MessageOutputLengthError"}
		}
		return t.settled
	}
	return false
}

// fail keeps an error until the agent is at rest: an overflow may still be dealt with. That the turn was aborted says less than any other error.
func (t *telling) fail(f *fault) {
	t.settled = true
	if t.failure == nil || t.failure.aborted() {
		t.failure = f
	}
}

// message notes which messages are of this turn. After a compaction they answer another message than the prompt, so time counts too. The
// summary that a compaction makes is nobody's answer.
func (t *telling) message(i info) {
	if i.Role == "user" && i.ID == t.prompt {
		t.began = i.Time.Created
	}
	later := t.began != 0 && i.Time.Created >= t.began
	if i.Role != "assistant" || i.Mode == "compaction" || i.ParentID != t.prompt && !later {
		return
	}
	t.messages[i.ID] = true
	if i.Error != nil {
		if i.Error.Name != "ContextOverflowError" { // the session's error tells it, and what comes of it
			t.fail(i.Error)
		}
	} else if i.Finish != "" {
		t.settled = true
		t.retries = 0
		t.cutOff = i.Finish == "length"
	}
}

// retry tells that a model call is made again. It voids what was shown of the call so far.
func (t *telling) retry(s status) {
	if s.Type != "retry" || s.Attempt <= t.retries {
		return
	}
	t.retries = s.Attempt
	r := &session.Retry{Attempt: s.Attempt, Reason: plainly(s.Message)}
	if s.Next > 0 {
		r.Next = time.UnixMilli(int64(s.Next)).UTC()
		t.pause = r.Next.Sub(t.clock.Now())
	}
	t.out.Event(session.Event{At: t.clock.Now(), Kind: session.KindRetry, Retry: r})
	for id, p := range t.parts {
		if !p.done {
			t.void(id, p)
		}
	}
}

// void takes back what was shown of a part.
func (t *telling) void(id string, p *progress) {
	p.done = true
	if p.offset > 0 {
		t.out.Delta(session.Delta{Kind: p.kind, Part: id})
	}
}

func (t *telling) delta(messageID, partID, field, text string) {
	p := t.parts[partID]
	if p == nil || p.done || p.gap || field != "text" || text == "" || !t.messages[messageID] {
		return
	}
	t.out.Delta(session.Delta{Kind: p.kind, Part: partID, Offset: p.offset, Text: text})
	p.offset += len(text)
}

// missed marks what was going on while nobody looked: of a part that is being written some has passed unseen, and a tool may be done.
func (t *telling) missed() {
	for _, p := range t.parts {
		p.gap = true
	}
	for id, status := range t.tools {
		if status == "running" {
			t.tools[id] = "missed"
		}
	}
}

// part tells a text or thought once it is whole, and a tool call when it runs and when it is over.
func (t *telling) part(p part) {
	if !t.messages[p.MessageID] {
		return
	}
	kind := session.KindText
	switch p.Type {
	case "tool":
		t.tool(p, false)
		return
	case "reasoning":
		kind = session.KindReasoning
	case "text":
		if p.Synthetic {
			return
		}
	default:
		return
	}
	seen := t.parts[p.ID]
	if seen == nil {
		seen = &progress{kind: kind}
		t.parts[p.ID] = seen
	}
	switch {
	case p.Time.End == 0:
	case strings.TrimSpace(p.Text) == "":
		if !seen.done { // a model call that is made again
			t.void(p.ID, seen)
		}
	case !seen.done:
		seen.done = true
		t.out.Event(session.Event{At: time.UnixMilli(p.Time.End).UTC(), Kind: kind, Text: &session.Text{Part: p.ID, Text: p.Text}})
	}
}

// tool tells a call once when it runs, its input being there, and once when it is over.
func (t *telling) tool(p part, child bool) {
	told := t.tools[p.ID]
	if slices.Contains([]string{"", "pending", told}, p.State.Status) || told == "completed" || told == "error" {
		return
	}
	t.tools[p.ID] = p.State.Status
	tool := &session.Tool{Call: p.CallID, Name: p.Tool, State: session.StepRunning, Title: oneLine(p.State.Title), Child: child, Input: p.State.Input}
	at := p.State.Time.Start
	switch p.State.Status {
	case "completed":
		tool.State, tool.Output, tool.Exit, tool.Diff = session.StepDone, cut(p.State.Output), p.State.Metadata.Exit, cut(p.State.Metadata.Diff)
	case "error":
		tool.State, tool.Error = session.StepFailed, cut(p.State.Error)
	}
	if p.State.Time.End != 0 {
		tool.Millis = p.State.Time.End - p.State.Time.Start
		at = p.State.Time.End
	}
	t.out.Event(session.Event{At: time.UnixMilli(at).UTC(), Kind: session.KindTool, Tool: tool})
}

const cutMark = "\n… cut …\n"

// cut keeps the beginning and the end of something long, maxOutput bytes at most.
func cut(s string) string {
	if len(s) <= maxOutput {
		return s
	}
	half := (maxOutput - len(cutMark)) / 2
	head, tail := s[:half], s[len(s)-half:]
	for len(head) > 0 {
		if r, n := utf8.DecodeLastRuneInString(head); r != utf8.RuneError || n != 1 {
			break
		}
		head = head[:len(head)-1]
	}
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return head + cutMark + tail
}

// oneLine is a title of at most 200 characters. Its signs stay: a command must read as it ran.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:199]) + "…"
	}
	return s
}

func todo(items []todoItem) []session.TodoItem {
	out := make([]session.TodoItem, 0, len(items))
	for _, i := range items {
		out = append(out, session.TodoItem{Text: oneLine(i.Content), State: i.Status})
	}
	return out
}
