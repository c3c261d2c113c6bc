package bot

import (
	"context"

	"openinspect/session"
)

// Callback ids of the message shortcuts, as the manifest has them.
const (
	shortcutInspect = "inspect_message"
	shortcutWhy     = "inspect_why"
)

// Shortcuts are the message shortcuts the app has to have, by callback id.
var Shortcuts = []string{shortcutInspect, shortcutWhy}

// shortcut is a payload of the type message_action: somebody ran a shortcut of ours on a message, in any channel that they see.
// docs.slack.dev, "message_action payload".
type shortcut struct {
	Callback string `json:"callback_id"`
	Trigger  string `json:"trigger_id"` // opens a modal within three seconds
	ActionTS string `json:"action_ts"`
	User     struct {
		ID string `json:"id"`
	} `json:"user"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Message event `json:"message"`
}

func (s *shortcut) key() string {
	if s.User.ID == "" || s.Channel.ID == "" || s.Message.TS == "" || s.ActionTS == "" {
		return ""
	}
	switch s.Callback {
	case shortcutInspect, shortcutWhy:
		return "shortcut/" + s.User.ID + "/" + s.ActionTS + "/" + s.Callback
	}
	return ""
}

// lane is the person's own: a form opens within seconds or never, so it does not wait for what else goes on in the thread.
func (s *shortcut) lane() string { return "shortcut:" + s.User.ID }

func (s *shortcut) from() (string, place) {
	return s.User.ID, answerTo(s.Channel.ID, s.Message.TS, s.Message.root())
}

// answerTo is where to answer privately what somebody did with a message. One at the top level may have no replies yet.
func answerTo(channel, ts, root string) place {
	if ts == root && !isDirect(channel) {
		root = ""
	}
	return place{channel: channel, thread: root}
}

func (s *shortcut) carryOut(ctx context.Context, b *Bot) error {
	switch s.Callback {
	case shortcutInspect:
		return b.openForm(ctx, s)
	case shortcutWhy:
		return b.whyForm(ctx, s)
	}
	return nil
}

// tell says something to one person by direct message: what they did may have been where we are not.
func (b *Bot) tell(ctx context.Context, key, user, text string) error {
	return b.put(ctx, session.Message{Key: key, Op: session.MessageDirect, User: user, Text: text, Urgent: true})
}
