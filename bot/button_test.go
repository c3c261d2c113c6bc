package bot

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// broke makes a rig whose sessions may cost a dollar, with a turn that has spent it and is paused.
func broke(t *testing.T, change ...func(*rig)) (r *rig, ts string, id session.ID) {
	r = newRig(t, append(change, func(r *rig) { r.cost = 1 })...)
	ts = r.mention("alice", "fix acme/web")
	id = r.id(ts)
	r.ready(id, ts)
	r.spend(id, "x1", 1.25)
	return r, ts, id
}

// spend has the session's agent call its model once, and want to call it again.
func (r *rig) spend(id session.ID, call string, cost float64) {
	r.t.Helper()
	for _, in := range []session.Input{
		session.CallBegun{Call: session.OpenCall{ID: call}},
		session.ModelCalled{ID: call, Call: session.ModelCall{Model: "anthropic/claude-sonnet-5", Usage: session.Usage{Input: 1}, Cost: cost}},
	} {
		if err := r.hub.Send(r.ctx, id, in); err != nil {
			r.t.Fatal(err)
		}
	}
	go func() { _ = r.hub.Send(r.ctx, id, session.CallHeld{}) }() // answered when the pause is over, or never
}

// press has somebody press a button of the message that has a text in it.
func (r *rig) press(user string, on slacktest.Message, button string) {
	r.t.Helper()
	if _, err := r.slack.As(user).Click("general", on.TS, button); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) acknowledged() {
	r.t.Helper()
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
}

// A budget that is nearly spent is told once; one that is spent is a question, which anybody who may act answers, once.
func TestBudget(t *testing.T) {
	r := newRig(t, func(r *rig) { r.cost = 1 })
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.spend(id, "x1", 0.85)
	r.shown(ts, "This thread has cost $0.85 of $1.00.")
	r.spend(id, "x2", 0.4)
	question := r.ours(ts, "the agent has paused")
	r.shown(ts, "Paused for alice: the budget is spent", "This thread has cost $1.25 of $1.00. May it cost $1.00 more?", "[Allow $1.00 more]", "[Stop this turn]")
	r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")

	r.press("gina", question, "Allow $1.00 more")
	r.told("gina", "full members of this workspace only")
	if b := r.load(id).Session.Budget; b.Raised != 0 {
		t.Fatalf("a guest raised the limit: %+v", b)
	}
	r.press("bob", question, "Allow $1.00 more")
	r.shown(ts, "bob allowed $1.00 more: this thread may now cost $2.00.", "Working for alice")
	if text := r.slack.Render("general", ts); strings.Contains(text, "[Allow") || strings.Contains(text, "May it cost") {
		t.Errorf("the question still stands:\n%s", text)
	}
	log, err := r.db.AuditLog(r.ctx, session.AuditQuery{})
	if err != nil || len(log) != 1 || log[0].Action != "raise" || log[0].By.Slack != "U0BOB" || log[0].Session != id || log[0].Result != "$1.00 more, $2.00 in all, at $1.25 spent" {
		t.Errorf("%+v %v", log, err)
	}
	if n := strings.Count(r.slack.Render("general", ts), "$0.85 of $1.00"); n != 1 {
		t.Errorf("told %d times", n)
	}
	golden(t, "budget.txt", strings.ReplaceAll(r.slack.Render("general", ts), string(id), "abcdefghij"))
}

// Two people press at once: the limit is raised once, and whoever came second is told who was first. Slack may send a press twice.
func TestTwoPeoplePress(t *testing.T) {
	r, ts, id := broke(t)
	question := r.ours(ts, "the agent has paused")
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		send(e)
		e.RetryAttempt = 1
		send(e)
	}})
	r.press("alice", question, "Allow $1.00 more")
	r.press("bob", question, "Allow $1.00 more")
	r.until("one of them to be told", func(s *slacktest.Snapshot) bool { return len(s.Ephemerals("alice"))+len(s.Ephemerals("bob")) > 0 })
	r.shown(ts, "allowed $1.00 more: this thread may now cost $2.00.")
	r.acknowledged()
	if b := r.load(id).Session.Budget; b.Raised != 1 {
		t.Errorf("%+v", b)
	}
	for user, other := range map[string]string{"alice": "bob", "bob": "alice"} {
		for _, m := range r.slack.Ephemerals(user) {
			if !strings.HasPrefix(m.Text, other+" has allowed more already") {
				t.Errorf("%s was told %q", user, m.Text)
			}
		}
	}
}

// A paused turn is stopped as any other: by the button, by the word, by 🛑. The question goes with it.
func TestStopWhilePaused(t *testing.T) {
	for name, stop := range map[string]func(r *rig, ts string, question slacktest.Message) error{
		"button": func(r *rig, _ string, question slacktest.Message) error {
			_, err := r.slack.As("bob").Click("general", question.TS, "Stop this turn")
			return err
		},
		"word": func(r *rig, ts string, _ slacktest.Message) error {
			_, err := r.slack.As("bob").Reply("general", ts, "stop")
			return err
		},
		"emoji": func(r *rig, _ string, question slacktest.Message) error {
			return r.slack.As("bob").React("general", question.TS, "octagonal_sign")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, ts, id := broke(t)
			if err := stop(r, ts, r.ours(ts, "the agent has paused")); err != nil {
				t.Fatal(err)
			}
			r.called("stop " + ts)
			r.shown(ts, "This thread has cost $1.25 of $1.00. Stopped by bob.")
			r.journal(id, session.Event{Kind: session.KindTurn, PromptID: ts, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
			r.shown(ts, "Stopped by bob · ")
			if text := r.slack.Render("general", ts); strings.Contains(text, "[Allow") {
				t.Errorf("the question still stands:\n%s", text)
			}
			if b := r.load(id).Session.Budget; b.Raised != 0 {
				t.Errorf("%+v", b)
			}
		})
	}
}

// What a press is about is known from the store. A payload that names another session or question, or a message that is not ours, does
// nothing, and whoever sent it is told.
func TestForgedPress(t *testing.T) {
	for name, c := range map[string]struct{ from, to, told string }{
		"another question": {`/b1"`, `/b2"`, "does not belong to that message"},
		"another session":  {`"value":"`, `"value":"zzzzzzzzzz`, "does not belong to that message"},
		"another message":  {`"message_ts":"`, `"message_ts":"9`, "I do not know that message"},
		"another button":   {`"action_id":"budget_raise"`, `"action_id":"everything"`, ""},
		"another kind":     {`"type":"block_actions"`, `"type":"view_closed"`, ""},
		"no user":          {`"user":{"id":"U0BOB"`, `"user":{"id":""`, ""},
		"no time":          {`"action_ts":"`, `"action_tz":"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, ts, id := broke(t)
			question := r.ours(ts, "the agent has paused")
			forged := make(chan bool, 1)
			r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
				if e.Type == slacktest.Interactive {
					raw := bytes.ReplaceAll(e.Payload, []byte(c.from), []byte(c.to))
					forged <- !bytes.Equal(raw, e.Payload)
					e.Payload = raw
				}
				send(e)
			}})
			r.press("bob", question, "Allow $1.00 more")
			if !<-forged {
				t.Fatalf("the payload has no %s", c.from)
			}
			r.acknowledged()
			if c.told != "" {
				r.told("bob", c.told)
			}
			r.kept("an empty inbox", func() bool {
				left, err := r.db.Inbox(r.ctx)
				return err == nil && len(left) == 0
			})
			if s := r.load(id).Session; s.Budget.Raised != 0 || s.Turn.Pause == nil {
				t.Errorf("%+v", s.Budget)
			}
		})
	}
}

// A press that was acknowledged by a bot that then died is carried out by the next one, once.
func TestPressIsReplayed(t *testing.T) {
	r, ts, id := broke(t)
	question := r.ours(ts, "the agent has paused")
	r.kept("the question is recorded", func() bool { // else the next run first looks for it in Slack
		_, err := r.db.MessageAt(r.ctx, question.Channel, question.TS)
		return err == nil
	})
	r.stop()
	raw := []byte(`{"type":"block_actions","user":{"id":"U0BOB"},"container":{"channel_id":"` + question.Channel + `","message_ts":"` + question.TS + `","thread_ts":"` + ts + `"},` +
		`"actions":[{"action_id":"budget_raise","value":"` + string(id) + `/b1","action_ts":"1.5"}]}`)
	for range 2 {
		if _, err := r.db.Receive(t.Context(), session.Received{Key: "press/U0BOB/1.5/budget_raise", Kind: "interactive", Payload: raw}); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	r.shown(ts, "bob allowed $1.00 more")
	if b := r.load(id).Session.Budget; b.Raised != 1 || b.LastBy.Slack != "U0BOB" {
		t.Errorf("%+v", b)
	}
}

// A press that cannot be carried out is told to whoever pressed.
func TestPressThatFails(t *testing.T) {
	r, ts, _ := broke(t)
	question := r.ours(ts, "the agent has paused")
	r.bot.cfg.Sessions = refusing{r.hub}
	r.press("bob", question, "Allow $1.00 more")
	r.told("bob", "Your request came to nothing.")
}

// refusing is a hub with a defect.
type refusing struct{ Sessions }

func (refusing) Send(context.Context, session.ID, session.Input) error { return errors.New("a defect") }
