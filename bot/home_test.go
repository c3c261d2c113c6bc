package bot

import (
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// home waits until a person's home tab shows something, and returns it.
func (r *rig) home(user string, parts ...string) (shown string) {
	r.t.Helper()
	r.until("the home tab with "+strings.Join(parts, ", "), func(s *slacktest.Snapshot) bool {
		v, ok := s.Home(user)
		if !ok {
			return false
		}
		shown = s.RenderView(slacktest.Rendering{}, v)
		for _, part := range parts {
			if !strings.Contains(shown, part) {
				return false
			}
		}
		return true
	})
	return shown
}

func (r *rig) openHome(user string) {
	r.t.Helper()
	if err := r.slack.As(user).OpenHome(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) useHome(user, control, value string) {
	r.t.Helper()
	d, err := r.slack.As(user).UseHome(control, value)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := d.Acked(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

func TestHome(t *testing.T) {
	r := newRig(t)
	r.openHome("alice")
	golden(t, "home-new.txt", r.home("alice", "None yet."))

	r.useHome("alice", homeModel, "anthropic/claude-opus-5-5")
	r.home("alice", "[Claude Opus 5.5 ▾]")
	r.useHome("alice", homeEffort, "high")
	r.home("alice", "[Effort: high ▾]")
	r.useHome("alice", homeAdd, "")
	r.submit("alice", r.opened("alice", "Branch"), map[string]string{inputRepo: "+acme/web", inputBranch: "nowhere"})
	r.until("the refusal", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "Nothing was changed. acme/web has no branch `nowhere`. Did you mean `dev`?")
	})
	r.useHome("alice", homeAdd, "")
	r.submit("alice", r.opened("alice", "Branch"), map[string]string{inputRepo: "+acme/web", inputBranch: "dev"})
	r.home("alice", "`acme/web` starts from `dev`")
	r.link("U0ALICE", session.Identity{ID: 9, Login: "alice-gh"})

	// Her sessions begin with what she prefers; a message that says otherwise wins; Bob's are not hers.
	for n, c := range []struct{ user, text, model, effort, base string }{
		{"alice", "fix it in acme/web", "anthropic/claude-opus-5-5", "high", "dev"},
		{"alice", "fix the other thing [repo=acme/web branch=main model=sonnet]", "anthropic/claude-sonnet-5", "", "main"},
		{"alice", "fix it in acme/api", "anthropic/claude-opus-5-5", "high", "main"},
		{"bob", "fix it in acme/web", "anthropic/claude-sonnet-5", "", "main"},
	} {
		s := r.load(r.id(r.mention(c.user, c.text))).Session
		if s.Model != c.model || s.Effort != c.effort || s.Base != c.base {
			t.Errorf("%s, %q: %s %q from %s", c.user, c.text, s.Model, s.Effort, s.Base)
		}
		r.kept("that this session is her newest, or not hers", func() bool {
			p, err := r.db.Preferences(r.ctx, "U0ALICE")
			return err == nil && len(p.Recent) == min(n+1, 3)
		})
	}
	r.openHome("alice")
	golden(t, "home.txt", r.home("alice", "alice-gh", "fix it in acme/api"))
	r.useHome("alice", homeRemove, "acme/web")
	r.useHome("alice", homeUnlink, "")
	if shown := r.home("alice", "Not linked."); strings.Contains(shown, "starts from") {
		t.Errorf("the branch is still there:\n%s", shown)
	}
	r.useHome("alice", homeLink, "")
	r.until("the code", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 2 && strings.Contains(all[1].Text, "`WDJB-MJHT`")
	})

	r.openHome("gina")
	r.home("gina", "full members of this workspace only")
}

// A branch that is not there: in brackets it is a mistake, in words perhaps no branch, and a preference may be old.
func TestBranches(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix it [repo=acme/web branch=dve]")
	r.told("alice", "acme/web has no branch `dve`. Did you mean `dev`? Nothing was started; please send your message again.")
	if _, err := r.hub.Find(r.ctx, session.Thread{Team: r.slack.TeamID(), Channel: "C0GENERAL", TS: ts}); session.CodeOf(err) != session.NotFound {
		t.Errorf("there is a session: %v", err)
	}
	ts = r.mention("alice", "write down what goes on branch naming, in acme/web")
	r.told("alice", "acme/web has no branch `naming`. Did you mean `dev`? I start from `main`")
	if base := r.load(r.id(ts)).Session.Base; base != "main" {
		t.Errorf("it starts from %s", base)
	}
	if err := r.db.PutPreferences(r.ctx, session.Preferences{Slack: "U0BOB", Branches: map[string]string{"acme/web": "gone"}}); err != nil {
		t.Fatal(err)
	}
	ts = r.mention("bob", "fix it in acme/web")
	r.told("bob", "Your branch for this repository is not there any more: acme/web has no branch `gone`.")
	r.reply("bob", ts, "[branch=dev] and go on there")
	r.told("bob", "This thread works from the branch main. For another one, start another thread.")
	r.reply("bob", ts, "[repo=acme/api] and there")
	r.told("bob", "This thread works on acme/web. For another repository, start another thread.")

	// The branch that was asked for before the repository was known.
	ts = r.mention("bob", "fix the checkout [branch=dev]")
	r.shown(ts, "Which repository is this about?")
	r.reply("bob", ts, "acme/api")
	id := r.id(ts)
	r.kept("the repository", func() bool { return r.load(id).Session.Await == session.AwaitNothing })
	if s := r.load(id).Session; s.Base != "dev" || s.Repo.String() != "acme/api" {
		t.Errorf("it works on %s from %s", s.Repo, s.Base)
	}
}
