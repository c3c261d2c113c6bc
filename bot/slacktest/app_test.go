package slacktest

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"
)

// epoch is the second at which the clocks of these tests stand still.
var epoch = time.Unix(1700000000, 0)

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return epoch }
	}
	s := New(cfg)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(s *Server) *slack.Client {
	return slack.New(s.BotToken(), slack.OptionAppLevelToken(s.AppToken()), slack.OptionAPIURL(s.URL()))
}

// app is a slack-go client on a socket. It acknowledges what answer allows, with
// the payload it gives.
type app struct {
	*slack.Client
	events chan socketmode.Event // every payload, acknowledged or not
	stop   context.CancelFunc
	done   chan struct{}
}

type answerFunc func(socketmode.Event) (payload any, ack bool)

func connect(t *testing.T, s *Server, answer answerFunc) *app {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := &app{Client: client(s), events: make(chan socketmode.Event, 1000), stop: cancel, done: make(chan struct{})}
	sm := socketmode.New(a.Client, socketmode.OptionLog(log.New(io.Discard, "", 0)))
	before := s.Snapshot().Sockets()
	go func() {
		defer close(a.done)
		_ = sm.RunContext(ctx)
	}()
	go func() {
		for {
			select {
			case evt := <-sm.Events:
				if evt.Request == nil || evt.Request.EnvelopeID == "" {
					continue
				}
				payload, ack := any(nil), true
				if answer != nil {
					payload, ack = answer(evt)
				}
				if ack {
					_ = sm.AckCtx(ctx, evt.Request.EnvelopeID, payload)
				}
				a.events <- evt
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { a.close() })
	wait(t, s, func(n *Snapshot) bool { return n.Sockets() > before })
	return a
}

func (a *app) close() {
	a.stop()
	<-a.done
}

func wait(t *testing.T, s *Server, holds func(*Snapshot) bool) {
	t.Helper()
	if err := s.Wait(t.Context(), holds); err != nil {
		t.Fatal(err)
	}
}

// settled waits until the app has acknowledged everything.
func settled(t *testing.T, s *Server) {
	t.Helper()
	wait(t, s, func(n *Snapshot) bool { return n.Unacked() == 0 })
}

// inner returns the next event of the Events API, with its envelope.
func (a *app) inner() (any, slackevents.EventsAPICallbackEvent, socketmode.Event) {
	for evt := range a.events {
		if e, ok := evt.Data.(slackevents.EventsAPIEvent); ok {
			return e.InnerEvent.Data, *e.Data.(*slackevents.EventsAPICallbackEvent), evt
		}
	}
	panic("events closed")
}

// nextEvent returns the next inner event, which must be a T.
func nextEvent[T any](t *testing.T, a *app) T {
	t.Helper()
	data, _, _ := a.inner()
	e, ok := data.(T)
	if !ok {
		raw, _ := json.Marshal(data)
		t.Fatalf("event is %T %s, want %T", data, raw, *new(T))
	}
	return e
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code is the error code a call was refused with, "" if it was not.
func code(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
