package bot

import (
	"context"
	"errors"
	"strings"

	"openinspect/session"
)

// request is what somebody asks for by other means than a message: a command, a form.
type request struct {
	key      string // identity of what they did
	by       session.Person
	at       place
	words    string // as people write it, options in brackets included
	about    string // ts of the message it is about, if any
	redacted bool
}

// maxShown is how much of a request its message shows; the log has all of it.
const maxShown = 3_000

// onBehalf posts a request in its author's name, so that everybody sees who asked for what, and then handles it as if they had written that
// message: it is the prompt, replies to it are follow-ups.
func (b *Bot) onBehalf(ctx context.Context, r request) error {
	key := "asked/" + r.key
	shown, _ := cut(r.words, maxShown)
	m := session.Message{Key: key, Op: session.MessagePost, Channel: r.at.channel, Thread: r.at.thread, Urgent: true,
		Text: "<@" + r.by.Slack + "> asks:\n" + quoted(escape(shown))}
	if err := b.put(ctx, m); err != nil {
		return err
	}
	m, err := b.sender.sent(ctx, key)
	if err != nil {
		return session.Wrap("bot.onBehalf", err)
	}
	if m.Failed != "" {
		why := "Slack says `" + escape(m.Failed) + "`."
		switch m.Failed {
		case "not_in_channel", "channel_not_found":
			why = "I am not in that conversation. Invite me there (`/invite @" + escape(b.self.name) + "`), or write to me here."
		case "is_archived":
			why = "that channel is archived."
		}
		return b.tell(ctx, "unasked/"+r.key, r.by.Slack, "Nothing was started from your request, because I could not post it: "+why+"\n"+quoted(escape(shown)))
	}
	e := event{Type: "message", User: r.by.Slack, Text: escape(r.words), TS: m.TS, ThreadTS: r.at.thread, Channel: r.at.channel, redacted: r.redacted, about: r.about}
	c, err := b.conversation(ctx, e)
	if err != nil {
		return err
	}
	return b.prompt(ctx, e, c, place{channel: e.Channel, thread: e.root()}, r.by, r.words)
}

// quoted shows text as a quotation in Slack's markup.
func quoted(text string) string {
	return "> " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n> ")
}

// conversation returns what is known of the thread a message is in.
func (b *Bot) conversation(ctx context.Context, e event) (conversation, error) {
	var c conversation
	id, err := b.cfg.Sessions.Find(ctx, b.thread(e))
	if err == nil {
		c.id = id
		c.state, err = b.cfg.Sessions.Load(ctx, id)
	}
	if err != nil && session.CodeOf(err) != session.NotFound {
		return c, session.Wrap("bot.conversation", err)
	}
	if gone, ok := errors.AsType[*session.Removed](err); ok {
		return conversation{gone: gone}, nil
	}
	return c, nil
}
