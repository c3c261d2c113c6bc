package bot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"openinspect/session"
)

// maxParts is how many messages an answer may take. Of a longer one the first stands in the thread, and all of it in a file.
const maxParts = 3

// outcome is what a thread is told when a turn is over: the parts of a long answer, the result, and what does not fit into a message.
func (v view) outcome(r *result, card *session.Card) []session.Message {
	m, ok := v.result(r, card)
	if !ok {
		return v.images(r)
	}
	var all []session.Message
	pieces, whole := r.pieces(card != nil)
	for n, piece := range pieces[:max(0, len(pieces)-1)] {
		p := v.message(fmt.Sprintf("answer/%s/%d", r.prompt, n+1), session.MessagePost, "result", r.prompt)
		p.Urgent, p.Text, p.Blocks = true, escape(piece), blocks(slack.NewMarkdownBlock("", piece))
		all = append(all, p)
	}
	all = append(append(all, m), v.images(r)...)
	if !whole {
		answer := v.message("answer/"+r.prompt, session.MessageFile, "", r.prompt)
		answer.Title, answer.Text = fileName("answer", answer.Key, ".md"), r.answer
		all = append(all, answer)
	}
	if r.outcome == session.PromptFailed && r.output != "" && v.logURL == "" {
		lines := v.message("output/"+r.prompt, session.MessageFile, "", r.prompt)
		lines.Title, lines.Text = fileName("output", lines.Key, ".txt"), r.output
		all = append(all, lines)
	}
	if card != nil && v.logURL == "" && r.patch != "" {
		diff := v.message("diff/"+card.ID, session.MessageFile, "", r.prompt)
		diff.Title, diff.Text = sevenDigits(card.Commit)+".diff", r.patch
		all = append(all, diff)
	}
	return all
}

// images are what the agent showed in a turn.
func (v view) images(r *result) []session.Message {
	var all []session.Message
	for n, image := range r.images {
		m := v.message(fmt.Sprintf("image/%s/%d", r.prompt, n+1), session.MessageFile, "", r.prompt)
		name := strings.TrimSuffix(image.File.Name, path.Ext(image.File.Name))
		m.Title = fileName(name, m.Key, "."+strings.TrimPrefix(image.File.Type, "image/"))
		m.Content, m.Text = image.File.Hash, image.Text
		all = append(all, m)
	}
	return all
}

// pieces are the answer, made harmless, as it stands in the thread; the last one stands in the result. whole reports whether that is all of it.
func (r *result) pieces(card bool) (pieces []string, whole bool) {
	if r.outcome == session.PromptFailed || r.answer == "" {
		return nil, true
	}
	room := maxAnswer
	if card {
		room = besideCard
	}
	return inParts(r.answer, room)
}

// inParts makes Markdown harmless and parts it into pieces for messages. Of what takes too many there is the first, and whole is false.
func inParts(text string, room int) (pieces []string, whole bool) {
	said, least := text, maxParts*room // what is longer than that in any case is not read to its end
	if utf8.RuneCountInString(said) > 2*least {
		said = string([]rune(said)[:2*least])
	}
	pieces = parts(neutral(said), room)
	for i := range pieces {
		pieces[i] = neutral(pieces[i]) // code that came apart is code no more
	}
	if len(pieces) > maxParts || len(said) < len(text) {
		return pieces[:1], false
	}
	return pieces, true
}

// result is the message of a turn that is over: the answer, or the end of it, and under it the card. There is none for a turn that left nothing
// and was stopped, or asked something.
func (v view) result(r *result, card *session.Card) (m session.Message, ok bool) {
	if card == nil && (r.outcome == session.PromptStopped || r.outcome == session.PromptDone && r.answer == "" && r.asks) {
		return m, false
	}
	m = v.message("result/"+r.prompt, session.MessagePost, "result", r.prompt)
	m.Urgent = true
	var shown []slack.Block
	var fallback []string
	if r.outcome == session.PromptFailed {
		reason := r.reason
		if reason == "" {
			reason = "The agent gave no reason. Send your message again; if it happens again, the operator's log has the details."
		}
		said := "*This turn failed.* " + prose(reason) + together(r.others)
		shown, fallback = append(shown, section(said)), append(fallback, said)
	}
	answer := ""
	pieces, whole := r.pieces(card != nil)
	switch {
	case len(pieces) > 0:
		answer = pieces[len(pieces)-1]
	case r.outcome == session.PromptFailed:
	case card == nil:
		answer = "The agent finished without an answer and without changes."
	case r.outcome == session.PromptDone:
		answer = "The agent finished without an answer."
	}
	if answer != "" {
		shown, fallback = append(shown, slack.NewMarkdownBlock("", answer)), append(fallback, escape(answer))
		if !whole {
			pointer := "The answer is longer; all of it is in the attached file."
			if v.logURL != "" {
				pointer = "The answer is longer; all of it is in the attached file and in the <" + v.logURL + "|log>."
			}
			shown = append(shown, note(pointer))
		}
	}
	if card != nil {
		m.Subject.Kind, m.Subject.Card = "card", card.ID
		if answer != "" {
			shown = append(shown, note("Above: reported by the agent. Below: read from its commits."), slack.NewDividerBlock())
		}
		cardParts, cardText := v.changes(card)
		shown, fallback = append(shown, cardParts...), append(fallback, cardText)
	}
	m.Text = strings.Join(fallback, "\n")
	m.Blocks = blocks(shown...)
	return m, true
}

// together says whose messages waited behind a turn and ended with it.
func together(others []session.Person) string {
	if len(others) == 0 {
		return ""
	}
	waited := "1 message that waited behind it was"
	if len(others) > 1 {
		waited = fmt.Sprintf("%d messages that waited behind it were", len(others))
	}
	return "\nThe " + waited + " not run either: " + naming(others) + "."
}

// fileName is a name that no other file in the thread has: an upload that may have come through is found again by it, as Slack keeps no
// metadata on files.
func fileName(word, key, extension string) string {
	sum := sha256.Sum256([]byte(key))
	return word + "-" + hex.EncodeToString(sum[:3]) + extension
}
