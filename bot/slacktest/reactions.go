package slacktest

import (
	"regexp"
	"slices"
)

// Reaction is one emoji on a message and who put it there, as ids.
type Reaction struct {
	Name  string   `json:"name"`
	Users []string `json:"users"`
	Count int      `json:"count"`
}

var emojiName = regexp.MustCompile(`^[a-z0-9_+'-]+(::skin-tone-[2-6])?$`)

func (m *Message) reaction(name string) int {
	return slices.IndexFunc(m.Reactions, func(r Reaction) bool { return r.Name == name })
}

// react puts an emoji on a message in somebody's name.
func (s *Server) react(m *Message, user, emoji string) error {
	if !emojiName.MatchString(emoji) {
		return refuse("invalid_name")
	}
	i := m.reaction(emoji)
	if i >= 0 && slices.Contains(m.Reactions[i].Users, user) {
		return refuse("already_reacted")
	}
	n := s.amend(m.Channel, m.TS, func(m *Message) {
		if i < 0 {
			m.Reactions = append(m.Reactions, Reaction{Name: emoji})
			i = len(m.Reactions) - 1
		}
		r := &m.Reactions[i]
		r.Users = append(slices.Clone(r.Users), user)
		r.Count = len(r.Users)
	})
	s.tell(Change{Kind: Reacted, Message: *n, User: user, Emoji: emoji})
	s.reactionEvent("reaction_added", n, user, emoji)
	return nil
}

// unreact takes it away again.
func (s *Server) unreact(m *Message, user, emoji string) error {
	i := m.reaction(emoji)
	if i < 0 || !slices.Contains(m.Reactions[i].Users, user) {
		return refuse("no_reaction")
	}
	n := s.amend(m.Channel, m.TS, func(m *Message) {
		r := &m.Reactions[i]
		r.Users = slices.DeleteFunc(slices.Clone(r.Users), func(u string) bool { return u == user })
		if r.Count = len(r.Users); r.Count == 0 {
			m.Reactions = slices.Delete(m.Reactions, i, i+1)
		}
	})
	s.tell(Change{Kind: Unreacted, Message: *n, User: user, Emoji: emoji})
	s.reactionEvent("reaction_removed", n, user, emoji)
	return nil
}

// reacted resolves the message a reactions.* call is about.
func (s *Server) reacted(a args) (*Message, error) {
	if a["channel"] == "" || a["timestamp"] == "" {
		return nil, refuse("no_item_specified")
	}
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	m, _ := s.find(ch.ID, a["timestamp"])
	if m == nil || m.Subtype == tombstone {
		return nil, refuse("message_not_found")
	}
	return m, nil
}

func (s *Server) reactionsAdd(a args) (obj, error) {
	m, err := s.reacted(a)
	if err != nil {
		return nil, err
	}
	return nil, s.react(m, s.bot.ID, a["name"])
}

func (s *Server) reactionsRemove(a args) (obj, error) {
	m, err := s.reacted(a)
	if err != nil {
		return nil, err
	}
	return nil, s.unreact(m, s.bot.ID, a["name"])
}

func (s *Server) reactionsGet(a args) (obj, error) {
	m, err := s.reacted(a)
	if err != nil {
		return nil, err
	}
	w := s.wire(m, false)
	w["permalink"] = s.permalink(m)
	return obj{"type": "message", "channel": m.Channel, "message": w}, nil
}
