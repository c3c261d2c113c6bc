package bot

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// Whatever reason Slack gives for ending a connection, the next one brings what was said, once, and the operator's log says what to do.
func TestDisconnects(t *testing.T) {
	for reason, hint := range map[string]string{
		"warning":             "Slack renews the connection",
		"refresh_requested":   "Slack renews the connection",
		"link_disabled":       "Switch it on",
		"too_many_websockets": "Another program uses SLACK_APP_TOKEN",
		"a_new_reason\x1b[2J": "Slack closed the connection",
	} {
		r := newRig(t)
		r.slack.Disconnect(reason)
		ts := r.mention("alice", "fix acme/web")
		r.shown(ts, "Starting on alice")
		r.logs(hint)
		if strings.Contains(r.log.String(), "\x1b") {
			t.Error("the log has control characters")
		}
	}
}

// What was sent before Slack asked for another connection is taken from the old one.
func TestEnvelopesBehindDisconnect(t *testing.T) {
	r := newRig(t, func(r *rig) { r.cfg.Clock = &sessiontest.Clock{} }) // stands: the old ones are drained for as long as it takes
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		if e.RetryAttempt == 0 {
			r.slack.SendFrame([]byte(`{"type":"disconnect","reason":"refresh_requested"}`))
		}
		send(e)
	}})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	for _, d := range r.slack.Snapshot().Deliveries() {
		if d.RetryAttempt > 0 {
			t.Errorf("Slack had to send %s again", d.Type)
		}
	}
}

// A connection that is open and silent is found out and replaced; one on which Slack answers is not, however long nothing is said.
func TestHalfOpenSocket(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.second(clock)
	openings := func() int { return len(r.slack.Calls("apps.connections.open")) }
	for range 3 {
		clock.Wait(2) // the watchdogs'
		clock.Advance(silentFor)
	}
	if n := openings(); n != 2 {
		t.Errorf("a connection that works was replaced: %d openings", n)
	}
	r.slack.HalfOpen()
	ts := r.mention("alice", "fix acme/web") // lost with the connection
	for range 2 {                            // something may have been heard in the first stretch
		clock.Wait(2)
		clock.Advance(silentFor)
	}
	r.logs("Slack is silent; connecting again")
	r.passing(clock, "the second connection, which is not opened in the same moment", func() bool { return openings() >= 4 })
	r.until("other connections, and all acknowledged", func(s *slacktest.Snapshot) bool { return s.Sockets() == 2 && s.Unacked() == 0 })
	r.shown(ts, "Starting on alice")
	if n := openings(); n != 4 {
		t.Errorf("%d openings, want 4", n)
	}
}

// Frames in pieces, frames that are no events, events nobody knows, events that are too large or have fields of another kind: what is
// readable is read, everything is acknowledged, and the connection stays.
func TestOddFrames(t *testing.T) {
	r := newRig(t)
	r.slack.Split(true)
	for _, f := range []string{`{not json`, ``, `null`, `[]`, `"text"`, `{"type":7}`, `{"type":"events_api"}`, "\x00\xff", `{"type":"hello"}`} {
		r.slack.SendFrame([]byte(f))
	}
	r.slack.Emit("an_event_of_next_year", map[string]any{"user": "U0ALICE", "channel": "C0GENERAL"})
	r.slack.Emit("message", map[string]any{"user": 7, "channel": []string{"C0GENERAL"}, "text": map[string]any{}})
	r.slack.Emit("message", map[string]any{"user": "U0ALICE", "channel": "C0GENERAL", "ts": "1.1", "text": strings.Repeat("x", maxFrame)})
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		e.Payload = spoil(t, e.Payload)
		send(e)
	}})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	if n := len(r.slack.Calls("apps.connections.open")); n != 1 {
		t.Errorf("the connection was replaced %d times\n%s", n-1, r.log)
	}
	r.logs("too large and was left unread", `kind=an_event_of_next_year "so far"=1`, `kind="no event:" "so far"=1`)
	if n := len(r.slack.Thread("general", ts)); n != 2 {
		t.Errorf("the thread has %d messages", n)
	}
}

// spoil gives fields of an event kinds that Slack's clients do not expect.
func spoil(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	e := p["event"].(map[string]any)
	e["files"], e["subtype"], e["bot_id"], p["authorizations"] = "none", nil, map[string]any{}, 3
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Events come in any order: a reply before the mention it belongs to, an edit before the message, a reaction before the bot knows its
// own message.
func TestEventsInAnyOrder(t *testing.T) {
	r := newRig(t)
	var held []func()
	hold := func(match func(slacktest.Envelope) bool) {
		r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
			if match(e) {
				held = append(held, func() { send(e) })
				return
			}
			send(e)
			for _, f := range held {
				f()
			}
			held = nil
		}})
	}
	about := func(e slacktest.Envelope, text string) bool {
		return strings.Contains(string(e.Payload), text) && !strings.Contains(string(e.Payload), "message_changed")
	}
	hold(func(e slacktest.Envelope) bool { return about(e, "fix acme/web") })
	ts := r.mention("alice", "fix acme/web")
	reply := r.reply("bob", ts, "and the docs") // arrives first
	r.shown(ts, "Starting on alice", "1 queued (bob)")
	id := r.id(ts)

	hold(func(e slacktest.Envelope) bool { return about(e, "typing mistaek") })
	third := r.reply("bob", ts, "typing mistaek")
	if _, err := r.slack.As("bob").Edit("general", third, "typing mistake"); err != nil {
		t.Fatal(err)
	}
	r.kept("the message that was edited before it came", func() bool { return len(r.load(id).Prompts) == 3 })
	r.until("its eyes", func(s *slacktest.Snapshot) bool { m, _ := s.Message("general", third); return len(m.Reactions) == 1 })

	gate := make(chan struct{})
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "chat.postMessage" && strings.Contains(c.Args["metadata"], "status/"+reply) {
			<-gate // Slack has the message, and people see it; the bot does not know where yet
		}
		return nil
	}})
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	mine := func() (at string) {
		r.until("the status of the second turn", func(s *slacktest.Snapshot) bool {
			for _, m := range s.Thread("general", ts) {
				if m.Metadata != nil && strings.HasSuffix(m.Metadata.EventPayload["key"].(string), "status/"+reply) {
					at = m.TS
				}
			}
			return at != ""
		})
		return at
	}()
	if err := r.slack.As("alice").React("general", mine, "octagonal_sign"); err != nil {
		t.Fatal(err)
	}
	r.until("the reaction to be taken", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	close(gate)
	r.kept("the stop", func() bool {
		t := r.load(id).Session.Turn
		return t == nil || t.PromptID != reply || t.Stopping
	})
}

// A message that is edited so that it mentions the bot is taken as if it had always done.
func TestMentionByEdit(t *testing.T) {
	r := newRig(t)
	m, err := r.slack.As("alice").Post("general", "fix acme/web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.slack.As("alice").Edit("general", m.TS, "@inspect fix acme/web"); err != nil {
		t.Fatal(err)
	}
	r.shown(m.TS, "Starting on alice")
	if _, err := r.slack.As("alice").Edit("general", m.TS, "@inspect fix acme/web, please"); err != nil {
		t.Fatal(err)
	}
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	r.once(m.TS, "Starting on alice")
}

// Slack that does not answer at the start is asked again; one that refuses is not.
func TestStartWhileSlackIsAway(t *testing.T) {
	s := slacktest.New(slacktest.Config{})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := newRig(t)
	cfg := r.cfg
	cfg.APIURL = s.URL()
	s.Inject(slacktest.Fault{Method: "auth.test", Times: 3, Answer: slacktest.Failure(502)})
	s.Inject(slacktest.Fault{Method: "apps.connections.open", Times: 1, Answer: slacktest.Refusal("internal_error")})
	ctx, cancel := context.WithCancel(r.ctx)
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	if err := s.Wait(r.ctx, func(n *slacktest.Snapshot) bool { return n.Sockets() == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.Inject(slacktest.Fault{Method: "apps.connections.open", Answer: slacktest.Refusal("missing_scope")})
	if b, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(r.ctx); session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "connections:write") {
		t.Errorf("the run ended with %v", err)
	}
}
