package bot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

func many(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("acme/%s-%03d", string(rune('a'+i%26)), i))
	}
	return names
}

// forged has the next press say something else than it would.
func (r *rig) forged(from, to string) {
	r.slack.SetFaults(slacktest.Faults{Deliver: func(e slacktest.Envelope, send func(slacktest.Envelope)) {
		if e.Type == slacktest.Interactive {
			e.Payload = bytes.ReplaceAll(e.Payload, []byte(from), []byte(to))
		}
		send(e)
	}})
}

func (r *rig) worksOn(id session.ID) string {
	s := r.load(id).Session
	if s.Await != session.AwaitNothing {
		return "not known"
	}
	return s.Repo.String() + "@" + s.Base
}

// The requester chooses by a button, for everybody to see; others are told that they cannot.
func TestRepositoryIsChosenByButton(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "[branch=dev] fix the flaky test")
	question := r.ours(ts, "Which repository is this about?")
	golden(t, "repository-asked.txt", r.slack.Render("general", ts))
	id := r.id(ts)
	r.press("bob", question, "acme/web")
	r.told("bob", "Only alice, who asked, can choose the repository, so nothing happened.")
	r.press("gina", question, "acme/web")
	r.told("gina", "full members of this workspace only")
	r.forged(`"value":"acme/web"`, `"value":"acme/secret"`)
	r.press("alice", question, "acme/web")
	r.told("alice", "I cannot work on `acme/secret` any more, so nothing happened.")
	r.slack.SetFaults(slacktest.Faults{})
	if got := r.worksOn(id); got != "not known" {
		t.Fatalf("works on %s", got)
	}
	r.press("alice", question, "acme/web")
	r.press("alice", question, "acme/web") // before it is shown that it counted
	r.press("alice", question, "acme/api")
	r.shown(ts, "alice chose `acme/web`, branch `dev`.", "Starting on alice")
	r.told("alice", "This thread works on `acme/web` already")
	if got := r.worksOn(id); got != "acme/web@dev" {
		t.Errorf("works on %s", got)
	}
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	r.handled()
	golden(t, "repository-chosen.txt", r.slack.Render("general", ts))
	if n := len(r.slack.Snapshot().Ephemerals("alice")); n != 2 {
		t.Errorf("alice was told %d things", n)
	}
}

// With more repositories than fit on buttons there is a menu, in groups if need be, and what does not fit there is named in words.
func TestRepositoryIsChosenInAMenu(t *testing.T) {
	for _, n := range []int{6, 101, 250, 1200} {
		r := newRig(t, func(r *rig) { r.forge.repos = infos(many(n)...) })
		ts := r.mention("alice", "fix the flaky test")
		question := r.ours(ts, "Which repository is this about?")
		if n == 6 {
			golden(t, "repository-menu.txt", r.slack.Render("general", ts))
		}
		if rest := strings.Contains(r.slack.Render("general", ts), "more repositories"); rest != (n == 1200) {
			t.Errorf("%d: what is missing is said: %v", n, rest)
		}
		last := many(n)[5]
		if _, err := r.slack.As("alice").Choose("general", question.TS, "Another repository", last); err != nil {
			t.Fatal(err)
		}
		r.shown(ts, "alice chose `"+last+"`, branch `main`.")
		r.stop()
	}
}

// A session may do without: by a button, by words, by an option.
func TestNoRepository(t *testing.T) {
	r := newRig(t)
	var started []session.StartRequest
	r.world.OnStart = func(s session.StartRequest) (session.Begun, error) {
		started = append(started, s)
		return session.Begun{Handle: session.Handle{Provider: "test", Name: s.Name, ID: s.Start}, Start: s.Start, Mode: s.Mode}, nil
	}
	ts := r.mention("alice", "what does TLS do?")
	r.press("alice", r.ours(ts, "Which repository"), "No repository")
	r.shown(ts, "alice chose to go without a repository.", "Starting on alice")
	for _, words := range []string{"what does TLS do, without a repository", "[repo=none] what does TLS do"} {
		r.shown(r.mention("alice", words), "Starting on alice")
	}
	ts = r.mention("alice", "what is DNS?")
	r.shown(ts, "Which repository")
	r.reply("alice", ts, "none")
	r.shown(ts, "alice chose to go without a repository.", "Starting on alice")
	id := r.id(ts)
	r.ready(id, ts)
	for _, s := range started {
		if s.Repo != (session.Repo{}) || s.Base != "" {
			t.Errorf("started with %+v", s)
		}
	}
	err := r.hub.Send(r.ctx, id, session.Proposed{Proposal: session.Proposal{Title: "Explain DNS"}})
	if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "has no repository") {
		t.Errorf("a proposal: %v", err)
	}
	r.reply("alice", ts, "[repo=acme/web] and there?")
	r.told("alice", "This thread works without a repository. For one, start another thread.")
	r.answered(id, ts, "Names.")
	r.shown(ts, "Names.", "Done for alice")
}

// After an hour the question is over, also for those who still see its buttons; an answer in words is not.
func TestRepositoryIsAskedForAnHour(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix the flaky test")
	question := r.ours(ts, "Which repository is this about?")
	id := r.id(ts)
	r.kept("the question stands", func() bool { return !r.load(id).Session.ChooseBy.IsZero() })
	pass := func(d time.Duration) { // with a restart, which loses nothing
		r.stop()
		r.begun = r.begun.Add(d)
		r.start()
		if err := r.hub.Send(r.ctx, id, session.Tick{}); err != nil {
			t.Fatal(err)
		}
	}
	pass(session.ChooseWithin - time.Second)
	if r.load(id).Session.ChooseBy.IsZero() {
		t.Fatal("it lapsed early")
	}
	pass(time.Second)
	r.shown(ts, "Nobody chose a repository within an hour, so nothing was started.")
	golden(t, "repository-lapsed.txt", r.slack.Render("general", ts))
	r.stale("alice", question, id, "acme/web")
	r.told("alice", "That question has lapsed, so nothing happened.")
	r.reply("alice", ts, "web")
	r.shown(ts, "alice chose `acme/web`, branch `main`.", "Starting on alice")
	r.stale("alice", question, id, "acme/api")
	r.told("alice", "This thread works on `acme/web` already")
	if got := r.worksOn(id); got != "acme/web@main" {
		t.Errorf("works on %s", got)
	}
}

// stale puts a press of a button that is not shown any more into the inbox, as of somebody whose Slack is behind.
func (r *rig) stale(user string, on slacktest.Message, id session.ID, value string) {
	r.t.Helper()
	r.stop()
	key := "press/" + value
	raw := fmt.Sprintf(`{"type":"block_actions","user":{"id":"U0%s"},"container":{"channel_id":%q,"message_ts":%q,"thread_ts":%q},"actions":[{"action_id":"repo_1","value":%q,"action_ts":%q}]}`,
		strings.ToUpper(user), on.Channel, on.TS, on.ThreadTS, value, "9."+value)
	if _, err := r.db.Receive(r.t.Context(), session.Received{Key: key, Kind: interactive, Payload: []byte(raw)}); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

// slowForge is a GitHub that takes its time.
type slowForge struct {
	*forge
	asked chan struct{}
	gate  chan struct{}
}

func (f slowForge) Repositories(ctx context.Context) ([]session.RepositoryInfo, error) {
	select {
	case f.asked <- struct{}{}:
	default:
	}
	select {
	case <-f.gate:
	case <-ctx.Done():
	}
	return f.forge.Repositories(ctx)
}

// Whoever writes sees that they were heard before GitHub or a model is asked anything.
func TestFirstSignComesFirst(t *testing.T) {
	slow := slowForge{asked: make(chan struct{}, 1), gate: make(chan struct{})}
	r := newRig(t, func(r *rig) {
		slow.forge = r.forge
		r.cfg.Repositories = slow
		r.cfg.Classifier = &oracle{guess: session.Guess{}}
	})
	ts := r.mention("alice", "fix the flaky test")
	r.shown(ts, ":eyes:")
	<-slow.asked
	if n := r.cfg.Classifier.(*oracle).count(); n != 0 {
		t.Errorf("a model was asked %d times before GitHub answered", n)
	}
	slow.gate <- struct{}{}
	r.shown(ts, "Which repository")
	reply := r.reply("alice", ts, "acme/web")
	r.until("a sign on the answer", func(s *slacktest.Snapshot) bool {
		return strings.Count(s.Render(slacktest.Rendering{}, "general", ts), ":eyes:") == 2
	})
	if got := r.worksOn(r.id(ts)); got != "not known" {
		t.Errorf("%s: works on %s", reply, got)
	}
	close(slow.gate)
	r.shown(ts, "alice chose `acme/web`")
}

func TestSameQuestionTwice(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: "conversations.replies", Times: 1, Answer: slacktest.Failure(503)}) // after the session was opened
	ts := r.mention("alice", "fix the flaky test")
	question := r.ours(ts, "Which repository is this about?")
	id := r.id(ts)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) == 1 })
	r.press("alice", question, "acme/api")
	r.shown(ts, "alice chose `acme/api`")
	if n := strings.Count(r.slack.Render("general", ts), "chose"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// A bot that died before it noted that a request was handled takes it again; that is no answer to its own question.
func TestRequestIsNoAnswer(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix the flaky test")
	r.shown(ts, "Which repository is this about?")
	id := r.id(ts)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) == 1 })
	again := event{Type: "app_mention", User: "U0ALICE", Text: "<@" + r.slack.Bot().ID + "> fix the flaky test", TS: ts, Channel: "C0GENERAL"}
	if err := r.bot.message(r.ctx, again); err != nil {
		t.Fatal(err)
	}
	r.reply("alice", ts, "acme/nowhere")
	r.shown(ts, "I cannot see a repository `acme/nowhere`")
	if n := strings.Count(r.slack.Render("general", ts), "Which repository is this about?"); n != 1 || len(r.load(id).Prompts) != 1 {
		t.Errorf("asked %d times; %+v", n, r.load(id).Prompts)
	}
}

var errAway = errors.New("away")

func TestQuestionOfProblems(t *testing.T) {
	all := infos("acme/api", "acme/web", "acme/docs", "acme/shop", "acme/tools", "acme/website", "bolt/web")
	for text, want := range map[string][]string{
		"in acme/wbe":  {"acme/web"},
		"in web":       {"acme/web", "bolt/web"},
		"fix the test": {"acme/api", "acme/docs", "acme/shop", "acme/tools", "acme/web"},
	} {
		b := &Bot{cfg: Config{Repositories: &forge{repos: all}}, store: rules{}}
		c, err := b.choose(t.Context(), text, options{}, "C1", false)
		if err != nil || c.problem == "" {
			t.Fatalf("%q: %+v %v", text, c, err)
		}
		controls, _ := c.controls()
		if len(controls) != maxButtons+2 {
			t.Errorf("%q: %d controls", text, len(controls))
		}
		if raw := string(marshal(controls[:len(want)])); slices.ContainsFunc(want, func(name string) bool { return !strings.Contains(raw, `"`+name+`"`) }) {
			t.Errorf("%q: the first buttons are %s", text, raw)
		}
	}
}

// What the requester says besides the repository's name is for the agent, however short it is (regression).
func TestAnswerWithMoreInIt(t *testing.T) {
	for text, more := range map[string]bool{
		"acme/web": false, "It's the web repo, sorry!": false, "acme/web on branch dev please": false, "<https://github.com/acme/web>": false,
		"and fix acme/web's cart": true, "acme/web, use vitest": true,
	} {
		t.Run(text, func(t *testing.T) {
			r := newRig(t)
			ts := r.mention("alice", "fix the flaky test")
			r.shown(ts, "Which repository is this about?")
			id := r.id(ts)
			second := r.reply("alice", ts, text)
			r.shown(ts, "alice chose `acme/web`")
			r.handled()
			var got []string
			for _, p := range r.load(id).Prompts {
				got = append(got, p.ID)
			}
			if want := []string{ts, second}; !slices.Equal(got, want[:1]) && !more || more && !slices.Equal(got, want) {
				t.Errorf("the queue is %v", got)
			}
			// A bot that died before it noted that takes it again.
			again := event{Type: "message", User: "U0ALICE", Text: text, TS: second, ThreadTS: ts, Channel: "C0GENERAL"}
			if err := r.bot.message(r.ctx, again); err != nil {
				t.Fatal(err)
			}
			if n := len(r.load(id).Prompts); n != len(got) {
				t.Errorf("%d prompts once it was taken again", n)
			}
		})
	}
}

// A word that is the repository's name is an answer like others when the agent asks (regression: it was dropped).
func TestTheAgentAsksForAName(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "look at acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	if err := r.hub.Send(r.ctx, id, session.Asked{Question: "Which package?", Options: []string{"api", "web"}}); err != nil {
		t.Fatal(err)
	}
	r.answered(id, ts, "")
	r.shown(ts, "Which package?")
	reply := r.reply("alice", ts, "web")
	r.called("prompt " + reply)
}

// A branch that a request names in words, and that there is not, is no reason to start nothing once the repository is known.
func TestBranchInWordsOfWhatWaits(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix the test on the failing branch, it is on branch devel")
	question := r.ours(ts, "Which repository is this about?")
	r.press("alice", question, "acme/web")
	r.shown(ts, "alice chose `acme/web`, branch `main`.")
	r.told("alice", "acme/web has no branch `devel`.", "I start from `main`")
	ts = r.mention("alice", "fix the test on branch dev")
	r.press("alice", r.ours(ts, "Which repository is this about?"), "acme/web")
	r.shown(ts, "alice chose `acme/web`, branch `dev`.")
}

// What a press was answered stays true when it is taken again after a crash, though it would be possible by then.
func TestPressThatWasAnswered(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix the flaky test")
	question := r.ours(ts, "Which repository is this about?")
	id := r.id(ts)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) == 1 })
	press := func(repo string) {
		t.Helper()
		raw := fmt.Sprintf(`{"type":"block_actions","user":{"id":"U0ALICE"},"container":{"channel_id":"C0GENERAL","message_ts":%q,"thread_ts":%q},"actions":[{"action_id":"repo_1","value":%q,"action_ts":"9.1"}]}`, question.TS, ts, repo)
		if err := r.bot.process(r.ctx, session.Received{Key: "press", Kind: interactive, Payload: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	press("acme/new")
	r.told("alice", "I cannot work on `acme/new` any more, so nothing happened.")
	r.forge.mu.Lock()
	r.forge.repos = append(r.forge.repos, infos("acme/new")...)
	r.forge.mu.Unlock()
	press("acme/new")
	if got := r.worksOn(id); got != "not known" {
		t.Errorf("works on %s", got)
	}
}
