package bot

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"

	"openinspect/session"
)

// Types of envelopes.
const (
	eventsAPI     = "events_api"
	slashCommands = "slash_commands"
	interactive   = "interactive"
)

// frame is a message of Slack's on the socket: an envelope, hello or disconnect.
type frame struct {
	ID          string          `json:"envelope_id"`
	Type        string          `json:"type"`
	Payload     json.RawMessage `json:"payload"`
	Reason      string          `json:"reason"`          // of disconnect
	Connections int             `json:"num_connections"` // of hello
}

var envelopeID = regexp.MustCompile(`"envelope_id"\s*:\s*"([\w.-]{1,100})"`)

// parseFrame reads a frame leniently. Of one that is no JSON, or was cut off, it returns at least the envelope's id if there is one: what
// is not acknowledged comes again and again.
func parseFrame(raw []byte, whole bool) frame {
	var f frame
	if whole && lenient(raw, &f) == nil {
		return f
	}
	f = frame{}
	if m := envelopeID.FindSubmatch(raw[:min(len(raw), 4<<10)]); m != nil {
		f.ID = string(m[1])
	}
	return f
}

// lenient decodes JSON. A field that is not as expected is left out: what Slack's clients could not read may still be a message to us.
func lenient(raw []byte, v any) error {
	err := json.Unmarshal(raw, v)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil // the rest was decoded
	}
	return err
}

// take stores what concerns us, then acknowledges. An error leaves the envelope unacknowledged; Slack sends it again.
func (b *Bot) take(ctx context.Context, c *connection, f frame) error {
	received, lane, err := b.concerns(ctx, f)
	if err != nil {
		return err
	}
	if received.Key != "" {
		if err := b.keep(ctx, received, lane); err != nil {
			if errors.Is(err, session.ErrStorage) {
				b.untaken(b.running, f)
			}
			return err
		}
	}
	b.noticed(f, received.Key != "")
	if err := c.acknowledge(ctx, f.ID); err != nil && ctx.Err() == nil {
		b.logger.Info("a Slack event could not be acknowledged; it comes again on another connection", "error", err)
		c.end()
	}
	return nil
}

// keep stores an event, and hands it to its lane unless it was stored before.
func (b *Bot) keep(ctx context.Context, r session.Received, lane string) error {
	r = b.redact(r)
	if r.At.IsZero() {
		r.At = b.clock.Now()
	}
	fresh, err := b.store.Receive(ctx, r)
	if err != nil {
		return session.Wrap("bot.Receive", err)
	}
	if fresh {
		b.lanes.push(b.running, lane, r)
	}
	return nil
}

// noticed notes how far a channel was heard.
func (b *Bot) noticed(f frame, ours bool) {
	var p payload
	if f.Type != eventsAPI || lenient(f.Payload, &p) != nil {
		return
	}
	e := p.Event
	switch e.Type {
	case "message", "app_mention":
		root := ""
		if ours {
			root = e.root()
			if c, ok := e.change(); ok {
				root = c.now.root()
			}
		}
		b.hearing.heard(e.Channel, root, e.TS)
		if e.Subtype != "channel_archive" && e.Subtype != "group_archive" {
			b.alive(e.Channel)
		}
	case "reaction_added", taken:
		b.hearing.heard(e.Item.Channel, "", e.EventTS)
	}
}

// concerns decides from the raw event whether it is for us: the event as the inbox keeps it, with an empty key if it is not, and the lane that it
// would have.
func (b *Bot) concerns(ctx context.Context, f frame) (r session.Received, lane string, err error) {
	r = session.Received{Kind: f.Type, Payload: f.Payload}
	switch f.Type {
	case slashCommands:
		var c command
		if lenient(f.Payload, &c) != nil || c.User == "" {
			return session.Received{}, "", nil
		}
		r.Key = "command/" + c.Trigger
		if c.Trigger == "" {
			r.Key = "command/" + f.ID
		}
		return r, c.lane(r.Key), nil
	case interactive:
		i := readInteraction(f.Payload)
		if i == nil {
			return session.Received{}, "", nil
		}
		r.Key = i.key()
		return r, i.lane(), nil
	case eventsAPI:
	default:
		b.odd(f.Type)
		return session.Received{}, "", nil
	}
	var p payload
	if lenient(f.Payload, &p) != nil {
		b.odd("unreadable " + f.Type)
		return session.Received{}, "", nil
	}
	e := p.Event
	ours := false
	switch e.Type {
	case "message", "app_mention":
		if c, ok := e.change(); ok {
			ours, err = b.mayMatter(ctx, c)
			r.Also, lane = c.identity(), e.Channel+":"+c.now.root()
		} else {
			ours, err = b.mayBeAddressed(ctx, e)
			r.Also, lane = e.Channel+":"+e.TS, e.Channel+":"+e.root()
		}
		if err != nil {
			return session.Received{}, "", err
		}
	case "agent_session_stopped":
		if ours, err = b.mayStop(ctx, e); err != nil {
			return session.Received{}, "", err
		}
		lane = e.Channel + ":" + e.root()
	case "reaction_added", taken:
		if lane, ours, err = b.mayMean(ctx, e); err != nil {
			return session.Received{}, "", err
		}
		r.At = momentOf(e.EventTS)
		if r.Trace = e.trace(); e.Type == taken {
			r.Trace = e.takenOff()
		}
		if ours && e.EventTS != "" && e.Type != taken {
			if ours, err = b.isNew(ctx, e); err != nil {
				return session.Received{}, "", err
			}
		}
	case requested: // nobody but us makes one
		lane = e.Channel + ":" + e.root()
	case "channel_left", "group_left", "channel_deleted", "group_deleted":
		ours, lane = e.Channel != "", "channel:"+e.Channel
	case "app_home_opened":
		ours, lane = e.Tab == "home" && e.User != "", "home:"+e.User
	default:
		b.odd(e.Type)
	}
	if !ours {
		return session.Received{}, lane, nil
	}
	r.Key = p.ID
	if r.Key == "" {
		r.Key = e.Type + "/" + e.Channel + e.Item.Channel + "/" + e.TS + e.Item.TS + "/" + e.User + "/" + e.Reaction + "/" + e.EventTS
	}
	return r, lane, nil
}
