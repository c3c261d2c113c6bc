package bot

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"openinspect/session"
)

// mayMean is the quick look of the socket loop at a reaction: whether it may mean something, and the thread it is in as far as is known.
func (b *Bot) mayMean(ctx context.Context, e event) (lane string, ours bool, err error) {
	if e.User == b.self.user || e.User == "" || e.Item.Type != "message" || !b.known(e) {
		return "", false, nil
	}
	m, err := b.store.MessageAt(ctx, e.Item.Channel, e.Item.TS)
	switch {
	case session.CodeOf(err) == session.NotFound:
		return e.Item.Channel + ":" + e.Item.TS, e.ItemUser == b.self.user, nil // perhaps posted a moment ago
	case err != nil:
		return "", false, session.Wrap("bot.MessageAt", err)
	}
	if m, err = b.ofRequest(ctx, m); err != nil {
		return "", false, err
	}
	return m.Channel + ":" + m.Thread, b.means(e, m), nil
}

// taken is Slack's event of a reaction that somebody took off again.
const taken = "reaction_removed"

// known reports whether a reaction, or that it was taken off, is one of ours.
func (b *Bot) known(e event) bool {
	switch emojiName(e.Reaction) {
	case b.cfg.ApproveEmoji, b.cfg.MergeEmoji:
		return true
	case b.cfg.StopEmoji:
		return e.Type != taken // what was stopped is stopped
	}
	return false
}

// means reports whether a reaction means something on one of our messages.
func (b *Bot) means(e event, m session.Message) bool {
	return m.Session != "" && (emojiName(e.Reaction) == b.cfg.StopEmoji || m.Subject.Card != "")
}

// ofRequest completes a message of ours that shows what somebody asked for by a command or a form: their request is its prompt.
func (b *Bot) ofRequest(ctx context.Context, m session.Message) (session.Message, error) {
	if m.Session != "" || m.User != "" || m.TS == "" || !strings.HasPrefix(m.Key, shownRequest) {
		return m, nil
	}
	m.Thread = cmp.Or(m.Thread, m.TS)
	id, err := b.cfg.Sessions.Find(ctx, session.Thread{Team: b.self.team, Channel: m.Channel, TS: m.Thread})
	if session.CodeOf(err) == session.NotFound {
		return m, nil
	}
	m.Session, m.Subject.PromptID = id, m.TS
	return m, session.Wrap("bot.ofRequest", err)
}

// takenBack takes back a request that waits, which is shown in a message of ours, so that its author cannot delete it. done is false if it does not wait.
func (b *Bot) takenBack(ctx context.Context, m session.Message, key string, at place, by session.Person) (done bool, err error) {
	st, err := b.cfg.Sessions.Load(ctx, m.Session)
	if err != nil {
		return false, session.Wrap("bot.takenBack", err)
	}
	i := slices.IndexFunc(st.Prompts, func(p session.Prompt) bool { return p.ID == m.Subject.PromptID })
	if i < 0 || st.Session.Turn != nil && st.Session.Turn.PromptID == m.Subject.PromptID {
		return false, nil
	}
	if author := st.Prompts[i].Author; author.Slack != by.Slack {
		return true, b.whisper(ctx, key, at, by.Slack, "That request has not begun, and only "+escape(author.Name)+" can take it back. `!close` in its thread takes back all that waits.")
	}
	err = b.cfg.Sessions.Send(ctx, m.Session, session.Withdrawn{By: by, PromptID: m.Subject.PromptID, Kept: true})
	if refused(err) {
		return true, b.whisper(ctx, key, at, by.Slack, escape(session.Sentence(err)))
	}
	return true, session.Wrap("bot.takenBack", err)
}

// emojiName is a reaction without its skin tone.
func emojiName(s string) string {
	name, _, _ := strings.Cut(s, "::")
	return name
}

var errUnconfirmed = session.Errorf(session.Unavailable, "Slack has not confirmed that message yet. Please try again in a minute.")

// ours returns our message at a place; NotFound if it is not one of ours. It may have been posted a moment ago.
func (b *Bot) ours(ctx context.Context, channel, ts string) (session.Message, error) {
	m, err := b.store.MessageAt(ctx, channel, ts)
	if session.CodeOf(err) == session.NotFound {
		settled := b.sender.settle(ctx, channel)
		m, err = b.store.MessageAt(ctx, channel, ts)
		if session.CodeOf(err) == session.NotFound && !settled {
			return m, errUnconfirmed
		}
	}
	return m, err
}

// reaction carries out a ✅ or 🚢 on a card or a 🛑 on a turn, or that one of the first two was taken off.
func (b *Bot) reaction(ctx context.Context, e event) error {
	m, err := b.ours(ctx, e.Item.Channel, e.Item.TS)
	switch {
	case session.CodeOf(err) == session.NotFound:
		return b.forgotten(ctx, e)
	case err != nil:
		return session.Wrap("bot.MessageAt", err)
	}
	if m, err = b.ofRequest(ctx, m); err != nil || !b.means(e, m) {
		return err
	}
	at := place{channel: m.Channel, thread: m.Thread}
	if e.Type == taken {
		return b.unreacted(ctx, e, m, at)
	}
	by, ok, err := b.mayApprove(ctx, e, m, at, m.Thread)
	if !ok {
		return err
	}
	key := "reaction/" + m.Channel + "/" + e.Item.TS + "/" + e.User + "/" + emojiName(e.Reaction) + "/" + cmp.Or(e.EventTS, slackTime(e.put))
	if fresh, err := b.isNew(ctx, e); err != nil || !fresh { // what decides it may have come while it was being stored, or waited
		return err
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	if strings.HasPrefix(m.Key, shownRequest) {
		if done, err := b.takenBack(ctx, m, key, at, by); done || err != nil {
			return err
		}
	}
	var in session.Input
	switch {
	case emojiName(e.Reaction) == b.cfg.ApproveEmoji:
		in = session.Approved{ID: key, By: by, Card: m.Subject.Card, Emoji: emojiName(e.Reaction), Seconds: m.Subject.Approval, Put: e.put}
	case emojiName(e.Reaction) == b.cfg.MergeEmoji:
		if in, err = b.mergeAsked(ctx, key, by, m, e.put); err != nil {
			return err
		}
	case m.Subject.PromptID == "":
		return b.whisper(ctx, key, at, e.User, "That message belongs to no turn. To stop what runs, react on its status message or write `stop`.")
	default:
		in = session.StopAsked{ID: key, By: by, PromptID: m.Subject.PromptID}
	}
	err = b.cfg.Sessions.Send(ctx, m.Session, in)
	switch {
	case refused(err):
		if err := b.refusedApproval(ctx, key, e, m, by, session.Sentence(err)); err != nil {
			return err
		}
		return b.whisper(ctx, key, at, e.User, escape(session.Sentence(err)))
	case err != nil:
		return session.Wrap("bot.reaction", err)
	}
	if _, stop := in.(session.StopAsked); stop || by.GitHub != nil {
		return nil // what comes of it is told by the log
	}
	st, err := b.cfg.Sessions.Load(ctx, m.Session)
	if err != nil {
		return session.Wrap("bot.reaction", err)
	}
	if linking(st, by.Slack) {
		return b.linkFor(ctx, m.Session, by, at, key)
	}
	return nil
}

// unreacted takes back what somebody's reaction asked for, as far as that can be.
func (b *Bot) unreacted(ctx context.Context, e event, m session.Message, at place) error {
	by, refusal, silent, err := b.who(ctx, e.User, at.channel)
	if err != nil || silent || refusal != "" {
		return err // nothing came of the reaction either
	}
	key := "unreaction/" + m.Channel + "/" + e.Item.TS + "/" + e.User + "/" + emojiName(e.Reaction) + "/" + cmp.Or(e.EventTS, slackTime(e.put))
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	err = b.cfg.Sessions.Send(ctx, m.Session, session.Unreacted{ID: key, By: by, Card: m.Subject.Card, At: e.put, Merge: emojiName(e.Reaction) == b.cfg.MergeEmoji})
	switch {
	case session.CodeOf(err) == session.NotFound:
		return nil // what was on it is history
	case refused(err):
		return b.whisper(ctx, key, at, e.User, prose(session.Sentence(err)))
	}
	return session.Wrap("bot.unreacted", err)
}

// forgotten answers an approval of a message of ours that we do not know: its session was removed, or is not in the backup that was restored.
func (b *Bot) forgotten(ctx context.Context, e event) error {
	if e.ItemUser != b.self.user || !b.approves(e) || isDirect(e.Item.Channel) {
		return nil
	}
	at := place{channel: e.Item.Channel}
	by, ok, err := b.mayApprove(ctx, e, session.Message{}, at, e.Item.TS)
	if !ok {
		return err
	}
	key := "forgotten/" + e.Item.Channel + "/" + e.Item.TS + "/" + e.User
	if err := b.refusedApproval(ctx, key, e, session.Message{}, by, "the bot does not know message "+e.Item.TS+" of "+e.Item.Channel+" any more"); err != nil {
		return err
	}
	return b.whisper(ctx, key, at, e.User, "I do not know that message any more, so nothing came of your reaction: sessions are not kept for ever. Mention me in its thread to start anew.")
}
