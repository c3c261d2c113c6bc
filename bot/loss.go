package bot

import (
	"context"
	"time"

	"openinspect/session"
)

// vanished reports whether a call failed because what it is about is not there any more: somebody deleted it, as people may.
func vanished(m session.Message, err error) bool {
	switch refusalOf(err) {
	case "message_not_found", "cant_update_message", "edit_window_closed":
		return posted(m.Op) && m.TS != "" || m.Op == session.MessageReact || m.Op == session.MessageUnreact
	}
	return false
}

// vanish gives up a message that is not there any more. What it would say later is not tried either: it may be a status, each few seconds.
func (s *sender) vanish(ctx context.Context, m session.Message, cause error) bool {
	s.mu.Lock()
	known := s.gone[m.Key]
	if len(s.gone) > 1_000 {
		s.gone = map[string]bool{}
	}
	s.gone[m.Key] = posted(m.Op)
	s.mu.Unlock()
	if !known {
		s.bot.logger.Info("a message is not there any more, or not for the bot to edit; it stays as it is", "key", m.Key, "method", method(m), "error", cause)
	}
	if err := s.record(ctx, m, "", refusalOf(cause)); err != nil {
		if ctx.Err() == nil {
			s.bot.logger.Error("recording that a message is not there any more", "key", m.Key, "error", err)
			s.again(m, time.Second, false)
		}
		return false
	}
	s.recorded(m)
	return false
}

// missing reports whether a message is known to be not there any more.
func (s *sender) missing(m session.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[m.Key]
}
