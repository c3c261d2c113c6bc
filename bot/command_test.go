package bot

import (
	"context"
	"errors"
	"strings"
	"testing"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// command sends a slash command and waits until it is acknowledged.
func (r *rig) command(user, channel, text string) {
	r.t.Helper()
	c, err := r.slack.As(user).Command(channel, text)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := c.Acked(r.ctx); err != nil {
		r.t.Fatal(err)
	}
}

func TestCommands(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ text, want string }{
		{"", "`/inspect channel repo owner/name`: the repository"},
		{"help", "`/inspect link`: link your GitHub account"},
		{"channel repo", "This channel has no repository of its own. `/inspect channel repo owner/name` sets one."},
		{"channel repo acme/wbe", "Nothing was changed. I cannot see a repository `acme/wbe`. If it exists, the GitHub App is not installed on it. Did you mean `acme/web`?"},
		{"channel repo acme/web", "Requests in this channel that name no repository are about `acme/web` from now on."},
		{"channel repo", "This channel's repository is `acme/web`."},
		{"sessions", "You have prompted in no session yet."},
		{"route `checkout` acme/web", "Requests anywhere that have `checkout` in them"},
		{"unlink", "No GitHub account is linked to you."},
	} {
		r.command("alice", "general", c.text)
		r.told("alice", c.want)
	}
	ts := r.mention("bob", "fix the flaky test")
	r.shown(ts, "Starting on bob")
	if repo := r.load(r.id(ts)).Session.Repo; repo.String() != "acme/web" {
		t.Errorf("the session works on %s", repo)
	}
	r.kept("that bob was in it", func() bool {
		p, err := r.db.Preferences(r.ctx, "U0BOB")
		return err == nil && len(p.Recent) == 1
	})
	r.command("bob", "general", "sessions")
	r.told("bob", "*fix the flaky test*  working · `acme/web`")
	r.command("alice", "general", "channel repo none")
	r.told("alice", "This channel has no repository of its own any more.")
	r.command("gina", "general", "channel repo acme/api")
	r.told("gina", "full members of this workspace only")
}

func TestLinkByCommand(t *testing.T) {
	r := newRig(t)
	r.command("alice", "general", "link")
	r.told("alice", "I sent you a direct message")
	r.until("the code", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "`WDJB-MJHT`")
	})
	r.link("U0ALICE", session.Identity{ID: 9, Login: "alice-gh"})
	r.command("alice", "general", "link")
	r.told("alice", "You are linked to alice-gh on GitHub already.")
	r.command("alice", "general", "unlink")
	r.told("alice", "Your GitHub account is not linked any more.")
}

// A command works where the bot is not a member; then the answer comes by direct message.
func TestCommandElsewhere(t *testing.T) {
	r := newRig(t)
	r.slack.AddChannel(slacktest.Channel{Name: "private", Kind: slacktest.Private, Members: []string{"alice"}})
	r.command("alice", "private", "help")
	r.until("the answer", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "/inspect unlink")
	})
}

func TestGitHubDown(t *testing.T) {
	r := newRig(t)
	r.forge.mu.Lock()
	r.forge.down = &session.Error{Code: session.Unavailable, Message: "GitHub does not answer."}
	r.forge.mu.Unlock()
	r.mention("alice", "fix acme/web")
	r.told("alice", "Your request came to nothing. GitHub does not answer.")
}

// An event that the client library cannot parse is acknowledged, and handled if it is ours.
func TestEventsThatDoNotParse(t *testing.T) {
	r := newRig(t)
	for _, frame := range []string{
		`{"envelope_id":"e1","type":"events_api","payload":{"event_id":"Ev1","event":{"type":"something_new"}}}`,
		`{"envelope_id":"e2","type":"events_api","payload":{"event_id":"Ev2","event":"?"}}`,
		`{not json`,
	} {
		r.slack.SendFrame([]byte(frame))
	}
	m, err := r.slack.As("alice").Post("general", "hello")
	if err != nil {
		t.Fatal(err)
	}
	r.slack.SendFrame([]byte(`{"envelope_id":"e3","type":"events_api","payload":{"event_id":"Ev3","event":{"type":"app_mention","user":"U0ALICE","text":"<@` +
		r.slack.Bot().ID + `> fix acme/web","ts":"` + m.TS + `","channel":"C0GENERAL","blocks":"none"}}}`))
	r.shown(m.TS, "Starting on alice")
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 && s.Sockets() == 1 })
}

// What nobody addressed to us is acknowledged and leaves no trace.
func TestOtherPeoplesTalk(t *testing.T) {
	r := newRig(t)
	root, err := r.slack.As("alice").Post("general", "lunch?")
	if err != nil {
		t.Fatal(err)
	}
	r.reply("bob", root.TS, "yes")
	if err := r.slack.As("bob").React("general", root.TS, "white_check_mark"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.slack.As("alice").Edit("general", root.TS, "lunch at noon?"); err != nil {
		t.Fatal(err)
	}
	r.until("all to be acknowledged", func(s *slacktest.Snapshot) bool { return s.Unacked() == 0 && len(s.Deliveries()) >= 4 })
	left, err := r.db.Inbox(r.ctx)
	if err != nil || len(left) != 0 {
		t.Errorf("the inbox has %v, %v", left, err)
	}
	if n := len(r.slack.Thread("general", root.TS)); n != 2 {
		t.Errorf("the thread has %d messages", n)
	}
}

func TestPreflight(t *testing.T) {
	slack := slacktest.New(slacktest.Config{})
	if err := slack.Start(); err != nil {
		t.Fatal(err)
	}
	defer slack.Close()
	for _, c := range []struct{ bot, app, url, want string }{
		{"xoxb-wrong", slack.AppToken(), slack.URL(), "Slack refuses SLACK_BOT_TOKEN (invalid_auth)."},
		{slack.BotToken(), "xapp-wrong", slack.URL(), "Slack refuses SLACK_APP_TOKEN (invalid_auth)."},
		{slack.BotToken(), slack.BotToken(), slack.URL(), "Slack refuses SLACK_APP_TOKEN (not_allowed_token_type)."},
		{slack.BotToken(), slack.AppToken(), "http://127.0.0.1:1/api/", "Slack does not answer."},
		{"", "xapp-1", "", "SLACK_BOT_TOKEN is missing"},
		{"xoxb-1", "", "", "SLACK_APP_TOKEN is missing"},
	} {
		b, err := New(Config{BotToken: c.bot, AppToken: c.app, APIURL: c.url, Store: &watched{}, Sessions: &session.Hub{}, Repositories: &forge{},
			Linking: accounts{}, Images: &albums{}, DefaultModel: "anthropic/claude-sonnet-5", Clock: newLeap()})
		if err == nil {
			err = b.Run(context.Background())
		}
		if got := session.Sentence(err); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s; want %s", c, got, c.want)
		}
		if err != nil && c.bot != "" && c.app != "" && (strings.Contains(err.Error(), c.bot) || strings.Contains(err.Error(), c.app)) {
			t.Errorf("the error has a token in it: %v", err)
		}
		if errors.Is(err, context.Canceled) {
			t.Errorf("%v: cancelled", c)
		}
	}
}
