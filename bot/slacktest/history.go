package slacktest

import (
	"slices"
)

// within keeps the messages between a call's oldest and latest.
func within(list []*Message, a args) []*Message {
	inclusive := a.flag("inclusive")
	oldest, latest := a["oldest"], a["latest"]
	if oldest == "0" {
		oldest = ""
	}
	if latest == "now" {
		latest = ""
	}
	return slices.DeleteFunc(slices.Clone(list), func(m *Message) bool {
		if oldest != "" && (m.TS < oldest || (m.TS == oldest && !inclusive)) {
			return true
		}
		return latest != "" && (m.TS > latest || (m.TS == latest && !inclusive))
	})
}

func (s *Server) listing(list []*Message, a args, most int) (obj, error) {
	list, next, err := page(list, a, most)
	if err != nil {
		return nil, err
	}
	messages := []obj{}
	for _, m := range list {
		messages = append(messages, s.wire(m, a.flag("include_all_metadata")))
	}
	result := obj{"messages": messages, "has_more": next != ""}
	if next != "" {
		result["response_metadata"] = obj{"next_cursor": next}
	}
	return result, nil
}

func (s *Server) conversationsHistory(a args) (obj, error) {
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	var top []*Message
	for _, m := range s.logs[ch.ID] {
		if !m.isReply() || m.Subtype == "thread_broadcast" {
			top = append(top, m)
		}
	}
	slices.Reverse(top)
	if !a.has("limit") {
		a = args{"limit": "100", "cursor": a["cursor"], "oldest": a["oldest"], "latest": a["latest"],
			"inclusive": a["inclusive"], "include_all_metadata": a["include_all_metadata"]}
	}
	result, err := s.listing(within(top, a), a, 999)
	if err == nil {
		result["pin_count"] = 0
	}
	return result, err
}

// conversationsReplies answers with the root, whatever the bounds, and the
// replies between them; asked with a reply's ts it answers with that alone.
func (s *Server) conversationsReplies(a args) (obj, error) {
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	root, _ := s.find(ch.ID, a["ts"])
	if root == nil {
		return nil, refuse("thread_not_found")
	}
	if root.isReply() {
		return s.listing([]*Message{root}, a, 1000)
	}
	var replies []*Message
	for _, m := range s.logs[ch.ID] {
		if m.isReply() && m.ThreadTS == root.TS {
			replies = append(replies, m)
		}
	}
	return s.listing(append([]*Message{root}, within(replies, a)...), a, 1000)
}
