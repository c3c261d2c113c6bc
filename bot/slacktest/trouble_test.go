package slacktest

import (
	"errors"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
)

func TestInjectedFaults(t *testing.T) {
	s := start(t, Config{Channels: []Channel{{Name: "general"}, {Name: "other"}}})
	api := client(s)
	post := func(channel string) error {
		_, _, err := api.PostMessageContext(t.Context(), channel, slack.MsgOptionText("x", false))
		return err
	}
	s.Inject(Fault{Method: "chat.postMessage", Channel: "C0GENERAL", Times: 2, Answer: RateLimited(time.Second)})
	s.Inject(Fault{Method: "chat.postMessage", Channel: "C0GENERAL", Times: 1, After: true, Answer: Failure(503)})
	if err := post("C0OTHER"); err != nil {
		t.Errorf("another channel: %v", err)
	}
	for n := range 2 {
		if _, limited := errors.AsType[*slack.RateLimitedError](post("C0GENERAL")); !limited {
			t.Errorf("call %d was not limited", n+1)
		}
	}
	var status slack.StatusCodeError
	if err := post("C0GENERAL"); !errors.As(err, &status) || status.Code != 503 {
		t.Errorf("after the work: %v", err)
	}
	if n := len(s.Snapshot().Messages("general")); n != 1 {
		t.Errorf("%d messages, want the one whose answer was lost", n)
	}
	if err := post("C0GENERAL"); err != nil {
		t.Errorf("spent faults: %v", err)
	}
	s.Inject(Fault{Method: "auth.test", Answer: MissingScope("users:read")})
	_, err := api.AuthTestContext(t.Context())
	if refused, ok := errors.AsType[slack.SlackErrorResponse](err); !ok || refused.Err != "missing_scope" || refused.Needed != "users:read" {
		t.Errorf("missing scope: %+v", err)
	}
	s.Heal()
	s.Revoke(s.BotToken(), "token_expired")
	if _, err := api.AuthTestContext(t.Context()); code(err) != "token_expired" {
		t.Errorf("expired: %v", err)
	}
	if _, _, err := api.StartSocketModeContext(t.Context()); err != nil {
		t.Errorf("the other token: %v", err)
	}
	s.Revoke(s.BotToken(), "")
	if _, err := api.AuthTestContext(t.Context()); err != nil {
		t.Errorf("good again: %v", err)
	}
}

func TestClosedChannels(t *testing.T) {
	s := start(t, Config{Channels: []Channel{{Name: "general"}, {Name: "secret", Kind: Private}}})
	api := client(s)
	_, ts, err := api.PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionText("x", false))
	if err != nil {
		t.Fatal(err)
	}
	calls := func(channel string) map[string]string {
		_, _, post := api.PostMessageContext(t.Context(), channel, slack.MsgOptionText("x", false))
		_, _, _, update := api.UpdateMessageContext(t.Context(), channel, ts, slack.MsgOptionText("y", false))
		_, whisper := api.PostEphemeralContext(t.Context(), channel, "U0ALICE", slack.MsgOptionText("x", false))
		return map[string]string{"post": code(post), "update": code(update), "whisper": code(whisper)}
	}
	check := func(what, channel, post, update, whisper string) {
		t.Helper()
		if got := calls(channel); got["post"] != post || got["update"] != update || got["whisper"] != whisper {
			t.Errorf("%s: %v", what, got)
		}
	}
	if err := s.Archive("general"); err != nil {
		t.Fatal(err)
	}
	check("archived", "C0GENERAL", "is_archived", "is_inactive", "is_archived")
	if _, err := s.As("alice").Post("general", "hello?"); err == nil {
		t.Error("people write in an archived channel")
	}
	if err := errors.Join(s.Unarchive("general"), s.Kick("general"), s.Kick("secret")); err != nil {
		t.Fatal(err)
	}
	check("kicked", "C0GENERAL", "not_in_channel", "not_in_channel", "not_in_channel")
	check("kicked from a private one", "C0SECRET", "channel_not_found", "channel_not_found", "channel_not_found")
	if err := s.As("alice").Invite("general", s.Bot().ID); err != nil {
		t.Fatal(err)
	}
	check("invited", "C0GENERAL", "", "", "")
}

func TestMessagesInPiecesAndUnknownEvents(t *testing.T) {
	s := start(t, Config{Forgetful: true})
	a := connect(t, s, nil)
	s.Split(true)
	m := must[Message](t)(s.As("alice").Post("general", "in pieces"))
	if e := nextEvent[*slackevents.MessageEvent](t, a); e.TimeStamp != m.TS {
		t.Errorf("got %+v", e)
	}
	s.Emit("news_of_next_year", nil) // slack-go cannot read it, and leaves it without an acknowledgement
	must[Message](t)(s.As("alice").Post("general", "after"))
	nextEvent[*slackevents.MessageEvent](t, a)
	wait(t, s, func(*Snapshot) bool { return s.Unacked() == 1 })
	if now, ok := s.MessageNow("general", m.TS); !ok || now.Text != "in pieces" {
		t.Errorf("%+v", now)
	}
}

// A half-open connection takes what is written; nothing comes of it, and nothing comes from it.
func TestHalfOpen(t *testing.T) {
	s := start(t, Config{PingEvery: 10 * time.Millisecond})
	a := connect(t, s, nil)
	s.HalfOpen()
	must[Message](t)(s.As("alice").Post("general", "lost"))
	wait(t, s, func(n *Snapshot) bool { return n.Deliveries()[0].Sends == 1 })
	if n := s.Snapshot().Sockets(); n != 1 || s.Unacked() != 1 {
		t.Errorf("%d sockets, %d without acknowledgement", n, s.Unacked())
	}
	a.close()
	wait(t, s, func(n *Snapshot) bool { return n.Sockets() == 0 })
	b := connect(t, s, nil)
	_, _, evt := b.inner()
	if evt.Request.RetryAttempt != 1 {
		t.Errorf("retry_attempt %d", evt.Request.RetryAttempt)
	}
	settled(t, s)
}
