package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// What of a thread is quoted to the agent when it is called into one: the message that opened it and the newest.
const (
	maxQuoted = 20
	maxQuote  = 1_024 // characters of one message
	maxRead   = 2_000 // messages of one thread
)

// readThread reads the thread a session was opened in, once. Events come in any order, so what was said after the message that opened
// the session may have passed the socket already, when nothing was known of the thread: it goes through the inbox, whose dedupe lets
// each message pass once. What was said before is returned as a quotation, with the message's own files, which
// app_mention events may lack.
func (b *Bot) readThread(ctx context.Context, e event) (quoted string, files []file, err error) {
	said, err := b.replies(ctx, e)
	if err != nil {
		if session.CodeOf(err) == session.Unavailable {
			return "", nil, err
		}
		b.logger.Warn("reading a thread; the agent gets the message alone", "channel", e.Channel, "thread", e.root(), "error", err)
		return "", nil, b.blind(ctx, e, err)
	}
	var before []slack.Message
	for _, m := range said {
		switch {
		case m.Timestamp < e.TS:
			before = append(before, m)
		case m.Timestamp == e.TS:
			files = append(files, asEvent(m, e.Channel, e.root()).Files...)
		default:
			if err := b.late(ctx, e, m); err != nil {
				return "", nil, err
			}
		}
	}
	if quoted, err = b.quote(ctx, e.About, before); err != nil {
		return "", nil, err
	}
	shown, err := b.filesAt(ctx, e, before)
	return quoted, append(shown, files...), err
}

// blind tells a thread that it cannot be read, and who can mend that.
func (b *Bot) blind(ctx context.Context, e event, err error) error {
	refusal, _ := errors.AsType[slack.SlackErrorResponse](err)
	why := "Slack says `" + escape(refusal.Err) + "`."
	if refusal.Err == "missing_scope" {
		why = "the app lacks the scope `" + escape(cmp.Or(refusal.Needed, "channels:history")) + "`. Whoever runs me has to add it on the app's page OAuth & Permissions, and to install the app again."
	} else if absent(err) {
		why = "I am not in this conversation. Invite me with `/invite @" + escape(b.self.name) + "`."
	}
	return b.put(ctx, session.Message{Key: "blind/" + e.Channel + "/" + e.root(), Op: session.MessagePost, Channel: e.Channel, Thread: e.root(), Urgent: true,
		Text: "I cannot read what is said in this thread: " + why + " So I know your request alone, and replies may not reach me unless they mention me.", Subject: session.Subject{Kind: "notice"}})
}

// pointedAt quotes the message that a request is about, where the agent knows the rest of the thread already, and returns its files.
func (b *Bot) pointedAt(ctx context.Context, e event) (quoted string, files []file, err error) {
	said, err := b.replies(ctx, e)
	if err != nil {
		if session.CodeOf(err) == session.Unavailable {
			return "", nil, err
		}
		b.logger.Warn("reading a thread; the agent gets the request alone", "channel", e.Channel, "thread", e.root(), "error", err)
		return "", nil, nil
	}
	said = slices.DeleteFunc(said, func(m slack.Message) bool { return m.Timestamp != e.About })
	if quoted, err = b.quote(ctx, e.About, said); err != nil {
		return "", nil, err
	}
	files, err = b.filesAt(ctx, e, said)
	return quoted, files, err
}

// filesAt are the files of the message that a request is about, if there is one. Those of guests are left out, as their words are.
func (b *Bot) filesAt(ctx context.Context, e event, said []slack.Message) ([]file, error) {
	i := slices.IndexFunc(said, func(m slack.Message) bool { return m.Timestamp == e.About })
	if i < 0 {
		return nil, nil
	}
	files := asEvent(said[i], e.Channel, e.root()).all()
	if len(files) == 0 || said[i].User == "" {
		return files, nil
	}
	who, err := b.person(ctx, said[i].User)
	if err != nil || who.guest && !b.cfg.AllowGuests {
		return nil, err
	}
	return files, nil
}

// whole is a mention with what app_mention events may lack: its files, and the messages that it forwards.
func (b *Bot) whole(ctx context.Context, e event) (event, error) {
	if e.Type != "app_mention" || len(e.Files)+len(e.Attachments) > 0 {
		return e, nil
	}
	said, _, _, err := b.api.GetConversationRepliesContext(ctx,
		&slack.GetConversationRepliesParameters{ChannelID: e.Channel, Timestamp: e.root(), Oldest: e.TS, Latest: e.TS, Inclusive: true, Limit: 10})
	if err != nil {
		if err = b.outside("conversations.replies", err); session.CodeOf(err) == session.Unavailable {
			return e, err
		}
		b.logger.Warn("reading a mention's files; the agent gets its text alone", "channel", e.Channel, "thread", e.root(), "error", err)
		return e, nil
	}
	for _, m := range said {
		if m.Timestamp == e.TS {
			read := asEvent(m, e.Channel, e.root())
			e.Files, e.Attachments = read.Files, read.Attachments
		}
	}
	return e, nil
}

// replies reads a thread: all of it, or of a long one its beginning, what came before e and since, and what e is about.
func (b *Bot) replies(ctx context.Context, e event) ([]slack.Message, error) {
	all, whole, err := b.repliesSince(ctx, e.Channel, e.root(), "")
	if err != nil || whole {
		return all, err
	}
	head := all[len(all)-1].Timestamp
	newer := func(m slack.Message) bool { return m.Timestamp > head }
	about := func(m slack.Message) bool { return m.Timestamp == e.About }
	for _, back := range []string{slackTime(timeOf(e.TS).Add(-time.Hour)), slackTime(timeOf(e.TS).AddDate(0, 0, -1)), head} {
		newest, whole, err := b.repliesSince(ctx, e.Channel, e.root(), max(head, back))
		if err != nil {
			return nil, err
		}
		newest = slices.DeleteFunc(newest, func(m slack.Message) bool { return !newer(m) })
		before := slices.IndexFunc(newest, func(m slack.Message) bool { return m.Timestamp >= e.TS })
		if back > head && whole && 0 <= before && before < maxQuoted {
			continue // it takes more than that
		}
		all = append(all, newest...)
		break
	}
	if e.About == "" || slices.ContainsFunc(all, about) {
		return all, nil
	}
	said, _, _, err := b.api.GetConversationRepliesContext(ctx,
		&slack.GetConversationRepliesParameters{ChannelID: e.Channel, Timestamp: e.root(), Oldest: e.About, Latest: e.About, Inclusive: true, Limit: 10})
	if err != nil {
		return nil, b.outside("conversations.replies", err)
	}
	if i := slices.IndexFunc(said, about); i >= 0 {
		at, _ := slices.BinarySearchFunc(all, said[i], func(m, n slack.Message) int { return strings.Compare(m.Timestamp, n.Timestamp) })
		all = slices.Insert(all, at, said[i])
	}
	return all, nil
}

// repliesSince reads a thread's opening message and what was said from a time on, or all if that is empty. whole is false if it is more than is
// read.
func (b *Bot) repliesSince(ctx context.Context, channel, root, from string) (all []slack.Message, whole bool, err error) {
	ask := slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: root, Limit: 200, Inclusive: true, Oldest: from}
	for {
		page, more, cursor, err := b.api.GetConversationRepliesContext(ctx, &ask)
		if err != nil {
			return nil, refusalOf(err) == "thread_not_found", b.outside("conversations.replies", err)
		}
		all = append(all, page...)
		if !more || cursor == "" {
			return all, true, nil
		}
		if len(all) >= b.maxRead {
			return all, false, nil
		}
		ask.Cursor = cursor
	}
}

// asEvent is a message as an event brings it.
func asEvent(m slack.Message, channel, root string) event {
	e := event{Type: "message", Subtype: m.SubType, User: m.User, BotID: m.BotID, Text: m.Text, TS: m.Timestamp, ThreadTS: m.ThreadTimestamp, Channel: channel}
	if root != m.Timestamp {
		e.ThreadTS = root
	}
	for _, f := range m.Files {
		e.Files = append(e.Files, described(f))
	}
	for _, a := range m.Attachments {
		shared := attachment{Share: a.IsShare, Unfurl: a.IsMsgUnfurl, Author: a.AuthorID, Name: a.AuthorName, Text: a.Text, Fallback: a.Fallback}
		for _, f := range a.Files {
			shared.Files = append(shared.Files, described(f))
		}
		e.Attachments = append(e.Attachments, shared)
	}
	return e
}

// late puts a message of a thread that a session was opened in into the inbox.
func (b *Bot) late(ctx context.Context, opened event, m slack.Message) error {
	e := asEvent(m, opened.Channel, opened.root())
	e.ChannelType = opened.ChannelType
	return b.offer(ctx, "read/"+e.Channel+"/"+e.TS, e, opened.late)
}

// overtook reports whether a message in a thread without a session has come before an earlier one that is for us: a stop, say, before the task
// that it is to stop. Then that one is taken, and the message once more behind it. Slack sends again for some minutes what did not arrive; what
// is older was taken, or was no task.
func (b *Bot) overtook(ctx context.Context, e event) (bool, error) {
	if !e.inThread() {
		return false, nil
	}
	again := "again/" + e.key()
	if _, err := b.store.Seen(ctx, again); session.CodeOf(err) != session.NotFound {
		return false, session.Wrap("bot.overtook", err)
	}
	from := slackTime(timeOf(e.TS).Add(-overlap))
	said, _, err := b.repliesSince(ctx, e.Channel, e.root(), from)
	if err != nil {
		if session.CodeOf(err) == session.Unavailable {
			return false, err
		}
		b.logger.Warn("reading a thread; what steers there may have come too early", "channel", e.Channel, "thread", e.root(), "error", err)
		return false, nil
	}
	for _, m := range said {
		if m.Timestamp >= e.TS || m.Timestamp < from { // the opening message is there, however old it is
			continue
		}
		if err := b.late(ctx, e, m); err != nil {
			return false, err
		}
	}
	left, err := b.store.Inbox(ctx)
	if err != nil {
		return false, session.Wrap("bot.overtook", err)
	}
	waits := slices.ContainsFunc(left, func(r session.Received) bool {
		return slices.ContainsFunc(said, func(m slack.Message) bool { return m.Timestamp < e.TS && r.Also == e.Channel+":"+m.Timestamp })
	})
	if !waits {
		return false, nil
	}
	r := session.Received{Key: again, Kind: eventsAPI, Payload: marshal(payload{Event: e}), Redacted: e.redacted, Late: e.late}
	return true, b.keep(ctx, r, e.Channel+":"+e.root())
}

// quote writes messages down for the agent, each with its author's name; the one that the request is about stands out, if there is one.
// What guests said is left out, and that it is.
func (b *Bot) quote(ctx context.Context, about string, said []slack.Message) (string, error) {
	var lines []string
	guests := 0
	for i, m := range said {
		ours := m.User == b.self.user && m.Timestamp != about
		if ours || i > 0 && i < len(said)-maxQuoted && m.Timestamp != about {
			continue
		}
		text := plain(m.Text, func(user string) string { return b.nameOf(ctx, user) })
		for _, a := range m.Attachments {
			if a.IsShare || text == "" { // a forwarded message, or an alert of another app's that has no text of its own
				text = strings.TrimSpace(text + "\n" + plain(cmp.Or(a.Text, a.Fallback), func(user string) string { return b.nameOf(ctx, user) }))
			}
		}
		if files := asEvent(m, "", "").all(); text == "" && len(files) > 0 {
			text = "(" + plural(len(files), "file") + ", without words)"
		}
		if text == "" {
			continue
		}
		name := session.OneLine(cmp.Or(m.Username, m.BotID), 80)
		if m.User != "" {
			who, err := b.person(ctx, m.User)
			switch {
			case err != nil:
				return "", err
			case who.guest && !b.cfg.AllowGuests:
				guests++
				continue
			}
			name = who.name
		}
		text, _ = cut(text, maxQuote)
		line := name + ": " + text
		if m.Timestamp == about {
			line = "(The request is about this message:) " + line
		}
		lines = append(lines, line)
	}
	if guests > 0 {
		lines = append(lines, fmt.Sprintf("(Messages of guests are left out: %d.)", guests))
	}
	return strings.Join(lines, "\n"), nil
}

// attachment is what Slack attaches to a message: a forwarded message, among other things.
type attachment struct {
	Share    bool   `json:"is_share,omitempty"`
	Unfurl   bool   `json:"is_msg_unfurl,omitempty"`
	Author   string `json:"author_id,omitempty"`
	Name     string `json:"author_name,omitempty"`
	Text     string `json:"text,omitempty"`
	Fallback string `json:"fallback,omitempty"`
	Files    []file `json:"files,omitempty"`
}

// maxForwarded is how many forwarded messages of one message are passed on.
const maxForwarded = 10

// forwarded quotes the messages that somebody forwarded with theirs.
func (b *Bot) forwarded(ctx context.Context, e event) string {
	var lines []string
	for _, a := range e.Attachments {
		text := plain(cmp.Or(a.Text, a.Fallback), func(user string) string { return b.nameOf(ctx, user) })
		if !a.Share || text == "" || len(lines) == maxForwarded {
			continue
		}
		name := session.OneLine(a.Name, 80)
		if a.Author != "" {
			name = b.nameOf(ctx, a.Author)
		}
		text, _ = cut(text, maxQuote)
		lines = append(lines, "(Forwarded:) "+cmp.Or(name, "somebody")+": "+text)
	}
	return strings.Join(lines, "\n")
}
