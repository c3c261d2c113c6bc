package bot

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// proposes returns a rig with a card on which bob may put ✅, which comes to nothing: each try is counted.
func proposes(t *testing.T) (r *rig, clock *sessiontest.Clock, id session.ID, card slacktest.Message, tries *atomic.Int32) {
	clock, tries = &sessiontest.Clock{}, &atomic.Int32{}
	r = newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.link("U0BOB", session.Identity{ID: 7, Login: "bob-gh"})
	r.world.OnCollect = changes("a")
	r.world.OnOpen = func(session.OpenRequest) (session.PullRequest, error) {
		return session.PullRequest{}, session.Errorf(session.Forbidden, "Not in try %d.", tries.Add(1))
	}
	ts := r.mention("alice", "fix acme/web")
	id = r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	return r, clock, id, r.ours(ts, "Changes ready"), tries
}

// holdBack has Slack keep back the events that have some text, and returns what sends each.
func (r *rig) holdBack(text string) <-chan func() {
	held := make(chan func(), 10)
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		if strings.Contains(string(e.Payload), text) {
			held <- func() { send(e) }
		} else {
			send(e)
		}
	}})
	return held
}

// removalHeard waits until the bot knows that bob took his ✅ off a card.
func (r *rig) removalHeard(card slacktest.Message) {
	r.t.Helper()
	off := event{User: "U0BOB", Reaction: "white_check_mark"}
	off.Item.Channel, off.Item.TS = card.Channel, card.TS
	r.eventually("the removal to be heard", func() bool {
		at, err := r.bot.seen(r.ctx, off.takenOff())
		return err == nil && !at.IsZero()
	})
}

// A reaction that was read on a message, and that Slack sends all the same, is one. When it is taken off and put on again, it is another, whatever
// the computer's clock shows.
func TestReactionThatIsSentAfterItWasRead(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) { testReactionReadAndSent(t, ahead) })
	}
}

func testReactionReadAndSent(t *testing.T, ahead time.Duration) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) {
		r.cfg.Clock = clock
		r.slack.Close()
		r.slack = slacktest.New(slacktest.Config{
			Events: Events, Users: []slacktest.User{{Name: "alice"}, {Name: "bob"}}, Now: func() time.Time { return clock.Now().Add(-ahead) },
		})
		r.cfg.BotToken, r.cfg.AppToken = r.slack.BotToken(), r.slack.AppToken()
	})
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Fixed.")
	result := r.ours(ts, "Fixed.").TS
	r.reply("bob", ts, "and the docs") // so that the thread is read
	r.stop()
	if err := r.slack.As("bob").React("general", result, "octagonal_sign"); err != nil { // kept by Slack until there is a connection
		t.Fatal(err)
	}
	read := make(chan struct{}) // Slack sends nothing before
	release := sync.OnceFunc(func() { close(read) })
	t.Cleanup(release)
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		<-read
		send(e)
	}})
	clock.Advance(time.Minute)
	r.start()
	r.caughtUp(1)
	// Which of them it is depends on whether the turn that bob asked for has begun by then.
	told := func(s *slacktest.Snapshot) (n int) {
		for _, m := range s.Ephemerals("bob") {
			if strings.Contains(m.Text, "Nothing is running here") || strings.Contains(m.Text, "That turn is over already") {
				n++
			}
		}
		return n
	}
	r.until("an answer", func(s *slacktest.Snapshot) bool { return told(s) > 0 })
	release()
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	r.slack.SetFaults(slacktest.Faults{})
	r.reply("bob", ts, "!status")
	r.told("bob", "replies here are prompts")
	if n := told(r.slack.Snapshot()); n != 1 {
		t.Errorf("bob was told %d times", n)
	}
	clock.Advance(2 * time.Second)
	if err := r.slack.As("bob").Unreact("general", result, "octagonal_sign"); err != nil {
		t.Fatal(err)
	}
	if err := r.slack.As("bob").React("general", result, "octagonal_sign"); err != nil {
		t.Fatal(err)
	}
	r.until("an answer to the second", func(s *slacktest.Snapshot) bool { return told(s) == 2 })
}

// A reaction that is read in the very moment in which Slack sends it is in the inbox twice, and is one all the same.
func TestReactionReadWhileItIsSentRegression(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.handled()
	e := event{Type: "reaction_added", User: "U0BOB", Reaction: "octagonal_sign", ItemUser: r.slack.Bot().ID}
	e.Item.Type, e.Item.Channel, e.Item.TS = "message", "C0GENERAL", r.ours(ts, "Fixed.").TS
	sent := e
	sent.EventTS = slackTime(r.cfg.Clock.Now())
	for key, e := range map[string]event{e.read(time.Time{}): e, "Ev1": sent} {
		if _, err := r.db.Receive(r.ctx, session.Received{Key: key, Kind: eventsAPI, Payload: marshal(payload{ID: key, Event: e}), At: r.cfg.Clock.Now().Add(time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	left, err := r.db.Inbox(r.ctx)
	if err != nil || len(left) != 2 {
		t.Fatalf("%d events, %v", len(left), err)
	}
	for _, received := range left {
		r.bot.handle(r.ctx, received)
	}
	r.handled()
	if said := r.slack.Ephemerals("bob"); len(said) != 1 {
		t.Errorf("bob was told %d times: %+v", len(said), said)
	}
}

// A ✅ that came to nothing was taken off, and is put there again while the bot is away: it is another, each time.
// One that stands is not.
func TestReactionPutAgainWhileAwayRegression(t *testing.T) {
	r, clock, id, card, tries := proposes(t)
	ts := card.ThreadTS
	r.react("bob", "white_check_mark", card)
	r.told("bob", "Not in try 1.")
	r.unreact("bob", "white_check_mark", card)
	r.settled(id)
	r.away(clock, 20*time.Minute, func() { r.react("bob", "white_check_mark", card) })
	r.told("bob", "Not in try 2.")
	r.unreact("bob", "white_check_mark", card)
	r.settled(id)
	r.away(clock, 20*time.Minute, func() { r.react("bob", "white_check_mark", card) })
	r.told("bob", "Not in try 3.")
	r.away(clock, 20*time.Minute, func() { r.reply("alice", ts, "!status") }) // so that the thread is read again
	r.told("alice", "replies here are prompts")
	r.settled(id)
	if n := tries.Load(); n != 3 {
		t.Errorf("%d tries to open", n)
	}
}

// A ✅ that is taken off while the bot reads what was put on its messages is no other ✅, though it was still read there; one that is put there again
// after that is.
func TestReactionTakenOffWhileItIsReadRegression(t *testing.T) {
	r, clock, id, card, tries := proposes(t)
	ts := card.ThreadTS
	r.react("bob", "white_check_mark", card)
	r.told("bob", "Not in try 1.")
	r.settled(id)
	var once sync.Once
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "conversations.replies" && c.Args["ts"] == ts {
			once.Do(func() { // what was read is on its way to the bot
				if err := r.slack.As("bob").Unreact(card.Channel, card.TS, "white_check_mark"); err != nil {
					t.Error(err)
				}
				r.removalHeard(card)
			})
		}
		return nil
	}})
	r.away(clock, 20*time.Minute, func() { r.reply("alice", ts, "!status") }) // so that the thread is read
	r.told("alice", "replies here are prompts")
	r.caughtUp(1)
	r.settled(id)
	if n := tries.Load(); n != 1 {
		t.Fatalf("%d tries to open", n)
	}
	r.slack.SetFaults(slacktest.Faults{})
	r.away(clock, 20*time.Minute, func() {
		r.reply("alice", ts, "!status")
		r.react("bob", "white_check_mark", card)
	})
	r.told("bob", "Not in try 2.")
}

// Slack sends things out of order: a ✅ that comes after its removal is not carried out, and one that was put there again is.
func TestReactionHeardAfterItWasTakenOffRegression(t *testing.T) {
	r, _, id, card, tries := proposes(t)
	held := r.holdBack(`"reaction_added"`)
	r.react("bob", "white_check_mark", card)
	late := <-held
	r.slack.SetFaults(slacktest.Faults{})
	r.unreact("bob", "white_check_mark", card)
	r.removalHeard(card)
	late()
	r.settled(id)
	if n := tries.Load(); n != 0 {
		t.Fatalf("%d tries to open", n)
	}
	r.react("bob", "white_check_mark", card)
	r.told("bob", "Not in try 1.")
}

// A ✅ that was read on its card is one, whatever of it and of one before it is heard of afterwards, and in which order.
func TestReactionHeardAfterItWasReadRegression(t *testing.T) {
	r, clock, id, card, tries := proposes(t)
	held := r.holdBack(`"reaction_`)
	r.stop()
	r.react("bob", "white_check_mark", card)
	r.unreact("bob", "white_check_mark", card)
	r.react("bob", "white_check_mark", card)
	r.reply("alice", card.ThreadTS, "!status") // so that the thread is read
	clock.Advance(20 * time.Minute)
	r.start()
	r.told("bob", "Not in try 1.")
	added, removed, again := <-held, <-held, <-held
	r.slack.SetFaults(slacktest.Faults{})
	removed()
	r.removalHeard(card)
	again()
	added()
	r.settled(id)
	r.reply("alice", card.ThreadTS, "!status")
	r.until("her second answer", func(s *slacktest.Snapshot) bool { return len(s.Ephemerals("alice")) == 2 })
	if n := tries.Load(); n != 1 {
		t.Errorf("%d tries to open", n)
	}
}

// A ✅ that was read on its card, and taken off before it was come to, is not carried out: it is no different from one that was sent.
func TestReactionTakenOffAfterItWasReadRegression(t *testing.T) {
	r, clock, id, card, tries := proposes(t)
	off := clock.Now().Add(time.Minute)
	e := event{Type: taken, User: "U0BOB", Reaction: "white_check_mark", ItemUser: r.slack.Bot().ID}
	e.Item.Type, e.Item.Channel, e.Item.TS = "message", card.Channel, card.TS
	if _, err := r.db.Receive(r.ctx, session.Received{Key: "Ev1", Trace: e.takenOff(), Kind: eventsAPI, Payload: marshal(payload{ID: "Ev1", Event: e}), At: off}); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Handled(r.ctx, "Ev1"); err != nil {
		t.Fatal(err)
	}
	e.Type = "reaction_added"
	for n, asked := range []time.Time{off.Add(-time.Second), off.Add(time.Second)} {
		r.bot.handle(r.ctx, session.Received{Key: fmt.Sprint(n), Trace: e.trace(), Kind: eventsAPI, Payload: marshal(payload{Event: e}), At: asked, Asked: asked})
		r.settled(id)
		if tried := tries.Load(); tried != int32(n) {
			t.Errorf("read %v after it was taken off: %d tries to open", asked.Sub(off), tried)
		}
	}
}

// A ✅ that waits for its person's account is taken back by whoever takes it off in the very second in which it was read.
func TestReactionTakenOffAsItIsReadRegression(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.world.OnCollect = changes("a")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	r.away(clock, 20*time.Minute, func() { r.react("bob", "white_check_mark", card) })
	r.kept("an approval", func() bool { return len(r.load(id).Approvals) == 1 })
	r.unreact("bob", "white_check_mark", card)
	r.settled(id)
}

// A reaction counts though Slack says its time in a way that nobody can read.
func TestReactionOfNoTime(t *testing.T) {
	r := newRig(t)
	e := event{Type: "reaction_added", User: "U0BOB", Reaction: "white_check_mark", EventTS: "just now"}
	e.Item.Type, e.Item.Channel, e.Item.TS = "message", "C0GENERAL", "1795510800.000100"
	if fresh, err := r.bot.isNew(r.ctx, e); !fresh || err != nil {
		t.Errorf("%v %v", fresh, err)
	}
}
