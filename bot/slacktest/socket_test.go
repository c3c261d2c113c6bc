package slacktest

import (
	"sync"
	"testing"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"
)

// A connection that opens while an event is on its way to another does not bring it a second time.
func TestNothingIsRepeatedThatIsOnItsWayRegression(t *testing.T) {
	s := start(t, Config{})
	connect(t, s, nil)
	var once sync.Once
	s.SetFaults(Faults{Deliver: func(e Envelope, send func(Envelope)) {
		once.Do(func() { connect(t, s, nil) })
		send(e)
	}})
	must[Message](t)(s.As("alice").Post("general", "@inspect fix this"))
	settled(t, s)
	for _, d := range s.Snapshot().Deliveries() {
		if d.Sends != 1 {
			t.Errorf("%s was sent %d times", d.Type, d.Sends)
		}
	}
}

func TestMentionArrivesTwiceAndIsAcked(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	m := must[Message](t)(s.As("alice").Post("general", "@inspect fix <this> & that: https://acme.test/x."))

	first, cb1, _ := a.inner()
	second, cb2, _ := a.inner()
	mention, ok1 := first.(*slackevents.AppMentionEvent)
	message, ok2 := second.(*slackevents.MessageEvent)
	if !ok1 || !ok2 {
		t.Fatalf("got %T and %T", first, second)
	}
	want := "<@U0INSPECTBOT> fix &lt;this&gt; &amp; that: <https://acme.test/x>."
	if mention.Text != want || message.Message.Text != want {
		t.Errorf("text %q and %q, want %q", mention.Text, message.Message.Text, want)
	}
	if mention.TimeStamp != m.TS || message.TimeStamp != m.TS || m.TS != "1700000000.000100" {
		t.Errorf("ts %s, %s, %s", m.TS, mention.TimeStamp, message.TimeStamp)
	}
	if message.ChannelType != "channel" || message.Channel != "C0GENERAL" || message.User != "U0ALICE" {
		t.Errorf("message %+v", message)
	}
	if cb1.EventID == cb2.EventID || cb1.EventID[:2] != "Ev" {
		t.Errorf("event ids %s and %s", cb1.EventID, cb2.EventID)
	}
	if cb1.TeamID != s.TeamID() || cb1.APIAppID == "" || int64(cb1.EventTime) != epoch.Unix() || cb1.Authorizations[0].UserID != s.Bot().ID {
		t.Errorf("callback %+v", cb1)
	}
	settled(t, s)
	for _, d := range s.Snapshot().Deliveries() {
		if d.Sends != 1 || d.Acks != 1 || d.RetryAttempt != 0 {
			t.Errorf("delivery %+v", d)
		}
	}
}

func TestUnackedEventsComeAgainAfterReconnect(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, func(socketmode.Event) (any, bool) { return nil, false })
	must[Message](t)(s.As("alice").Post("general", "one"))
	_, cb, evt := a.inner()
	if evt.Request.RetryAttempt != 0 {
		t.Fatalf("first delivery is retry %d", evt.Request.RetryAttempt)
	}
	a.close()
	wait(t, s, func(n *Snapshot) bool { return n.Sockets() == 0 })
	must[Message](t)(s.As("alice").Post("general", "two"))

	b := connect(t, s, nil)
	_, again, evt := b.inner()
	if again.EventID != cb.EventID || evt.Request.RetryAttempt != 1 || evt.Request.RetryReason != "timeout" {
		t.Errorf("first: event %s, retry %d %q", again.EventID, evt.Request.RetryAttempt, evt.Request.RetryReason)
	}
	_, _, evt = b.inner()
	if evt.Request.RetryAttempt != 1 || evt.Request.RetryReason != "connection_failed" {
		t.Errorf("second: retry %d %q", evt.Request.RetryAttempt, evt.Request.RetryReason)
	}
	settled(t, s)
	if n := s.Redeliver(); n != 0 {
		t.Errorf("%d acknowledged events sent again", n)
	}
}

func TestRedeliverOnOneSocket(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, func(evt socketmode.Event) (any, bool) { return nil, evt.Request.RetryAttempt == 2 })
	must[Message](t)(s.As("alice").Post("general", "one"))
	for attempt := range 3 {
		_, _, evt := a.inner()
		if evt.Request.RetryAttempt != attempt {
			t.Fatalf("retry_attempt %d, want %d", evt.Request.RetryAttempt, attempt)
		}
		if attempt < 2 {
			if n := s.Redeliver(); n != 1 {
				t.Fatalf("redelivered %d", n)
			}
		}
	}
	settled(t, s)
}

func TestDisconnectAndCutLeadToNewConnection(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	for n, leave := range []func(){func() { s.Disconnect("refresh_requested") }, s.CutSockets} {
		leave()
		must[Message](t)(s.As("bob").Post("general", "still there?"))
		nextEvent[*slackevents.MessageEvent](t, a)
		wait(t, s, func(now *Snapshot) bool { return len(now.Calls("apps.connections.open")) == n+2 && now.Sockets() == 1 })
	}
}

func TestEachPayloadGoesToOneSocket(t *testing.T) {
	s := start(t, Config{Spread: true})
	a, b := connect(t, s, nil), connect(t, s, nil)
	for range 4 {
		must[Message](t)(s.As("alice").Post("general", "hello"))
	}
	settled(t, s)
	for range 2 {
		nextEvent[*slackevents.MessageEvent](t, a)
		nextEvent[*slackevents.MessageEvent](t, b)
	}
	if len(a.events) != 0 || len(b.events) != 0 {
		t.Errorf("%d and %d more", len(a.events), len(b.events))
	}
}

func TestTokensAndTickets(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct{ bot, app, auth, open string }{
		{"", "", "not_authed", "not_authed"},
		{"xoxb-wrong", "xapp-wrong", "invalid_auth", "invalid_auth"},
		{s.AppToken(), s.BotToken(), "not_allowed_token_type", "not_allowed_token_type"},
		{s.BotToken(), s.AppToken(), "", ""},
	} {
		api := slack.New(c.bot, slack.OptionAppLevelToken(c.app), slack.OptionAPIURL(s.URL()))
		_, err := api.AuthTestContext(t.Context())
		if code(err) != c.auth {
			t.Errorf("auth.test with %q: %v, want %q", c.bot, err, c.auth)
		}
		_, _, err = api.StartSocketModeContext(t.Context())
		if code(err) != c.open {
			t.Errorf("apps.connections.open with %q: %v, want %q", c.app, err, c.open)
		}
	}
	who := must[*slack.AuthTestResponse](t)(client(s).AuthTestContext(t.Context()))
	if who.UserID != s.Bot().ID || who.BotID != s.Bot().BotID || who.TeamID != s.TeamID() {
		t.Errorf("auth.test says %+v", who)
	}
	_, url, err := client(s).StartSocketModeContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status := dial(t, url); status != 101 {
		t.Errorf("first use of a ticket: %d", status)
	}
	if status := dial(t, url); status != 403 {
		t.Errorf("second use of a ticket: %d", status)
	}
}
