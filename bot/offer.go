package bot

import (
	"context"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// pressAddress is the id of the button that has the agent see to something on GitHub.
const pressAddress = "offer_address"

// offer is what was said on GitHub, or fails there, as its message shows it.
type offer struct {
	prompt string // the turn in which it was told, if any
	note   *session.Note
	how    string // it is none any more, in Slack's markup; empty: it stands
}

// offered takes an event about an offer, and returns what is to be shown; nil if that is nothing.
func (d *digest) offered(e session.Event) *offer {
	n := e.Note
	if n.Over == "" {
		d.offers[n.ID] = &offer{prompt: e.PromptID, note: n}
		return d.offers[n.ID]
	}
	return d.taken(n.ID, prose(n.Over))
}

// taken ends an offer; nil if it has ended already.
func (d *digest) taken(id, how string) *offer {
	o := d.offers[id]
	if o == nil {
		return nil
	}
	delete(d.offers, id)
	o.how = how
	return o
}

// offered are the messages of an offer: what was said, all of it, and a button as long as nobody pressed it. What failing checks say is the agent's alone.
func (v view) offered(o *offer) []session.Message {
	n := o.note
	remark := !strings.HasPrefix(n.ID, "k")
	heading := "*" + prose(n.Text) + "*"
	if strings.HasPrefix(n.URL, "https://") || strings.HasPrefix(n.URL, "http://") {
		heading += " · <" + escape(n.URL) + "|on GitHub>"
	}
	m := v.message("offer/"+n.ID, session.MessagePost, "offer", o.prompt)
	m.Subject.Question, m.Urgent = n.ID, true
	pieces, whole := []string(nil), true
	label, foot := "Fix this", "The agent gets what the checks say."
	if remark {
		pieces, whole = inParts(n.Quote, maxAnswer)
		label, foot = "Address this", "Above: as it stands on GitHub."
	}
	var all []session.Message
	shown := []slack.Block{section(heading)}
	for i, piece := range pieces[:max(0, len(pieces)-1)] {
		p := v.message(fmt.Sprintf("offer/%s/%d", n.ID, i+1), session.MessagePost, "offer", o.prompt)
		p.Urgent, p.Text = true, heading
		p.Blocks = blocks(append(shown, slack.NewMarkdownBlock("", piece))...)
		shown = []slack.Block{section(heading + ", going on")}
		all = append(all, p)
	}
	m.Text = heading
	if len(pieces) > 0 {
		last := pieces[len(pieces)-1]
		shown = append(shown, slack.NewMarkdownBlock("", last))
		m.Text, _ = cut(heading+"\n"+escape(last), maxFallback)
	}
	if !whole {
		foot = "It is longer; all of it is in the attached file."
		file := v.message("offer/"+n.ID+"/all", session.MessageFile, "", o.prompt)
		file.Title, file.Text = fileName("github", file.Key, ".md"), n.Quote
		all = append(all, file)
	}
	switch {
	case o.how != "":
		shown = append(shown, note(o.how))
		return []session.Message{closing(m, o.how, shown)} // the rest stands
	default:
		b := slack.NewButtonBlockElement(pressAddress, buttonValue(m), slack.NewTextBlockObject(slack.PlainTextType, label, false, false))
		b.Confirm = slack.NewConfirmationBlockObject(
			slack.NewTextBlockObject(slack.PlainTextType, label+"?", false, false),
			slack.NewTextBlockObject(slack.PlainTextType, "You ask the agent for it, in your name. So you contribute to this pull request, and cannot approve it yourself.", false, false),
			slack.NewTextBlockObject(slack.PlainTextType, "Ask the agent", false, false),
			slack.NewTextBlockObject(slack.PlainTextType, "Not now", false, false))
		shown = append(shown, slack.NewActionBlock("", b), note(foot+" Whoever presses asks the agent for it, contributes, and cannot approve the pull request themselves."))
	}
	m.Blocks = blocks(shown...)
	return append(all, m)
}

func closing(m session.Message, how string, shown []slack.Block) session.Message {
	m.Text, m.Blocks = m.Text+"\n"+how, blocks(shown...)
	return m
}

// address is what pressing the button of an offer means. What was said is read from the log.
func address(key string, by session.Person, on session.Message) session.Input {
	if on.Subject.Kind != "offer" {
		return nil
	}
	return session.Addressed{ID: pressedPrompt(key, by), By: by, Offer: on.Subject.Question}
}

// quoting completes a press with what the session's log has of the offer.
func (b *Bot) quoting(ctx context.Context, id session.ID, in session.Addressed) (session.Addressed, error) {
	st, err := b.cfg.Sessions.Load(ctx, id)
	if err != nil {
		return in, session.Wrap("bot.quoting", err)
	}
	for _, o := range st.Session.Offers {
		if o.ID != in.Offer {
			continue
		}
		feed, err := b.cfg.Sessions.Feed(ctx, id, o.Seq-1)
		if err != nil {
			return in, session.Wrap("bot.quoting", err)
		}
		defer feed.Close()
		item, err := feed.Next(ctx)
		if err != nil {
			return in, session.Wrap("bot.quoting", err)
		}
		if len(item.Events) > 0 && item.Events[0].Note != nil {
			in.Quote = item.Events[0].Note.Quote
		}
	}
	return in, nil // of one that is not there any more the session says so
}
