package slacktest

import (
	"maps"
	"slices"
	"strings"
)

// emitEvent sends an inner event to the app if it is subscribed and, for events
// of a channel, if its bot is a member. Callers hold s.mu.
func (s *Server) emitEvent(subscription string, ch *Channel, inner obj) {
	if !slices.Contains(s.cfg.Events, subscription) || (ch != nil && !ch.has(s.bot.ID)) {
		return
	}
	s.emit(EventsAPI, false, s.callback(ch, inner), nil)
}

// callback wraps an inner event.
func (s *Server) callback(ch *Channel, inner obj) obj {
	return obj{
		"token": "verification-token", "team_id": s.cfg.TeamID, "context_team_id": s.cfg.TeamID, "context_enterprise_id": nil,
		"api_app_id": s.cfg.AppID, "event": inner, "type": "event_callback",
		"event_id": s.nextID("Ev"), "event_time": s.cfg.Now().Unix(),
		"authorizations": []obj{{
			"enterprise_id": nil, "team_id": s.cfg.TeamID, "user_id": s.bot.ID, "is_bot": true, "is_enterprise_install": false,
		}},
		"is_ext_shared_channel": ch != nil && ch.External,
		"event_context":         "4-" + s.nextID("ctx"),
	}
}

func messageSubscription(k ChannelKind) string {
	switch k {
	case Public:
		return "message.channels"
	case Private:
		return "message.groups"
	case IM:
		return "message.im"
	case MPIM:
		return "message.mpim"
	}
	return ""
}

// messageEvents tells the app about a new message: once as a message, and first
// as a mention if it names the bot anywhere but in a direct message.
func (s *Server) messageEvents(m *Message) {
	ch := s.channels[m.Channel]
	s.mentionEvent(ch, m)
	inner := s.wire(m, false)
	inner["channel"], inner["channel_type"], inner["event_ts"] = ch.ID, ch.Kind, m.TS
	if m.Subtype == "thread_broadcast" {
		if root, _ := s.find(ch.ID, m.ThreadTS); root != nil {
			inner["root"] = s.wire(root, false)
		}
	}
	s.emitEvent(messageSubscription(ch.Kind), ch, inner)
}

func (s *Server) mentions(m *Message) bool {
	return m.User != s.bot.ID && strings.Contains(m.Text, "<@"+s.bot.ID+">")
}

func (s *Server) mentionEvent(ch *Channel, m *Message) {
	if ch.Kind == IM || !s.mentions(m) {
		return
	}
	inner := s.wire(m, false)
	maps.DeleteFunc(inner, func(k string, _ any) bool {
		return k == "subtype" || (k == "files" && s.cfg.MentionsOmitFiles)
	})
	inner["type"], inner["channel"], inner["event_ts"] = "app_mention", ch.ID, m.TS
	if m.EditedTS != "" {
		inner["event_ts"] = m.EditedTS
	}
	s.emitEvent("app_mention", ch, inner)
}

// changedEvent tells the app that a message is different now. An edit that
// newly names the bot is a mention too.
func (s *Server) changedEvent(m, old *Message, ts string) {
	ch := s.channels[m.Channel]
	if s.mentions(m) && !s.mentions(old) {
		s.mentionEvent(ch, m)
	}
	s.emitEvent(messageSubscription(ch.Kind), ch, obj{
		"type": "message", "subtype": "message_changed", "hidden": true,
		"message": s.wire(m, false), "previous_message": s.wire(old, false),
		"channel": ch.ID, "channel_type": ch.Kind, "ts": ts, "event_ts": ts,
	})
}

func (s *Server) deletedEvent(old *Message, ts string) {
	ch := s.channels[old.Channel]
	s.emitEvent(messageSubscription(ch.Kind), ch, obj{
		"type": "message", "subtype": "message_deleted", "hidden": true,
		"deleted_ts": old.TS, "previous_message": s.wire(old, false),
		"channel": ch.ID, "channel_type": ch.Kind, "ts": ts, "event_ts": ts,
	})
}

func (s *Server) reactionEvent(kind string, m *Message, user, emoji string) {
	s.emitEvent(kind, s.channels[m.Channel], obj{
		"type": kind, "user": user, "reaction": emoji, "item_user": m.User,
		"item": obj{"type": "message", "channel": m.Channel, "ts": m.TS}, "event_ts": s.nextTS(),
	})
}

// Uninstall removes the app from the workspace: it hears tokens_revoked and
// app_uninstalled, and its calls are refused with account_inactive from then on.
func (s *Server) Uninstall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emitEvent("tokens_revoked", nil, obj{
		"type": "tokens_revoked", "tokens": obj{"oauth": []string{}, "bot": []string{s.bot.ID}}, "event_ts": s.nextTS(),
	})
	s.emitEvent("app_uninstalled", nil, obj{"type": "app_uninstalled", "event_ts": s.nextTS()})
	s.deadBot = "account_inactive"
	s.deadApp = "account_inactive"
}

// Unfurl adds a link preview to a message, as Slack does on its own some time
// after a link was posted: a message_changed without an edit.
func (s *Server) Unfurl(channel, ts, link, title string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.existing(channel, ts)
	if err != nil {
		return err
	}
	m := s.amend(old.Channel, ts, func(m *Message) {
		m.Attachments = append(slices.Clone(m.Attachments), map[string]any{
			"id": len(m.Attachments) + 1, "from_url": link, "original_url": link, "title": title, "title_link": link, "fallback": title,
		})
	})
	s.tell(Change{Kind: Edited, Message: *m})
	s.changedEvent(m, old, s.nextTS())
	return nil
}

// Emit sends the app an event of any type: fields are those of the inner event. It is sent whatever the app is subscribed to.
func (s *Server) Emit(kind string, fields map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	inner := maps.Clone(fields)
	if inner == nil {
		inner = obj{}
	}
	inner["type"], inner["event_ts"] = kind, s.nextTS()
	s.emit(EventsAPI, false, s.callback(nil, inner), nil)
}
