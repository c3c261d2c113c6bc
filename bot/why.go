package bot

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// What became of a message is told from what is stored: its prompts, what was answered to it, and for a day whether it reached us. Of messages
// that are not for us nothing is stored, so why they are not is what the rules say now.

// permalink is a message's address, as Slack makes it: docs.slack.dev, chat.getPermalink.
var permalink = regexp.MustCompile(`/archives/([A-Z0-9]+)/p(\d{10})(\d{6})(?:\?(?:[^\s>|]*&(?:amp;)?)?thread_ts=(\d{10}\.\d{6}))?`)

// whyHere answers !why: about the newest message of whoever asks, or about the one whose link they give.
func (b *Bot) whyHere(ctx context.Context, s steering) error {
	e, problem, err := b.meant(ctx, s)
	if err != nil {
		return err
	}
	if problem == "" {
		if problem, err = b.became(ctx, s.by.Slack, e); err != nil {
			return err
		}
	}
	return b.whisper(ctx, s.key(), s.at, s.by.Slack, problem)
}

// meant finds the message that a !why is about. A link to elsewhere is not followed: whoever asks may not be there.
func (b *Bot) meant(ctx context.Context, s steering) (e event, problem string, err error) {
	at, ts := s.e, ""
	if m := permalink.FindStringSubmatch(s.e.Text); m != nil {
		if m[1] != s.e.Channel {
			return e, "That message is in another conversation. Use the shortcut *What became of this?* on it.", nil
		}
		ts = m[2] + "." + m[3]
		at.TS, at.ThreadTS = ts, m[4]
	} else if whyLink.MatchString(withoutUs(s.e.Text, b.self.user)) {
		return e, "That is no link to a message. *Copy link*, in a message's menu, makes one.", nil
	}
	said, err := b.replies(ctx, at)
	if err != nil && session.CodeOf(err) == session.Unavailable {
		return e, "", err
	}
	for _, m := range slices.Backward(said) {
		found := event{Type: "message", Subtype: m.SubType, User: m.User, BotID: m.BotID, Text: m.Text, TS: m.Timestamp, ThreadTS: m.ThreadTimestamp, Channel: s.e.Channel, ChannelType: s.e.ChannelType}
		if m.Edited != nil {
			found.edit = m.Edited.Timestamp
		}
		word, _ := readControl(withoutUs(m.Text, b.self.user), mentions(m.Text, b.self.user))
		if found.TS == ts || ts == "" && m.User == s.by.Slack && found.TS < s.e.TS && word != controlWhy {
			return found, "", nil
		}
	}
	if ts != "" {
		return e, "I cannot find that message any more.", nil
	}
	return e, "You have said nothing else in this thread. Reply `!why` in the thread of the message you mean, or use the shortcut *What became of this?* on it.", nil
}

// whyForm answers the shortcut.
func (b *Bot) whyForm(ctx context.Context, s *shortcut) error {
	return b.show(ctx, s.Trigger, s.key(), s.User.ID, func() (slack.ModalViewRequest, error) {
		_, refusal, silent, err := b.who(ctx, s.User.ID, s.Channel.ID)
		if err != nil || silent || refusal != "" {
			return modal("", "", section(refusal)), err
		}
		e := s.Message
		e.Type, e.Channel = "message", s.Channel.ID
		if e.Edited != nil {
			e.edit, e.Edited = e.Edited.TS, nil
		}
		text, err := b.became(ctx, s.User.ID, e)
		return modal("", "", section(text)), err
	})
}

// became says what became of a message, in Slack's markup.
func (b *Bot) became(ctx context.Context, asker string, e event) (string, error) {
	c, err := b.conversation(ctx, e)
	if err != nil {
		return "", err
	}
	var past []session.Prompt
	if c.id != "" {
		if past, err = b.store.Prompts(ctx, c.id); err != nil {
			return "", session.Wrap("bot.became", err)
		}
	}
	if e.User == b.self.user {
		return b.becameOurs(ctx, c, e, past)
	}
	if c.gone != nil {
		return escape(c.gone.Error()), nil
	}
	said := slices.DeleteFunc(slices.Clone(past), func(p session.Prompt) bool { return !p.Of(e.TS) })
	came, err := b.store.Seen(ctx, e.Channel+":"+e.TS)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return "", session.Wrap("bot.became", err)
	}
	if len(said) > 0 {
		return b.becamePrompts(ctx, c, e.TS, said), nil
	}
	if !e.spoken() {
		return "A person did not write it, or Slack shows it in another's name, so it was not for me.", nil
	}
	reached := ""
	if !came.IsZero() {
		reached = "It reached me " + b.when(came) + ". "
	}
	answer, err := b.answered(ctx, asker, e)
	if answer != "" || err != nil {
		return reached + answer, err
	}
	if _, refusal, silent, err := b.who(ctx, e.User, e.Channel); err != nil || silent || refusal != "" {
		return strings.TrimSpace(reached + cmp.Or(refusal, "Its author is a bot or has left, so it was not taken.")), err
	}
	word, slip := readControl(withoutUs(e.Text, b.self.user), mentions(e.Text, b.self.user))
	if !b.listens(e, c, word, slip) {
		return b.passedBy(e, c), nil
	}
	away := false
	if came.IsZero() {
		if away, err = b.awayFrom(ctx, e.Channel); err != nil {
			return "", err
		}
	}
	heard := slices.ContainsFunc(c.state.Session.Seen, func(id string) bool { return id == e.TS || id == "stop/"+e.TS })
	switch {
	case word != controlNone && heard:
		return reached + "I did what it asks for: " + code(string(word)) + ".", nil
	case !came.IsZero():
		return reached + "Nothing was to be run for it: it answered a question of mine, or I am still at it.", nil
	case away:
		return "It was for me, but I am not in that conversation, so it did not reach me. Invite me with `/invite @" + escape(b.self.name) + "`, then send it again.", nil
	case b.clock.Now().Sub(timeOf(e.TS)) < 24*time.Hour:
		return "It was for me, and it never reached me: I was away, or Slack did not deliver it. Please send it again.", nil
	}
	return "I have no record of it. What reaches me is remembered for a day, and prompts for as long as their session.", nil
}

// awayFrom reports whether we are not in a conversation.
func (b *Bot) awayFrom(ctx context.Context, channel string) (bool, error) {
	info, err := b.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
	switch {
	case refusalOf(err) == "channel_not_found":
		return true, nil
	case err != nil:
		return false, b.outside("conversations.info", err)
	}
	return !info.IsMember && !info.IsIM, nil
}

// becamePrompts tells of a message that was taken: of each of its prompts, the message itself and what corrected it.
func (b *Bot) becamePrompts(ctx context.Context, c conversation, ts string, said []session.Prompt) string {
	var lines []string
	for _, p := range said {
		subject := "It was taken " + b.when(p.At)
		switch {
		case p.Retries != "" && p.ID != ts:
			subject = "It was run again, as " + escape(p.AskedBy.Name) + " asked " + b.when(p.At)
		case p.Corrects != "":
			subject = "Its edit came " + b.when(p.At) + ", when the agent had it, and is a prompt of its own"
		case p.Retries != "":
			subject = "It had another message run again, " + b.when(p.At)
		}
		lines = append(lines, subject+". "+b.fate(c, p))
	}
	if v := b.presenter.view(ctx, c.state.Session); v.logURL != "" {
		lines = append(lines, "The <"+v.logURL+"|log> has all of it.")
	}
	return strings.Join(lines, "\n")
}

// fate says where a prompt stands.
func (b *Bot) fate(c conversation, p session.Prompt) string {
	reason := ""
	if p.Reason != "" {
		reason = " " + prose(p.Reason)
	}
	switch p.State {
	case session.PromptDone:
		return "It was done " + b.when(p.Ended) + "."
	case session.PromptFailed:
		return "It failed " + b.when(p.Ended) + "." + reason
	case session.PromptStopped:
		return "It was stopped " + b.when(p.Ended) + "." + reason
	case session.PromptWithdrawn:
		return "It was taken back " + b.when(p.Ended) + ", before the agent had it." + reason
	case session.PromptQueued, session.PromptRunning:
	}
	s := c.state.Session
	if s.Turn != nil && s.Turn.PromptID == p.ID {
		if s.Turn.Stopping {
			return "It is being stopped."
		}
		if s.Turn.State == session.TurnStarted {
			return "Its turn has begun; the sandbox: " + sandboxWords(s.Sandbox) + "."
		}
		return "The agent works on it."
	}
	if s.Await == session.AwaitRepository {
		return "It waits for " + escape(s.Requester.Name) + " to say which repository this is about."
	}
	before := 0
	for _, q := range c.state.Prompts {
		if q.ID == p.ID {
			break
		}
		before++
	}
	return "It is queued behind " + plural(before, "other") + "."
}

// answered returns what was answered to a message that led to no prompt; to somebody else than its author only that it was.
func (b *Bot) answered(ctx context.Context, asker string, e event) (string, error) {
	plain := e
	plain.edit = ""
	keys := []string{"sorry/" + e.Channel + ":" + e.TS}
	for _, key := range []string{e.key(), plain.key()} {
		for _, kind := range []string{"refused/", "empty/", "files/", "control/", "edit/", "removed/"} {
			keys = append(keys, kind+key)
		}
	}
	for _, key := range keys {
		m, err := b.store.Message(ctx, key)
		switch {
		case session.CodeOf(err) == session.NotFound:
			continue
		case err != nil:
			return "", session.Wrap("bot.answered", err)
		case asker != e.User:
			return "No turn came of it; I answered its author alone.", nil
		}
		text, _ := cut(m.Text, maxQuote)
		return "This was the answer:\n" + quoted(text), nil
	}
	return "", nil
}

// becameOurs tells what a message of ours is about.
func (b *Bot) becameOurs(ctx context.Context, c conversation, e event, past []session.Prompt) (string, error) {
	m, err := b.store.MessageAt(ctx, e.Channel, e.TS)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return "", session.Wrap("bot.became", err)
	}
	i := slices.IndexFunc(past, func(p session.Prompt) bool { return p.ID == cmp.Or(m.Subject.PromptID, e.TS) })
	if i < 0 {
		return "I wrote that.", nil
	}
	p := past[i]
	return "I wrote that about the message of " + escape(p.Author.Name) + ": “" + escape(short(p.Text, 200)) + "” " + b.fate(c, p), nil
}

// when is a time in words.
func (b *Bot) when(at time.Time) string {
	at = at.UTC()
	if b.clock.Now().UTC().Format(time.DateOnly) == at.Format(time.DateOnly) {
		return "at " + at.Format("15:04:05 MST")
	}
	return "on " + at.Format("2006-01-02 at 15:04 MST")
}

// timeOf is the time that a message's ts says.
func timeOf(ts string) time.Time {
	seconds, _, _ := strings.Cut(ts, ".")
	var n int64
	for _, d := range seconds {
		if d < '0' || d > '9' || n > 1<<40 {
			return time.Time{}
		}
		n = 10*n + int64(d-'0')
	}
	return time.Unix(n, 0)
}

// momentOf is the time that Slack's ts of an event says, to the microsecond.
func momentOf(ts string) time.Time {
	_, micros, _ := strings.Cut(ts, ".")
	n, err := strconv.ParseUint((micros + "000000")[:6], 10, 32)
	if t := timeOf(ts); err == nil && !t.IsZero() {
		return t.Add(time.Duration(n) * time.Microsecond)
	}
	return time.Time{}
}
