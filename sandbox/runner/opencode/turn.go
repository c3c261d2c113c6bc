package opencode

import (
	"cmp"
	"context"
	"strings"
	"time"

	"openinspect/sandbox/runner"
	"openinspect/session"
)

const (
	quietLimit = 15 * time.Second       // for a stopped turn to come to rest
	quietPoll  = 50 * time.Millisecond  // how often that is looked at
	lateAfter  = 200 * time.Millisecond // the last words of a failed or stopped turn come within that of each other
	resumeWait = time.Second            // before a lost event stream is opened again
	resumeMax  = 10                     // times that is tried
	maxPause   = 5 * time.Minute        // that a provider may ask for before the next attempt; five attempts follow one another
)

// turn is one Run: it posts the prompt and reads OpenCode's events until the agent is at rest.
type turn struct {
	c      Config
	server *server
	id     string // OpenCode's session
	d      session.Delivery
	prompt string // id of the message that is the prompt
	*telling
}

func newTurn(c Config, s *server, id string, d session.Delivery, out runner.Output) *turn {
	prompt := messageID(c.Clock.Now())
	return &turn{c: c, server: s, id: id, d: d, prompt: prompt, telling: newTelling(c.Clock, out, id, prompt)}
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
	if err := t.post(stream); err != nil {
		t.abort(stream, nil) // it may have come through nevertheless
		return err
	}
	for {
		select {
		case <-ctx.Done():
			t.abort(stream, events)
			return ctx.Err()
		case <-t.server.exited:
			return t.server.died()
		case e, ok := <-events:
			ended := false
			if ok {
				ended = t.take(e)
			} else if events, ended, err = t.resume(stream); err != nil {
				t.abort(stream, nil)
				return cmp.Or(ctx.Err(), err)
			}
			if ended {
				return t.outcome(events)
			}
			if t.pause > maxPause {
				t.abort(stream, events)
				return limitedFor(t.pause)
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
		"parts": append([]any{map[string]any{"type": "text", "text": t.d.Text}}, fileParts(t.d.Files)...),
	}
	if t.d.Effort != "" {
		body["variant"] = t.d.Effort
	}
	return t.server.call(ctx, "POST", "/session/"+t.id+"/prompt_async", body, nil)
}

// outcome is how a turn that has come to rest ended. A failure is told twice and so is the rest after it: the second pair must not be taken for
// the next turn's.
func (t *turn) outcome(events <-chan event) error {
	if t.failure == nil {
		return nil
	}
	t.drain(events)
	return t.failure.error()
}

// abort stops the turn and returns when nothing of it runs any more. The agent tells the commands that it runs to end, but says that it is at rest while they
// still do; an agent that does not come to rest is ended itself.
func (t *turn) abort(ctx context.Context, events <-chan event) {
	limit, cancel := context.WithTimeout(ctx, quietLimit)
	defer cancel()
	commands := shells{}
	commands.look(t.server)
	if err := t.server.call(limit, "POST", "/session/"+t.id+"/abort", nil, nil); err != nil {
		t.server.stop(commands)
		return
	}
	stopped := map[string]bool{}
	for {
		commands.look(t.server) // sub-agents go on, and begin some
		// A sub-agent's session is in the same list: the server works for this conversation alone.
		var busy map[string]status
		if err := t.server.call(limit, "GET", "/session/status", nil, &busy); err == nil && len(busy) == 0 {
			commands.end(limit, shellGrace)
			t.drain(events)
			return
		}
		for id := range busy { // a sub-agent whose command was ended would go on with that as an answer
			if id != t.id && !stopped[id] {
				stopped[id] = true
				_ = t.server.call(limit, "POST", "/session/"+id+"/abort", nil, nil) // it is looked at again, until nothing is busy
			}
		}
		select {
		case e, ok := <-events:
			if ok {
				t.take(e)
			} else {
				events = nil
			}
		case <-time.After(quietPoll):
		case <-t.server.exited:
			t.server.stop(commands)
			return
		case <-limit.Done():
			t.server.stop(commands)
			return
		}
	}
}

// drain takes the events that are there already, or come right away.
func (t *turn) drain(events <-chan event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			t.take(e)
		case <-time.After(lateAfter):
			return
		}
	}
}

// resume opens the event stream again and catches up from the messages themselves with what was missed, the turn's end included.
func (t *turn) resume(ctx context.Context) (events <-chan event, ended bool, err error) {
	for tries := 1; ; tries++ {
		if events, err = t.server.subscribe(ctx); err == nil {
			ended, err = t.catchUp(ctx)
			return events, ended, err
		}
		if tries == resumeMax {
			return nil, false, err
		}
		wait := make(chan struct{})
		stop := t.c.Clock.AfterFunc(resumeWait, func() { close(wait) })
		select {
		case <-wait:
		case <-t.server.exited:
			stop()
			return nil, false, t.server.died()
		}
	}
}

// catchUp reads the conversation and reports whether the turn has ended meanwhile. What is asked first may be older than what is asked second,
// so the state comes first: at rest means that the messages are whole.
func (t *turn) catchUp(ctx context.Context) (ended bool, err error) {
	var busy map[string]status
	if err := t.server.call(ctx, "GET", "/session/status", nil, &busy); err != nil {
		return false, err
	}
	var messages []message
	if err := t.server.call(ctx, "GET", "/session/"+t.id+"/message", nil, &messages); err != nil {
		return false, err
	}
	t.missed()
	for _, m := range messages {
		t.message(m.Info)
		for _, p := range m.Parts {
			t.part(p)
		}
	}
	return t.settled && busy[t.id].Type == "", nil
}
