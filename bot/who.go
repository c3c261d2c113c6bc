package bot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// person is what Slack says of a user.
type person struct {
	name  string
	bot   bool
	guest bool // or of another workspace
	gone  bool
}

// room is what Slack says of a channel.
type room struct {
	name     string
	topic    string
	external bool // shared with another workspace, or a guest is in it
	closed   bool // only its members see it
}

// place is where to answer. Thread is empty at the top level of a channel: a private message in a thread that has no replies yet is not shown.
type place struct{ channel, thread string }

func (b *Bot) person(ctx context.Context, user string) (person, error) {
	return b.people.get(ctx, user, func() (person, error) {
		u, err := b.api.GetUserInfoContext(b.running, user)
		if refusal, ok := errors.AsType[slack.SlackErrorResponse](err); ok && refusal.Err == "user_not_found" {
			return person{name: user, gone: true}, nil
		}
		if err != nil {
			return person{}, b.outside("users.info", err)
		}
		name := cmp.Or(u.Profile.DisplayName, u.Profile.RealName, u.RealName, u.Name, user)
		return person{
			name:  session.OneLine(name, 80),
			bot:   u.IsBot || u.IsAppUser || u.IsWorkflowBot || u.IsConnectorBot || user == "USLACKBOT",
			guest: u.IsRestricted || u.IsUltraRestricted || u.IsStranger || b.foreign(u),
			gone:  u.Deleted,
		}, nil
	})
}

// foreign reports whether a user is of another organisation, whom a shared channel brings in.
func (b *Bot) foreign(u *slack.User) bool {
	same := u.TeamID == b.self.team || (b.self.enterprise != "" && u.Enterprise.ID == b.self.enterprise)
	return !same
}

func (b *Bot) room(ctx context.Context, channel string) (room, error) {
	return b.rooms.get(ctx, channel, func() (room, error) {
		c, err := b.api.GetConversationInfoContext(b.running, &slack.GetConversationInfoInput{ChannelID: channel})
		if err != nil {
			return room{}, b.outside("conversations.info", err)
		}
		external := c.IsExtShared || c.IsPendingExtShared
		if !external {
			if external, err = b.hasGuest(b.running, channel); err != nil {
				return room{}, err
			}
		}
		return room{name: c.Name, topic: c.Topic.Value, external: external, closed: c.IsPrivate || c.IsMpIM || c.IsIM}, nil
	})
}

// pageSize is how many people or members are asked for at a time; Slack takes up to 1,000.
const pageSize = 1_000

// hasGuest reports whether a guest, or somebody of another workspace, is in a channel.
func (b *Bot) hasGuest(ctx context.Context, channel string) (bool, error) {
	guests, err := b.guests.get(ctx, "all", func() (map[string]bool, error) { return b.listGuests(b.running) })
	if err != nil || len(guests) == 0 {
		return false, err
	}
	return b.hasMember(ctx, channel, func(id string) bool { return guests[id] })
}

// sees reports whether a person sees what is said in a channel, as far as Slack tells us.
func (b *Bot) sees(ctx context.Context, user, channel string) (bool, error) {
	r, err := b.room(ctx, channel)
	if err == nil && r.closed {
		var in bool
		if in, err = b.hasMember(ctx, channel, func(id string) bool { return id == user }); err == nil {
			return in, nil
		}
	}
	if session.CodeOf(err) == session.Unavailable {
		return false, err
	}
	return true, nil // open to all; or not for us to see, and then what we say there will not arrive
}

// hasMember reports whether somebody like that is in a channel.
func (b *Bot) hasMember(ctx context.Context, channel string, like func(id string) bool) (bool, error) {
	ask := &slack.GetUsersInConversationParameters{ChannelID: channel, Limit: pageSize}
	for {
		members, next, err := b.api.GetUsersInConversationContext(ctx, ask)
		if err != nil {
			return false, b.outside("conversations.members", err)
		}
		if slices.ContainsFunc(members, like) {
			return true, nil
		}
		if next == "" {
			return false, nil
		}
		ask.Cursor = next
	}
}

// listGuests returns the workspace's guests and strangers.
func (b *Bot) listGuests(ctx context.Context) (map[string]bool, error) {
	all, err := b.api.GetUsersContext(ctx, slack.GetUsersOptionLimit(pageSize))
	if err != nil {
		return nil, b.outside("users.list", err)
	}
	guests := map[string]bool{}
	for _, u := range all {
		if !u.Deleted && !u.IsBot && (u.IsRestricted || u.IsUltraRestricted || u.IsStranger) {
			guests[u.ID] = true
		}
	}
	return guests, nil
}

// who returns the person behind a Slack user, with their linked account; channel is empty for what they do in no channel. A refusal says why they may not act; silent is for bots, which are not answered.
func (b *Bot) who(ctx context.Context, user, channel string) (p session.Person, refusal string, silent bool, err error) {
	info, err := b.person(ctx, user)
	if err != nil {
		return p, "", false, err
	}
	p = session.Person{Slack: user, Name: info.name}
	switch {
	case info.bot || info.gone:
		return p, "", true, nil
	case info.guest && !b.cfg.AllowGuests:
		return p, "I act for full members of this workspace only: nothing comes of your messages, reactions and presses here. Ask a member to pass your request on.", false, nil
	case channel != "" && len(b.cfg.AllowedChannels) > 0 && !slices.Contains(b.cfg.AllowedChannels, channel):
		return p, "I may not work in this channel. Ask in " + b.allowed() + ", or ask the operator to allow this one.", false, nil
	}
	known, err := b.store.User(ctx, user)
	if err != nil && session.CodeOf(err) != session.NotFound {
		return p, "", false, session.Wrap("bot.who", err)
	}
	p.GitHub = known.GitHub
	return p, "", false, nil
}

// mayAct returns the person behind a Slack user who did something at a place, in the thread of a root. ok is false if they may not act: then they were
// told why, as far as they are to be, and that is the outcome of what they did.
func (b *Bot) mayAct(ctx context.Context, user string, at place, root string) (by session.Person, ok bool, err error) {
	by, refusal, silent, err := b.who(ctx, user, at.channel)
	if err != nil || silent {
		return by, false, err
	}
	if refusal != "" {
		return by, false, b.refuse(ctx, at, root, user, refusal)
	}
	return by, true, nil
}

// today is the day, as what is said or noted once a day is keyed by it.
func (b *Bot) today() string { return b.clock.Now().UTC().Format(time.DateOnly) }

func (b *Bot) allowed() string {
	var names []string
	for _, c := range b.cfg.AllowedChannels {
		names = append(names, "<#"+c+">")
	}
	return strings.Join(names, ", ")
}

// refuse tells a person privately that they may not act, once per thread and day. That is the outcome of all their messages there that day.
func (b *Bot) refuse(ctx context.Context, at place, root, user, refusal string) error {
	key := fmt.Sprintf("refused/%s/%s/%s/%s", at.channel, root, user, b.today())
	if _, err := b.store.Message(ctx, key); err == nil || session.CodeOf(err) != session.NotFound {
		return session.Wrap("bot.refuse", err)
	}
	return b.whisper(ctx, key, at, user, refusal)
}

// whisper says something to one person where they are: visible to them alone in a channel, as an ordinary reply in a direct conversation.
// Text is Slack's markup.
func (b *Bot) whisper(ctx context.Context, key string, at place, user, text string) error {
	return b.put(ctx, b.private(key, at, user, text))
}

func (b *Bot) private(key string, at place, user, text string) session.Message {
	return session.Message{Key: key, Op: privately(at.channel), Channel: at.channel, Thread: at.thread, User: user, Text: text, Urgent: true}
}

// privately is how to say something to one person in a channel. A direct conversation has nobody else in it, and what is posted there is
// said once; what only one person sees in a channel cannot be looked for, so after an answer that was lost it is said again.
func privately(channel string) session.MessageOp {
	if isDirect(channel) {
		return session.MessagePost
	}
	return session.MessageEphemeral
}
