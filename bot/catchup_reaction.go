package bot

import (
	"context"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// What people put on our messages while the bot was away is read there. Slack does not tell when it was put, so what was heard of before is known by
// the traces that it left.

// cards looks at the open cards of threads that were not read, and at the messages that ask for a second approval, for what people put on them
// meanwhile.
func (a *absence) cards(ctx context.Context) error {
	for _, l := range a.threads {
		var keys []string
		for _, c := range l.cards {
			key := "result/" + c.PromptID
			if c.Kind == session.CardPullRequest {
				key = cardKey(c.ID)
			}
			keys = append(keys, key)
		}
		for _, id := range l.names {
			keys = append(keys, nameKey(id))
		}
		for _, key := range keys {
			m, err := a.bot.store.Message(ctx, string(l.id)+"/"+key)
			if session.CodeOf(err) == session.NotFound || err == nil && m.TS == "" {
				continue
			}
			if err != nil {
				return session.Wrap("bot.cards", err)
			}
			reads, when := timed(ctx)
			on, err := a.bot.api.GetReactionsContext(reads, slack.NewRefToMessage(m.Channel, m.TS), slack.GetReactionsParameters{Full: true})
			if refusalOf(err) == "message_not_found" {
				continue
			}
			if err != nil {
				return a.bot.outside("reactions.get", err)
			}
			if err := a.reactions(ctx, m.TS, on.Reactions, when); err != nil {
				return err
			}
		}
	}
	return nil
}

// reactions gives the inbox what was on a message of ours when it was read. It knows those that came while the bot was here, unless they were taken off
// between that and the reading: then they have been put there again.
func (a *absence) reactions(ctx context.Context, ts string, all []slack.ItemReaction, when *reading) error {
	for _, r := range all {
		for _, user := range r.Users {
			e := event{Type: "reaction_added", User: user, Reaction: r.Name, ItemUser: a.bot.self.user}
			e.Item.Type, e.Item.Channel, e.Item.TS = "message", a.channel, ts
			came, err := a.bot.seen(ctx, e.trace())
			if err != nil {
				return err
			}
			off, err := a.bot.seen(ctx, e.takenOff())
			if err != nil {
				return err
			}
			if !came.IsZero() && !off.After(came) || !off.Before(when.from) {
				continue
			}
			e.off, e.asked, e.put = off, when.from, when.to
			if err := a.bot.offer(ctx, e.read(off), e, a.name); err != nil {
				return err
			}
		}
	}
	return a.takenOff(ctx, ts, all, when)
}

// takenOff tells the inbox of approvals that wait, on a message of ours, and whose reaction is not there any more: they would be carried out. A second
// one is on the message that asks for it.
func (a *absence) takenOff(ctx context.Context, ts string, all []slack.ItemReaction, when *reading) error {
	for _, l := range a.threads {
		if len(l.waiting) == 0 {
			continue
		}
		m, err := a.bot.store.MessageAt(ctx, a.channel, ts)
		if err != nil || m.Session != l.id {
			if session.CodeOf(err) == session.Unavailable {
				return session.Wrap("bot.takenOff", err)
			}
			continue
		}
		for _, p := range l.waiting {
			emoji := a.bot.cfg.ApproveEmoji
			if p.Kind == session.ApprovalMerge {
				emoji = a.bot.cfg.MergeEmoji
			}
			if p.Card != m.Subject.Card || p.Seconds != m.Subject.Approval || reacted(all, emoji, p.By.Slack) {
				continue
			}
			e := event{Type: taken, User: p.By.Slack, Reaction: emoji, ItemUser: a.bot.self.user, put: when.from}
			e.Item.Type, e.Item.Channel, e.Item.TS = "message", a.channel, ts
			if err := a.bot.offer(ctx, "taken/"+string(l.id)+"/"+p.ID+"/"+slackTime(when.from), e, a.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// isNew reports whether a reaction is to be heeded: it was not taken off since, which may have been heard of first, and one that Slack sends was not read on
// its message already. What was taken off and put on again is new: it is later than the reading was, by Slack's clock.
func (b *Bot) isNew(ctx context.Context, e event) (bool, error) {
	put := momentOf(e.EventTS)
	off, err := b.seen(ctx, e.takenOff())
	switch {
	case err != nil:
		return false, err
	case e.EventTS == "": // it was read
		return off.IsZero() || off.Before(e.put), nil
	case off.After(put):
		return false, nil
	}
	asked, err := b.seen(ctx, session.LastAsked(e.trace()))
	if err != nil || !asked.IsZero() && !asked.Before(put) { // what was read is this one, or came after it
		return false, err
	}
	at, err := b.seen(ctx, e.read(off))
	return err == nil && (at.IsZero() || at.Before(put)), err
}

// seen is when an event came; zero if none did.
func (b *Bot) seen(ctx context.Context, identity string) (time.Time, error) {
	at, err := b.store.Seen(ctx, identity)
	return at, session.Wrap("bot.Seen", ignore(err, session.NotFound))
}

// read names a reaction that was read on its message, after it was taken off there; zero: it never was. Those that Slack sent are no reason to take a
// later one for a repeat: they have their events' ids.
func (e event) read(off time.Time) string {
	key := "read/"
	if !off.IsZero() {
		key += slackTime(off) + "/"
	}
	return session.ReactionTrace + key + strings.TrimPrefix(e.trace(), session.ReactionTrace)
}

// takenOff is the trace that a reaction's removal leaves.
func (e event) takenOff() string {
	return session.ReactionTrace + "off/" + strings.TrimPrefix(e.trace(), session.ReactionTrace)
}

// trace names a reaction, whether it was sent or read.
func (e event) trace() string {
	return session.ReactionTrace + e.Item.Channel + "/" + e.Item.TS + "/" + e.User + "/" + e.Reaction
}
