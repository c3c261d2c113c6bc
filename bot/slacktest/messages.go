package slacktest

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Message is a message as it stands. Those returned by a Snapshot are shared and
// must not be modified.
type Message struct {
	Channel  string // id
	TS       string
	ThreadTS string // the root's ts: on replies, and on a root that has replies
	User     string // id of the author
	BotID    string // authors that are bots
	Subtype  string // "", file_share, thread_broadcast, tombstone
	Text     string // in Slack's markup, escaped
	Blocks   []Block
	// Attachments are forwarded messages and legacy attachments, as Slack has them.
	Attachments []map[string]any
	Files       []File
	Reactions   []Reaction // in the order they first appeared
	Metadata    *Metadata
	Edits       int // how often it was changed
	EditedBy    string
	EditedTS    string

	ReplyCount  int // roots only, like the next two
	ReplyUsers  []string
	LatestReply string

	To string // ephemerals only: who sees it

	// UnfurlLinks and UnfurlMedia are what the app asked for: "", true or false.
	UnfurlLinks, UnfurlMedia string

	clientID string
}

// Metadata is what an app keeps on a message, invisible to people.
type Metadata struct {
	EventType    string         `json:"event_type"`
	EventPayload map[string]any `json:"event_payload"`
}

func (m *Message) isReply() bool { return m.ThreadTS != "" && m.ThreadTS != m.TS }

// find returns a message and its place in the channel's log, or nil.
func (s *Server) find(channel, ts string) (*Message, int) {
	log := s.logs[channel]
	i, found := slices.BinarySearchFunc(log, ts, func(m *Message, ts string) int { return strings.Compare(m.TS, ts) })
	if !found {
		return nil, -1
	}
	return log[i], i
}

// amend replaces a message by a changed copy, which it returns. Messages are
// never changed in place: snapshots share them.
func (s *Server) amend(channel, ts string, change func(*Message)) *Message {
	old, i := s.find(channel, ts)
	if old == nil {
		return nil
	}
	n := *old
	n.Reactions = slices.Clone(n.Reactions)
	n.ReplyUsers = slices.Clone(n.ReplyUsers)
	change(&n)
	s.logs[channel][i] = &n
	return &n
}

// add puts a new message at the end of its channel, counts it in its thread and
// tells the app and the hooks. Callers hold s.mu.
func (s *Server) add(m *Message) *Message {
	m.TS = s.nextTS()
	s.logs[m.Channel] = append(s.logs[m.Channel], m)
	if m.isReply() {
		s.amend(m.Channel, m.ThreadTS, func(root *Message) {
			root.ThreadTS = root.TS
			root.ReplyCount++
			root.LatestReply = m.TS
			if !slices.Contains(root.ReplyUsers, m.User) {
				root.ReplyUsers = append(root.ReplyUsers, m.User)
			}
		})
	}
	if m.User == s.bot.ID {
		delete(s.statuses, m.Channel+m.threadKey())
	}
	s.tell(Change{Kind: Posted, Message: *m, User: m.User})
	s.messageEvents(m)
	return m
}

func (m *Message) threadKey() string {
	if m.ThreadTS != "" {
		return m.ThreadTS
	}
	return m.TS
}

// wire is the message as Slack sends it.
func (s *Server) wire(m *Message, withMetadata bool) obj {
	w := obj{"type": "message", "ts": m.TS, "text": m.Text, "user": m.User, "team": s.cfg.TeamID}
	set := func(key string, value any, present bool) {
		if present {
			w[key] = value
		}
	}
	set("subtype", m.Subtype, m.Subtype != "")
	set("client_msg_id", m.clientID, m.clientID != "")
	set("blocks", m.Blocks, len(m.Blocks) > 0)
	set("attachments", m.Attachments, len(m.Attachments) > 0)
	set("thread_ts", m.ThreadTS, m.ThreadTS != "")
	set("reactions", m.Reactions, len(m.Reactions) > 0)
	set("metadata", m.Metadata, withMetadata && m.Metadata != nil)
	if u := s.users[m.User]; u != nil {
		w["team"] = u.TeamID
	}
	if m.BotID != "" {
		w["bot_id"] = m.BotID
		profile := obj{"id": m.BotID, "deleted": false, "team_id": s.cfg.TeamID, "updated": 1700000000, "icons": obj{}}
		if u := s.users[m.User]; u != nil {
			profile["name"] = u.Name
		}
		if m.BotID == s.bot.BotID {
			w["app_id"], profile["app_id"] = s.cfg.AppID, s.cfg.AppID
		}
		w["bot_profile"] = profile
	}
	if len(m.Files) > 0 {
		files := []obj{}
		for _, f := range m.Files {
			files = append(files, s.wireFile(&f))
		}
		w["files"], w["upload"], w["display_as_bot"] = files, false, false
	}
	if m.EditedTS != "" {
		w["edited"] = obj{"user": m.EditedBy, "ts": m.EditedTS}
	}
	if m.isReply() {
		if root, _ := s.find(m.Channel, m.ThreadTS); root != nil {
			w["parent_user_id"] = root.User
		}
	} else if m.ReplyCount > 0 {
		w["reply_count"], w["reply_users_count"] = m.ReplyCount, len(m.ReplyUsers)
		w["reply_users"], w["latest_reply"] = m.ReplyUsers, m.LatestReply
		w["is_locked"], w["subscribed"] = false, m.User == s.bot.ID
	}
	return w
}

// content is what the arguments of a posting method say.
type content struct {
	text        string
	blocks      []Block
	attachments []map[string]any
	metadata    *Metadata
}

// textLimit is what chat.postMessage takes, updateLimit what chat.update does:
// beyond them both answer msg_too_long.
const (
	textLimit   = 40000
	updateLimit = 4000
	fallback    = "This content can't be displayed."
)

// content reads and checks text, markdown_text, blocks, attachments and metadata.
func (s *Server) content(a args, limit int) (content, error) {
	c := content{text: a["text"]}
	if utf8.RuneCountInString(c.text) > limit {
		return c, refuse("msg_too_long")
	}
	if raw := a["blocks"]; raw != "" {
		if json.Unmarshal([]byte(raw), &c.blocks) != nil {
			return c, refuse("invalid_blocks_format")
		}
	}
	if md := a["markdown_text"]; md != "" {
		if c.text != "" || a["blocks"] != "" {
			return c, refuse("markdown_text_conflict")
		}
		c.blocks = []Block{{"type": "markdown", "text": md}}
	}
	if err := checkBlocks(c.blocks, inMessage); err != nil {
		return c, err
	}
	c.blocks = s.nameBlocks(c.blocks)
	if raw := a["attachments"]; raw != "" {
		if json.Unmarshal([]byte(raw), &c.attachments) != nil {
			return c, refuse("invalid_attachments")
		}
	}
	if raw := a["metadata"]; raw != "" && raw != "{}" {
		var m Metadata
		if json.Unmarshal([]byte(raw), &m) != nil || (m.EventType == "") != (m.EventPayload == nil) {
			return c, refuse("invalid_metadata_format")
		}
		if m.EventType != "" {
			c.metadata = &m
		}
	}
	return c, nil
}

func (c content) empty() bool {
	return strings.TrimSpace(c.text) == "" && len(c.blocks) == 0 && len(c.attachments) == 0
}

// target resolves where to post: an id, a #name, or a person's id for the direct
// message with them.
func (s *Server) target(ref string) (*Channel, error) {
	if u := s.users[ref]; u != nil && !u.IsBot {
		c, _ := s.openIM(u)
		return c, nil
	}
	if strings.HasPrefix(ref, "#") {
		if c := findChannel(s.channels, ref); c != nil {
			ref = c.ID
		}
	}
	c, err := s.joined(ref)
	if err == nil && c.Archived {
		return nil, refuse("is_archived")
	}
	return c, err
}

// root resolves thread_ts for a new message. A thread whose root was deleted is
// no thread: Slack posts to the channel.
func (s *Server) root(channel, threadTS string) (string, error) {
	if threadTS == "" {
		return "", nil
	}
	if s.gone[channel+threadTS] {
		return "", nil
	}
	m, _ := s.find(channel, threadTS)
	switch {
	case m == nil:
		return "", refuse("thread_not_found")
	case m.isReply():
		return "", refuse("cannot_reply_to_message", "thread_ts is the ts of a reply")
	}
	return m.TS, nil
}

func (s *Server) chatPostMessage(a args) (obj, error) {
	ch, err := s.target(a["channel"])
	if err != nil {
		return nil, err
	}
	c, err := s.content(a, textLimit)
	if err != nil {
		return nil, err
	}
	if c.empty() {
		return nil, refuse("no_text")
	}
	root, err := s.root(ch.ID, a["thread_ts"])
	if err != nil {
		return nil, err
	}
	m := s.add(s.fromBot(ch.ID, root, c, a))
	return obj{"channel": ch.ID, "ts": m.TS, "message": s.wire(m, true)}, nil
}

// fromBot makes a message of the app's bot that is not in the log yet.
func (s *Server) fromBot(channel, root string, c content, a args) *Message {
	m := &Message{
		Channel: channel, ThreadTS: root, User: s.bot.ID, BotID: s.bot.BotID,
		Text: c.text, Blocks: c.blocks, Attachments: c.attachments, Metadata: c.metadata,
		UnfurlLinks: a["unfurl_links"], UnfurlMedia: a["unfurl_media"],
	}
	if m.Text == "" && len(m.Blocks) > 0 {
		m.Text = fallback
	}
	if root != "" && a.flag("reply_broadcast") {
		m.Subtype = "thread_broadcast"
	}
	return m
}

func (s *Server) chatUpdate(a args) (obj, error) {
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	if ch.Archived {
		return nil, refuse("is_inactive")
	}
	old, _ := s.find(ch.ID, a["ts"])
	if old == nil {
		return nil, refuse("message_not_found")
	}
	if old.User != s.bot.ID || old.Subtype == tombstone {
		return nil, refuse("cant_update_message")
	}
	c, err := s.content(a, updateLimit)
	if err != nil {
		return nil, err
	}
	if c.empty() && !a.has("blocks") && !a.has("attachments") {
		return nil, refuse("no_text")
	}
	m := s.edit(old, s.bot.ID, func(m *Message) {
		if a.has("text") || len(c.blocks) > 0 {
			m.Text = c.text
		}
		if a.has("blocks") || len(c.blocks) > 0 {
			m.Blocks = c.blocks
		}
		if a.has("attachments") {
			m.Attachments = c.attachments
		}
		if a.has("metadata") {
			m.Metadata = c.metadata
		}
		if m.Text == "" && len(m.Blocks) > 0 {
			m.Text = fallback
		}
	})
	return obj{"channel": ch.ID, "ts": m.TS, "text": m.Text, "message": s.wire(m, true)}, nil
}

// edit changes a message's content in somebody's name and tells everybody.
func (s *Server) edit(old *Message, by string, change func(*Message)) *Message {
	ts := s.nextTS()
	m := s.amend(old.Channel, old.TS, func(m *Message) {
		change(m)
		m.Edits++
		m.EditedBy, m.EditedTS = by, ts
	})
	s.tell(Change{Kind: Edited, Message: *m, User: by})
	s.changedEvent(m, old, ts)
	return m
}

func (s *Server) chatDelete(a args) (obj, error) {
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	old, _ := s.find(ch.ID, a["ts"])
	if old == nil || old.Subtype == tombstone {
		return nil, refuse("message_not_found")
	}
	if old.User != s.bot.ID {
		return nil, refuse("cant_delete_message")
	}
	s.remove(old, s.bot.ID)
	return obj{"channel": ch.ID, "ts": old.TS}, nil
}

const tombstone = "tombstone"

// remove deletes a message; a root that has replies leaves a tombstone.
func (s *Server) remove(old *Message, by string) {
	ts := s.nextTS()
	if old.ReplyCount > 0 {
		m := s.amend(old.Channel, old.TS, func(m *Message) {
			*m = Message{Channel: m.Channel, TS: m.TS, ThreadTS: m.ThreadTS, User: "USLACKBOT", Subtype: tombstone,
				Text: "This message was deleted.", ReplyCount: m.ReplyCount, ReplyUsers: m.ReplyUsers, LatestReply: m.LatestReply}
		})
		s.tell(Change{Kind: Edited, Message: *m, User: by})
		s.changedEvent(m, old, ts)
		return
	}
	_, i := s.find(old.Channel, old.TS)
	s.logs[old.Channel] = slices.Delete(s.logs[old.Channel], i, i+1)
	s.gone[old.Channel+old.TS] = true
	if old.isReply() {
		s.amend(old.Channel, old.ThreadTS, func(root *Message) {
			root.ReplyCount--
			root.LatestReply, root.ReplyUsers = "", nil
			for _, m := range s.logs[old.Channel] {
				if m.ThreadTS == old.ThreadTS && m.isReply() {
					root.LatestReply = m.TS
					if !slices.Contains(root.ReplyUsers, m.User) {
						root.ReplyUsers = append(root.ReplyUsers, m.User)
					}
				}
			}
		})
	}
	s.tell(Change{Kind: Deleted, Message: *old, User: by})
	s.deletedEvent(old, ts)
}

func (s *Server) chatPostEphemeral(a args) (obj, error) {
	ch, err := s.joined(a["channel"])
	if err != nil {
		return nil, err
	}
	if ch.Archived {
		return nil, refuse("is_archived")
	}
	if s.users[a["user"]] == nil || !ch.has(a["user"]) {
		return nil, refuse("user_not_in_channel")
	}
	c, err := s.content(a, textLimit)
	if err != nil {
		return nil, err
	}
	if c.empty() {
		return nil, refuse("no_text")
	}
	root, err := s.root(ch.ID, a["thread_ts"])
	if err != nil {
		return nil, err
	}
	m := s.whisper(a["user"], s.fromBot(ch.ID, root, c, a))
	return obj{"message_ts": m.TS}, nil
}

// whisper shows a message to one person. Callers hold s.mu.
func (s *Server) whisper(to string, m *Message) *Message {
	m.To, m.TS = to, s.nextTS()
	s.ephemerals = append(s.ephemerals, m)
	s.tell(Change{Kind: EphemeralPosted, Message: *m, User: to})
	return m
}

func (s *Server) chatGetPermalink(a args) (obj, error) {
	ch, err := s.visible(a["channel"])
	if err != nil {
		return nil, err
	}
	m, _ := s.find(ch.ID, a["message_ts"])
	if m == nil {
		return nil, refuse("message_not_found")
	}
	return obj{"channel": ch.ID, "permalink": s.permalink(m)}, nil
}

func (s *Server) permalink(m *Message) string {
	link := "https://" + s.domain() + ".slack.com/archives/" + m.Channel + "/p" + strings.ReplaceAll(m.TS, ".", "")
	if m.isReply() {
		link += "?thread_ts=" + m.ThreadTS + "&cid=" + m.Channel
	}
	return link
}
