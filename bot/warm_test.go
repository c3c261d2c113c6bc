package bot

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
)

// recordingWarmer is a Warmer that keeps what it was told.
type recordingWarmer struct {
	mu   sync.Mutex
	told []string
}

func (a *recordingWarmer) Warm(r session.Repo, base string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, r.String()+"@"+base)
}

func (a *recordingWarmer) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.told, " ")
}

// worked has somebody's last session be about a repository.
func (r *rig) worked(user, repo string) {
	r.t.Helper()
	ts := r.mention(user, "fix "+repo)
	r.shown(ts, "Starting on")
	id := r.id(ts)
	r.kept("that "+user+" was there", func() bool {
		p, err := r.db.Preferences(r.ctx, "U0"+strings.ToUpper(user))
		return err == nil && len(p.Recent) > 0 && p.Recent[0] == id
	})
}

func newWarmRig(t *testing.T, change ...func(*rig)) (*rig, *recordingWarmer) {
	a := &recordingWarmer{}
	return newRig(t, append([]func(*rig){func(r *rig) { r.forge.repos, r.cfg.Warmer = shop(), a }}, change...)...), a
}

// A request of which the repository is not certain has the likeliest one's sandbox started while somebody is asked; one that names it has it
// started anyway, and where nothing speaks for any, none is.
func TestSandboxesAreStartedAhead(t *testing.T) {
	for _, c := range []struct{ name, text, want, shown string }{
		{"likeliest", "the react frontend is slow", "acme/web@main", "[acme/web] [acme/mobile-app]"},
		{"misspelled", "fix it in acme/bilings", "acme/billing@main", "Did you mean"},
		{"named", "fix it in acme/web", "", "Starting on"},
		{"clear", "the checkout is broken", "", "Starting on"},
		{"nothing speaks for any", "fix the flaky test", "", "Which repository is this about?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, a := newWarmRig(t)
			r.shown(r.mention("alice", c.text), c.shown)
			if a.String() != c.want {
				t.Errorf("started %q, want %q", a, c.want)
			}
		})
	}
}

func TestWarmWhereSomebodyWorkedLast(t *testing.T) {
	r, a := newWarmRig(t)
	r.worked("alice", "acme/infra")
	r.shown(r.mention("alice", "fix the flaky test"), "[acme/infra]")
	if a.String() != "acme/infra@main" {
		t.Errorf("started %q", a)
	}
}

func TestWarmOnTheHomeTab(t *testing.T) {
	r, a := newWarmRig(t)
	r.openHome("alice")
	r.home("alice", "None yet.")
	r.worked("alice", "acme/infra")
	if err := r.db.PutPreferences(r.ctx, session.Preferences{Slack: "U0BOB", Branches: map[string]string{"acme/api": "dev"}}); err != nil {
		t.Fatal(err)
	}
	r.worked("bob", "acme/api")
	r.openHome("bob")
	r.kept("the start ahead", func() bool { return a.String() == "acme/api@dev" })
	r.openHome("gina")
	r.home("gina", "full members of this workspace only")
	if a.String() != "acme/api@dev" {
		t.Errorf("started %q", a)
	}
}

// Whoever opens the tab again and again has one sandbox started in a minute.
func TestWarmStartsAreBounded(t *testing.T) {
	r, a := newWarmRig(t)
	r.worked("alice", "acme/infra")
	clock := r.cfg.Clock.(*leap)
	began := clock.Now()
	var h warmLimiter
	for i := range 3 {
		if !h.allow("U0ALICE", began.Add(time.Duration(i)*warmEvery)) {
			t.Errorf("none in minute %d", i)
		}
		if h.allow("U0ALICE", began.Add(time.Duration(i+1)*warmEvery-1)) {
			t.Errorf("two in minute %d", i)
		}
	}
	for i := range 2 * maxWarmed {
		h.allow(fmt.Sprint(i), began.Add(time.Duration(i)*time.Millisecond))
	}
	if len(h.last) > maxWarmed {
		t.Errorf("%d people are remembered", len(h.last))
	}
	if !h.allow("U0LATER", began.Add(time.Hour)) {
		t.Error("those of before are not forgotten")
	}
	alice := session.Person{Slack: "U0ALICE"}
	r.bot.warm(r.ctx, warmHint{by: alice})
	r.bot.warmLimiter.allow(alice.Slack, clock.Now().Add(time.Hour)) // the clock leaps by itself: another one a moment ago, whenever that is
	for range 3 {
		r.bot.warm(r.ctx, warmHint{by: alice})
	}
	if a.String() != "acme/infra@main" {
		t.Errorf("started %q", a)
	}
}

func TestWarmOnTheForm(t *testing.T) {
	r, a := newWarmRig(t)
	r.worked("alice", "acme/infra")
	m, err := r.slack.As("bob").Post("general", "It is broken since this morning, in acme/billing")
	if err != nil {
		t.Fatal(err)
	}
	r.form("alice", "general", m.TS)
	r.kept("the start ahead", func() bool { return a.String() == "acme/billing@main" })
	if m, err = r.slack.As("bob").Post("general", "It is broken since this morning"); err != nil {
		t.Fatal(err)
	}
	r.worked("bob", "acme/api")
	r.form("bob", "general", m.TS)
	r.kept("the start where he worked last", func() bool { return a.String() == "acme/billing@main acme/api@main" })
}

// Those who may not act have nothing started, and neither has a repository that is gone or archived.
func TestNothingIsWarmed(t *testing.T) {
	r, a := newWarmRig(t)
	r.worked("alice", "acme/infra")
	m, err := r.slack.As("alice").Post("general", "The storefront is slow")
	if err != nil {
		t.Fatal(err)
	}
	r.form("gina", "general", m.TS)
	r.mention("gina", "the storefront is slow")
	r.told("gina", "I act for full members of this workspace only")
	r.forge.mu.Lock()
	for i := range r.forge.repos {
		r.forge.repos[i].Archived = r.forge.repos[i].Repo.Name == "infra"
	}
	r.forge.mu.Unlock()
	alice := session.Person{Slack: "U0ALICE"}
	r.bot.warm(r.ctx, warmHint{by: alice})
	r.bot.warm(r.ctx, warmHint{by: session.Person{Slack: "U0BOB"}, repo: session.Repo{Owner: "acme", Name: "gone"}})
	if a.String() != "" {
		t.Errorf("started %q", a)
	}
}
