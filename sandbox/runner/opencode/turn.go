package opencode

import (
	"context"
	"slices"
	"strings"
	"time"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

const (
	stallAfter = 10 * time.Minute // without an event, a running tool or a model call under way
	quietLimit = 15 * time.Second // for a stopped turn to come to rest
	resumeWait = time.Second      // before a lost event stream is opened again
	maxOutput  = 32 << 10         // of a tool, in bytes
)

// turn is one Run: it turns OpenCode's events into ours until the agent is at rest.
type turn struct {
	c      Config
	server *server
	id     string // OpenCode's session
	d      session.Delivery
	out    runner.Output
	prompt string // id of the message that is the prompt
	began  int64  // ms; what the agent said before is not this turn's

	parts    map[string]*progress // text and reasoning, by part id
	tools    map[string]string    // by part id: the newest status that was told
	messages map[string]bool      // messages of this turn
	children map[string]bool      // sessions of sub-agents
	settled  bool                 // something finished or failed: the next idle is the end
	failure  *fault
	retries  int // newest attempt that was told
	last     time.Time
}

// progress is how much of a part was told.
type progress struct {
	kind   session.Kind
	offset int
	done   bool
}

func newTurn(c Config, s *server, id string, d session.Delivery, out runner.Output) *turn {
	return &turn{
		c: c, server: s, id: id, d: d, out: out,
		parts: map[string]*progress{}, tools: map[string]string{}, messages: map[string]bool{}, children: map[string]bool{},
	}
}

// run posts the prompt and reads events until the turn has ended.
func (t *turn) run(ctx context.Context) error {
	// The stream outlives ctx: a stopped turn is read to its rest.
	stream, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	events, err := t.server.subscribe(stream)
	if err != nil {
		return err
	}
	select {
	case <-events: // server.connected: from here on nothing is missed
	case <-ctx.Done():
		return ctx.Err()
	}
	now := t.c.Clock.Now()
	t.prompt, t.began, t.last = messageID(now), now.UnixMilli(), now
	if err := t.post(ctx); err != nil {
		return err
	}
	ticks := make(chan struct{}, 1)
	stop := t.tick(ticks)
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return t.abort(stream, events, ctx.Err())
		case <-t.server.exited:
			return t.server.died()
		case <-ticks:
			if t.stalled() {
				_ = t.abort(stream, events, nil) // best effort: the turn has failed either way
				return session.Errorf(session.Unavailable, "The agent made no progress for %d minutes and was stopped. %s", int(stallAfter.Minutes()), t.server.log.words())
			}
			stop = t.tick(ticks)
		case e, ok := <-events:
			if !ok {
				if events, err = t.resume(stream); err != nil {
					return err
				}
				continue
			}
			if t.take(e) {
				return t.outcome()
			}
		}
	}
}

func (t *turn) post(ctx context.Context) error {
	provider, name, _ := strings.Cut(t.d.Model, "/")
	body := map[string]any{
		"messageID": t.prompt,
		"system":    instructions,
		// Always named: OpenCode would otherwise go on with whatever the last prompt had.
		"model": map[string]any{"providerID": provider, "modelID": name},
		"parts": []any{map[string]any{"type": "text", "text": t.d.Text}},
	}
	if t.d.Effort != "" {
		body["variant"] = t.d.Effort
	}
	return t.server.call(ctx, "POST", "/session/"+t.id+"/prompt_async", body, nil)
}

// tick asks for a look at the progress a tenth of the way to a stall.
func (t *turn) tick(ticks chan struct{}) (stop func() bool) {
	return t.c.Clock.AfterFunc(stallAfter/10, func() {
		select {
		case ticks <- struct{}{}:
		default:
		}
	})
}

func (t *turn) stalled() bool {
	busy := t.c.InFlight() > 0
	for _, status := range t.tools {
		busy = busy || status == "running"
	}
	if busy {
		t.last = t.c.Clock.Now()
	}
	return t.c.Clock.Now().Sub(t.last) >= stallAfter
}

// outcome is how a turn that has come to rest ended.
func (t *turn) outcome() error {
	if t.failure != nil {
		return t.failure.error()
	}
	return nil
}

// abort stops the turn and returns cause once nothing of it runs any more. The agent ends the shells that it started.
func (t *turn) abort(ctx context.Context, events <-chan event, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, quietLimit)
	defer cancel()
	if err := t.server.call(ctx, "POST", "/session/"+t.id+"/abort", nil, nil); err != nil {
		return session.Wrap("opencode.abort", err)
	}
	t.settled = true
	for {
		var busy map[string]status
		if err := t.server.call(ctx, "GET", "/session/status", nil, &busy); err == nil && busy[t.id].Type == "" {
			t.flush(events)
			return cause
		}
		select {
		case e, ok := <-events:
			if ok {
				t.take(e)
			} else {
				events = nil
			}
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return cause
		}
	}
}

// flush takes the events that are there already.
func (t *turn) flush(events <-chan event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			t.take(e)
		case <-time.After(100 * time.Millisecond):
			return
		}
	}
}

// resume opens the event stream again and catches up with what was missed from the messages themselves.
func (t *turn) resume(ctx context.Context) (<-chan event, error) {
	for tries := 0; ; tries++ {
		events, err := t.server.subscribe(ctx)
		if err == nil {
			var messages []message
			if err := t.server.call(ctx, "GET", "/session/"+t.id+"/message", nil, &messages); err != nil {
				return nil, err
			}
			for _, m := range messages {
				t.message(m.Info)
				for _, p := range m.Parts {
					t.part(p)
				}
			}
			return events, nil
		}
		select {
		case <-time.After(resumeWait):
		case <-t.server.exited:
			return nil, t.server.died()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if tries == 10 {
			return nil, err
		}
	}
}

// take handles one event and reports whether the turn has ended.
func (t *turn) take(e event) (ended bool) {
	p := e.Properties
	switch e.Type {
	case "session.created":
		if p.Info.ParentID == t.id || t.children[p.Info.ParentID] {
			t.children[p.Info.ID] = true
		}
		return false
	case "session.error":
		// An error before there is a session to name has no id.
		if p.Error != nil && (p.SessionID == t.id || p.SessionID == "") {
			t.fail(p.Error)
		}
		return false
	}
	ours := p.SessionID == t.id || p.Part.SessionID == t.id || p.Info.SessionID == t.id
	child := t.children[p.SessionID] || t.children[p.Part.SessionID]
	if !ours && !child {
		return false
	}
	t.last = t.c.Clock.Now()
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
		t.out.Event(session.Event{At: t.c.Clock.Now(), Kind: session.KindTodo, Todo: todo(p.Todos)})
	case "session.status":
		if s := p.Status; s.Type == "retry" && s.Attempt > t.retries {
			t.retries = s.Attempt
			t.out.Event(session.Event{At: t.c.Clock.Now(), Kind: session.KindRetry, Retry: &session.Retry{Attempt: s.Attempt, Reason: session.OneLine(s.Message, 300), Next: time.UnixMilli(s.Next).UTC()}})
		}
	case "session.compacted":
		// The overflow that led to it is dealt with; the turn goes on.
		t.failure, t.settled = nil, false
	case "session.idle":
		return t.settled
	}
	return false
}

// fail keeps an error until the agent is at rest: an overflow may still be dealt with.
func (t *turn) fail(f *fault) {
	t.settled = true
	if !f.aborted() && t.failure == nil {
		t.failure = f
	}
}

// message notes which messages are of this turn. After a compaction they answer another message than the prompt, so time counts too.
func (t *turn) message(i info) {
	if i.Role != "assistant" || i.ParentID != t.prompt && i.Time.Created < t.began {
		return
	}
	t.messages[i.ID] = true
	if i.Error != nil {
		t.fail(i.Error)
	} else if i.Finish != "" {
		t.settled = true
		t.retries = 0
	}
}

func (t *turn) delta(messageID, partID, field, text string) {
	p := t.parts[partID]
	if p == nil || p.done || field != "text" || !t.messages[messageID] {
		return
	}
	t.out.Delta(session.Delta{Kind: p.kind, Part: partID, Offset: p.offset, Text: text})
	p.offset += len(text)
}

// part tells a text or thought once it is whole, and a tool call when it runs and when it is over.
func (t *turn) part(p part) {
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
	case seen.done || p.Time.End == 0:
	case strings.TrimSpace(p.Text) != "":
		seen.done = true
		t.out.Event(session.Event{At: time.UnixMilli(p.Time.End).UTC(), Kind: kind, Text: &session.Text{Part: p.ID, Text: p.Text}})
	default:
		seen.done = true
		if seen.offset > 0 { // a model call that is made again: what was shown of it is void
			t.out.Delta(session.Delta{Kind: kind, Part: p.ID})
		}
	}
}

func (t *turn) tool(p part, child bool) {
	if slices.Contains([]string{"", "pending", t.tools[p.ID]}, p.State.Status) || t.tools[p.ID] == "completed" || t.tools[p.ID] == "error" {
		return
	}
	t.tools[p.ID] = p.State.Status
	tool := &session.Tool{Call: p.CallID, Name: p.Tool, State: session.StepRunning, Title: session.OneLine(p.State.Title, 200), Child: child, Input: p.State.Input}
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

// cut keeps the beginning and the end of something long.
func cut(s string) string {
	if len(s) <= maxOutput {
		return s
	}
	half := maxOutput / 2
	return strings.ToValidUTF8(s[:half], "") + "\n… cut …\n" + strings.ToValidUTF8(s[len(s)-half:], "")
}

func todo(items []todoItem) []session.TodoItem {
	out := make([]session.TodoItem, 0, len(items))
	for _, i := range items {
		out = append(out, session.TodoItem{Text: session.OneLine(i.Content, 200), State: i.Status})
	}
	return out
}
