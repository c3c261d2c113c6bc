package bot

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// pulsing waits for what Slack says of us below a thread.
func (r *rig) pulsing(ts, text string) {
	r.t.Helper()
	r.until("the thread's status to be "+text, func(s *slacktest.Snapshot) bool { return s.Status("general", ts).Text == text })
}

// ticks are the presenter's timer in a test's hands.
type ticks struct {
	armed chan tick
}

type tick struct {
	after time.Duration
	fire  func()
}

func (c ticks) set(d time.Duration, f func()) (stop func() bool) {
	for {
		select {
		case c.armed <- tick{d, f}:
			return func() bool { return true }
		case <-c.armed: // the one before is stopped
		}
	}
}

// While a turn goes on Slack says so below the thread, without a gap, also after a message of ours took it away; when the turn is over it
// does not. An answer takes it away by itself.
func TestPulse(t *testing.T) {
	clock := &sessiontest.Clock{}
	timer := ticks{make(chan tick, 1)}
	r := newRig(t, func(r *rig) {
		r.cfg.Clock, r.begun = clock, clock.Now()
		r.tune = func(b *Bot) { b.presenter.after = timer.set }
	})
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.pulsing(ts, "is getting ready…")
	works := func(prompt string) {
		t.Helper()
		r.kept("the turn works", func() bool {
			turn := r.load(id).Session.Turn
			return turn != nil && turn.PromptID == prompt && turn.State == session.TurnWorking
		})
		r.flush(id, clock)
	}
	r.ready(id, ts)
	works(ts)
	r.pulsing(ts, "is working…")
	if err := r.hub.Send(r.ctx, id, session.Asked{Call: "1", Question: "Which one?"}); err != nil {
		t.Fatal(err)
	}
	r.flush(id, clock)
	r.shown(ts, "Which one?")
	r.pulsing(ts, "is working…")
	r.journal(id, session.Event{At: clock.Now(), Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "1", Name: "bash", State: session.StepRunning, Input: json.RawMessage(`{"command":"make"}`)}})
	r.flush(id, clock)
	next := <-timer.armed
	for begun := clock.Now(); clock.Now().Sub(begun) < 10*time.Minute; { // of a long command
		clock.Advance(next.after)
		next.fire()
		next = <-timer.armed
		r.flush(id, clock)
	}
	r.shown(ts, "▸ running `make` · 10 min")
	calls := r.slack.Calls("assistant.threads.setStatus")
	for i := range calls[1:] {
		if gap := calls[i+1].At.Sub(calls[i].At); gap >= 2*time.Minute {
			t.Errorf("Slack took the status away after two minutes; the next came after %v", gap)
		}
	}
	if n := len(calls); n > 12 {
		t.Errorf("%d calls in some ten minutes", n)
	}
	r.answered(id, ts, "Fixed.")
	r.kept("the turn is over", func() bool { return r.load(id).Session.Turn == nil })
	r.flush(id, clock)
	r.shown(ts, "Fixed.")
	r.pulsing(ts, "")
	if all := r.slack.Calls("assistant.threads.setStatus"); all[len(all)-1].Args["status"] == "" {
		t.Error("what the answer took away was taken away again")
	}

	second := r.reply("bob", ts, "and the docs") // stopped, which leaves no message
	works(second)
	r.pulsing(ts, "is working…")
	r.reply("bob", ts, "stop")
	r.stopped(id, second)
	r.kept("the turn is over", func() bool { return r.load(id).Session.Turn == nil })
	r.flush(id, clock)
	r.pulsing(ts, "")
}

// A bot that dies before it has taken a thread's status away does so when it is back.
func TestPulseAfterACrash(t *testing.T) {
	r := newRig(t)
	r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
		if c.Method == "assistant.threads.setStatus" && c.Args["status"] == "" {
			return slacktest.Hang()
		}
		return nil
	}})
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.pulsing(ts, "is working…")
	r.reply("alice", ts, "stop")
	r.called("stop " + ts)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: ts, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	r.shown(ts, "Stopped by alice")
	r.until("the call", func(s *slacktest.Snapshot) bool {
		calls := s.Calls("assistant.threads.setStatus")
		return calls[len(calls)-1].Args["status"] == ""
	})
	r.stop()
	r.pulsing(ts, "is working…")
	r.slack.SetFaults(slacktest.Faults{})
	r.start()
	r.pulsing(ts, "")
}

// A Slack that does not show that the bot works is asked once, and everything else is as ever. What it says of a token there is not believed.
func TestNoPulse(t *testing.T) {
	for _, code := range []string{"missing_scope", "not_allowed_token_type", "unknown_method", "channel_not_found"} {
		t.Run(code, func(t *testing.T) {
			r := newRig(t)
			r.slack.Inject(slacktest.Fault{Method: "assistant.threads.setStatus", Times: 100, Answer: slacktest.Refusal(code)})
			ts, id := r.turn("Fixed.")
			r.shown(ts, "Done for alice", "Fixed.")
			second := r.reply("bob", ts, "and the docs")
			r.called("prompt " + second)
			r.answered(id, second, "Written.")
			r.shown(ts, "Done for bob", "Written.")
			r.kept("the outbox to be empty", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
			if n := len(r.slack.Calls("assistant.threads.setStatus")); n != 1 {
				t.Errorf("asked %d times", n)
			}
			if n := strings.Count(r.log.String(), "does not show that the bot is working"); n != 1 {
				t.Errorf("logged %d times", n)
			}
		})
	}
}
