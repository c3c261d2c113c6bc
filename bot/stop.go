package bot

import (
	"context"

	"openinspect/session"
)

// mayStop is the quick look of the socket loop at Slack's own stop button, which it draws on a thread while we say that we work there.
// docs.slack.dev, "agent_session_stopped event".
func (b *Bot) mayStop(ctx context.Context, e event) (bool, error) {
	if e.User == "" || e.User == b.self.user || e.Channel == "" || e.root() == "" {
		return false, nil
	}
	_, err := b.cfg.Sessions.Find(ctx, b.thread(e))
	if session.CodeOf(err) == session.NotFound {
		return false, nil
	}
	return err == nil, session.Wrap("bot.Find", err)
}

// agentStopped stops the turn for which somebody was shown Slack's stop button. The event does not say which that is, but when.
func (b *Bot) agentStopped(ctx context.Context, e event) error {
	at := place{channel: e.Channel, thread: e.root()}
	by, ok, err := b.mayAct(ctx, e.User, at, e.root())
	if !ok {
		return err
	}
	key := "agent/" + e.Channel + "/" + e.root() + "/" + e.User + "/" + e.EventTS
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	c, err := b.conversation(ctx, e)
	if err != nil || c.id == "" {
		return err
	}
	err = b.stopAt(ctx, c, key, by, e.EventTS)
	if refused(err) {
		return b.whisper(ctx, key, at, e.User, escape(session.Sentence(err)))
	}
	return session.Wrap("bot.agentStopped", err) // what comes of it is told by the log
}
