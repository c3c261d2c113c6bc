package bot

import (
	"cmp"
	"context"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// press is a payload of the type block_actions: somebody pressed a button of a message of ours. docs.slack.dev,
// "block_actions payload".
type press struct {
	Type string `json:"type"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Container struct {
		Channel string `json:"channel_id"`
		TS      string `json:"message_ts"`
		Thread  string `json:"thread_ts"`
	} `json:"container"`
	Actions []struct {
		ID    string `json:"action_id"`
		Value string `json:"value"`
		TS    string `json:"action_ts"`

		Chosen struct {
			Value string `json:"value"`
		} `json:"selected_option"` // of a menu
	} `json:"actions"`
}

// key identifies a press, which Slack may send more than once; "" for what is no press of a button of ours.
func (p *press) key() string {
	if p.Type != "block_actions" || len(p.Actions) != 1 || p.User.ID == "" || p.Container.Channel == "" {
		return ""
	}
	a := p.Actions[0]
	if buttons[a.ID] == nil && !picked(a.ID) || a.TS == "" {
		return ""
	}
	return "press/" + p.User.ID + "/" + a.TS + "/" + a.ID
}

// lane is the thread that the message with the button is in.
func (p *press) lane() string {
	if p.Container.Thread != "" {
		return p.Container.Channel + ":" + p.Container.Thread
	}
	return p.Container.Channel + ":" + p.Container.TS
}

func (p *press) place() place { return place{channel: p.Container.Channel, thread: p.Container.Thread} }

func (p *press) from() (string, place) { return p.User.ID, p.place() }

// Ids of our buttons.
const (
	pressRaise = "budget_raise"
	pressStop  = "budget_stop"
	pressEnd   = "turn_stop"
)

// buttons say what a press means, by the button's id; nil if it cannot be of that message. What it is about is known from the message, as the
// store has it, never from the payload.
var buttons = map[string]func(key string, by session.Person, on session.Message) session.Input{
	pressRaise: func(_ string, by session.Person, on session.Message) session.Input {
		if on.Subject.Question == "" {
			return nil
		}
		return session.Raised{By: by, Pause: on.Subject.Question}
	},
	pressEnd: func(key string, by session.Person, on session.Message) session.Input {
		if on.Subject.Kind != "status" {
			return nil
		}
		return session.StopAsked{ID: key, By: by, PromptID: on.Subject.PromptID}
	},
	pressStop: func(key string, by session.Person, on session.Message) session.Input {
		if on.Subject.Question == "" {
			return nil
		}
		return session.StopAsked{ID: key, By: by, PromptID: on.Subject.PromptID, Pause: on.Subject.Question}
	},
	pressAddress:      address,
	pressAnswer + "0": answer(0),
	pressAnswer + "1": answer(1),
	pressAnswer + "2": answer(2),
	pressAnswer + "3": answer(3),
	pressAnswer + "4": answer(4),
}

// buttonValue binds a button to its message: what comes back with a press has to be it.
func buttonValue(m session.Message) string {
	return string(m.Session) + "/" + cmp.Or(m.Subject.Question, m.Subject.PromptID)
}

// button makes a button of a message whose subject is set. The style is primary, danger or none.
func button(m session.Message, id, label string, style slack.Style) slack.BlockElement {
	label = short(label, maxLabel)
	b := slack.NewButtonBlockElement(id, buttonValue(m), slack.NewTextBlockObject(slack.PlainTextType, label, false, false))
	b.Style = style
	return b
}

func (p *press) carryOut(ctx context.Context, b *Bot) error { return b.pressed(ctx, p) }

// pressed carries out a press.
func (b *Bot) pressed(ctx context.Context, p *press) error {
	key, at := p.key(), p.place()
	if key == "" {
		return nil
	}
	m, err := b.ours(ctx, p.Container.Channel, p.Container.TS)
	unknown := session.CodeOf(err) == session.NotFound
	if err != nil && !unknown {
		return session.Wrap("bot.MessageAt", err)
	}
	by, ok, err := b.mayAct(ctx, p.User.ID, at, cmp.Or(at.thread, p.Container.TS))
	if !ok {
		return err
	}
	if unknown || m.Session == "" || m.Subject.Question == "" && m.Subject.PromptID == "" {
		return b.whisper(ctx, key, at, p.User.ID, "I do not know that message any more, so nothing happened: sessions are not kept for ever. Mention me in its thread to start anew.")
	}
	if told, err := b.told(ctx, key); told || err != nil {
		return err
	}
	if picked(p.Actions[0].ID) && m.Subject.Question == aboutRepository {
		return b.chosenBy(ctx, p, key, by, m)
	}
	var in session.Input
	if means := buttons[p.Actions[0].ID]; means != nil {
		in = means(key, by, m)
	}
	if in == nil || p.Actions[0].Value != buttonValue(m) {
		b.logger.Warn("a button does not fit its message", "user", p.User.ID, "message", m.Key, "button", p.Actions[0].ID)
		return b.whisper(ctx, key, at, p.User.ID, "That button does not belong to that message, so nothing happened.")
	}
	if a, is := in.(session.Addressed); is {
		if in, err = b.quoting(ctx, m.Session, a); err != nil {
			return err
		}
	}
	at.thread = m.Thread
	err = b.cfg.Sessions.Send(ctx, m.Session, in)
	if refused(err) {
		return b.whisper(ctx, key, at, p.User.ID, escape(session.Sentence(err)))
	}
	return session.Wrap("bot.pressed", err) // what comes of it is told by the log
}

// budget is the message about a session's cost: a notice that little is left, or the question whether it may cost more, which becomes its
// answer.
func (v view) budget(seq int64, promptID string, c *session.BudgetChange) session.Message {
	spent, limit, more := session.Dollars(c.Spent), session.Dollars(c.Limit), session.Dollars(c.More)
	if c.State == session.BudgetWarned {
		return v.notice(seq, promptID, "This thread has cost "+spent+" of "+limit+". When all of it is spent the agent pauses, and I ask here whether it may cost more.")
	}
	m := v.message("budget/"+c.Pause, session.MessagePost, "question", promptID)
	m.Subject.Question, m.Urgent = c.Pause, true
	switch c.State {
	case session.BudgetAsked:
		m.Text = "*The budget is spent, and the agent has paused.* This thread has cost " + spent + " of " + limit + ". May it cost " + more + " more?"
		m.Blocks = blocks(section(m.Text),
			slack.NewActionBlock("", button(m, pressRaise, "Allow "+more+" more", slack.StylePrimary), button(m, pressStop, "Stop this turn", slack.StyleDanger)),
			note("Nothing is asked of the model until then. Without an answer the turn is stopped in an hour; what the agent has done is kept."))
		return m
	case session.BudgetRaised:
		m.Text = escape(c.By.Name) + " allowed " + more + " more: this thread may now cost " + limit + "."
	case session.BudgetEnded:
		m.Text = strings.TrimSpace("This thread has cost " + spent + " of " + limit + ". " + prose(c.Reason))
	case session.BudgetWarned:
	}
	m.Blocks = blocks(note(m.Text))
	return m
}
