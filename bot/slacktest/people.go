package slacktest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Person acts as one user. Methods name channels by id or name; they return an
// error when Slack would not let the user do it, and the message as it stands
// afterwards. Text is as typed: @name and #channel become mentions, addresses
// become links, and &, < and > are escaped; text already in Slack's markup
// (<@U…>, <https://…|label>) is kept.
type Person struct {
	s   *Server
	ref string
}

// As returns the user with this id or name. An unknown one is told of when acting.
func (s *Server) As(user string) *Person { return &Person{s, user} }

// me resolves the person; in, a channel they are a member of. Callers hold s.mu.
func (p *Person) me() (*User, error) {
	if u := findUser(p.s.users, p.ref); u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("slacktest: no user %q", p.ref)
}

func (p *Person) in(channel string) (*User, *Channel, error) {
	u, err := p.me()
	if err != nil {
		return nil, nil, err
	}
	c := findChannel(p.s.channels, channel)
	if c == nil {
		return nil, nil, fmt.Errorf("slacktest: no channel %q", channel)
	}
	if !c.has(u.ID) {
		return nil, nil, fmt.Errorf("slacktest: %s is not in %q", u.Name, channel)
	}
	return u, c, nil
}

// existing resolves a message. Callers hold s.mu.
func (s *Server) existing(channel, ts string) (*Message, error) {
	if c := findChannel(s.channels, channel); c != nil {
		if m, _ := s.find(c.ID, ts); m != nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("slacktest: no message %s in %q", ts, channel)
}

// Post writes a message to a channel.
func (p *Person) Post(channel, text string) (Message, error) {
	return p.say(channel, "", text, Message{})
}

// Mention is Post with the bot's name in front.
func (p *Person) Mention(channel, text string) (Message, error) {
	return p.Post(channel, "<@"+p.s.bot.ID+"> "+text)
}

// Reply writes a message to a thread, named by its root or any of its replies.
func (p *Person) Reply(channel, threadTS, text string) (Message, error) {
	return p.say(channel, threadTS, text, Message{})
}

// Broadcast is a Reply that is also shown in the channel.
func (p *Person) Broadcast(channel, threadTS, text string) (Message, error) {
	return p.say(channel, threadTS, text, Message{Subtype: "thread_broadcast"})
}

// DM writes to the bot directly, opening the conversation if need be. The
// message's Channel is its id.
func (p *Person) DM(text string) (Message, error) {
	p.s.mu.Lock()
	u, err := p.me()
	if err != nil {
		p.s.mu.Unlock()
		return Message{}, err
	}
	c, _ := p.s.openIM(u)
	p.s.mu.Unlock()
	return p.Post(c.ID, text)
}

// Attach writes a message with files; threadTS may be empty. Of each File, Name
// and Data are needed.
func (p *Person) Attach(channel, threadTS, text string, files ...File) (Message, error) {
	return p.say(channel, threadTS, text, Message{Subtype: "file_share", Files: files})
}

// Forward shares a message of any channel, with its files, and a comment that may
// be empty; threadTS may be empty.
func (p *Person) Forward(channel, threadTS, comment string, original Message) (Message, error) {
	p.s.mu.Lock()
	author := original.User
	if u := p.s.users[author]; u != nil {
		author = u.RealName
	}
	files := []any{}
	for _, f := range original.Files {
		files = append(files, p.s.wireFile(&f))
	}
	share := map[string]any{
		"id": 1, "is_msg_unfurl": true, "is_share": true, "ts": original.TS, "channel_id": original.Channel,
		"channel_team": p.s.cfg.TeamID, "author_id": original.User, "author_name": author, "author_subname": author,
		"text": original.Text, "fallback": "[" + original.TS + "] " + author + ": " + original.Text,
		"from_url": p.s.permalink(&original), "original_url": p.s.permalink(&original), "mrkdwn_in": []string{"text"},
		"message_blocks": []any{map[string]any{"team": p.s.cfg.TeamID, "channel": original.Channel, "ts": original.TS,
			"message": map[string]any{"blocks": original.Blocks}}},
	}
	if len(files) > 0 {
		share["files"] = files
	}
	p.s.mu.Unlock()
	return p.say(channel, threadTS, comment, Message{Attachments: []map[string]any{share}})
}

// say posts a message that has what kind has besides text.
func (p *Person) say(channel, threadTS, text string, kind Message) (Message, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	u, c, err := p.in(channel)
	if err != nil {
		return Message{}, err
	}
	if len(kind.Files) > 0 && s.base == "" {
		return Message{}, errors.New("slacktest: files have no address before Start")
	}
	if c.Archived {
		return Message{}, fmt.Errorf("slacktest: %q is archived", c.Name)
	}
	m := kind
	m.Channel, m.User, m.BotID = c.ID, u.ID, u.BotID
	if threadTS != "" {
		root, err := s.existing(c.ID, threadTS)
		if err != nil {
			return Message{}, err
		}
		m.ThreadTS = root.threadKey()
	}
	m.Text, m.Blocks = s.typed(text)
	m.Files = slices.Clone(kind.Files)
	for i, f := range m.Files {
		f.User, f.uploaded, f.complete = u.ID, true, true
		m.Files[i] = *s.newFile(f)
	}
	if !u.IsBot {
		m.clientID = strings.ToLower(s.nextID("client-"))
	}
	return *s.add(&m), nil
}

// Edit changes the text of one's own message.
func (p *Person) Edit(channel, ts, text string) (Message, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	m, err := p.own(channel, ts)
	if err != nil {
		return Message{}, err
	}
	return *p.s.edit(m, m.User, func(m *Message) { m.Text, m.Blocks = p.s.typed(text) }), nil
}

// Delete removes one's own message.
func (p *Person) Delete(channel, ts string) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	m, err := p.own(channel, ts)
	if err == nil {
		p.s.remove(m, m.User)
	}
	return err
}

// Remove deletes anybody's message, as an administrator may.
func (s *Server) Remove(channel, ts string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.existing(channel, ts)
	if err == nil {
		s.remove(m, s.userOrder[0])
	}
	return err
}

func (p *Person) own(channel, ts string) (*Message, error) {
	u, _, err := p.in(channel)
	if err != nil {
		return nil, err
	}
	m, err := p.s.existing(channel, ts)
	if err == nil && m.User != u.ID {
		return nil, fmt.Errorf("slacktest: message %s is not %s's", ts, u.Name)
	}
	return m, err
}

// React puts an emoji, named without colons, on a message.
func (p *Person) React(channel, ts, emoji string) error {
	return p.onMessage(channel, ts, func(u *User, m *Message) error { return p.s.react(m, u.ID, emoji) })
}

// Unreact takes one's emoji away again.
func (p *Person) Unreact(channel, ts, emoji string) error {
	return p.onMessage(channel, ts, func(u *User, m *Message) error { return p.s.unreact(m, u.ID, emoji) })
}

func (p *Person) onMessage(channel, ts string, act func(*User, *Message) error) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	u, _, err := p.in(channel)
	if err != nil {
		return err
	}
	m, err := p.s.existing(channel, ts)
	if err != nil {
		return err
	}
	if err := act(u, m); err != nil {
		return fmt.Errorf("slacktest: %w", err)
	}
	return nil
}

// Permalink is the address that Slack copies for a message.
func (p *Person) Permalink(channel, ts string) (link string, err error) {
	err = p.onMessage(channel, ts, func(_ *User, m *Message) error {
		link = p.s.permalink(m)
		return nil
	})
	return link, err
}

// Invite brings somebody, possibly the bot, into a channel. Everybody in it hears
// member_joined_channel.
func (p *Person) Invite(channel, user string) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	u, c, err := p.in(channel)
	if err != nil {
		return err
	}
	guest := findUser(p.s.users, user)
	if guest == nil {
		return fmt.Errorf("slacktest: no user %q", user)
	}
	if c.has(guest.ID) {
		return nil
	}
	n := *c
	n.Members = append(slices.Clone(c.Members), guest.ID)
	p.s.channels[c.ID] = &n
	p.s.touch()
	kind := "C"
	if c.Kind == Private {
		kind = "G"
	}
	p.s.emitEvent("member_joined_channel", &n, obj{
		"type": "member_joined_channel", "user": guest.ID, "channel": c.ID, "channel_type": kind,
		"team": guest.TeamID, "inviter": u.ID, "event_ts": p.s.nextTS(),
	})
	return nil
}

// Leave takes the person out of a channel. Nothing tells the bot.
func (p *Person) Leave(channel string) error {
	p.s.mu.Lock()
	u, _, err := p.in(channel)
	p.s.mu.Unlock()
	if err != nil {
		return err
	}
	return p.s.change(channel, func(c *Channel) {
		c.Members = slices.DeleteFunc(slices.Clone(c.Members), func(m string) bool { return m == u.ID })
	})
}

// OpenHome opens the app's home tab.
func (p *Person) OpenHome() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	u, err := p.me()
	if err != nil {
		return err
	}
	c, _ := p.s.openIM(u)
	inner := obj{"type": "app_home_opened", "user": u.ID, "channel": c.ID, "tab": "home", "event_ts": p.s.nextTS()}
	if v := p.s.homes[u.ID]; v != nil {
		inner["view"] = p.s.wireView(v, obj{})
	}
	p.s.emitEvent("app_home_opened", nil, inner)
	return nil
}

// StopAgent presses Slack's own stop button on the agent session of a thread.
func (p *Person) StopAgent(channel, threadTS string) error {
	return p.onMessage(channel, threadTS, func(u *User, m *Message) error {
		p.s.emitEvent("agent_session_stopped", p.s.channels[m.Channel], obj{
			"type": "agent_session_stopped", "channel": m.Channel, "thread_ts": m.threadKey(), "user": u.ID, "event_ts": p.s.nextTS(),
		})
		return nil
	})
}

var typedToken = regexp.MustCompile(`<[@#!][^>\s]+>|<(?:https?://|mailto:)[^>]+>|https?://[^\s<>]*[^\s<>.,;:!?)]|[@#]\w+(?:[.-]\w+)*`)

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// typed turns what somebody typed into a message's text and its rich_text block.
func (s *Server) typed(text string) (string, []Block) {
	var out strings.Builder
	var elements []any
	plain := func(t string) {
		if t != "" {
			out.WriteString(escaper.Replace(t))
			elements = append(elements, map[string]any{"type": "text", "text": t})
		}
	}
	token := func(markup string, element map[string]any) {
		out.WriteString(markup)
		elements = append(elements, element)
	}
	rest := 0
	for _, span := range typedToken.FindAllStringIndex(text, -1) {
		markup, element := s.entity(text[span[0]:span[1]])
		if element == nil {
			continue
		}
		plain(text[rest:span[0]])
		token(markup, element)
		rest = span[1]
	}
	plain(text[rest:])
	if len(elements) == 0 {
		return "", nil
	}
	section := map[string]any{"type": "rich_text_section", "elements": elements}
	return out.String(), s.nameBlocks([]Block{{"type": "rich_text", "elements": []any{section}}})
}

// entity turns a word into markup and a rich text element; nil for plain words.
func (s *Server) entity(word string) (string, map[string]any) {
	inner := strings.TrimSuffix(strings.TrimPrefix(word, "<"), ">")
	target, label, labelled := strings.Cut(inner, "|")
	switch {
	case strings.HasPrefix(target, "@"):
		if u := findUser(s.users, target[1:]); u != nil {
			return "<@" + u.ID + ">", map[string]any{"type": "user", "user_id": u.ID}
		}
	case strings.HasPrefix(target, "#"):
		if c := findChannel(s.channels, target[1:]); c != nil {
			return "<#" + c.ID + "|" + c.Name + ">", map[string]any{"type": "channel", "channel_id": c.ID}
		}
	case strings.HasPrefix(target, "!"):
		return word, map[string]any{"type": "broadcast", "range": target[1:]}
	case labelled:
		return word, map[string]any{"type": "link", "url": target, "text": label}
	case strings.Contains(target, "://"):
		return "<" + target + ">", map[string]any{"type": "link", "url": target}
	}
	return "", nil
}
