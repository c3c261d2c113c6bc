package bot

import (
	"context"
	"encoding/json"
)

// interaction is something a person did with a control of ours: a button, a shortcut, a form.
type interaction interface {
	key() string           // identity, as Slack may send it more than once; "": it is not for us
	lane() string          // what it is handled in order with
	from() (string, place) // who did it, and where to answer
	carryOut(ctx context.Context, b *Bot) error
}

// readInteraction returns what an interactive payload says; nil if it is nothing of ours.
func readInteraction(raw json.RawMessage) interaction {
	var head struct {
		Type      string `json:"type"`
		Container struct {
			Type string `json:"type"`
		} `json:"container"`
	}
	if lenient(raw, &head) != nil {
		return nil
	}
	var i interaction
	switch head.Type {
	case "block_actions":
		i = new(press)
		if head.Container.Type == "view" {
			i = new(homePress)
		}
	case "message_action":
		i = new(shortcut)
	case "view_submission":
		i = new(submission)
	default:
		return nil
	}
	if lenient(raw, i) != nil || i.key() == "" {
		return nil
	}
	return i
}
