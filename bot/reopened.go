package bot

import (
	"context"

	"openinspect/session"
)

// A channel that takes nothing is archived, or the bot was removed from it. What it had to say there is refused; a status message says that somebody
// works until Slack takes its last edit. Once somebody speaks in the channel, or it is read after an absence, that is made up for.

// recall remembers the channels in which an earlier run could say nothing.
func (b *Bot) recall(ctx context.Context) error {
	refused, err := b.store.Refused(ctx)
	if err != nil {
		return session.Wrap("bot.recall", err)
	}
	for _, m := range refused {
		if shuts(m.Failed) {
			b.sender.shut(m.Channel)
		}
	}
	return nil
}

// shut notes that a channel takes nothing.
func (s *sender) shut(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed[channel] = true
}

// alive notes that something was said in a channel, so that we may say something there, too. It returns at once.
func (b *Bot) alive(channel string) {
	s := &b.sender
	s.mu.Lock()
	shut := s.closed[channel]
	delete(s.closed, channel)
	if shut {
		delete(s.pulses.off, channel)
	}
	s.mu.Unlock()
	if !shut {
		return
	}
	b.errands.run(func() {
		if err := b.reopened(b.running, channel); err != nil && b.running.Err() == nil {
			b.logger.Error("saying in a channel what could not be said there; the next message there tries again", "channel", channel, "error", err)
			s.shut(channel)
		}
	})
}

// reopened has tried again what a channel did not take, but for what was for one person or a moment. If it is closed still, that is refused as before.
func (b *Bot) reopened(ctx context.Context, channel string) error {
	refused, err := b.store.Refused(ctx)
	if err != nil {
		return session.Wrap("bot.reopened", err)
	}
	var keys []string
	for _, m := range refused {
		if m.Channel == channel && shuts(m.Failed) && (m.Op == session.MessagePost || m.Op == session.MessageFile) {
			keys = append(keys, m.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	if err := b.store.TryAgain(ctx, keys...); err != nil {
		return session.Wrap("bot.reopened", err)
	}
	b.logger.Info("a channel takes messages again; what could not be said there is said now", "channel", channel, "messages", len(keys))
	b.sender.wake()
	return nil
}
