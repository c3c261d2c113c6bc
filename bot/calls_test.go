package bot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// quiet are what a busy thread may cost: calls of Slack's Web API for 1,000 events, from the runner's first to the result that is shown.
var quiet = []struct {
	seconds int
	calls   int
}{{50, 20}, {5, 5}}

// TestThreadsCostFewCalls: calls grow with time, not with events, and yet the thread moves on all the while.
func TestThreadsCostFewCalls(t *testing.T) {
	for _, test := range quiet {
		t.Run(fmt.Sprintf("%d s", test.seconds), func(t *testing.T) {
			calls, shown := busyThread(t, 1000, test.seconds)
			if calls > test.calls {
				t.Errorf("%d calls, at most %d", calls, test.calls)
			}
			if least := test.seconds / 5; shown < least {
				t.Errorf("the thread showed %d states on the way, at least %d", shown, least)
			}
		})
	}
}

// BenchmarkThread prints how many calls of Slack's Web API 1,000 events cost. The goals are those of TestThreadsCostFewCalls.
func BenchmarkThread(b *testing.B) {
	for _, test := range quiet {
		b.Run(fmt.Sprintf("seconds=%d", test.seconds), func(b *testing.B) {
			calls := 0
			for range b.N {
				n, _ := busyThread(b, 1000, test.seconds)
				calls += n
			}
			b.ReportMetric(float64(calls)/float64(b.N), "calls")
			b.ReportMetric(0, "ns/op") // the clock is stepped
		})
	}
}

// busyThread has an agent tell events at an even pace, every tenth of them a finished call of a tool, and returns how many calls that made,
// the result included, and in how many states its status was shown.
func busyThread(t testing.TB, events, seconds int) (calls, shown int) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock, r.hubClock, r.begun = clock, clock, clock.Now() })
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.kept("the agent has the prompt", func() bool { return r.load(id).Session.Turn.State == session.TurnWorking })
	r.flush(id, clock)
	r.shown(ts, "Working for alice")
	clock.Advance(time.Minute) // what the beginning cost is over
	before := r.slack.Snapshot().Counts()
	const steps = 10 // of a second
	for n := range seconds * steps {
		var batch []session.Event
		for i := range events / (seconds * steps) {
			e := session.Event{Kind: session.KindText, PromptID: ts, Text: &session.Text{Part: fmt.Sprintf("p%d.%d", n, i), Text: "Looking at it."}}
			if (n*events/(seconds*steps)+i)%10 == 0 {
				e = session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: fmt.Sprint(n, ".", i), Name: "read", State: session.StepDone, Title: "a.go"}}
			}
			e.At = clock.Now()
			batch = append(batch, e)
		}
		r.journal(id, batch...)
		r.quietly(id)
		clock.Advance(time.Second / steps)
	}
	r.answered(id, ts, "Fixed.")
	r.kept("the turn is over", func() bool { return r.load(id).Session.Turn == nil })
	r.flush(id, clock)
	r.shown(ts, "Done for alice", "Fixed.")
	after := r.slack.Snapshot().Counts()
	for method, n := range after {
		if strings.HasPrefix(method, "chat.") || strings.HasPrefix(method, "assistant.") || strings.HasPrefix(method, "reactions.") {
			calls += n - before[method]
		}
	}
	return calls, after["chat.update"] - before["chat.update"]
}

// flush steps the clock until Slack has everything that a session's log says.
func (r *rig) flush(id session.ID, clock *sessiontest.Clock) {
	r.t.Helper()
	r.quietly(id)
	for {
		changed := r.db.changed()
		pending, err := r.db.Pending(r.ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(pending) == 0 {
			return
		}
		r.bot.sender.atRest(func() { toNext(clock) })
		select {
		case <-changed:
		case <-time.After(time.Millisecond): // a call that is due may not have begun
		case <-r.ctx.Done():
			r.t.Fatalf("%d messages were never sent", len(pending))
		}
	}
}

// atRest calls f while no call is under way or about to be, and none can begin: Slack would see it later than it was begun. Else it returns false.
func (s *sender) atRest(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	resting := len(s.busy) == 0 && len(s.awake) == 0
	if resting {
		f()
	}
	return resting
}

// toNext steps a clock to its next timer, or a second towards it.
func toNext(clock *sessiontest.Clock) {
	if d, ok := clock.Next(); ok {
		clock.Advance(min(d, time.Second))
	}
}

// quietly waits until everything that a session's log says is in the outbox.
func (r *rig) quietly(id session.ID) {
	r.t.Helper()
	seq := r.load(id).Session.Seq
	r.kept("what the log says is presented", func() bool {
		told, err := r.db.Presented(r.ctx, id)
		return err == nil && told >= seq
	})
}
