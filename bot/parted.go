package bot

import (
	"context"

	"openinspect/session"
)

// parted ends what goes on in a channel that the bot is not in any more: it is stopped and collected, and what waited is withdrawn. That is said in
// the thread, where Slack does not take it; so those who take part learn of it by direct message.
func (b *Bot) parted(ctx context.Context, e event) error {
	why := "I was removed from the channel"
	if e.Type == "channel_deleted" || e.Type == "group_deleted" {
		why = "the channel was deleted"
	}
	open, err := b.store.Open(ctx)
	if err != nil {
		return session.Wrap("bot.parted", err)
	}
	for _, id := range open {
		st, err := b.cfg.Sessions.Load(ctx, id)
		if session.CodeOf(err) == session.NotFound || err == nil && st.Session.Thread.Channel != e.Channel {
			continue
		}
		if err == nil {
			err = b.cfg.Sessions.Send(ctx, id, session.Closed{ID: e.Type + "/" + e.EventTS, Why: why})
		}
		if err != nil && !refused(err) { // one that is closed needs nothing
			return session.Wrap("bot.parted", err)
		}
	}
	return nil
}
