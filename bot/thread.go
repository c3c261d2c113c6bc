package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// What of a thread is quoted to the agent when it is called into one: the newest messages that fit.
const (
	maxQuoted     = 30
	maxQuote      = 2_000 // characters of one message
	maxQuotedText = 8_000 // of all
)

// readThread reads the thread a session was opened in, once. Events come in any order, so what was said after the message that opened
// the session may have passed the socket already, when nothing was known of the thread: it goes through the inbox, whose dedupe lets
// each message pass once. What was said before is returned as a quotation, with the names of the message's own files, which
// app_mention events may lack.
func (b *Bot) readThread(ctx context.Context, e event) (quoted string, files []file, err error) {
	said, err := b.replies(ctx, e)
	if err != nil {
		if session.CodeOf(err) == session.Unavailable {
			return "", nil, err
		}
		b.logger.Warn("reading a thread; the agent gets the message alone", "channel", e.Channel, "thread", e.root(), "error", err)
		return "", nil, nil
	}
	var before []slack.Message
	for _, m := range said {
		switch {
		case m.Timestamp < e.TS:
			before = append(before, m)
		case m.Timestamp == e.TS:
			for _, f := range m.Files {
				files = append(files, file{f.Name})
			}
		default:
			if err := b.late(ctx, e, m); err != nil {
				return "", nil, err
			}
		}
	}
	return b.quote(ctx, before), files, nil
}

func (b *Bot) replies(ctx context.Context, e event) ([]slack.Message, error) {
	var all []slack.Message
	params := slack.GetConversationRepliesParameters{ChannelID: e.Channel, Timestamp: e.root(), Limit: 200, Inclusive: true}
	for {
		page, more, cursor, err := b.api.GetConversationRepliesContext(ctx, &params)
		if err != nil {
			return nil, b.outside("conversations.replies", err)
		}
		all = append(all, page...)
		if !more || cursor == "" || len(all) >= 2_000 {
			return all, nil
		}
		params.Cursor = cursor
	}
}

// late puts a message that was read, rather than received, into the inbox.
func (b *Bot) late(ctx context.Context, opened event, m slack.Message) error {
	e := event{Type: "message", Subtype: m.SubType, User: m.User, BotID: m.BotID, Text: m.Text, TS: m.Timestamp, ThreadTS: opened.root(),
		Channel: opened.Channel, ChannelType: opened.ChannelType}
	if m.Edited != nil {
		e.Subtype = "" // what it says now is what its author means
	}
	for _, f := range m.Files {
		e.Files = append(e.Files, file{f.Name})
	}
	if !e.spoken() || e.User == b.self.user {
		return nil
	}
	raw, err := json.Marshal(payload{ID: "read/" + e.Channel + "/" + e.TS, Event: e})
	if err != nil {
		return err
	}
	r := session.Received{Key: "read/" + e.Channel + "/" + e.TS, Also: e.Channel + ":" + e.TS, Kind: eventsAPI, Payload: raw, At: b.clock.Now()}
	r = b.redact(r)
	fresh, err := b.store.Receive(ctx, r)
	if err != nil {
		return session.Wrap("bot.Receive", err)
	}
	if fresh {
		b.lanes.push(ctx, e.Channel+":"+e.root(), r)
	}
	return nil
}

// quote writes messages down for the agent, each with its author's name.
func (b *Bot) quote(ctx context.Context, said []slack.Message) string {
	var lines []string
	room := maxQuotedText
	for _, m := range slices.Backward(said) {
		if m.User == b.self.user || strings.TrimSpace(m.Text) == "" {
			continue
		}
		name := session.OneLine(cmp.Or(m.Username, m.BotID), 80)
		if m.User != "" {
			name = b.nameOf(ctx, m.User)
		}
		text, _ := cut(plain(m.Text, func(user string) string { return b.nameOf(ctx, user) }), maxQuote)
		line := fmt.Sprintf("%s: %s", name, text)
		if room -= len([]rune(line)) + 1; room < 0 || len(lines) == maxQuoted {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}
