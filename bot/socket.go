package bot

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack/socketmode"

	"openinspect/session"
)

// Slack accepts a connection and may end it at once, and the client dials again without a pause; so the next opening waits when the
// last connection did not live long.
const (
	shortLived = 10 * time.Second
	maxPause   = time.Minute
)

// listen reads the socket until ctx ends. It never waits for anything but the store: a reader that blocks loses events.
func (b *Bot) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-b.socket.Events:
			if err := b.take(ctx, e); err != nil && ctx.Err() == nil {
				b.logger.Error("a Slack event was not taken; Slack will send it again", "error", err)
			}
		}
	}
}

// frame is an envelope as Slack sends it.
type frame struct {
	ID      string          `json:"envelope_id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// take stores what concerns us, then acknowledges. An error leaves the envelope unacknowledged.
func (b *Bot) take(ctx context.Context, e socketmode.Event) error {
	var f frame
	switch e.Type {
	case socketmode.EventTypeEventsAPI, socketmode.EventTypeInteractive, socketmode.EventTypeSlashCommand:
		f = frame{e.Request.EnvelopeID, e.Request.Type, e.Request.Payload}
	case socketmode.EventTypeErrorBadMessage:
		// The client library could not parse it. It may still be ours, and must be acknowledged in any case.
		bad, ok := e.Data.(*socketmode.ErrorBadMessage)
		if !ok || json.Unmarshal(bad.Message, &f) != nil {
			return nil
		}
	case socketmode.EventTypeConnectionError, socketmode.EventTypeIncomingError, socketmode.EventTypeErrorWriteFailed:
		if err, ok := e.Data.(error); ok {
			b.logger.Warn("slack connection", "event", string(e.Type), "error", err)
		}
		return nil
	case socketmode.EventTypeConnecting, socketmode.EventTypeConnected, socketmode.EventTypeHello, socketmode.EventTypeDisconnect, socketmode.EventTypeInvalidAuth:
		return nil
	}
	if f.ID == "" {
		return nil
	}
	received, lane, err := b.concerns(ctx, f)
	if err != nil {
		return err
	}
	fresh := false
	if received.Key != "" {
		received.At = b.clock.Now()
		if fresh, err = b.store.Receive(ctx, received); err != nil {
			return session.Wrap("bot.Receive", err)
		}
	}
	if err := b.acknowledge(ctx, f.ID); err != nil && ctx.Err() == nil {
		b.logger.Warn("acknowledging a Slack event; Slack sends it again", "error", err)
	}
	if fresh {
		b.lanes.push(ctx, lane, received)
	}
	return nil
}

// ackWithin bounds how long an acknowledgement may wait for a connection. While there is none the client takes a few and then blocks; but
// it dials only while its events are read, which is what the caller does.
const ackWithin = 2 * time.Second

func (b *Bot) acknowledge(ctx context.Context, envelope string) error {
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	return b.socket.AckCtx(ctx, envelope, nil)
}

// concerns decides from the raw event whether it is for us: the event as the inbox keeps it, with an empty key if it is not, and its lane.
func (b *Bot) concerns(ctx context.Context, f frame) (r session.Received, lane string, err error) {
	r = session.Received{Kind: f.Type, Payload: f.Payload}
	switch f.Type {
	case socketmode.RequestTypeSlashCommands:
		var c command
		if json.Unmarshal(f.Payload, &c) != nil || c.User == "" {
			return session.Received{}, "", nil
		}
		r.Key = "command/" + c.Trigger
		return r, "command:" + c.User, nil
	case socketmode.RequestTypeInteractive:
		var p press
		if json.Unmarshal(f.Payload, &p) != nil || p.key() == "" {
			return session.Received{}, "", nil
		}
		r.Key = p.key()
		return r, p.lane(), nil
	case socketmode.RequestTypeEventsAPI:
	default:
		return session.Received{}, "", nil
	}
	var p payload
	if json.Unmarshal(f.Payload, &p) != nil {
		return session.Received{}, "", nil
	}
	e := p.Event
	ours := false
	switch e.Type {
	case "message", "app_mention":
		if ours, err = b.mayBeAddressed(ctx, e); err != nil {
			return session.Received{}, "", err
		}
		r.Also = e.Channel + ":" + e.TS
		lane = e.Channel + ":" + e.root()
	case "reaction_added":
		if lane, ours, err = b.mayMean(ctx, e); err != nil {
			return session.Received{}, "", err
		}
	}
	if !ours {
		return session.Received{}, "", nil
	}
	r.Key = p.ID
	if r.Key == "" {
		r.Key = e.Type + "/" + e.Channel + e.Item.Channel + "/" + e.TS + e.EventTS
	}
	return r, lane, nil
}

// throttle spaces out apps.connections.open.
type throttle struct {
	next  *http.Client
	clock session.Clock

	mu    sync.Mutex
	last  time.Time
	pause time.Duration
}

// Do sends a request, opening connections no faster than they live.
func (t *throttle) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/apps.connections.open") {
		if d := t.delay(); d > 0 && !wait(r.Context(), t.clock, d) {
			return nil, r.Context().Err()
		}
	}
	return t.next.Do(r)
}

// delay returns how long this opening has to wait: nothing, unless the one before was a moment ago.
func (t *throttle) delay() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	switch {
	case t.last.IsZero() || now.Sub(t.last) >= shortLived:
		t.pause = 0
	case t.pause == 0:
		t.pause = time.Second
	default:
		t.pause = min(2*t.pause, maxPause)
	}
	t.last = now.Add(t.pause)
	return t.pause
}
