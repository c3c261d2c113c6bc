package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"openinspect/session"
)

// payload is an event of the Events API, as far as the bot reads it. It is read leniently: a field that is not as expected is a reason
// to leave that event alone, never to fail.
type payload struct {
	ID    string `json:"event_id"`
	Event event  `json:"event"`
}

type event struct {
	Type        string       `json:"type"`
	Subtype     string       `json:"subtype,omitempty"`
	User        string       `json:"user,omitempty"`
	BotID       string       `json:"bot_id,omitempty"`
	Text        string       `json:"text,omitempty"`
	TS          string       `json:"ts,omitempty"`
	ThreadTS    string       `json:"thread_ts,omitempty"`
	Channel     string       `json:"channel,omitempty"`
	ChannelType string       `json:"channel_type,omitempty"`
	EventTS     string       `json:"event_ts,omitempty"`
	Tab         string       `json:"tab,omitempty"` // of app_home_opened: home or messages
	Edited      *edited      `json:"edited,omitempty"`
	Message     *event       `json:"message,omitempty"`          // of message_changed: as it reads now
	Previous    *event       `json:"previous_message,omitempty"` // of message_changed and message_deleted
	DeletedTS   string       `json:"deleted_ts,omitempty"`
	Files       []file       `json:"files,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`

	Reaction string `json:"reaction,omitempty"`
	ItemUser string `json:"item_user,omitempty"`
	Item     struct {
		Type    string `json:"type,omitempty"`
		Channel string `json:"channel,omitempty"`
		TS      string `json:"ts,omitempty"`
	} `json:"item,omitzero"`

	About string `json:"inspect_about,omitempty"` // of requests that came by a form: ts of the message that they are about

	redacted bool      // a secret was in the text
	edit     string    // Slack's time of the edit that made it read like this, if an edit brought it
	off      time.Time // of a reaction that was read: when it was taken off before; zero: never, as far as is known
	asked    time.Time // of a reaction that was read: when Slack was asked for it, by its clock
	put      time.Time // of a reaction: when it was put there or taken off, or seen to be so, by Slack's clock
	late     string    // it was read after the bot was away, which this names
}

type edited struct {
	User string `json:"user"`
	TS   string `json:"ts,omitempty"`
}

// root is the ts of the thread a message is in, or begins.
func (e event) root() string {
	if e.ThreadTS != "" {
		return e.ThreadTS
	}
	return e.TS
}

// key names a message, as it reads, in the keys of what is answered to it.
func (e event) key() string {
	if e.edit != "" {
		return e.Channel + "/" + e.TS + "~" + e.edit
	}
	return e.Channel + "/" + e.TS
}

// inThread reports whether a message is a reply.
func (e event) inThread() bool { return e.ThreadTS != "" && e.ThreadTS != e.TS }

// direct reports whether a message is in the direct conversation with somebody.
func (e event) direct() bool { return e.ChannelType == "im" || isDirect(e.Channel) }

// isDirect tells a direct conversation by its id: Slack's begin with D.
func isDirect(channel string) bool { return len(channel) > 0 && channel[0] == 'D' }

// redact takes secrets out of an event before it is stored.
func (b *Bot) redact(r session.Received) session.Received {
	words := ""
	switch r.Kind {
	case eventsAPI:
		var p payload
		_ = lenient(r.Payload, &p)
		words = p.Event.Text
		if p.Event.Message != nil {
			words = p.Event.Message.Text
		}
	case slashCommands:
		var c command
		_ = lenient(r.Payload, &c)
		words = c.Text
	case interactive:
		if s, ok := readInteraction(r.Payload).(*submission); ok {
			words = s.value(inputPrompt)
		}
	}
	r.Redacted = r.Redacted || b.cfg.Redactor.String(words) != words
	r.Payload = b.cfg.Redactor.JSON(withoutKeys(r.Payload))
	return r
}

// slackKeys are where Slack puts what is as good as a password: whoever has it can write to a thread for half an hour, or pass for Slack. Nothing of
// ours needs them.
var slackKeys = []string{"token", "response_url", "response_urls", "bot_access_token"}

// withoutKeys takes Slack's own keys out of a payload.
func withoutKeys(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return raw
	}
	for _, key := range slackKeys {
		delete(fields, key)
	}
	if less, err := json.Marshal(fields); err == nil {
		return less
	}
	return raw
}

// handleTries is how often an event is tried while something outside does not answer, before its sender is told.
// That is a minute and a half: Slack and GitHub are seldom away for longer.
const handleTries = 8

// handle brings one event of the inbox to its outcome. While the disk refuses it waits, however long that takes: what was acknowledged is not
// given up, and no excuse could be stored either.
func (b *Bot) handle(ctx context.Context, r session.Received) {
	pause := time.Second
	for n := 1; ; n++ {
		told, err := b.told(ctx, sorryKey(r))
		if err == nil && !told {
			err = b.process(ctx, r)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			break
		}
		b.logger.Error("handling a Slack event", "key", r.Key, "try", n, "error", err)
		refuses := errors.Is(err, session.ErrStorage)
		if !refuses && (n >= handleTries || session.CodeOf(err) != session.Unavailable) {
			err = b.apologise(ctx, r, err)
			if err == nil {
				break
			}
			b.logger.Error("telling about a Slack event that failed", "key", r.Key, "error", err)
			if refuses = errors.Is(err, session.ErrStorage); !refuses {
				return // it is tried again at the next start
			}
		}
		if !wait(ctx, b.clock, pause) {
			return
		}
		pause = min(2*pause, 30*time.Second)
	}
	if err := b.store.Handled(ctx, r.Key); err != nil && ctx.Err() == nil {
		b.logger.Error("marking a Slack event as handled", "key", r.Key, "error", err)
	}
}

func (b *Bot) process(ctx context.Context, r session.Received) error {
	if r.Kind == slashCommands {
		var c command
		if err := lenient(r.Payload, &c); err != nil {
			return nil
		}
		c.redacted = r.Redacted
		return b.command(ctx, c)
	}
	if r.Kind == interactive {
		i := readInteraction(r.Payload)
		if i == nil {
			return nil
		}
		if s, ok := i.(*submission); ok {
			s.redacted = r.Redacted
		}
		return i.carryOut(ctx, b)
	}
	var p payload
	if err := lenient(r.Payload, &p); err != nil {
		return nil
	}
	p.Event.redacted, p.Event.late, p.Event.put = r.Redacted, r.Late, r.At
	switch {
	case p.Event.EventTS != "":
		p.Event.put = momentOf(p.Event.EventTS)
	case !r.Asked.IsZero(): // a removal that is later may be of this very one
		p.Event.put = r.Asked
	}
	switch p.Event.Type {
	case requested:
		return b.request(ctx, p.Event)
	case "message", "app_mention":
		if c, ok := p.Event.change(); ok {
			return b.changed(ctx, c)
		}
		return b.message(ctx, p.Event)
	case "agent_session_stopped":
		return b.agentStopped(ctx, p.Event)
	case "reaction_added", taken:
		return b.reaction(ctx, p.Event)
	case "app_home_opened":
		return b.home(ctx, p.Event.User)
	case "channel_left", "group_left", "channel_deleted", "group_deleted":
		return b.parted(ctx, p.Event)
	}
	return nil
}

// told reports whether a refusal was stored under a key. A bot that died before it noted that an event was handled takes the event again, and
// by then what was refused may be possible; but it was told that nothing came of it, and that stays true.
func (b *Bot) told(ctx context.Context, key string) (bool, error) {
	_, err := b.store.Message(ctx, key)
	if session.CodeOf(err) == session.NotFound {
		return false, nil
	}
	return err == nil, session.Wrap("bot.told", err)
}

// sorryKey is the key of an apology, named after the message rather than the event where there is one: a question about the message finds it.
func sorryKey(r session.Received) string { return "sorry/" + cmp.Or(r.Also, r.Key) }

// apologise tells the sender of an event that nothing came of it, and why.
func (b *Bot) apologise(ctx context.Context, r session.Received, cause error) error {
	text := "Your request came to nothing. " + session.Sentence(cause)
	if r.Kind == slashCommands {
		var c command
		_ = lenient(r.Payload, &c)
		return b.whisper(ctx, sorryKey(r), place{channel: c.Channel}, c.User, escape(text))
	}
	if r.Kind == interactive {
		i := readInteraction(r.Payload)
		if i == nil {
			return nil
		}
		user, at := i.from()
		if at.channel == "" {
			return b.tell(ctx, sorryKey(r), user, escape(text))
		}
		return b.whisper(ctx, sorryKey(r), at, user, escape(text))
	}
	var p payload
	_ = lenient(r.Payload, &p)
	e := p.Event
	if c, ok := e.change(); ok {
		if c.deleted {
			return nil // whoever deleted it does not wait for an answer
		}
		e = c.now
	}
	at := place{channel: e.Channel, thread: e.ThreadTS}
	if e.Type == "app_home_opened" {
		return nil // it stays as it was; opening it again tries again
	}
	if e.Type == "reaction_added" || e.Type == taken {
		at = place{channel: e.Item.Channel}
		if m, err := b.store.MessageAt(ctx, e.Item.Channel, e.Item.TS); err == nil {
			at.thread = m.Thread
		}
	}
	return b.whisper(ctx, sorryKey(r), at, e.User, escape(text))
}

// replay hands what an earlier run did not finish to the lanes.
func (b *Bot) replay(ctx context.Context) error {
	left, err := b.store.Inbox(ctx)
	if err != nil {
		return session.Wrap("bot.replay", err)
	}
	for _, r := range left {
		_, lane, err := b.concerns(ctx, frame{Type: r.Kind, Payload: r.Payload})
		if err != nil || lane == "" {
			lane = "replay:" + r.Key // it concerned us when it came, so it is handled, whatever has changed since
		}
		b.lanes.push(ctx, lane, r)
	}
	return nil
}

// lanes handle events: those of one lane in order, those of different ones side by side.
type lanes struct {
	handle func(context.Context, session.Received)

	mu    sync.Mutex
	queue map[string][]session.Received
	wg    sync.WaitGroup
}

// push adds an event to the end of a lane. It returns at once.
func (l *lanes) push(ctx context.Context, lane string, r session.Received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue == nil {
		l.queue = map[string][]session.Received{}
	}
	waiting, running := l.queue[lane]
	l.queue[lane] = append(waiting, r)
	if !running {
		l.wg.Go(func() { l.drain(ctx, lane) })
	}
}

func (l *lanes) drain(ctx context.Context, lane string) {
	for {
		l.mu.Lock()
		waiting := l.queue[lane]
		if len(waiting) == 0 || ctx.Err() != nil {
			delete(l.queue, lane)
			l.mu.Unlock()
			return
		}
		next := waiting[0]
		l.queue[lane] = waiting[1:]
		l.mu.Unlock()
		l.handle(ctx, next)
	}
}

func (l *lanes) wait() { l.wg.Wait() }
