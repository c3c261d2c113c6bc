package bot

import (
	"slices"
	"strings"
	"testing"
)

// An answer to our question that was none counts when it is mended; one that was taken, and what steered the session, stays as it was.
func TestEditsOfAnswersAndControls(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	ts := r.mention("alice", "fix the flaky test [effort=high]")
	r.shown(ts, "Which repository is this about?")
	id := r.id(ts)
	r.edit("alice", ts, us+"fix the flaky test [effort=high branch=dev]")
	r.told("alice", "I take the branch with the repository: reply with both")
	answer := r.reply("alice", ts, "acme/wbe")
	r.shown(ts, "Did you mean `acme/web`?")
	r.edit("alice", answer, "acme/web")
	r.shown(ts, "alice chose `acme/web`")
	r.ready(id, ts)
	r.edit("alice", answer, "acme/api")
	r.told("alice", "Your answer was taken as it was, so your edit changes nothing: this thread works on `acme/web`.")
	status := r.reply("bob", ts, "!status")
	r.told("bob", "Working for alice")
	r.edit("bob", status, "!close")
	r.told("bob", "An edit does not steer me, so your message counts as it was. Send `!close` as a new message.")
	r.edit("bob", status, "and the docs, please")
	r.shown(ts, "1 queued (bob)")
	r.edit("bob", status, "!clsoe")
	r.told("bob", "I do not know `!clsoe`, so nothing happened.", "Your message counts as it was.")
	slip := r.reply("alice", ts, "!muet")
	r.told("alice", "Did you mean `!mute`?")
	r.edit("alice", slip, "!mute")
	r.shown(ts, "Muted by alice")
	r.handled()
	if p := r.load(id).Prompts; len(p) != 2 || p[1].ID != status || r.load(id).Session.Closed {
		t.Errorf("the queue is %+v", p)
	}
}

// Slack tells of a new mention in an edited message twice, as a mention and as an edit; that is one request, options and all (regression).
func TestMentionThatIsEditedIn(t *testing.T) {
	r := newRig(t)
	m, err := r.slack.As("alice").Post("general", "look at acme/web [effort=high]")
	if err != nil {
		t.Fatal(err)
	}
	r.edit("alice", m.TS, "<@"+r.slack.Bot().ID+"> look at acme/web [effort=high]")
	id := r.id(m.TS)
	r.ready(id, m.TS)
	r.handled()
	change := event{Type: "message", Subtype: "message_changed", Channel: "C0GENERAL", Previous: &event{Text: "look at acme/web [effort=high]"},
		Message: &event{Type: "message", User: "U0ALICE", Text: "<@" + r.slack.Bot().ID + "> look at acme/web [effort=high]", TS: m.TS, Edited: &edited{TS: "1795522999.000100"}}}
	c, ok := change.change()
	if !ok {
		t.Fatal("no change")
	}
	if err := r.bot.changed(r.ctx, c); err != nil {
		t.Fatal(err)
	}
	if p := r.load(id).Prompts; len(p) != 1 {
		t.Errorf("the queue is %+v", p)
	}
}

// opening is a rig in which Alice mentioned the bot, and GitHub is asked what it is about: there is no session yet, until opens is called.
func opening(t *testing.T) (r *rig, ts string, opens func()) {
	t.Helper()
	slow := slowForge{asked: make(chan struct{}, 1), gate: make(chan struct{})}
	r = newRig(t, func(r *rig) {
		slow.forge = r.forge
		r.cfg.Repositories = slow
	})
	ts = r.mention("alice", "look at acme/web")
	r.shown(ts, ":eyes:")
	<-slow.asked
	return r, ts, func() { close(slow.gate) }
}

// A mention that is deleted or edited while GitHub is asked what it is about, when there is no session yet (regression).
func TestChangedBeforeItsSessionOpens(t *testing.T) {
	r, ts, opens := opening(t)
	if _, err := r.slack.As("bob").Reply("general", ts, "what is that?"); err != nil { // so that a stone is left
		t.Fatal(err)
	}
	r.delete("alice", ts)
	r.acknowledged()
	opens()
	r.shown(ts, "Stopped: alice deleted the message")
	if n := r.world.Calls(); slices.ContainsFunc(n, func(c string) bool { return strings.HasPrefix(c, "prompt "+ts) }) {
		t.Errorf("the agent had it: %v", n)
	}
}

// The same message is not for the agent any more: it does not get it, also where its sandbox is on the way already (regression).
func TestTakenBackBeforeItsSessionOpens(t *testing.T) {
	r, ts, opens := opening(t)
	r.edit("alice", ts, "!aside look at acme/web")
	r.acknowledged()
	opens()
	r.shown(ts, "Stopped: alice took the message back")
	r.reply("bob", ts, "!retry")
	r.told("bob", "The message of the last turn was deleted or taken back, so there is nothing to run again.")
}
