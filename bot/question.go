package bot

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// maxLabel is how many characters Slack takes on a button.
const maxLabel = 75

// pressAnswer begins the ids of the buttons with which a question of the agent's is answered; the number of the answer follows.
const pressAnswer = "answer_"

// answer is what pressing the button of an offered answer means.
func answer(option int) func(key string, by session.Person, on session.Message) session.Input {
	return func(key string, by session.Person, on session.Message) session.Input {
		if on.Subject.Kind != "question" || !strings.HasPrefix(on.Subject.Question, "q") {
			return nil
		}
		return session.Answered{ID: pressedPrompt(key, by), By: by, Question: on.Subject.Question, Option: option}
	}
}

// pressedPrompt names the prompt that a press makes: it has the time of the press and who pressed where others have the time of their message.
func pressedPrompt(key string, by session.Person) string {
	return strings.Split(key, "/")[2] + "-" + by.Slack
}

// ask is the message of a question of the agent's: with buttons while it waits, and with what came of it afterwards.
func (v view) ask(q *question) session.Message {
	m := v.message(fmt.Sprintf("note/%d", q.seq), session.MessagePost, "question", q.prompt)
	m.Subject.Question, m.Urgent = q.note.ID, true
	text, _ := cut(q.note.Text, besideCard)
	var answers []slack.BlockElement
	for n, o := range q.note.Options {
		answers = append(answers, button(m, pressAnswer+strconv.Itoa(n), o, slack.StyleDefault))
	}
	list := ""
	for _, o := range q.note.Options {
		list += "\n- " + o
	}
	m.Text, _ = cut("The agent asks: "+escape(neutral(text+list)), maxFallback)
	if q.how != "" || q.note.ID == "" {
		text += list
	}
	shown := []slack.Block{slack.NewMarkdownBlock("", neutral(text))}
	how := q.how
	switch {
	case how != "":
		m.Text += "\n" + how
	case len(answers) > 0 && q.note.ID != "": // one that was stored before questions had ids has no buttons
		shown = append(shown, slack.NewActionBlock("", answers...))
		how = "The agent asks. Press a button, or reply in this thread to answer in your own words."
	default:
		how = "The agent asks. Reply in this thread to answer."
	}
	m.Blocks = blocks(append(shown, note(how))...)
	return m
}
