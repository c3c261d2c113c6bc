package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// namedChanges are changes that a second approval has to name.
func namedChanges(head string) func(session.CollectRequest) (*session.Changes, error) {
	return func(r session.CollectRequest) (*session.Changes, error) {
		c, err := changes(head)(r)
		c.Attention = []string{".github/workflows/ci.yml", ".gitmodules"}
		c.Named = c.Attention[:1]
		return c, err
	}
}

// The first ✅ pushes nothing and is answered with a message that names what it would push. A second one there opens the pull request as whoever put it
// there, also while the bot is away; a second one that comes late is told so.
func TestSecondApproval(t *testing.T) {
	clock, hub := &sessiontest.Clock{}, &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock, r.hubClock = clock, hub })
	r.link("U0ALICE", session.Identity{ID: 9, Login: "alice-gh"})
	r.link("U0BOB", session.Identity{ID: 7, Login: "bob-gh"})
	r.world.OnCollect = namedChanges("a")
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice") // which is edited later
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	react := func(user, message string) {
		t.Helper()
		if err := r.slack.As(user).React("general", message, "white_check_mark"); err != nil {
			t.Fatal(err)
		}
	}
	card := r.ours(ts, "Changes ready").TS
	react("alice", card)
	ask := r.ours(ts, "A second :white_check_mark: is needed").TS
	react("bob", card)
	r.told("bob", "alice has approved it already, and it needs a second approval")
	hub.Advance(16 * time.Minute)
	r.told("alice", "Nobody approved it a second time within 15 minutes")
	r.shown(ts, "Not approved a second time.")
	react("bob", ask)
	r.told("bob", "is over. React on the card; then there is a new message.")
	for _, c := range r.world.Calls() {
		if strings.HasPrefix(c, "open") {
			t.Fatalf("%s: before a second approval", c)
		}
	}

	if err := r.slack.As("alice").Unreact("general", card, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	react("alice", card)
	ask = r.ours(ts, "Nothing is pushed until then").TS
	clock.Advance(10 * time.Minute)
	elsewhere := r.mention("bob", "look at acme/web") // so that the first thread is not read again
	r.shown(elsewhere, "Starting on bob")
	r.away(clock, 20*time.Minute, func() { react("bob", ask); hub.Advance(20 * time.Minute) })
	r.shown(ts, "Opened as #1 by bob", "*Pull request")
	r.told("alice", "bob approved it a second time, so it goes on as theirs.")
	r.shown(ts, "*Approved a second time.")
	r.kept("all of this thread to be said", func() bool { // the other one's is held back: its clock stands
		untold, err := r.db.Unpresented(r.ctx)
		waiting, e := r.db.Pending(r.ctx)
		return err == nil && e == nil && !slices.Contains(untold, id) && !slices.ContainsFunc(waiting, func(m session.Message) bool { return m.Session == id })
	})
	golden(t, "second-approval.txt", strings.ReplaceAll(r.slack.Render("general", ts), string(id), "abcdefghij"))
}

// TestConfirmMessage: what people read of a second approval, in each of its states.
func TestConfirmMessage(t *testing.T) {
	v := view{id: "abcdefghij", thread: session.Thread{Channel: "C", TS: "1.0"}, approve: "white_check_mark", logURL: "https://inspect.test/s/x"}
	var out strings.Builder
	for _, tt := range []struct {
		name string
		do   func(a *session.Approval, c *session.Card)
	}{
		{"asked", func(*session.Approval, *session.Card) {}},
		{"asked of a draft, with many paths", func(_ *session.Approval, c *session.Card) {
			c.Draft = true
			for n := range 11 {
				c.Named = append(c.Named, fmt.Sprintf("infra/%d `<!channel>", n))
			}
		}},
		{"asked of a follow-up", func(_ *session.Approval, c *session.Card) {
			c.PullRequest = &session.PullRequest{Number: 12, URL: "https://github.test/acme/web/pull/12"}
		}},
		{"given", func(a *session.Approval, _ *session.Card) { a.State, a.Seconds = session.ApprovalAccepted, a.ID }},
		{"given, and it failed", func(a *session.Approval, _ *session.Card) {
			a.State, a.Seconds, a.Reason = session.ApprovalFailed, a.ID, "For Ada alone."
		}},
		{"lapsed", func(a *session.Approval, _ *session.Card) {
			a.State, a.Reason = session.ApprovalRefused, "Nobody gave it."
		}},
		{"taken back", func(a *session.Approval, _ *session.Card) { a.State = session.ApprovalWithdrawn }},
	} {
		c := session.Card{ID: "c1", Kind: session.CardChanges, State: session.CardOpen, Commit: "1a2b3c4d5e6f", PromptID: "1.0", Named: []string{".github/workflows/ci.yml"}}
		a := session.Approval{ID: "a1", Card: "c1", By: sessiontest.Ada, State: session.ApprovalNaming, Names: true}
		tt.do(&a, &c)
		fmt.Fprintf(&out, "# %s\n", tt.name)
		m := v.confirm(&a, &c)
		for _, text := range texts(t, m.Blocks) {
			out.WriteString(text + "\n")
		}
		out.WriteString("\n")
	}
	golden(t, "confirm.txt", out.String())
}

// Who takes a second ✅ off while the bot is away takes back theirs, which waits for their account, and not the first one.
func TestSecondApprovalTakenBack(t *testing.T) {
	clock := &sessiontest.Clock{}
	r := newRig(t, func(r *rig) { r.cfg.Clock = clock })
	r.link("U0ALICE", session.Identity{ID: 9, Login: "alice-gh"})
	r.world.OnCollect = namedChanges("a")
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	waits := func() (names []string) {
		for _, a := range r.load(id).Approvals {
			names = append(names, a.By.Name+" "+string(a.State))
		}
		return names
	}
	if err := r.slack.As("alice").React("general", r.ours(ts, "Changes ready").TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	ask := r.ours(ts, "Nothing is pushed until then").TS
	if err := r.slack.As("bob").React("general", ask, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	r.kept("both approvals", func() bool { return slices.Equal(waits(), []string{"alice naming", "bob linking"}) })
	r.away(clock, 20*time.Minute, func() {
		if err := r.slack.As("bob").Unreact("general", ask, "white_check_mark"); err != nil {
			t.Fatal(err)
		}
	})
	r.kept("alice's approval", func() bool { return slices.Equal(waits(), []string{"alice naming"}) })
	r.caughtUp(1)
	if got := waits(); !slices.Equal(got, []string{"alice naming"}) {
		t.Errorf("what waits: %q", got)
	}
}
