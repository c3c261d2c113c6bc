package slacktest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ChannelKind is the kind of a conversation; the values are Slack's channel_type.
type ChannelKind string

// The kinds of conversations.
const (
	Public  ChannelKind = "channel"
	Private ChannelKind = "group"
	IM      ChannelKind = "im"
	MPIM    ChannelKind = "mpim"
)

// Channel is a conversation.
type Channel struct {
	ID       string      // default: C0, G0 or D0 and the name in upper case
	Name     string      // without #; direct messages have none
	Kind     ChannelKind // default Public
	Members  []string    // ids or names; nil means everybody in Config, the bot included
	External bool        // shared with another workspace
	Archived bool
}

// AddChannel adds a conversation. Members that are nil means everybody.
func (s *Server) AddChannel(c Channel) Channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := s.addChannel(c)
	s.touch()
	return *added
}

func (s *Server) addChannel(c Channel) *Channel {
	if c.Kind == "" {
		c.Kind = Public
	}
	if c.ID == "" {
		c.ID = map[ChannelKind]string{Public: "C0", Private: "C0", IM: "D0", MPIM: "C0"}[c.Kind] +
			strings.ToUpper(strings.ReplaceAll(c.Name, "-", ""))
	}
	members := slices.Clone(s.userOrder)
	if c.Members != nil {
		members = nil
		for _, ref := range c.Members {
			if u := findUser(s.users, ref); u != nil {
				members = append(members, u.ID)
			}
		}
	}
	c.Members = members
	if _, known := s.channels[c.ID]; !known {
		s.chanOrder = append(s.chanOrder, c.ID)
	}
	s.channels[c.ID] = &c
	return &c
}

// findChannel resolves an id or a name, with or without #.
func findChannel(channels map[string]*Channel, ref string) *Channel {
	if c := channels[ref]; c != nil {
		return c
	}
	if ref = strings.TrimPrefix(ref, "#"); ref == "" {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(channels)) {
		if channels[id].Name == ref {
			return channels[id]
		}
	}
	return nil
}

// Archive closes a channel: nobody can write there. Unarchive opens it again.
func (s *Server) Archive(channel string) error {
	return s.change(channel, func(c *Channel) { c.Archived = true })
}

// Unarchive opens a channel again.
func (s *Server) Unarchive(channel string) error {
	return s.change(channel, func(c *Channel) { c.Archived = false })
}

// Kick removes the bot from a channel, which is told to it. [Person.Invite] brings it back.
func (s *Server) Kick(channel string) error {
	return s.change(channel, func(c *Channel) {
		c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m string) bool { return m == s.bot.ID })
		kind := map[ChannelKind]string{Public: "channel_left", Private: "group_left"}[c.Kind]
		s.emitEvent(kind, nil, obj{"type": kind, "channel": c.ID, "actor_id": s.userOrder[0], "event_ts": s.nextTS()})
	})
}

func (s *Server) change(channel string, change func(*Channel)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := findChannel(s.channels, channel)
	if c == nil {
		return fmt.Errorf("slacktest: no channel %q", channel)
	}
	n := *c
	change(&n)
	s.channels[c.ID] = &n
	s.touch()
	return nil
}

func (c *Channel) has(user string) bool { return slices.Contains(c.Members, user) }

// other is the person at the other end of a direct message with the bot.
func (s *Server) other(c *Channel) string {
	for _, m := range c.Members {
		if m != s.bot.ID {
			return m
		}
	}
	return ""
}

// openIM returns the direct message between these people and the bot, making it
// if need be. Callers hold s.mu.
func (s *Server) openIM(users ...*User) (c *Channel, existed bool) {
	ids := []string{s.bot.ID}
	for _, u := range users {
		ids = append(ids, u.ID)
	}
	slices.Sort(ids)
	kind, name := IM, users[0].Name
	if len(users) > 1 {
		kind, name = MPIM, "mpdm-"+strings.Join(ids, "-")
	}
	for _, id := range s.chanOrder {
		if c := s.channels[id]; c.Kind == kind && slices.Equal(slices.Sorted(slices.Values(c.Members)), ids) {
			return c, true
		}
	}
	c = s.addChannel(Channel{Kind: kind, Members: ids, ID: map[ChannelKind]string{IM: "D0", MPIM: "G0"}[kind] +
		strings.ToUpper(strings.ReplaceAll(name, "-", ""))})
	if kind == MPIM {
		named := *c
		named.Name = name
		s.channels[c.ID] = &named
		c = &named
	}
	return c, false
}

// visible resolves the channel argument of a call as the bot sees it: private
// conversations it is not in do not exist.
func (s *Server) visible(id string) (*Channel, error) {
	c := s.channels[id]
	if c == nil || (c.Kind != Public && !c.has(s.bot.ID)) {
		return nil, refuse("channel_not_found")
	}
	return c, nil
}

// joined is visible for calls that need membership.
func (s *Server) joined(id string) (*Channel, error) {
	c, err := s.visible(id)
	if err == nil && !c.has(s.bot.ID) {
		return nil, refuse("not_in_channel")
	}
	return c, err
}

func (s *Server) wireChannel(c *Channel) obj {
	w := obj{
		"id": c.ID, "created": 1700000000, "is_im": c.Kind == IM, "is_mpim": c.Kind == MPIM,
		"is_channel": c.Kind == Public, "is_group": c.Kind == Private, "is_private": c.Kind != Public,
		"is_archived": c.Archived, "is_shared": c.External, "is_ext_shared": c.External, "is_org_shared": false,
		"context_team_id": s.cfg.TeamID, "updated": 1700000000000,
	}
	if c.Kind == IM {
		w["user"] = s.other(c)
		w["is_open"] = true
		return w
	}
	w["name"], w["name_normalized"] = c.Name, c.Name
	w["is_member"] = c.has(s.bot.ID)
	w["is_general"] = c.Name == "general"
	w["creator"] = s.userOrder[0]
	w["shared_team_ids"] = []string{s.cfg.TeamID}
	w["topic"] = obj{"value": "", "creator": "", "last_set": 0}
	w["purpose"] = obj{"value": "", "creator": "", "last_set": 0}
	return w
}

func (s *Server) conversationsList(a args) (obj, error) {
	return s.listConversations(a, func(*Channel) bool { return true })
}

// usersConversations lists what the bot is in.
func (s *Server) usersConversations(a args) (obj, error) {
	if u := a["user"]; u != "" && u != s.bot.ID {
		return nil, refuse("method_not_supported_for_channel_type")
	}
	return s.listConversations(a, func(c *Channel) bool { return c.has(s.bot.ID) })
}

func (s *Server) listConversations(a args, wants func(*Channel) bool) (obj, error) {
	types := a["types"]
	if types == "" {
		types = "public_channel"
	}
	wanted := strings.Split(types, ",")
	names := map[ChannelKind]string{Public: "public_channel", Private: "private_channel", IM: "im", MPIM: "mpim"}
	var ids []string
	for _, id := range s.chanOrder {
		c, err := s.visible(id)
		if err != nil || !wants(c) || !slices.Contains(wanted, names[c.Kind]) || (c.Archived && a.flag("exclude_archived")) {
			continue
		}
		ids = append(ids, id)
	}
	ids, next, err := page(ids, a, 1000)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, id := range ids {
		w := s.wireChannel(s.channels[id])
		w["num_members"] = len(s.channels[id].Members)
		list = append(list, w)
	}
	return obj{"channels": list, "response_metadata": obj{"next_cursor": next}}, nil
}

func (s *Server) conversationsInfo(a args) (obj, error) {
	c, err := s.visible(a["channel"])
	if err != nil {
		return nil, err
	}
	w := s.wireChannel(c)
	if a.flag("include_num_members") {
		w["num_members"] = len(c.Members)
	}
	return obj{"channel": w}, nil
}

func (s *Server) conversationsMembers(a args) (obj, error) {
	c, err := s.visible(a["channel"])
	if err != nil {
		return nil, err
	}
	members, next, err := page(c.Members, a, 1000)
	if err != nil {
		return nil, err
	}
	return obj{"members": members, "response_metadata": obj{"next_cursor": next}}, nil
}

func (s *Server) conversationsOpen(a args) (obj, error) {
	var c *Channel
	existed := true
	switch {
	case a["channel"] != "":
		var err error
		if c, err = s.joined(a["channel"]); err != nil {
			return nil, err
		}
	case a["users"] == "":
		return nil, refuse("users_list_not_supplied")
	default:
		var users []*User
		for id := range strings.SplitSeq(a["users"], ",") {
			u := s.users[strings.TrimSpace(id)]
			switch {
			case u == nil:
				return nil, refuse("user_not_found")
			case u.Deleted:
				return nil, refuse("user_disabled")
			case u.IsBot:
				return nil, refuse("cannot_dm_bot")
			}
			users = append(users, u)
		}
		if len(users) > 8 {
			return nil, refuse("too_many_users")
		}
		if c, existed = s.openIM(users...); !existed {
			s.touch()
		}
	}
	w := obj{"id": c.ID}
	if a.flag("return_im") {
		w = s.wireChannel(c)
	}
	result := obj{"channel": w}
	if existed {
		result["no_op"], result["already_open"] = true, true
	}
	return result, nil
}
