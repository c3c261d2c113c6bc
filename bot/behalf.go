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

// shownRequest begins the keys of the messages that show requests.
const shownRequest = "asked/"

// maxShown is how much of a request its message shows; the log has all of it.
const maxShown = 3_000

// requested is the type of an event of our own: Slack has the message that shows a request, and it is time to do what it asks for.
const requested = "inspect_request"

// onBehalf posts a request in its author's name, so that everybody sees who asked for what, and then lets it be handled as if they had written
// that message: it is the prompt, replies to it are follow-ups. It waits for Slack to take the message, so it must not be called in the lane of
// a thread: a stop that somebody calls there does not wait.
func (b *Bot) onBehalf(ctx context.Context, r request) error {
	key := shownRequest + r.key
	if _, err := b.store.Message(ctx, key); session.CodeOf(err) == session.NotFound { // else it was found to be in order before a crash
		wrong, err := b.wrong(ctx, r)
		switch {
		case err != nil:
			return err
		case wrong != "" && r.about != "":
			return b.tell(ctx, "unasked/"+r.key, r.by.Slack, wrong)
		case wrong != "":
			return b.whisper(ctx, r.key, r.at, r.by.Slack, wrong)
		}
	}
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
	e := event{Type: requested, User: r.by.Slack, Text: escape(r.words), TS: m.TS, ThreadTS: r.at.thread, Channel: r.at.channel, About: r.about}
	return b.keep(ctx, session.Received{Key: "requested/" + r.key, Kind: eventsAPI, Payload: marshal(payload{Event: e}), Redacted: r.redacted}, e.Channel+":"+e.root())
}

// wrong says what is wrong with a request before anybody else sees it, in Slack's markup; "" if nothing is.
func (b *Bot) wrong(ctx context.Context, r request) (string, error) {
	var c conversation
	var err error
	if r.at.thread != "" {
		if c, err = b.conversation(ctx, event{Channel: r.at.channel, TS: r.at.thread}); err != nil {
			return "", err
		}
	}
	usual, _, err := b.usual(ctx, r.by, c)
	if err != nil {
		return "", err
	}
	task, o, why := readOptions(r.words, usual, b.cfg.ModelAvailable)
	if why == "" {
		why = settled(c, o)
	}
	if why == "" && task == "" {
		why = "There is no task in it."
	}
	if why == "" {
		return "", nil
	}
	shown, _ := cut(r.words, maxShown)
	return "Nothing was started from your request. " + escape(why) + "\n" + quoted(escape(shown)), nil
}

// request does what somebody asked for by other means than a message.
func (b *Bot) request(ctx context.Context, e event) error {
	c, err := b.conversation(ctx, e)
	if err != nil {
		return err
	}
	at := b.placeOf(e)
	by, ok, err := b.mayAct(ctx, e.User, at, e.root())
	if !ok {
		return err
	}
	if c.gone != nil {
		if err := b.whisper(ctx, "removed/"+e.key(), at, e.User, c.gone.Error()+anew); err != nil {
			return err
		}
	}
	return b.prompt(ctx, e, c, at, by, plain(e.Text, func(user string) string { return user }))
}

// anew is what is said to whoever begins again in a thread whose session was removed.
const anew = " I start a new one, which knows what was said in this thread but has nothing of the old one's work."

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
