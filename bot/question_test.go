package bot

import (
	"bytes"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// asks has a session's agent ask something and end its turn.
func (r *rig) asks(id session.ID, prompt, question string, options ...string) {
	r.t.Helper()
	if err := r.hub.Send(r.ctx, id, session.Asked{Question: question, Options: options}); err != nil {
		r.t.Fatal(err)
	}
	r.answered(id, prompt, "")
	r.kept("the turn is over", func() bool { t := r.load(id).Session.Turn; return t == nil || t.PromptID != prompt })
}

// A question with answers to choose from: the first press is a prompt of who pressed, the message says who chose what, and whoever comes later is
// told. A reply answers in other words, and takes the buttons away, too.
func TestQuestionWithButtons(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "rename the cart in acme/web")
	r.shown(ts, "Starting on alice") // which is edited later, like those of the turns to come
	id := r.id(ts)
	r.ready(id, ts)
	r.asks(id, ts, "Which name? <!channel>", "basket", "cart & <b>", strings.Repeat("trolley ", 20))
	question := r.ours(ts, "Which name?")
	r.shown(ts, "[basket] [cart & b] [trolley")
	r.press("gina", question, "basket")
	r.told("gina", "full members of this workspace only")
	r.echoes()
	r.press("bob", question, "cart & b")
	r.shown(ts, "bob chose: cart & b", "Working for bob")
	r.told("alice", "bob has answered that already.")
	st := r.load(id)
	if len(st.Prompts) != 1 || st.Prompts[0].Text != "cart & b" || st.Prompts[0].Answers != "Which name? <!channel>" || st.Prompts[0].Author.Slack != "U0BOB" {
		t.Errorf("%+v", st.Prompts)
	}

	second := st.Prompts[0].ID
	r.asks(id, second, "And the table?", "yes", "no")
	r.shown(ts, "And the table?")
	third := r.reply("alice", ts, "yes, but later")
	r.called("prompt " + third)
	r.shown(ts, "alice answered in a message.", "Working for alice")

	r.asks(id, third, "Really?", "yes", "no")
	r.ours(ts, "Really?")
	fourth := r.reply("alice", ts, "yes")
	r.called("prompt " + fourth)
	r.shown(ts, "alice chose: yes", "Working for alice")
	r.asks(id, fourth, "Sure?", "yes", "no")
	r.shown(ts, "Sure?")
	r.reply("alice", ts, "!close")
	r.shown(ts, "Nobody answered before the session was closed.", "alice: !close\n  :eyes: inspect", "Closed by alice")
	golden(t, "question.txt", strings.ReplaceAll(r.slack.Render("general", ts), string(id), "abcdefghij"))
}

// A press that was acknowledged by a bot that then died is one prompt.
func TestAnswerIsReplayed(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "rename the cart in acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.asks(id, ts, "Which name?", "basket", "cart")
	question := r.ours(ts, "Which name?")
	r.kept("the question is recorded", func() bool {
		_, err := r.db.MessageAt(r.ctx, question.Channel, question.TS)
		return err == nil
	})
	asked := r.load(id).Session.Choice.ID
	r.stop()
	raw := []byte(`{"type":"block_actions","user":{"id":"U0BOB"},"container":{"channel_id":"` + question.Channel + `","message_ts":"` + question.TS + `","thread_ts":"` + ts + `"},` +
		`"actions":[{"action_id":"answer_1","value":"` + string(id) + `/` + asked + `","action_ts":"1.5"}]}`)
	for range 2 {
		if _, err := r.db.Receive(t.Context(), session.Received{Key: "press/U0BOB/1.5/answer_1", Kind: "interactive", Payload: raw}); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	r.called("prompt 1.5-U0BOB")
	r.shown(ts, "bob chose: cart", "Working for bob")
	if got := r.slack.Ephemerals("bob"); len(got) != 0 {
		t.Errorf("bob was told %v", got)
	}
}

// echoes has alice press whatever bob presses, before she sees that he has.
func (r *rig) echoes() {
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		send(e)
		if e.Type == slacktest.Interactive {
			e.Payload = bytes.ReplaceAll(e.Payload, []byte(`"id":"U0BOB"`), []byte(`"id":"U0ALICE"`))
			send(e)
		}
	}})
}
