package bot

import (
	"fmt"
	"strings"
	"testing"

	"openinspect/session"
)

// Every approval is in the audit log, with what became of it; one by somebody who may not act once for each of them, thread and day.
func TestApprovalsAreAudited(t *testing.T) {
	r := newRig(t)
	r.link("U0ALICE", session.Identity{ID: 7, Login: "alice-gh"})
	r.world.OnCollect = changes("a")
	r.world.OnReview = func(q session.ReviewRequest) (session.Review, error) {
		return session.Review{ID: 80, By: *q.By.GitHub, State: session.ReviewApproved, Commit: q.Commit, Writes: true}, nil
	}
	ts := r.mention("alice", "fix the flaky checkout test in acme/web")
	r.shown(ts, "Starting on alice’s request")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	card := r.ours(ts, "Changes ready")
	react := func(user, ts string) {
		t.Helper()
		if err := r.slack.As(user).React("general", ts, "white_check_mark"); err != nil {
			t.Fatal(err)
		}
	}
	react("gina", card.TS)
	r.told("gina", "full members of this workspace only")
	if err := r.slack.As("gina").Unreact("general", card.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	react("gina", card.TS)
	react("alice", card.TS)
	r.shown(ts, "Opened as #1 by alice")
	r.link("U0BOB", session.Identity{ID: 8, Login: "bob-gh"})
	pull := r.ours(ts, "Pull request #1")
	react("alice", pull.TS)
	r.told("alice", "You opened #1")
	react("bob", pull.TS)
	r.shown(ts, "bob-gh approved this commit")
	lost, err := r.slack.As("inspect").Post("general", "of a session that is not there any more")
	if err != nil {
		t.Fatal(err)
	}
	react("alice", lost.TS)
	r.told("alice", "I do not know that message any more")
	want := []string{
		"link U0ALICE alice-gh: linked",
		"approve U0GINA - :white_check_mark: c1 aaaaaaa #0 : refused: I act for full members of this workspace only: nothing comes of your messages, reactions and presses here. Ask a member to pass your request on.",
		"approve U0ALICE alice-gh :white_check_mark: c1 aaaaaaa #0 : accepted",
		"approve U0ALICE alice-gh :white_check_mark: c1 aaaaaaa #1 : done",
		"link U0BOB bob-gh: linked",
		"review U0ALICE alice-gh :white_check_mark: c2 aaaaaaa #1 : refused: You opened #1, and GitHub lets nobody approve their own pull request. Somebody else has to.",
		"review U0BOB bob-gh :white_check_mark: c2 aaaaaaa #1 : accepted",
		"review U0BOB bob-gh :white_check_mark: c2 aaaaaaa #1 80: done",
		"approve U0ALICE alice-gh :white_check_mark:   #0 : refused: the bot does not know message " + lost.TS + " of " + lost.Channel + " any more",
	}
	all, err := r.db.AuditLog(r.ctx, session.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range all {
		account := "-"
		if a.By.GitHub != nil {
			account = a.By.GitHub.Login
		}
		line := a.Action + " " + a.By.Slack + " " + account
		if a.Emoji != "" {
			line += fmt.Sprintf(" :%s: %s %.7s #%d %s", a.Emoji, a.Card, a.Commit, a.Number, a.Ref)
			if of := map[bool]session.ID{true: id}[a.Card != ""]; a.Session != of {
				t.Errorf("record %d is of session %q", a.N, a.Session)
			}
		}
		got = append(got, line+": "+a.Result)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("the audit log:\n%s\nwant:\n%s", g, w)
	}
}
