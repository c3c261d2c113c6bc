package bot

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// away ends the bot, lets things happen and time pass, and starts it again. What Slack would send again is lost: only reading finds it.
func (r *rig) away(clock interface{ Advance(time.Duration) }, d time.Duration, meanwhile func()) {
	r.t.Helper()
	r.stop()
	meanwhile()
	r.slack.GiveUp()
	clock.Advance(d)
	r.start()
}

// caughtUp waits until the bot has read what it missed for the nth time.
func (r *rig) caughtUp(n int) {
	r.t.Helper()
	r.logged("caught up with Slack", n)
}

// settled waits until nothing that Slack sent, and no approval of a session's, is left to be handled.
func (r *rig) settled(id session.ID) {
	r.t.Helper()
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	r.kept("that all is handled", func() bool {
		left, err := r.db.Inbox(r.ctx)
		return err == nil && len(left) == 0 && len(r.load(id).Approvals) == 0
	})
}

// What was said and done while the bot was not there is taken up once, and the threads are told that it was late: mentions, replies in a thread
// with a session, an edit and a deletion of what waits, a direct message, an approval.
func TestPickedUpAfterAnAbsence(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	first := r.mention("alice", "fix acme/web")
	edited := r.reply("alice", first, "and the dcos")
	deleted := r.reply("bob", first, "and something else")
	id := r.id(first)
	r.kept("three prompts", func() bool { return len(r.load(id).Prompts) == 3 })
	var missed, direct string
	r.away(clock, 12*time.Minute, func() {
		missed = r.mention("bob", "fix acme/api")
		r.reply("bob", first, "and a test")
		m, err := r.slack.As("alice").DM("what does acme/web do?")
		if err != nil {
			t.Fatal(err)
		}
		direct = m.TS
		if _, err := r.slack.As("alice").Edit("general", edited, "and the docs"); err != nil {
			t.Fatal(err)
		}
		if err := r.slack.As("bob").Delete("general", deleted); err != nil {
			t.Fatal(err)
		}
	})
	r.caughtUp(1)
	r.kept("the reply, the edit and the deletion", func() bool {
		var texts []string
		for _, p := range r.load(id).Prompts {
			texts = append(texts, p.Text)
		}
		return strings.Join(texts, "|") == "fix acme/web|and the docs|and a test"
	})
	r.shown(missed, "Starting on bob", "I was away, and read what was said here only now, 12 min late.")
	r.shown(first, "I was away, and read what was said here only now, 12 min late.")
	r.until("the direct message", func(s *slacktest.Snapshot) bool {
		return strings.Contains(s.Render(slacktest.Rendering{}, "D0ALICE", direct), "Starting on alice")
	})
	r.once(first, "I was away")
	r.away(clock, time.Hour, func() {})
	r.caughtUp(2)
	for _, ts := range []string{first, missed} {
		r.once(ts, "I was away")
	}
}

// Threads at rest cost nothing: what is read again after an absence is the channels, and what happened in them.
func TestCallsAfterAnAbsence(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	const threads = 1_000
	var roots []string
	for n := range threads {
		m, err := r.slack.As("bob").Post("general", fmt.Sprintf("thread %d", n))
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, m.TS)
		_, err = r.hub.Open(r.ctx, session.Opening{Thread: session.Thread{Team: r.slack.TeamID(), Channel: "C0GENERAL", TS: m.TS}, Requester: session.Person{Slack: "U0BOB", Name: "bob"}})
		if err != nil {
			t.Fatal(err)
		}
		r.bot.hearing.heard("C0GENERAL", m.TS, m.TS) // somebody prompted there today
	}
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	calls := func() map[string]int {
		now := r.slack.Snapshot().Counts()
		return map[string]int{"users.conversations": now["users.conversations"], "conversations.history": now["conversations.history"],
			"conversations.replies": now["conversations.replies"], "reactions.get": now["reactions.get"]}
	}
	r.away(clock, 20*time.Minute, func() {
		r.reply("bob", roots[7], "@inspect fix acme/web")
		r.reply("bob", roots[990], "@inspect fix acme/web")
	})
	r.caughtUp(1)
	r.shown(roots[7], "I was away")
	r.shown(roots[990], "I was away")
	want := map[string]int{"users.conversations": 1, "conversations.history": 5, "conversations.replies": 4, "reactions.get": 0} // each of the two is read when its session begins, too
	if got := calls(); !maps.Equal(got, want) {
		t.Errorf("with %d threads, the calls are %v, want %v", threads, got, want)
	}
	r.stop()
	clock.Advance(time.Minute)
	r.start()
	r.caughtUp(2)
	if got := calls(); got["users.conversations"] != 2 || got["conversations.history"] > 10 || got["conversations.replies"] > 10 {
		t.Errorf("after a second absence the calls are %v", got)
	}
}

// An approval and a stop that were put on messages while the bot was away count; those that it had heard of do not count again.
func TestReactionsDuringAnAbsence(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.world.OnCollect = changes("a")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Fixed.")
	card := r.ours(ts, "Changes ready").TS
	if err := r.slack.As("bob").React("general", card, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	approvals := func(user string) (n int) {
		for _, a := range r.load(id).Approvals {
			if a.By.Slack == user {
				n++
			}
		}
		return n
	}
	r.kept("bob's approval", func() bool { return approvals("U0BOB") == 1 })
	r.away(clock, 20*time.Minute, func() {
		if err := r.slack.As("alice").React("general", card, "white_check_mark"); err != nil {
			t.Fatal(err)
		}
	})
	r.kept("alice's approval", func() bool { return approvals("U0ALICE") == 1 })
	r.caughtUp(1)
	if n := approvals("U0BOB"); n != 1 {
		t.Errorf("bob approved %d times", n)
	}
	if n := r.slack.Snapshot().Counts()["reactions.get"]; n != 1 {
		t.Errorf("%d cards were looked at", n)
	}
}

// A pull request may be open for weeks. What was put on its card during an absence counts however long nothing was said in its thread.
func TestReactionOnAQuietPullRequestRegression(t *testing.T) {
	clock := &sessiontest.Clock{}
	r, hub, ts, id := pulled(t, func(r *rig) { r.cfg.Clock = clock })
	card := r.ours(ts, "Pull request #12")
	r.eventually("the session to be at rest", func() bool {
		hub.Advance(time.Minute)
		open, err := r.db.Open(r.ctx)
		return err == nil && !slices.Contains(open, id)
	})
	clock.Advance(time.Hour)
	r.shown(r.mention("bob", "look at acme/web"), "Starting on bob") // the channel was heard since
	r.away(clock, 20*time.Minute, func() {
		if err := r.db.PutWatermarks(r.ctx, map[string]string{"C0GENERAL/" + ts: ""}); err != nil { // as it is days later
			t.Fatal(err)
		}
		r.react("alice", "ship", card)
	})
	r.kept("alice's merge", func() bool {
		return slices.ContainsFunc(r.load(id).Approvals, func(a session.Approval) bool { return a.Kind == session.ApprovalMerge && a.By.Slack == "U0ALICE" })
	})
}

// A connection that is renewed while the other is up leaves no gap, and a bot that was never here has missed nothing.
func TestNothingIsReadWithoutAnAbsence(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.second(clock)
	r.slack.Renew()
	for range 15 {
		clock.Wait(2)
		clock.Advance(time.Second)
	}
	r.until("both connections", func(s *slacktest.Snapshot) bool { return s.Sockets() == 2 })
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	if n := r.slack.Snapshot().Counts()["conversations.history"]; n != 0 {
		t.Errorf("channels were read %d times", n)
	}
	r.slack.CutSockets() // both
	r.passing(clock, "the channel to be read", func() bool { return r.slack.Snapshot().Counts()["conversations.history"] > 0 })
	r.caughtUp(1)
	if strings.Contains(r.slack.Render("general", ts), "I was away") {
		t.Error("an absence of seconds was told")
	}
}

// A status message that says what was so when the bot ended says what is so now as soon as it is back, before anything else is read.
func TestStatusAfterAnAbsence(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock, r.begun = clock, clock.Now() })
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.journal(id, session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "1", Name: "bash", State: session.StepRunning, Title: "go test ./..."}})
	r.passing(clock, "the step", func() bool { return strings.Contains(r.slack.Render("general", ts), "go test") })
	now := regexp.MustCompile(`go test .* 1\d min`)
	hold := make(chan struct{})
	r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
		if c.Method == "users.conversations" {
			<-hold // reading takes its time
		}
		return nil
	}})
	defer close(hold)
	r.away(clock, 10*time.Minute, func() {})
	r.eventually("what is so now, with no time passing", func() bool {
		pending, err := r.db.Pending(r.ctx)
		return err == nil && (slices.ContainsFunc(pending, func(m session.Message) bool { return now.MatchString(m.Text) }) ||
			now.MatchString(r.slack.Render("general", ts)))
	})
	r.eventually("what is so now", func() bool {
		r.bot.sender.atRest(func() { toNext(clock) }) // messages have their pace
		return now.MatchString(r.slack.Render("general", ts))
	})
}
