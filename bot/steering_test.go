package bot

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// edit has somebody edit their message in #general.
func (r *rig) edit(user, ts, text string) {
	r.t.Helper()
	if _, err := r.slack.As(user).Edit("general", ts, text); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delete(user, ts string) {
	r.t.Helper()
	if err := r.slack.As(user).Delete("general", ts); err != nil {
		r.t.Fatal(err)
	}
}

// stopped has the agent end a turn because it was told to.
func (r *rig) stopped(id session.ID, prompt string) {
	r.t.Helper()
	r.called("stop " + prompt)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: prompt, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
}

// handled waits until every event that came so far has its outcome, and all that is to be said of it is.
func (r *rig) handled() {
	r.t.Helper()
	r.until("every acknowledgement", func(*slacktest.Snapshot) bool { return r.slack.Unacked() == 0 })
	r.kept("an empty inbox", func() bool {
		left, err := r.db.Inbox(r.ctx)
		return err == nil && len(left) == 0
	})
	r.kept("nothing to be said", func() bool {
		untold, err := r.db.Unpresented(r.ctx)
		if err != nil || len(untold) > 0 {
			return false
		}
		waiting, err := r.db.Pending(r.ctx)
		return err == nil && len(waiting) == 0
	})
}

// seen is what somebody sees: a thread, and below it what they alone were told.
func (r *rig) seen(ts string, users ...string) string {
	var b strings.Builder
	now := r.slack.Snapshot()
	b.WriteString(now.Render(slacktest.Rendering{}, "general", ts))
	for _, u := range users {
		for _, m := range now.Ephemerals(u) {
			b.WriteString(now.RenderMessage(slacktest.Rendering{}, m))
		}
	}
	return ownEdit.ReplaceAllString(passed.ReplaceAllString(b.String(), "for a while"), "$1")
}

// passed is how long something takes, which depends on the rig's clock; an edit of the bot's own may come before a message is posted at all.
var (
	passed  = regexp.MustCompile(`for (an? |under |\d)[^:]*`)
	ownEdit = regexp.MustCompile(`(?m)^(inspect:.*|  .*) \(edited\)$`)
)

// eyes reports whether the bot's 👀 is on a message.
func (r *rig) eyes(ts string) bool {
	m, ok := r.slack.MessageNow("C0GENERAL", ts)
	return ok && len(m.Reactions) > 0
}

// all waits for a turn's prompt to be delivered, and has the agent answer it.
func (r *rig) all(id session.ID, prompt, text string) {
	r.t.Helper()
	r.called("prompt " + prompt)
	r.answered(id, prompt, text)
}

func TestControls(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	r.mention("alice", "!status")
	r.told("alice", "There is no session here: each has a thread. Reply `!status` in the thread that you mean")
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	r.reply("alice", ts, "!status")
	r.told("alice", "Working for alice", "1 queued: bob: “and the docs”", "Sandbox: in use")
	r.reply("alice", ts, "!statsu")
	r.told("alice", "Did you mean `!status`?")
	r.reply("bob", ts, us+"help")
	r.told("bob", "In this thread replies here are prompts.")
	r.reply("bob", ts, "!retry")
	r.told("bob", "No turn of this thread has ended yet")
	r.reply("bob", ts, "stop")
	r.stopped(id, ts)
	r.called("prompt " + second)
	again := r.reply("bob", ts, "!retry")
	r.shown(ts, "Stopped by bob", "1 queued (alice)")
	r.reply("alice", ts, "!retry")
	r.told("alice", "That is queued again already.")
	r.answered(id, second, "Read the docs.")
	r.called("prompt " + again)
	r.shown(ts, "Once more, as bob asked.")
	r.reply("alice", ts, "!mute")
	r.shown(ts, "Muted by alice", "muted: only replies that mention me are prompts")
	r.reply("bob", ts, "what do you think, alice?")
	third := r.reply("bob", ts, us+"and the tests")
	r.shown(ts, "1 queued (bob)")
	r.reply("bob", ts, "!unmute")
	r.shown(ts, "Not muted any more, says bob.")
	fourth := r.reply("alice", ts, "and the wiki")
	r.shown(ts, "2 queued (bob, alice)")
	r.reply("bob", ts, "!close")
	r.shown(ts, "Closed by bob. What runs is stopped.", "Not run: 2 messages that waited, by @bob, @alice.")
	r.stopped(id, again)
	r.called("suspend")
	r.until("no eyes on what was not run", func(*slacktest.Snapshot) bool { return !r.eyes(third) && !r.eyes(fourth) })
	r.reply("alice", ts, "too bad")
	r.reply("alice", ts, "!close")
	r.told("alice", "This session is closed already.")
	r.kept("the sandbox is away", func() bool { return r.load(id).Session.Sandbox.State == session.SandboxStopped })
	r.reply("alice", ts, "!status")
	r.told("alice", "Closed. A mention goes on where it ended.", "Sandbox: put away")
	last := r.reply("bob", ts, us+"go on after all")
	r.shown(ts, "Starting on bob’s request")
	r.kept("a sandbox that boots", func() bool { return r.load(id).Session.Sandbox.State == session.SandboxBooting })
	r.handled()
	st := r.load(id)
	if len(st.Prompts) != 1 || st.Prompts[0].ID != last || st.Session.Closed {
		t.Errorf("after a mention in a closed session: %+v", st.Prompts)
	}
	golden(t, "controls.txt", r.seen(ts, "alice", "bob"))
	for _, a := range []string{"stop", "retry", "mute", "unmute", "close"} {
		if !strings.Contains(r.audited(), a+" bob") && !strings.Contains(r.audited(), a+" alice") {
			t.Errorf("the audit log has no %s:\n%s", a, r.audited())
		}
	}
}

// audited is who did what.
func (r *rig) audited() string {
	r.t.Helper()
	all, err := r.db.AuditLog(r.ctx, session.AuditQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	var b strings.Builder
	for _, a := range all {
		b.WriteString(a.Action + " " + a.By.Name + "\n")
	}
	return b.String()
}

// A bare stop in a thread that the bot was called into is people's own, unless it is said by somebody who has prompted there.
func TestControlsInAThreadOfPeople(t *testing.T) {
	r := newRig(t)
	root, err := r.slack.As("bob").Post("general", "checkout is flaky")
	if err != nil {
		t.Fatal(err)
	}
	first := r.reply("alice", root.TS, "<@"+r.slack.Bot().ID+"> look at acme/web")
	id := r.id(root.TS)
	r.ready(id, first)
	r.reply("bob", root.TS, "stop")
	r.reply("bob", root.TS, "!mute")
	r.shown(root.TS, "Muted by bob")
	if turn := r.load(id).Session.Turn; turn == nil || turn.Stopping {
		t.Fatalf("bob's stop was for alice, and the turn is %+v", turn)
	}
	r.reply("alice", root.TS, "stop") // a muted session is not deaf to that
	r.stopped(id, first)
	r.shown(root.TS, "Stopped by alice")
	dm, err := r.slack.As("alice").DM("look at acme/api")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.slack.As("alice").Reply(dm.Channel, dm.TS, "!mute"); err != nil {
		t.Fatal(err)
	}
	r.until("an answer", func(s *slacktest.Snapshot) bool {
		return strings.Contains(s.Render(slacktest.Rendering{}, dm.Channel, dm.TS), "Here we are alone")
	})
}

func TestEdits(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	second := r.reply("bob", ts, "and teh docs")
	r.shown(ts, "1 queued (bob)")
	r.edit("bob", second, "and the docs")
	r.kept("the queue's new text", func() bool { return r.load(id).Prompts[1].Text == "and the docs" })
	r.edit("bob", second, "and the docs [modle=opus]")
	r.told("bob", "I do not know the option", "Your edit was not taken; the message counts as it was.")
	r.edit("bob", second, "stop")
	r.told("bob", "An edit does not steer me, so your message counts as it was. Send `stop` as a new message.")
	r.edit("bob", second, us+"and the docs") // a mention came, and nothing else
	if err := r.slack.Unfurl("general", second, "https://example.test", "An example"); err != nil {
		t.Fatal(err)
	}
	secret := "xoxb-1234567890-1234567890123-abcdefghijklmnopqrstuvwx"
	r.edit("bob", second, "and the docs with "+secret)
	r.shown(ts, "What looked like a secret in the message of bob was taken out")
	if p := r.load(id).Prompts[1]; strings.Contains(p.Text, secret) || !p.Redacted || len(r.load(id).Prompts) != 2 {
		t.Errorf("the queue is %+v", r.load(id).Prompts)
	}
	r.edit("alice", ts, us+"look at acme/web, at the checkout")
	r.shown(ts, "2 queued (bob, alice)")
	r.edit("alice", ts, us+"look at acme/web, at the cart")
	r.kept("the correction's new text", func() bool {
		p := r.load(id).Prompts
		return len(p) == 3 && p[2].Text == "look at acme/web, at the cart"
	})
	correction := r.load(id).Prompts[2].ID
	third := r.reply("bob", ts, "and the wiki")
	r.shown(ts, "3 queued (bob, alice)")
	r.edit("bob", third, "!aside and the wiki")
	r.kept("it is withdrawn", func() bool { return len(r.load(id).Prompts) == 3 })
	r.until("no eyes on it", func(*slacktest.Snapshot) bool { return !r.eyes(third) })
	r.edit("bob", third, "and the wiki, of course")
	r.told("bob", "That message was taken back before the agent had it, so your edit changes nothing.")
	r.edit("alice", ts, "<@U0BOB> look at acme/web, at the cart")
	r.handled() // else the correction may be on its way
	r.answered(id, ts, "Looked.")
	r.all(id, second, "Docs too.")
	r.kept("a session without a turn", func() bool { return r.load(id).Session.Turn == nil })
	r.handled()
	r.shown(ts, "Done for alice")
	golden(t, "edits.txt", r.seen(ts, "alice", "bob"))
	if delivered := r.world.Calls(); strings.Contains(strings.Join(delivered, "\n"), correction) {
		t.Errorf("a correction whose message is not for us any more was run: %v", delivered)
	}
	r.edit("bob", second, "and the docs of the cart")
	r.shown(ts, "A correction: the message was edited after the agent had it.")
}

// A message that came to nothing counts when it is edited so that it can; what was said among people does not, however it is mended.
func TestEditsOfWhatWasNotTaken(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	wrong := r.mention("alice", "look at acme/web [modle=opus]")
	r.told("alice", "I do not know the option")
	r.edit("alice", wrong, us+"look at acme/web [effort=huge]")
	r.told("alice", "does not know the effort")
	r.edit("alice", wrong, us+"look at acme/web")
	r.ready(r.id(wrong), wrong)

	root, err := r.slack.As("bob").Post("general", "checkout is flaky")
	if err != nil {
		t.Fatal(err)
	}
	before := r.reply("alice", root.TS, "i sea that too")
	called := r.reply("bob", root.TS, us+"look at acme/api")
	id := r.id(root.TS)
	r.called("attach " + string(id))
	r.ready(id, called)
	after := r.reply("alice", root.TS, "good ide")
	aside := r.reply("bob", root.TS, "!aside also the wiki?")
	named := r.reply("alice", root.TS, "also the docs")
	r.edit("alice", before, "i see that too")
	r.edit("alice", named, us+"also the docs")
	r.shown(root.TS, "1 queued (alice)")
	r.edit("alice", after, "good idea") // said before she had prompted
	r.edit("bob", aside, "also the wiki")
	r.shown(root.TS, "2 queued (alice, bob)")
	r.handled()
	if p := r.load(id).Prompts; len(p) != 3 || p[1].ID != named || p[2].ID != aside || p[2].Text != "also the wiki" {
		t.Errorf("the queue is %+v", p)
	}
	for _, ts := range []string{before, after} {
		if r.eyes(ts) {
			t.Errorf("what was said among people was taken: %s", ts)
		}
	}
}

func TestDeletions(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	second := r.reply("bob", ts, "and the docs")
	third := r.reply("bob", ts, "and the wiki")
	r.shown(ts, "2 queued (bob)")
	r.delete("bob", second)
	r.shown(ts, "1 queued (bob)")
	r.delete("alice", ts) // the root: it has replies, so a stone is left in its place
	r.stopped(id, ts)
	r.called("prompt " + third)
	r.answered(id, third, "The wiki is fine.")
	r.shown(ts, "Stopped: alice deleted the message", "The wiki is fine.")
	r.reply("bob", ts, "!retry")
	r.told("bob", "The last turn here did not fail")
	r.delete("bob", third) // long done
	fourth := r.reply("bob", ts, "go on")
	r.called("prompt " + fourth)
	r.delete("bob", fourth)
	r.stopped(id, fourth)
	r.shown(ts, "Stopped: bob deleted the message")
	r.kept("a session without a turn", func() bool { return r.load(id).Session.Turn == nil })
	r.reply("alice", ts, "!retry")
	r.told("alice", "The message of the last turn was deleted")
	r.handled()
	golden(t, "deletions.txt", r.seen(ts, "alice", "bob"))
}

// reads is a store that tells when a message is read.
type reads struct {
	Store
	key  func() string
	once sync.Once
	read chan struct{}
}

func (s *reads) Message(ctx context.Context, key string) (session.Message, error) {
	m, err := s.Store.Message(ctx, key)
	if key == s.key() {
		s.once.Do(func() { close(s.read) })
	}
	return m, err
}

// Somebody stops a turn as soon as they see it (regression): Slack has its status message, and we do not know that yet.
func TestStopOfWhatWasJustShown(t *testing.T) {
	var key atomic.Value // of the second turn's status message
	key.Store("")
	store := &reads{key: func() string { return key.Load().(string) }, read: make(chan struct{})}
	r := newRig(t, func(r *rig) {
		r.tune = func(b *Bot) {
			store.Store = b.store
			b.store = store
		}
	})
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	key.Store(statusKey(id, second))
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "chat.postMessage" && strings.Contains(c.Args["metadata"], key.Load().(string)) {
			r.reply("alice", ts, "stop")
			select {
			case <-store.read:
			case <-r.ctx.Done():
			}
		}
		return nil
	}})
	r.answered(id, ts, "Looked.")
	r.called("prompt " + second)
	r.stopped(id, second)
	r.shown(ts, "Stopped by alice")
}

// The button, Slack's own stop and the word each stop the turn that they were meant for, and never a later one.
func TestStopsAreOfATurn(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	status := r.ours(ts, "Working for alice")
	click := func(user, message string) {
		t.Helper()
		if _, err := r.slack.As(user).Click("general", message, "Stop"); err != nil {
			t.Fatal(err)
		}
	}
	var old string // of the button's message, as it was
	if m, ok := r.slack.MessageNow("C0GENERAL", status.TS); ok {
		old = string(id) + "/" + ts
		if !strings.Contains(r.slack.Render("general", ts), "[Stop]") {
			t.Errorf("no button: %s", m.Text)
		}
	}
	click("bob", status.TS)
	r.stopped(id, ts)
	r.called("prompt " + second)
	r.shown(ts, "Stopped by bob")

	late := func(kind, payload string) {
		t.Helper()
		if err := r.bot.process(r.ctx, session.Received{Key: "late", Kind: kind, Payload: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
		if turn := r.load(id).Session.Turn; turn == nil || turn.PromptID != second || turn.Stopping {
			t.Fatalf("after %s the turn is %+v", payload, turn)
		}
	}
	late(interactive, `{"type":"block_actions","user":{"id":"U0ALICE"},"container":{"channel_id":"C0GENERAL","message_ts":"`+status.TS+`","thread_ts":"`+ts+`"},"actions":[{"action_id":"turn_stop","value":"`+old+`","action_ts":"1.1"}]}`)
	r.told("alice", "That turn is over already.")
	running := r.ours(ts, "Working for bob")
	between := second // after the first turn's status message, before the second's
	late(eventsAPI, `{"event_id":"Ev1","event":{"type":"agent_session_stopped","user":"U0BOB","channel":"C0GENERAL","thread_ts":"`+ts+`","event_ts":"`+between+`"}}`)
	r.told("bob", "That turn is over already. What runs now began after it.")
	late(eventsAPI, `{"event_id":"Ev2","event":{"type":"message","user":"U0BOB","text":"stop","channel":"C0GENERAL","thread_ts":"`+ts+`","ts":"`+between[:len(between)-2]+`50"}}`)
	// A button that is not that message's, and one of a message that has none.
	late(interactive, `{"type":"block_actions","user":{"id":"U0ALICE"},"container":{"channel_id":"C0GENERAL","message_ts":"`+running.TS+`","thread_ts":"`+ts+`"},"actions":[{"action_id":"budget_raise","value":"`+string(id)+"/"+second+`","action_ts":"1.2"}]}`)
	r.told("alice", "That button does not belong to that message")

	if err := r.slack.As("alice").StopAgent("general", ts); err != nil {
		t.Fatal(err)
	}
	r.stopped(id, second)
	r.shown(ts, "Stopped by alice")
	if err := r.slack.As("alice").StopAgent("general", ts); err != nil {
		t.Fatal(err)
	}
	r.told("alice", "Nothing is running here.")
}

// Whoever was told to send their message again need not mention the bot: in a thread that it was called into they have prompted before,
// though the agent never had it.
func TestSendingAgainRegression(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	root, err := r.slack.As("bob").Post("general", "checkout is flaky")
	if err != nil {
		t.Fatal(err)
	}
	r.reply("alice", root.TS, us+"look at acme/web")
	id := r.id(root.TS)
	r.called("attach")
	r.reply("bob", root.TS, us+"and the docs")
	r.shown(root.TS, "1 queued (bob)")
	r.journal(id, session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseAgent, State: session.StepFailed, Detail: "exit 1"}})
	r.shown(root.TS, "The agent did not start", "Failed for alice")
	again := r.reply("bob", root.TS, "and the docs, again")
	r.kept("it is taken", func() bool { p := r.load(id).Prompts; return len(p) == 1 && p[0].ID == again })
}

// The requester may answer our question for the repository by an edit of the request.
func TestEditNamesTheRepository(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	ts := r.mention("alice", "fix the flaky test")
	r.shown(ts, "Which repository is this about?")
	id := r.id(ts)
	r.edit("alice", ts, us+"fix the flaky test in acme/web")
	r.ready(id, ts)
	st := r.load(id)
	if got := st.Session.Repo.String() + "@" + st.Session.Base; got != "acme/web@main" || st.Prompts[0].Text != "fix the flaky test in acme/web" {
		t.Errorf("works on %s: %+v", got, st.Prompts)
	}
	r.shown(ts, "alice chose `acme/web`")
}
