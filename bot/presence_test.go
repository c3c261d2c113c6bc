package bot

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/slack-go/slack"

	"openinspect/bot/slacktest"
	"openinspect/session/sessiontest"
)

// second lets the time pass after which the bot opens its second connection.
func (r *rig) second(clock *sessiontest.Clock) {
	r.t.Helper()
	r.logs("listening to slack")
	clock.Wait(2) // a watchdog, and what the second line waits for
	clock.Advance(stagger)
	r.until("two connections", func(s *slacktest.Snapshot) bool { return s.Sockets() == 2 })
	r.logged("listening to slack", 2)
}

// logged waits until the operator has read something so often.
func (r *rig) logged(words string, n int) {
	r.t.Helper()
	for {
		text, more := r.log.next()
		if strings.Count(text, words) >= n {
			return
		}
		select {
		case <-more:
		case <-r.ctx.Done():
			r.t.Fatalf("%q was not logged %d times", words, n)
		}
	}
}

// While one connection is renewed the other brings what is said, so that Slack has nothing to send again.
func TestNothingFallsIntoARefresh(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.second(clock)
	r.slack.Inject(slacktest.Fault{Method: "apps.connections.open", Answer: slacktest.Failure(503)}) // it takes its time
	r.slack.Renew()
	r.until("the renewal", func(s *slacktest.Snapshot) bool { return s.Sockets() == 1 })
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	r.slack.Heal()
	for range maxPause / time.Second { // the pause before another try grows
		clock.Wait(2)
		clock.Advance(time.Second)
	}
	r.until("two connections, and all acknowledged", func(s *slacktest.Snapshot) bool { return s.Sockets() == 2 && s.Unacked() == 0 })
	for _, d := range r.slack.Snapshot().Deliveries() {
		if d.RetryAttempt > 0 {
			t.Errorf("Slack had to send %s again", d.Type)
		}
	}
}

// A program that listens with the bot's token is noticed, and said once.
func TestAnotherProgramListens(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.logs("listening to slack")
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	stranger := slack.New(r.slack.BotToken(), slack.OptionAppLevelToken(r.slack.AppToken()), slack.OptionAPIURL(r.slack.URL()))
	_, url, err := stranger.StartSocketModeContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			_, _, _ = ws.Read(ctx)
		}
	}()
	r.until("the other program", func(s *slacktest.Snapshot) bool { return s.Sockets() == 2 })
	clock.Wait(2)
	clock.Advance(stagger)
	const words = "another program listens with SLACK_APP_TOKEN"
	r.logs(words)
	r.eventually("both lines", func() bool { return strings.Count(r.log.String(), "listening to slack") == 2 })
	for range 3 { // renewals
		before := strings.Count(r.log.String(), "listening to slack")
		r.slack.Disconnect("refresh_requested")
		r.eventually("both lines to be renewed", func() bool {
			clock.Advance(100 * time.Millisecond) // how many timers wait for it depends on how far each line is
			return strings.Count(r.log.String(), "listening to slack") >= before+2
		})
		clock.Advance(haunts)
	}
	if n := strings.Count(r.log.String(), words); n != 1 {
		t.Errorf("it was said %d times\n%s", n, r.log)
	}
}

// What Slack may still count of connections of ours that are gone is no other program.
func TestGhostsAreNotStrangers(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.second(clock)
	r.slack.HalfOpen() // they stay in Slack's books
	for range 2 {
		clock.Wait(2)
		clock.Advance(silentFor)
	}
	r.passing(clock, "other connections", func() bool { return r.slack.Snapshot().Counts()["apps.connections.open"] >= 4 })
	r.until("new connections", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 })
	if strings.Contains(r.log.String(), "another program") {
		t.Errorf("ghosts were taken for a program\n%s", r.log)
	}
}
