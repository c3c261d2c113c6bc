package bot

import (
	"regexp"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// Times and what is counted from them depend on the rig's clock.
var (
	clockTime = regexp.MustCompile(`\d\d:\d\d:\d\d UTC`)
	ago       = regexp.MustCompile(`(under )?\d[\d minsh]* ago`)
)

// became asks by the shortcut what became of a message.
func (r *rig) became(user, channel, ts string) string {
	r.t.Helper()
	before := len(r.slack.Snapshot().Views(user))
	if _, err := r.slack.As(user).Shortcut(channel, ts, shortcutWhy); err != nil {
		r.t.Fatal(err)
	}
	var text string
	r.until("the answer", func(s *slacktest.Snapshot) bool {
		all := s.Views(user)
		if len(all) <= before {
			return false
		}
		text = s.RenderView(slacktest.Rendering{}, all[len(all)-1])
		return !strings.Contains(text, "One moment")
	})
	return clockTime.ReplaceAllString(strings.TrimSpace(text), "12:00:00 UTC")
}

func TestWhy(t *testing.T) {
	r := newRig(t)
	us := "<@" + r.slack.Bot().ID + "> "
	var b strings.Builder
	ask := func(what, user, ts string) {
		t.Helper()
		b.WriteString("== " + what + "\n" + r.became(user, "general", ts) + "\n")
	}
	post := func(user, text string) string {
		t.Helper()
		m, err := r.slack.As(user).Post("general", text)
		if err != nil {
			t.Fatal(err)
		}
		return m.TS
	}
	wrong := r.mention("alice", "look at acme/web [modle=opus]")
	r.told("alice", "I do not know the option")
	guest := r.mention("gina", "look at acme/web")
	r.told("gina", "full members")
	chat := post("bob", "lunch?")
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	third := r.reply("alice", ts, "and the wiki")
	r.shown(ts, "2 queued (bob, alice)")
	ask("running", "bob", ts)
	ask("queued", "alice", third)
	ask("our status message", "bob", r.ours(ts, "Working for alice").TS)
	r.edit("alice", ts, us+"look at acme/web, at the cart")
	r.shown(ts, "3 queued (bob, alice)")
	r.delete("alice", third)
	r.shown(ts, "2 queued (bob, alice)")
	ask("corrected", "alice", ts)
	queue := r.load(id).Prompts
	correction := queue[len(queue)-1].ID
	stop := r.reply("bob", ts, "stop")
	r.stopped(id, ts)
	r.all(id, second, "Docs too.")
	r.called("prompt " + correction)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: correction, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptFailed, Reason: "The model broke."}})
	r.shown(ts, "Failed for alice")
	aside := r.reply("bob", ts, "!aside lunch?")
	other := r.reply("bob", ts, "<@U0ALICE> lunch?")
	r.reply("bob", ts, "!mute")
	r.shown(ts, "Muted by bob")
	muted := r.reply("alice", ts, "are you there?")
	status := r.reply("alice", ts, "!status")
	r.told("alice", "Nothing runs. The last turn failed")
	r.handled()
	ask("stopped and corrected", "alice", ts)
	ask("done", "alice", second)
	ask("a stop", "alice", stop)
	ask("an aside", "alice", aside)
	ask("to somebody else", "alice", other)
	ask("in a muted thread", "alice", muted)
	ask("answered, as its author", "alice", status)
	ask("answered, as another", "bob", status)
	ask("refused, as its author", "alice", wrong)
	ask("of a guest", "bob", guest)
	ask("not to us", "alice", chat)
	for what, at := range map[string]string{"that never came": "1795521600.999900", "long ago": "1795300000.000100"} {
		text, err := r.bot.became(r.ctx, "U0ALICE", event{Type: "message", User: "U0ALICE", Text: us + "hello?", TS: at, ThreadTS: ts, Channel: "C0GENERAL"})
		if want := map[string]string{"that never came": "it never reached me", "long ago": "I have no record of it"}[what]; err != nil || !strings.Contains(text, want) {
			t.Errorf("a message %s: %q, %v", what, text, err)
		}
	}
	r.slack.AddChannel(slacktest.Channel{Name: "elsewhere", Members: []string{"alice"}})
	away, err := r.slack.As("alice").Post("elsewhere", us+"look at acme/web")
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("== where we are not\n" + r.became("alice", "elsewhere", away.TS) + "\n")
	ask("our notice", "alice", r.ours(ts, "Muted by bob").TS)
	golden(t, "why.txt", ago.ReplaceAllString(b.String(), "a while ago"))

	dm, err := r.slack.As("alice").DM("look at acme/api")
	if err != nil {
		t.Fatal(err)
	}
	r.reply("bob", ts, "!why")
	r.told("bob", "I did what it asks for: `mute`.") // the newest thing he said
	link, err := r.slack.As("bob").Permalink("general", second)
	if err != nil {
		t.Fatal(err)
	}
	r.reply("bob", ts, "!why "+link)
	r.told("bob", "It was done at")
	elsewhere, err := r.slack.As("alice").Permalink(dm.Channel, dm.TS)
	if err != nil {
		t.Fatal(err)
	}
	r.reply("bob", ts, us+"why "+elsewhere)
	r.told("bob", "That message is in another conversation.")
	r.reply("bob", ts, "!why https://example.test/")
	r.told("bob", "That is no link to a message.")
}
