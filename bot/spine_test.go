package bot

import (
	"context"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// link gives somebody a GitHub account.
func (r *rig) link(user string, account session.Identity) {
	r.t.Helper()
	if err := r.db.LinkUser(r.ctx, user, account); err != nil {
		r.t.Fatal(err)
	}
}

// linked tells the bot how a linking ended, twice: it may have been killed before it knew that it had told.
func (r *rig) linked(user string, account *session.Identity, cause error) {
	r.t.Helper()
	for range 2 {
		if err := r.bot.LinkDone(r.ctx, user, "flow1", account, cause); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestMentionToPullRequest(t *testing.T) {
	r := newRig(t)
	r.link("U0BOB", session.Identity{ID: 7, Login: "bob-gh"})
	r.world.OnCollect = changes("a")
	r.world.OnOpen = func(o session.OpenRequest) (session.PullRequest, error) {
		return session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", Title: o.Title, Repo: o.Repo, Branch: o.Branch, Base: o.Base,
			Commit: o.Commit, State: session.PullOpen, OpenedBy: o.By}, nil
	}
	ts := r.mention("alice", "fix the flaky checkout test in acme/web")
	r.shown(ts, ":eyes: inspect", "Starting on alice’s request", "replies here are prompts")
	id := r.id(ts)
	r.ready(id, ts)
	exit := 0
	r.journal(id,
		session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "1", Name: "read", State: session.StepDone, Title: "checkout.go"}},
		session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "2", Name: "bash", State: session.StepDone, Input: []byte(`{"command":"go test ./..."}`), Exit: &exit}})
	r.shown(ts, "Working for alice", "read `checkout.go`", "`go test ./...` ✓")
	r.answered(id, ts, "Fixed the race in <!channel> [here](https://evil.test).")
	card := r.ours(ts, "Changes ready")
	r.shown(ts, "Done for alice", "Fixed the race in", ":white_check_mark: opens the pull request as you", "[file: aaaaaaa.diff]")
	if err := r.slack.As("bob").React("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.shown(ts, "Opened as #12 by bob", "Pull request #12", "opened by bob")
	id2 := strings.ReplaceAll(r.slack.Render("general", ts), string(id), "abcdefghij")
	golden(t, "spine.txt", id2)
	if n := len(r.slack.Snapshot().Calls("apps.connections.open")); n != 1 {
		t.Errorf("apps.connections.open was called %d times, want 1", n)
	}
	pr := r.ours(ts, "Pull request #12")
	if err := r.slack.As("bob").React("general", pr.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.told("bob", "You opened #12, and GitHub lets nobody approve their own pull request")
	for _, m := range r.slack.Thread("general", ts) {
		for _, reaction := range m.Reactions {
			if reaction.Name == "white_check_mark" && strings.Contains(strings.Join(reaction.Users, " "), r.slack.Bot().ID) {
				t.Error("the bot approved something")
			}
		}
	}
}

// Links to the log are shown where only members of the workspace read; elsewhere the diff is attached.
func TestLogLinks(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.cfg.Log = func(id session.ID) string { return "https://log.test/s/" + string(id) + "?e=1&s=2" }
		r.slack.AddChannel(slacktest.Channel{Name: "partners", External: true})
		r.slack.AddChannel(slacktest.Channel{Name: "visitors"}) // gina, a guest, is in it
		r.slack.AddChannel(slacktest.Channel{Name: "members", Members: []string{"alice", "bob", "inspect"}})
	})
	r.world.OnCollect = changes("a")
	for channel, linked := range map[string]bool{"members": true, "partners": false, "visitors": false} {
		m, err := r.slack.As("alice").Mention(channel, "fix acme/web")
		if err != nil {
			t.Fatal(err)
		}
		r.until("the status message", func(s *slacktest.Snapshot) bool {
			return strings.Contains(s.Render(slacktest.Rendering{}, channel, m.TS), "Starting on alice")
		})
		if text := r.slack.Snapshot().Render(slacktest.Rendering{URLs: true}, channel, m.TS); strings.Contains(text, "log.test") != linked {
			t.Errorf("#%s: a link is shown is not %v:\n%s", channel, linked, text)
		}
		id, err := r.hub.Find(t.Context(), session.Thread{Team: r.slack.TeamID(), Channel: m.Channel, TS: m.TS})
		if err != nil {
			t.Fatal(err)
		}
		r.ready(id, m.TS)
		r.answered(id, m.TS, "Fixed.")
		want := ".diff]"
		if linked {
			want = "log and diff (https://log.test/s/" + string(id) + "?e=1&s=2)"
		}
		r.until(want, func(s *slacktest.Snapshot) bool {
			return strings.Contains(s.Render(slacktest.Rendering{URLs: true}, channel, m.TS), want)
		})
		if linked && strings.Contains(r.slack.Render(channel, m.TS), ".diff]") {
			t.Error("the diff is attached although there is a link")
		}
	}
}

func TestTwoPeopleAndTheQueue(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.reply("bob", ts, "!aside not for you")
	r.reply("alice", ts, "<@U0BOB> what do you think of <@"+r.slack.Bot().ID+">?")
	r.shown(ts, "1 queued (bob)")
	r.answered(id, ts, "Looked.")
	r.called("prompt " + second)
	r.answered(id, second, "Docs too.")
	r.shown(ts, "Looked.", "Docs too.", "Done for bob")
	if n := len(r.load(id).Session.Seen); n != 2 {
		t.Errorf("%d prompts were taken, want 2", n)
	}
	if got := r.slack.Ephemerals("bob"); len(got) != 0 {
		t.Errorf("bob was told %v", got)
	}
}

func TestStop(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	r.reply("bob", ts, "Stop.")
	r.called("stop " + ts)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: ts, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	r.shown(ts, "Stopped by bob")
	r.called("prompt " + second)
	old := r.ours(ts, "Stopped by bob")
	if err := r.slack.As("alice").React("general", old.TS, "octagonal_sign"); err != nil {
		t.Fatal(err)
	}
	r.told("alice", "That turn is over already")
	running := r.ours(ts, "Working for bob")
	if err := r.slack.As("alice").React("general", running.TS, "octagonal_sign"); err != nil {
		t.Fatal(err)
	}
	r.called("stop " + second)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: second, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	r.shown(ts, "Stopped by alice")
	r.reply("alice", ts, "stop")
	r.told("alice", "Nothing is running here")
}

func TestApprovalWaitsForLinking(t *testing.T) {
	r := newRig(t)
	r.world.OnCollect = changes("b")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	if err := r.slack.As("alice").React("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.told("alice", "I sent you a direct message")
	r.until("the code", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "WDJB-MJHT") && strings.Contains(all[0].Text, "<@U0ALICE>") && strings.Contains(all[0].Text, "only if you asked")
	})
	r.stop()
	r.start() // what waits, waits on
	account := session.Identity{ID: 9, Login: "alice-gh"}
	r.link("U0ALICE", account)
	r.linked("U0ALICE", &account, nil)
	r.shown(ts, "Opened as #1 by alice")
	r.until("the confirmation", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 2 && strings.Contains(all[1].Text, "you are alice-gh on GitHub")
	})
}

func TestLinkingThatCannotStart(t *testing.T) {
	r := newRig(t)
	r.forge.shut = session.Errorf(session.Forbidden, "This GitHub App has no device flow.")
	r.world.OnCollect = changes("b")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	if err := r.slack.As("bob").React("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.told("bob", "This GitHub App has no device flow.")
	if left := r.load(id).Approvals; len(left) != 0 {
		t.Errorf("approvals still wait: %+v", left)
	}
}

func TestLinkingThatFails(t *testing.T) {
	r := newRig(t)
	r.world.OnCollect = changes("b")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	if err := r.slack.As("bob").React("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.told("bob", "I sent you a direct message")
	r.linked("U0BOB", nil, session.Errorf(session.Forbidden, "You declined on GitHub."))
	r.told("bob", "You declined on GitHub")
}

// putting is a store that tells what is about to be stored in its outbox.
type putting struct {
	Store
	tell func(session.Message)
}

func (p putting) Put(ctx context.Context, messages ...session.Message) error {
	for _, m := range messages {
		p.tell(m)
	}
	return p.Store.Put(ctx, messages...)
}

// Whoever is told that their linking failed may approve again at once: nothing of the first approval waits any more, or the second would be taken
// for the same and come to nothing.
func TestApprovalAgainAfterLinkingFailedRegression(t *testing.T) {
	var waiting []session.Approval
	r := newRig(t, func(r *rig) {
		r.tune = func(b *Bot) {
			b.store = putting{b.store, func(m session.Message) {
				if strings.HasPrefix(m.Key, "linked/U0BOB/") {
					waiting = append(waiting, r.load(r.id(r.slack.Snapshot().Messages("general")[0].TS)).Approvals...)
				}
			}}
		}
	})
	r.world.OnCollect = changes("b")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	codes := func(n int) {
		t.Helper()
		r.until("a code", func(s *slacktest.Snapshot) bool {
			sent := 0
			for _, m := range s.Messages("D0BOB") {
				sent += strings.Count(m.Text, "WDJB-MJHT")
			}
			return sent == n
		})
	}
	approve := func() {
		t.Helper()
		if err := r.slack.As("bob").React("general", card.TS, "white_check_mark"); err != nil {
			t.Fatal(err)
		}
	}
	approve()
	codes(1)
	r.linked("U0BOB", nil, session.Errorf(session.Conflict, "The code has expired."))
	if len(waiting) > 0 {
		t.Errorf("bob is told while his approval waits: %+v", waiting)
	}
	if err := r.slack.As("bob").Unreact("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	approve()
	codes(2)
}

// A stop that is taken twice, because the bot died before it noted that it had, does not stop the turn that came after.
func TestStopTakenTwiceRegression(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	second := r.reply("bob", ts, "and the docs")
	r.shown(ts, "1 queued (bob)")
	stop := r.reply("alice", ts, "stop")
	r.called("stop " + ts)
	r.journal(id, session.Event{Kind: session.KindTurn, PromptID: ts, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	r.called("prompt " + second)
	raw := `{"event_id":"Ev1","event":{"type":"message","user":"U0ALICE","text":"stop","ts":"` + stop + `","thread_ts":"` + ts + `","channel":"C0GENERAL"}}`
	if err := r.bot.process(r.ctx, session.Received{Key: "Ev1", Kind: eventsAPI, Payload: []byte(raw)}); err != nil {
		t.Fatal(err)
	}
	if turn := r.load(id).Session.Turn; turn == nil || turn.PromptID != second || turn.Stopping {
		t.Errorf("the turn that runs is %+v", turn)
	}
	if _, err := r.db.Message(r.ctx, "control/C0GENERAL/"+stop); session.CodeOf(err) != session.NotFound {
		t.Errorf("what was stopped was refused when it was taken again: %v", err)
	}
}

// What was refused stays refused, when the bot died before it noted that it had and takes it again: by then it would be possible.
func TestRefusalTakenTwiceRegression(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	var last string
	for range session.MaxQueued + 1 {
		last = r.reply("bob", ts, "and this")
	}
	r.told("bob", "10 prompts wait")
	r.ready(id, ts)
	r.answered(id, ts, "Looked.")
	r.kept("the next turn", func() bool { return len(r.load(id).Prompts) == session.MaxQueued })
	r.kept("the refusal", func() bool { _, err := r.db.Message(r.ctx, "refused/C0GENERAL/"+last); return err == nil })
	again := func(text, at string) {
		raw := `{"event_id":"Ev1","event":{"type":"message","user":"U0BOB","text":"` + text + `","ts":"` + at + `","thread_ts":"` + ts + `","channel":"C0GENERAL"}}`
		if err := r.bot.process(r.ctx, session.Received{Key: "Ev1", Kind: eventsAPI, Payload: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	again("and this", last)
	if st := r.load(id); len(st.Prompts) != session.MaxQueued {
		t.Errorf("%d prompts, want %d", len(st.Prompts), session.MaxQueued)
	}
	stop := "1795521999.000100"
	if err := r.bot.whisper(r.ctx, "control/C0GENERAL/"+stop, place{channel: "C0GENERAL", thread: ts}, "U0BOB", "Nothing is running here."); err != nil {
		t.Fatal(err)
	}
	again("stop", stop)
	if turn := r.load(id).Session.Turn; turn == nil || turn.Stopping {
		t.Errorf("the turn that runs is %+v", turn)
	}
}
