package slacktest

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
)

func TestRateLimited(t *testing.T) {
	s := start(t, Config{Faults: Faults{Before: func(c Call) *Response {
		if c.Method == "chat.postMessage" && c.N == 1 {
			return RateLimited(1500 * time.Millisecond)
		}
		return nil
	}}})
	api := client(s)
	_, _, err := api.PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionText("x", false))
	var limited *slack.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 2*time.Second {
		t.Fatalf("error %v", err)
	}
	if n := len(s.Snapshot().Messages("general")); n != 0 {
		t.Errorf("a limited call posted %d messages", n)
	}
	if _, _, err := api.PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionText("x", false)); err != nil {
		t.Error(err)
	}
	calls := s.Calls("chat.postMessage")
	if len(calls) != 2 || calls[1].N != 2 || !calls[1].At.Equal(epoch) || calls[1].Args["text"] != "x" || calls[1].Args["token"] != "" {
		t.Errorf("calls %+v", calls)
	}
	if n := s.Snapshot().Counts()["chat.postMessage"]; n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestWorkDoneButConnectionCut(t *testing.T) {
	s := start(t, Config{Faults: Faults{After: func(c Call, r Response) *Response {
		if c.Method == "chat.postMessage" && r.Status == 200 {
			return Cut()
		}
		return nil
	}}})
	api := client(s)
	meta := slack.SlackMetadata{EventType: "outbox", EventPayload: map[string]any{"id": "m1"}}
	_, _, err := api.PostMessageContext(t.Context(), "C0GENERAL", slack.MsgOptionText("once", false), slack.MsgOptionMetadata(meta))
	var refused slack.SlackErrorResponse
	if err == nil || errors.As(err, &refused) {
		t.Fatalf("error %v, want a broken connection", err)
	}
	hist, err := api.GetConversationHistoryContext(t.Context(), &slack.GetConversationHistoryParameters{ChannelID: "C0GENERAL", IncludeAllMetadata: true})
	if err != nil || len(hist.Messages) != 1 || hist.Messages[0].Metadata.EventPayload["id"] != "m1" {
		t.Errorf("history %+v, %v", hist, err)
	}
	s.SetFaults(Faults{Before: func(Call) *Response { return Refusal("fatal_error") }})
	if _, err := api.AuthTestContext(t.Context()); code(err) != "fatal_error" {
		t.Errorf("refusal %v", err)
	}
}

func TestDeliveryTwiceAndOutOfOrder(t *testing.T) {
	var held *Envelope
	s := start(t, Config{Faults: Faults{Deliver: func(e Envelope, send func(Envelope)) {
		if held == nil {
			held = &e
			return
		}
		send(e)
		send(*held)
		send(*held)
	}}})
	a := connect(t, s, nil)
	m := must[Message](t)(s.As("alice").Post("general", "@inspect go"))
	message := nextEvent[*slackevents.MessageEvent](t, a)
	mention := nextEvent[*slackevents.AppMentionEvent](t, a)
	again := nextEvent[*slackevents.AppMentionEvent](t, a)
	if message.TimeStamp != m.TS || mention.TimeStamp != m.TS || again.TimeStamp != m.TS {
		t.Errorf("%s, %s, %s, want %s", message.TimeStamp, mention.TimeStamp, again.TimeStamp, m.TS)
	}
	wait(t, s, func(n *Snapshot) bool { return n.Deliveries()[0].Acks == 2 })
	if d := s.Snapshot().Deliveries(); d[0].Sends != 2 || d[1].Sends != 1 {
		t.Errorf("deliveries %+v", d)
	}
}

func TestLostEnvelopeComesBackOnRedelivery(t *testing.T) {
	lost := make(chan struct{})
	s := start(t, Config{Faults: Faults{Deliver: func(e Envelope, send func(Envelope)) {
		if e.RetryAttempt > 0 {
			send(e)
			return
		}
		close(lost)
	}}})
	a := connect(t, s, nil)
	must[Message](t)(s.As("alice").Post("general", "hello?"))
	<-lost
	if n := s.Redeliver(); n != 1 {
		t.Fatalf("redelivered %d", n)
	}
	_, _, evt := a.inner()
	if evt.Request.RetryAttempt != 1 {
		t.Errorf("retry_attempt %d", evt.Request.RetryAttempt)
	}
}

func TestUnreadableFrame(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	s.SendFrame([]byte(`{not json`))
	must[Message](t)(s.As("alice").Post("general", "after"))
	nextEvent[*slackevents.MessageEvent](t, a)
	if n := s.Snapshot().Sockets(); n != 1 {
		t.Errorf("%d sockets", n)
	}
}

func TestChangesAreToldInOrder(t *testing.T) {
	s := New(Config{Now: func() time.Time { return epoch }})
	var kinds []ChangeKind
	s.OnChange(func(c Change) {
		kinds = append(kinds, c.Kind)
		_ = s.Render("general", c.Message.TS) // a hook may look at the server
		if c.Kind == Reacted && (c.Emoji != "ship" || c.User != "U0BOB" || len(c.Message.Reactions) != 1) {
			t.Errorf("reaction %+v", c)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	m := must[Message](t)(s.As("alice").Post("general", "one"))
	if err := s.As("bob").React("general", m.TS, "ship"); err != nil {
		t.Fatal(err)
	}
	must[Message](t)(s.As("alice").Edit("general", m.TS, "two"))
	if err := s.As("bob").Unreact("general", m.TS, "ship"); err != nil {
		t.Fatal(err)
	}
	if err := s.As("alice").Delete("general", m.TS); err != nil {
		t.Fatal(err)
	}
	s.Close() // drains the hooks
	want := []ChangeKind{Posted, Reacted, Edited, Unreacted, Deleted}
	if len(kinds) != len(want) {
		t.Fatalf("changes %v, want %v", kinds, want)
	}
	for i, k := range want {
		if kinds[i] != k {
			t.Errorf("change %d is %s, want %s", i, kinds[i], k)
		}
	}
	if err := s.Wait(t.Context(), func(*Snapshot) bool { return false }); err == nil {
		t.Error("waiting on a closed server succeeds")
	}
}

func TestDownloadFails(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	must[Message](t)(s.As("alice").Attach("general", "", "look", File{Name: "a.txt", Data: []byte("text")}))
	file := nextEvent[*slackevents.MessageEvent](t, a).Message.Files[0]
	s.SetFaults(Faults{Before: func(c Call) *Response {
		if c.Method == DownloadCall && c.N == 1 {
			return &Response{Status: 503}
		}
		return nil
	}})
	if err := a.GetFileContext(t.Context(), file.URLPrivate, io.Discard); err == nil {
		t.Error("the first download succeeds")
	}
	if err := a.GetFileContext(t.Context(), file.URLPrivate, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestUninstall(t *testing.T) {
	s := start(t, Config{})
	a := connect(t, s, nil)
	s.Uninstall()
	nextEvent[*slackevents.TokensRevokedEvent](t, a)
	nextEvent[*slackevents.AppUninstalledEvent](t, a)
	if _, err := a.AuthTestContext(t.Context()); code(err) != "account_inactive" {
		t.Errorf("auth.test: %v", err)
	}
}
