package bot

import (
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// People write controls as they find them: copied as code out of the help, on another keyboard, with a please.
func TestReadControl(t *testing.T) {
	for _, c := range []struct {
		text  string
		named bool
		want  control
		slip  string // a part of what is said
	}{
		{"stop", false, controlStop, ""},
		{"STOP!!", false, controlStop, ""},
		{" `stop`. ", false, controlStop, ""},
		{"*stop*", false, controlStop, ""},
		{"```\nstop\n```", false, controlStop, ""},
		{"please stop", false, controlStop, ""},
		{"Stop, please!", false, controlStop, ""},
		{"stop now", false, controlStop, ""},
		{"!stop", false, controlStop, ""},
		{"! status", false, controlStatus, ""},
		{"!Status", false, controlStatus, ""},
		{"`!status`", false, controlStatus, ""},
		{"！status", false, controlStatus, ""},
		{"!status\n", false, controlStatus, ""},
		{"status", true, controlStatus, ""},
		{"retry, please", true, controlRetry, ""},
		{"!why <https://acme.slack.com/archives/C1/p1795521600000100>", false, controlWhy, ""},
		{"! why https://acme.slack.com/archives/C1/p1795521600000100", false, controlWhy, ""},

		{"!status of the build", false, controlNone, "`!status` is a message of its own, so nothing happened."},
		{"!stop\nand fix the docs", false, controlNone, "`!stop` is a message of its own"},
		{"!retry with opus", true, controlNone, "`!retry` is a message of its own"},
		{"!why did you do that", false, controlNone, "`!why` is a message of its own, with nothing behind it but a message’s link"},
		{"!statsu", false, controlNone, "I do not know `!statsu`, so nothing happened. Did you mean `!status`?"},
		{"!stauts please", false, controlNone, "Did you mean `!status`?"},
		{"!asid lunch?", false, controlNone, "Did you mean `!aside`?"},

		// For the agent, or for nobody.
		{"stop the server", false, controlNone, ""},
		{"do not stop", false, controlNone, ""},
		{"&gt; stop", false, controlNone, ""},
		{"&gt; !status", false, controlNone, ""},
		{"the word `stop`", false, controlNone, ""},
		{"`stop` and `go`", false, controlNone, ""},
		{"status", false, controlNone, ""},
		{"status of the build", true, controlNone, ""},
		{"!important is ignored", false, controlNone, ""},
		{"!close() is never called", false, controlNone, ""},
		{"!aside", false, controlNone, ""},
		{"!aside lunch?", false, controlNone, ""},
		{"", true, controlNone, ""},
		{"!", false, controlNone, ""},
	} {
		got, slip := readControl(c.text, c.named)
		if got != c.want || !strings.Contains(slip, c.slip) || (slip == "") != (c.slip == "") {
			t.Errorf("%q: %q, %q; want %q, %q", c.text, got, slip, c.want, c.slip)
		}
	}
	for text, want := range map[string]bool{
		"!aside lunch?": true, "! aside lunch?": true, "!Aside: lunch?": true, "`!aside` lunch?": true, "*!aside* lunch": true, "！aside lunch": true, "!aside": true,
		"aside from that": false, "!asides are fine": false, "fix it !aside": false,
	} {
		if aside(text) != want {
			t.Errorf("aside %q: %v", text, !want)
		}
	}
}

// What looks like a control never reaches the agent, wherever the control would have counted.
func TestControlsThatAreNone(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.reply("bob", ts, "!close this and go home")
	r.told("bob", "`!close` is a message of its own, so nothing happened.")
	r.reply("bob", ts, "! aside shall we?")
	r.reply("bob", ts, "! mute")
	r.shown(ts, "Muted by bob")
	r.reply("bob", ts, "!unmut")
	r.told("bob", "I do not know `!unmut`, so nothing happened. Did you mean `!unmute`?")
	r.reply("bob", ts, "`stop`")
	r.stopped(id, ts)
	r.shown(ts, "Stopped by bob")
	r.kept("the turn is over", func() bool { return r.load(id).Session.Turn == nil })
	r.handled()
	if st := r.load(id); len(st.Prompts) != 0 || st.Session.Closed {
		t.Errorf("%+v", st.Prompts)
	}
	dm, err := r.slack.As("alice").DM("stop")
	if err != nil {
		t.Fatal(err)
	}
	r.until("an answer", func(s *slacktest.Snapshot) bool {
		return strings.Contains(s.Render(slacktest.Rendering{}, dm.Channel, dm.TS), "Reply `stop` in the thread of the one that you mean.")
	})
}

// Nothing runs while a request waits for its repository; whoever wants to stop it is told how.
func TestStopWhileTheRepositoryIsAsked(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix the flaky test")
	question := r.ours(ts, "Which repository is this about?")
	id := r.id(ts)
	r.reply("bob", ts, "stop")
	r.told("bob", "Nothing runs yet: I wait for alice to say which repository this is about.")
	r.delete("alice", ts)
	r.shown(ts, "What this question was about was taken back.")
	r.stale("alice", question, id, "acme/web")
	r.told("alice", "What that question was about was taken back, so nothing happened.")
	r.reply("alice", ts, "acme/web")
	r.told("alice", "Nothing waits here, because what you asked for was taken back")
	next := r.reply("alice", ts, "fix the cart")
	r.ready(id, next)
	if got := r.worksOn(id); got != "acme/web@main" {
		t.Errorf("works on %s", got)
	}
}

// A failed message that runs again is still its author's: an edit changes it, a deletion takes it back, and then it does not run again.
func TestWhatRunsAgainRegression(t *testing.T) {
	r := newRig(t)
	fail := func(id session.ID, prompt string) {
		t.Helper()
		r.called("prompt " + prompt)
		r.journal(id, session.Event{Kind: session.KindTurn, PromptID: prompt, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptFailed, Reason: "The model broke."}})
		r.kept("the turn is over", func() bool { turn := r.load(id).Session.Turn; return turn == nil || turn.PromptID != prompt })
	}
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	fail(id, ts)
	again := r.reply("bob", ts, "!retry") // waits behind bob's own
	r.shown(ts, "1 queued (alice)")
	r.edit("alice", ts, "<@"+r.slack.Bot().ID+"> look at acme/web, at the cart")
	r.kept("the new text", func() bool {
		p := r.load(id).Prompts
		return len(p) == 2 && p[1].ID == again && p[1].Text == "look at acme/web, at the cart"
	})
	r.edit("bob", again, "!retry and the docs")
	r.told("bob", "an edit does not steer me, so it counts as it was")
	r.delete("bob", again)
	r.kept("it is taken back", func() bool { return len(r.load(id).Prompts) == 1 })
	once := r.reply("bob", ts, "!retry") // not queued any more
	r.kept("it waits again", func() bool { p := r.load(id).Prompts; return len(p) == 2 && p[1].ID == once })
	r.delete("alice", ts)
	r.kept("it is taken back, too", func() bool { return len(r.load(id).Prompts) == 1 })
	r.reply("bob", ts, "!retry")
	r.told("bob", "The message of the last turn was deleted or taken back, so there is nothing to run again.")
	fail(id, second)
	last := r.reply("alice", ts, "!retry")
	fail(id, last)
	more := r.reply("alice", ts, "!retry")
	r.called("prompt " + more)
	r.delete("bob", second) // what runs is what it said
	r.stopped(id, more)
	r.shown(ts, "Stopped: bob deleted the message")
}

// What somebody asked for by a command is shown in a message of ours: 🛑 on it ends its turn, or takes it back while it waits.
func TestStopOnARequest(t *testing.T) {
	r := newRig(t)
	ask := func(text string) slacktest.Message {
		t.Helper()
		if _, err := r.slack.As("alice").Command("general", text); err != nil {
			t.Fatal(err)
		}
		var m slacktest.Message
		r.until("the request", func(s *slacktest.Snapshot) bool {
			for _, m = range s.Messages("general") {
				if strings.Contains(m.Text, "> "+text) {
					return true
				}
			}
			return false
		})
		return m
	}
	react := func(user, ts string) {
		t.Helper()
		if err := r.slack.As(user).React("general", ts, "octagonal_sign"); err != nil {
			t.Fatal(err)
		}
	}
	m := ask("look at acme/web")
	id := r.id(m.TS)
	r.ready(id, m.TS)
	react("bob", m.TS)
	r.stopped(id, m.TS)
	r.shown(m.TS, "Stopped by bob")
	m = ask("fix the flaky test")
	r.shown(m.TS, "Which repository is this about?")
	react("bob", m.TS)
	r.told("bob", "That request has not begun, and only alice can take it back.")
	react("alice", m.TS)
	r.shown(m.TS, "What this question was about was taken back.")
	if _, err := r.slack.As("bob").Command("general", "stop"); err != nil {
		t.Fatal(err)
	}
	r.told("bob", "Reply `stop` in the thread that you mean.")
}
