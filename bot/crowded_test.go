package bot

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestFiftyThreads: fifty turns at once with 300 calls of tools each, in one channel. Every thread gets two posts, no message is edited more often
// than every three seconds but for its last edit, and nothing is called faster than Slack allows, which newRig checks. In short: twelve threads.
func TestFiftyThreads(t *testing.T) {
	threads, seconds, perSecond := 12, 30, 10
	if os.Getenv("TEST_LONG") != "" {
		threads, seconds, perSecond = 50, 100, 3
	}
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) {
		r.cfg.Clock, r.begun = clock, clock.Now()
		r.tune = func(b *Bot) { b.presenter.after = clock.AfterFunc }
	})
	var prompts []string
	var ids []session.ID
	for n := range threads {
		ts := r.mention([]string{"alice", "bob"}[n%2], "fix acme/web")
		thread := session.Thread{Team: r.slack.TeamID(), Channel: "C0GENERAL", TS: ts}
		var id session.ID
		r.meanwhile("a sandbox", clock, func() bool {
			var err error
			id, err = r.hub.Find(r.ctx, thread)
			return err == nil && r.load(id).Session.Sandbox.State == session.SandboxBooting
		})
		r.journal(id, session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}})
		r.called("prompt " + ts)
		prompts, ids = append(prompts, ts), append(ids, id)
	}
	together := clock.Now()
	for second := range seconds {
		for n, id := range ids {
			var batch []session.Event
			for call := range perSecond {
				tool := session.Tool{Call: fmt.Sprint(second, ".", call), Name: []string{"read", "bash", "edit"}[call%3], State: session.StepDone, Title: "a.go", Input: json.RawMessage(`{"command":"go test ./..."}`)}
				batch = append(batch, session.Event{At: clock.Now(), Kind: session.KindTool, PromptID: prompts[n], Tool: &tool})
			}
			r.journal(id, batch...)
		}
		for _, id := range ids {
			r.quietly(id)
		}
		for range 4 {
			r.advance(clock, time.Second/4)
		}
	}
	for n, id := range ids {
		r.answered(id, prompts[n], "Fixed.")
	}
	for n, id := range ids {
		r.kept("the turn is over", func() bool { return r.load(id).Session.Turn == nil })
		r.flush(id, clock)
		r.shown(prompts[n], "Done for", fmt.Sprintf("%d steps", seconds*perSecond), "Fixed.")
	}
	for _, ts := range prompts {
		ours := 0
		for _, m := range r.slack.Thread("general", ts) {
			if m.User == r.slack.Bot().ID {
				ours++
			}
		}
		if ours != 2 {
			t.Errorf("%d posts in a thread, want a status and a result\n%s", ours, r.slack.Render("general", ts))
		}
	}
	edits, shared := map[string][]time.Time{}, map[string]int{}
	for _, c := range r.slack.Calls("chat.update") {
		edits[c.Args["ts"]] = append(edits[c.Args["ts"]], c.At)
		if !c.At.Before(together) {
			shared[c.Args["ts"]]++
		}
	}
	fewest, most := 1<<30, 0
	for ts, at := range edits {
		for i := range at[:len(at)-1] {
			if gap := at[i+1].Sub(at[i]); gap < editEvery && i < len(at)-2 {
				t.Errorf("%s was edited twice within %v", ts, gap)
			}
		}
		fewest, most = min(fewest, shared[ts]), max(most, shared[ts])
	}
	if len(edits) != threads || most > 2*fewest+2 {
		t.Errorf("what Slack allows is not shared: of %d messages of %d some were edited %d times and some %d", len(edits), threads, fewest, most)
	}
	t.Logf("%d threads, %d to %d edits each, %d of Slack's calls in %v", threads, fewest, most, total(r.slack.Snapshot().Counts()), clock.Now().Sub(r.begun))
}

// meanwhile lets time pass until something holds.
func (r *rig) meanwhile(what string, clock *sessiontest.Clock, holds func() bool) {
	r.t.Helper()
	for !holds() {
		select {
		case <-r.db.changed():
		case <-time.After(10 * time.Millisecond):
			r.advance(clock, time.Second)
		case <-r.ctx.Done():
			r.t.Fatalf("waiting for %s", what)
		}
	}
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// advance steps the clock once no call is under way.
func (r *rig) advance(clock *sessiontest.Clock, d time.Duration) {
	r.t.Helper()
	for !r.bot.sender.atRest(func() { clock.Advance(d) }) {
		select {
		case <-r.db.changed():
		case <-time.After(time.Millisecond):
		case <-r.ctx.Done():
			r.t.Fatal("the sender never rests")
		}
	}
}
