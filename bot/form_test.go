package bot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// form runs the shortcut on a message and returns what the form becomes.
func (r *rig) form(user, channel, ts string) slacktest.View {
	r.t.Helper()
	if _, err := r.slack.As(user).Shortcut(channel, ts, shortcutInspect); err != nil {
		r.t.Fatal(err)
	}
	return r.opened(user, "")
}

// opened waits until a form that was opened for somebody asks for what it asks for, and returns it.
func (r *rig) opened(user, part string) (form slacktest.View) {
	r.t.Helper()
	r.until("the form", func(s *slacktest.Snapshot) bool {
		for _, v := range s.Views(user) {
			form = v
			if shown := s.RenderView(slacktest.Rendering{}, v); !strings.Contains(shown, "One moment") && strings.Contains(shown, part) {
				return true
			}
		}
		return false
	})
	return form
}

func (r *rig) view(v slacktest.View) string {
	return r.slack.Snapshot().RenderView(slacktest.Rendering{}, v)
}

// submit sends a form; an input that Slack shows as a menu is given as name=value with a leading +.
func (r *rig) submit(user string, form slacktest.View, values map[string]string) {
	r.t.Helper()
	state := map[string]map[string]any{}
	for name, v := range values {
		if chosen, menu := strings.CutPrefix(v, "+"); menu {
			state[name] = map[string]any{name: map[string]any{"type": "static_select", "selected_option": map[string]any{"value": chosen}}}
			continue
		}
		state[name] = map[string]any{name: map[string]any{"type": "plain_text_input", "value": v}}
	}
	d, err := r.slack.As(user).Submit(form.ID, state)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := d.Acked(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

func TestShortcut(t *testing.T) {
	r := newRig(t)
	m, err := r.slack.As("bob").Post("general", "The checkout is broken since this morning")
	if err != nil {
		t.Fatal(err)
	}
	form := r.form("alice", "general", m.TS)
	golden(t, "form.txt", r.view(form))
	r.submit("alice", form, map[string]string{inputRepo: "+acme/web", inputBranch: "dev", inputModel: "+anthropic/claude-opus-5", inputPrompt: "Find out why"})
	r.shown(m.TS, "@alice asks:", "> Find out why")
	id := r.id(m.TS)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) == 1 })
	st := r.load(id)
	if s := st.Session; s.Repo.String() != "acme/web" || s.Base != "dev" || s.Rooted || s.Requester.Slack != "U0ALICE" {
		t.Errorf("session: %+v", s)
	}
	p := st.Prompts[0]
	if want := "(The request is about this message:) bob: The checkout is broken since this morning"; p.Text != "Find out why" || p.Context != want {
		t.Errorf("the prompt is %q, about %q", p.Text, p.Context)
	}

	r.kept("that she was in it", func() bool {
		p, err := r.db.Preferences(r.ctx, "U0ALICE")
		return err == nil && len(p.Recent) == 1 && p.Recent[0] == id
	})

	// The thread has a session now: the same shortcut is a follow-up. Its words may be left out.
	form = r.form("bob", "general", m.TS)
	golden(t, "form-follow-up.txt", r.view(form))
	r.submit("bob", form, nil)
	r.kept("the follow-up", func() bool { return len(r.load(id).Prompts) == 2 })
	if p := r.load(id).Prompts[1]; p.Author.Slack != "U0BOB" || !strings.Contains(p.Text, "Do what the message") || !strings.Contains(p.Context, "bob: The checkout") {
		t.Errorf("the follow-up: %+v", p)
	}
}

// A shortcut is at hand in every channel that a person sees, and to guests.
func TestShortcutRefused(t *testing.T) {
	r := newRig(t)
	r.slack.AddChannel(slacktest.Channel{Name: "private", Kind: slacktest.Private, Members: []string{"alice"}})
	m, err := r.slack.As("alice").Post("private", "Look at this")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "form-elsewhere.txt", r.view(r.form("alice", "private", m.TS)))
	m, err = r.slack.As("alice").Post("general", "Look at this")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "form-guest.txt", r.view(r.form("gina", "general", m.TS)))
}

func TestTaskByCommand(t *testing.T) {
	r := newRig(t)
	r.command("alice", "general", "fix the *flaky* test for <@U0BOB|bob> [repo=acme/api]")
	var root slacktest.Message
	r.until("the request", func(s *slacktest.Snapshot) bool {
		for _, m := range s.Messages("C0GENERAL") {
			if root = m; strings.HasPrefix(m.Text, "<@U0ALICE> asks:") {
				return true
			}
		}
		return false
	})
	id := r.id(root.TS)
	r.kept("the prompt", func() bool { return len(r.load(id).Prompts) == 1 })
	st := r.load(id)
	if s, p := st.Session, st.Prompts[0]; !s.Rooted || s.Repo != (session.Repo{Owner: "acme", Name: "api"}) || p.Text != "fix the *flaky* test for @bob" || p.ID != root.TS {
		t.Errorf("session %+v, prompt %+v", s, p)
	}
	r.reply("bob", root.TS, "and the other one")
	r.kept("the follow-up", func() bool { return len(r.load(id).Prompts) == 2 })

	r.command("alice", "general", "unlnk")
	r.told("alice", "Did you mean `/inspect unlink`?")
	r.slack.AddChannel(slacktest.Channel{Name: "private", Kind: slacktest.Private, Members: []string{"alice"}})
	r.command("alice", "private", "fix the checkout")
	r.until("the refusal", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "I am not in that conversation. Invite me there") && strings.Contains(all[0].Text, "> fix the checkout")
	})
}

func TestForwarded(t *testing.T) {
	r := newRig(t)
	m, err := r.slack.As("bob").Post("general", "It fails with a nil pointer & <https://acme.test/1|a trace>")
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.slack.As("alice").Forward("general", "", "<@"+r.slack.Bot().ID+">", m)
	if err != nil {
		t.Fatal(err)
	}
	var id session.ID
	r.kept("a session", func() bool {
		id, err = r.db.Find(r.ctx, session.Thread{Team: r.slack.TeamID(), Channel: "C0GENERAL", TS: f.TS})
		return err == nil && len(r.load(id).Prompts) == 1
	})
	if p := r.load(id).Prompts[0]; p.Text != "Do what the forwarded message asks for." || !strings.HasPrefix(p.Context, "(Forwarded:) bob: It fails with a nil pointer & ") {
		t.Errorf("the prompt: %+v", p)
	}
}

// What is wrong with a request is told to its author alone, before it stands in the channel.
func TestRequestWrongRegression(t *testing.T) {
	r := newRig(t)
	for text, want := range map[string]string{
		"fix acme/web [model=opsu]":   "Nothing was started from your request. I do not know the model",
		"[repo=acme/web branch=dev]":  "Nothing was started from your request. There is no task in it.",
		"channel acme/web":            "Did you mean `/inspect channel repo acme/web`?",
		"sessions please":             "Did you mean `/inspect sessions`?",
		"chanel repo acme/web":        "Did you mean `/inspect channel repo acme/web`?",
		"fix it quickly [effort=mad]": "does not know the effort",
	} {
		r.command("alice", "general", text)
		r.told("alice", want)
	}
	if all := r.slack.Snapshot().Messages("C0GENERAL"); len(all) != 0 {
		t.Errorf("the channel has %+v", all)
	}

	// Where the message stands already, the refusal is seen: a private message in a thread without replies is not.
	r.command("alice", "general", "fix acme/web [branch=mian]")
	r.told("alice", "acme/web has no branch `mian`.")
	for _, m := range r.slack.Ephemerals("alice") {
		if m.ThreadTS != "" {
			t.Errorf("nobody sees %+v", m)
		}
	}
}

// A message that Slack does not take yet keeps neither the person's other commands waiting nor what is said in the thread.
func TestRequestWaitsAloneRegression(t *testing.T) {
	r := newRig(t)
	r.slack.AddChannel(slacktest.Channel{Name: "private", Kind: slacktest.Private, Members: []string{"alice"}})
	ts := r.mention("bob", "fix acme/web")
	id := r.id(ts)
	r.shown(ts, "Starting on bob")
	form := r.form("alice", "general", ts)
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", Channel: "C0GENERAL", Answer: slacktest.Failure(503)})
	r.command("alice", "general", "fix the checkout in acme/web")
	r.submit("alice", form, map[string]string{inputPrompt: "Find out why"})
	r.command("alice", "private", "unlink")
	r.until("the answer", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "No GitHub account is linked to you.")
	})
	r.reply("alice", ts, "and the tests")
	r.kept("the reply", func() bool { return len(r.load(id).Prompts) == 2 })
	r.slack.Heal()
	r.kept("what the form asked for", func() bool { return len(r.load(id).Prompts) == 3 })
}

// The bot died when the message of a request stood, and what it asks for was in the inbox beside the command: it is done once, in a new run.
func TestRequestAfterCrashRegression(t *testing.T) {
	r := newRig(t)
	r.stop()
	m, err := r.slack.As("bob").Post("general", "stands for the request")
	if err != nil {
		t.Fatal(err)
	}
	key := "command/1"
	for _, e := range []session.Received{
		{Key: key, Kind: slashCommands, Payload: marshal(map[string]string{"text": "fix acme/web", "user_id": "U0ALICE", "channel_id": "C0GENERAL", "trigger_id": "1"})},
		{Key: "requested/" + key, Kind: eventsAPI, Redacted: true, Payload: marshal(payload{Event: event{Type: requested, User: "U0ALICE", Text: "fix acme/web", TS: m.TS, Channel: "C0GENERAL"}})},
	} {
		if _, err := r.db.Receive(r.ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	sent := session.Message{Key: "asked/" + key, Op: session.MessagePost, Channel: "C0GENERAL", Text: "<@U0ALICE> asks:\n> fix acme/web", Urgent: true}
	if err := r.db.Put(r.ctx, sent); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Sent(r.ctx, sent.Key, 1, m.TS, ""); err != nil {
		t.Fatal(err)
	}
	r.start()
	id := r.id(m.TS)
	r.kept("the end of the inbox", func() bool { left, err := r.db.Inbox(r.ctx); return err == nil && len(left) == 0 })
	st := r.load(id)
	if len(st.Prompts) != 1 || !st.Prompts[0].Redacted || st.Session.Requester.Slack != "U0ALICE" {
		t.Errorf("the session is %+v", st)
	}
	for _, m := range r.slack.Snapshot().Messages("C0GENERAL") {
		if strings.Contains(m.Text, "asks:") {
			t.Errorf("it is posted again: %s", m.Text)
		}
	}
}

// Slack refuses a menu without entries, a view of more than 250 kB, and a chosen entry that a menu does not have.
func TestFormManyRepositoriesRegression(t *testing.T) {
	r := newRig(t)
	m, err := r.slack.As("bob").Post("general", "acme/z-last is broken")
	if err != nil {
		t.Fatal(err)
	}
	offer := func(repos ...session.RepositoryInfo) {
		r.forge.mu.Lock()
		defer r.forge.mu.Unlock()
		r.forge.repos = repos
	}
	var many []session.RepositoryInfo
	for i := range 12_000 {
		i = 11_999 - i // as GitHub may list them
		many = append(many, session.RepositoryInfo{Repo: session.Repo{Owner: strings.Repeat("o", 39), Name: fmt.Sprintf("%s-%05d", strings.Repeat("n", 80), i)}, DefaultBranch: "main"})
	}
	last := session.Repo{Owner: "acme", Name: "z-last"}
	offer(append(many, session.RepositoryInfo{Repo: last, DefaultBranch: "main"})...)
	form := r.form("alice", "general", m.TS)
	if shown := r.view(form); !strings.Contains(shown, "acme/z-last") || !strings.Contains(shown, "11201 more repositories: write") {
		t.Errorf("the form is %s", shown[max(0, len(shown)-2000):])
	}
	listed, _ := listable(r.forge.repos, last)
	if !slices.IsSortedFunc(listed[:maxEntries-1], func(x, y session.RepositoryInfo) int { return strings.Compare(x.Repo.String(), y.Repo.String()) }) {
		t.Error("the menu is not sorted")
	}
	menu := repositoryMenu(inputRepo, listed, last)
	if raw := marshal(menu); len(raw) > 240_000 || menu.InitialOption == nil {
		t.Errorf("the menu has %d bytes, chosen %v", len(raw), menu.InitialOption)
	}

	offer(session.RepositoryInfo{Repo: last, DefaultBranch: "main", Archived: true})
	if shown := r.view(r.form("bob", "general", m.TS)); !strings.Contains(shown, "I cannot see any repository that I could work on.") {
		t.Errorf("the form is %s", shown)
	}
}

// A form may be open for long: whoever has left a private channel meanwhile starts nothing there.
func TestFormAfterLeavingRegression(t *testing.T) {
	r := newRig(t)
	c := r.slack.AddChannel(slacktest.Channel{Name: "private", Kind: slacktest.Private, Members: []string{"alice", "bob", r.slack.Bot().ID}})
	m, err := r.slack.As("bob").Post("private", "Look at this")
	if err != nil {
		t.Fatal(err)
	}
	form := r.form("alice", "private", m.TS)
	if err := r.slack.As("alice").Leave("private"); err != nil {
		t.Fatal(err)
	}
	r.submit("alice", form, map[string]string{inputRepo: "+acme/web", inputPrompt: "Find out why"})
	r.until("the refusal", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "You are not in that conversation any more, so nothing was started.")
	})
	r.submit("bob", r.form("bob", "private", m.TS), map[string]string{inputRepo: "+acme/web", inputPrompt: "Find out why"})
	r.until("bob's request", func(s *slacktest.Snapshot) bool {
		all := s.Thread(c.ID, m.TS)
		return len(all) > 1 && strings.Contains(all[1].Text, "asks:")
	})
}
