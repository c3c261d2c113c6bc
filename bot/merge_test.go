package bot

import (
	"context"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// pulled is a rig whose hub's time is stepped, and a thread in which alice prompted, bob opened #12, and cyd approved it on GitHub.
func pulled(t *testing.T, change ...func(*rig)) (r *rig, clock *sessiontest.Clock, ts string, id session.ID) {
	t.Helper()
	clock = &sessiontest.Clock{}
	r = newRig(t, append([]func(*rig){func(r *rig) { r.hubClock, r.cfg.Merge = clock, true }}, change...)...)
	r.link("U0ALICE", session.Identity{ID: 6, Login: "alice-gh"})
	r.link("U0BOB", session.Identity{ID: 7, Login: "bob-gh"})
	r.world.OnCollect = changes("a")
	r.world.OnOpen = func(o session.OpenRequest) (session.PullRequest, error) {
		return session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12", Title: o.Title, Repo: o.Repo, Branch: o.Branch, Base: o.Base,
			Commit: o.Commit, State: session.PullOpen, OpenedBy: o.By, Author: *o.By.GitHub}, nil
	}
	r.world.OnMerge = func(m session.MergeRequest) (string, error) {
		if err := r.bot.MergeStands(r.ctx, m); err != nil {
			return "", err
		}
		return strings.Repeat("d", 40), nil
	}
	ts = r.mention("alice", "fix acme/web")
	id = r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.react("bob", "white_check_mark", r.ours(ts, "Changes ready"))
	r.shown(ts, "Pull request #12", "opened by bob")
	pr := *r.load(id).Session.PullRequest
	pr.Head, pr.Checks = pr.Commit, session.Checks{State: session.ChecksGreen, Total: 1}
	pr.Reviews = []session.Review{{By: session.Identity{ID: 9, Login: "cyd"}, State: session.ReviewApproved, Commit: pr.Commit, Writes: true}}
	if err := r.hub.Send(r.ctx, id, session.PullRequestSeen{PullRequest: pr}); err != nil {
		t.Fatal(err)
	}
	r.shown(ts, "cyd approved this commit")
	return r, clock, ts, id
}

func (r *rig) react(user, emoji string, on slacktest.Message) {
	r.t.Helper()
	if err := r.slack.As(user).React(on.Channel, on.TS, emoji); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) unreact(user, emoji string, on slacktest.Message) {
	r.t.Helper()
	if err := r.slack.As(user).Unreact(on.Channel, on.TS, emoji); err != nil {
		r.t.Fatal(err)
	}
}

// merges reports how often something was merged.
func (r *rig) merges() (n int) {
	for _, c := range r.world.Calls() {
		if strings.HasPrefix(c, "merge ") {
			n++
		}
	}
	return n
}

// Whoever takes 🚢 off within ten seconds cancels the merge; who leaves it there merges. A contributor may: somebody else has approved.
func TestMerge(t *testing.T) {
	r, clock, ts, id := pulled(t)
	card := r.ours(ts, "Pull request #12")
	r.shown(ts, ":ship: merges it as you, once checks pass and somebody with write access who did not contribute approves this commit")
	r.react("alice", "ship", card)
	r.shown(ts, "Merging #12* for alice", "taking :ship: off again within ten seconds cancels it")
	clock.Advance(9 * time.Second)
	r.unreact("alice", "ship", card)
	r.kept("that it was taken back", func() bool { return len(r.load(id).Approvals) == 0 })
	r.shown(ts, ":ship: merges it as you")
	clock.Advance(time.Minute)
	r.react("alice", "ship", card)
	r.shown(ts, "Merging #12* for alice")
	clock.Advance(10 * time.Second)
	r.shown(ts, "#12 was merged by alice-gh as ddddddd.", "A message here begins a new branch")
	r.unreact("alice", "ship", card)
	r.told("alice", "That was too late: #12 is merged. It can be reverted on GitHub")
	if n := r.merges(); n != 1 {
		t.Errorf("it was merged %d times", n)
	}
	r.unreact("bob", "white_check_mark", r.ours(ts, "Opened as"))
	r.handled()
	if said := r.slack.Render("general", ts) + r.audited(); strings.Contains(said, "That was too late") || strings.Count(said, "merge alice") != 3 {
		t.Errorf("the thread and the audit log say:\n%s", said)
	}
}

// Where nobody switched it on, 🚢 is answered privately, and the card does not offer it. Its admin switches it on; then the card does, and its session
// takes it; and off again.
func TestMergeRule(t *testing.T) {
	r, clock, ts, id := pulled(t, func(r *rig) { r.cfg.Merge, r.forge.admin = false, "alice-gh" })
	card := r.ours(ts, "Pull request #12")
	if text := r.slack.Render("general", ts); strings.Contains(text, ":ship: merges it") {
		t.Errorf("the card offers what is off:\n%s", text)
	}
	r.react("alice", "ship", card)
	r.told("alice", "Merging from Slack is off for acme/web. An admin of it can switch it on: `/inspect merge on acme/web`")
	for _, c := range []struct{ who, text, want string }{
		{"bob", "merge", "Merging from Slack is off where no admin has said otherwise."},
		{"bob", "merge on", "`/inspect merge on owner/name`"},
		{"bob", "merge on acme/web", "Nothing was changed. Only an admin of `acme/web` on GitHub can switch this, and your account bob-gh is none."},
		{"bob", "merge acme/web on", "Did you mean `/inspect merge on acme/web`?"},
		{"alice", "merge on acme/wbe", "Nothing was changed. I cannot see a repository `acme/wbe`."},
		{"alice", "merge on acme/web", "Pull requests of `acme/web` can be merged from Slack from now on, by a :ship: on their card, once checks pass"},
		{"bob", "merge", "`acme/web`: on, set by alice"},
	} {
		r.command(c.who, "general", c.text)
		r.told(c.who, c.want)
	}
	r.shown(ts, ":ship: merges it as you")
	r.react("bob", "ship", card)
	r.shown(ts, "Merging #12* for bob")
	r.command("alice", "general", "merge off acme/web") // at the last moment
	r.told("alice", "Pull requests of `acme/web` are not merged from Slack any more.")
	clock.Advance(10 * time.Second)
	r.told("bob", "Merging from Slack was switched off for acme/web meanwhile, so nothing was merged.")
	r.kept("that nothing waits", func() bool { return len(r.load(id).Approvals) == 0 })
	if text := r.slack.Render("general", ts); strings.Contains(text, ":ship: merges it") || strings.Contains(text, "was merged by") {
		t.Errorf("the card offers what is off:\n%s", text)
	}
	if got := r.audited(); strings.Count(got, "merge_rule alice") != 2 || strings.Contains(got, "merge_rule bob") {
		t.Errorf("audited is\n%s", got)
	}
}

// Whoever has linked no account gets the code first: GitHub says who is an admin.
func TestMergeRuleUnlinked(t *testing.T) {
	r := newRig(t)
	r.command("alice", "general", "merge on acme/web")
	r.told("alice", "Then give the command again: GitHub says who is an admin of `acme/web`.")
	if _, err := r.db.MergeRule(r.ctx, session.Repo{Owner: "acme", Name: "web"}); session.CodeOf(err) != session.NotFound {
		t.Errorf("a rule was stored: %v", err)
	}
}

// Taking off what cannot be undone from Slack says what to do on GitHub.
func TestReactionsTakenOff(t *testing.T) {
	r, _, ts, _ := pulled(t)
	r.unreact("bob", "white_check_mark", r.ours(ts, "Opened as"))
	r.told("bob", "#12 is open. If it should not be, close it on GitHub: https://github.test/acme/web/pull/12")
	gina := r.slack.As("gina")
	card := r.ours(ts, "Pull request #12")
	if err := gina.React("general", card.TS, "ship"); err != nil {
		t.Fatal(err)
	}
	r.told("gina", "full members of this workspace only")
	if err := gina.Unreact("general", card.TS, "ship"); err != nil {
		t.Fatal(err)
	}
	r.react("bob", "tada", card)
	r.unreact("bob", "tada", card)
	r.handled()
	if n := len(r.slack.Ephemerals("gina")) + len(r.slack.Ephemerals("bob")); n != 2 {
		t.Errorf("they were told %d times", n)
	}
}

// What was taken back while the bot was away is not merged, although it has no event of that: neither when that is read in time, nor when the time is
// over before.
func TestMergeTakenBackDuringAnAbsence(t *testing.T) {
	for _, slow := range []bool{false, true} {
		t.Run(map[bool]string{false: "read", true: "asked"}[slow], func(t *testing.T) {
			bots := &sessiontest.Clock{}
			r, clock, ts, id := pulled(t, func(r *rig) { r.cfg.Clock = bots })
			card := r.ours(ts, "Pull request #12")
			r.react("alice", "ship", card)
			r.shown(ts, "Merging #12* for alice")
			if slow { // reading what was missed takes longer than that
				ctx, cancel := context.WithCancel(r.ctx)
				t.Cleanup(cancel)
				r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
					if c.Method == "users.conversations" {
						<-ctx.Done()
					}
					return nil
				}})
			}
			r.away(bots, time.Minute, func() {
				r.unreact("alice", "ship", card)
				clock.Advance(time.Minute)
			})
			if slow {
				clock.Advance(9 * time.Second)
				if n := r.merges(); n != 0 {
					t.Fatalf("after a restart there were not ten seconds to take it back")
				}
				clock.Advance(time.Second)
			}
			r.kept("that it was taken back", func() bool { return len(r.load(id).Approvals) == 0 })
			r.shown(ts, "Pull request #12", "opened by bob")
			if pr := r.load(id).Session.PullRequest; pr.State != session.PullOpen {
				t.Errorf("the pull request is %s", pr.State)
			}
			if want := map[bool]int{false: 0, true: 1}[slow]; r.merges() != want { // the forge is asked, and asks the bot
				t.Errorf("the forge was asked %d times, want %d", r.merges(), want)
			}
		})
	}
}
