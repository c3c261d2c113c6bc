package bot

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// turn plays a whole turn with Alice's mention and returns its thread.
func (r *rig) turn(answer string) (ts string, id session.ID) {
	r.t.Helper()
	ts = r.mention("alice", "fix acme/web")
	id = r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, answer)
	return ts, id
}

// once checks that the bot said something exactly once in a thread.
func (r *rig) once(ts string, parts ...string) {
	r.t.Helper()
	now := r.slack.Snapshot()
	for _, part := range parts {
		n := 0
		for _, m := range now.Thread("general", ts) {
			if m.User == r.slack.Bot().ID && strings.Contains(now.RenderMessage(slacktest.Rendering{}, m), part) {
				n++
			}
		}
		if n != 1 {
			r.t.Errorf("%q is %d times in the thread\n%s", part, n, r.slack.Render("general", ts))
		}
	}
}

// logs waits until the operator's log has all of these in it.
func (r *rig) logs(parts ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	for _, part := range parts {
		for {
			text, more := r.log.next()
			if strings.Contains(text, part) {
				break
			}
			select {
			case <-more:
			case <-ctx.Done():
				r.t.Fatalf("the log never said %q:\n%s", part, text)
			}
		}
	}
}

// Whatever happens to a call, before the work or after it, the turn ends with one status message and one answer, and an empty message is
// answered at least once.
func TestCallsThatFail(t *testing.T) {
	answers := map[string]*slacktest.Response{
		"500": slacktest.Failure(http.StatusInternalServerError), "503": slacktest.Failure(http.StatusServiceUnavailable),
		"404": slacktest.Failure(http.StatusNotFound), "cut": slacktest.Cut(), "hang": slacktest.Hang(),
		"internal_error": slacktest.Refusal("internal_error"), "ratelimited": slacktest.Refusal("ratelimited"),
		"429": slacktest.RateLimited(20 * time.Second), "missing_scope": slacktest.MissingScope("chat:write"),
	}
	before := []string{"429", "missing_scope", "ratelimited", "internal_error", "404"} // Slack does not do the work then
	for name, answer := range answers {
		for _, after := range []bool{false, true} {
			if after && slices.Contains(before, name) {
				continue
			}
			t.Run(fmt.Sprintf("%s/after=%v", name, after), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(r *rig) {
					if name == "hang" { // else a busy computer would make calls fail that are none of this
						r.tune = func(b *Bot) { b.web.next.Timeout = 500 * time.Millisecond }
					}
				})
				for _, method := range []string{"chat.postMessage", "chat.update", "chat.postEphemeral", "reactions.add", "conversations.replies", "users.info"} {
					if name == "missing_scope" && !strings.HasPrefix(method, "chat.") {
						continue // what only the operator can mend is told, not waited for
					}
					r.slack.Inject(slacktest.Fault{Method: method, After: after, Times: 2, Answer: answer})
				}
				ts, _ := r.turn("Fixed.")
				r.shown(ts, ":eyes:", "Done for alice", "Fixed.")
				r.once(ts, "Done for alice", "Fixed.")
				r.mention("bob", "")
				r.told("bob", "no task in it")
				r.kept("the outbox to be empty", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
				if n := len(r.slack.Thread("general", ts)); n != 3 {
					t.Errorf("the thread has %d messages, want 3\n%s", n, r.slack.Render("general", ts))
				}
			})
		}
	}
}

// A channel in which Slack wants no posts holds nobody else up; several are the whole workspace.
func TestLimitedChannelAlone(t *testing.T) {
	r := newRig(t, func(r *rig) {
		for _, c := range []string{"one", "two", "three"} {
			r.slack.AddChannel(slacktest.Channel{Name: c})
		}
	})
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", Channel: "C0ONE", Times: 30, Answer: slacktest.RateLimited(time.Minute)})
	m, err := r.slack.As("alice").Mention("one", "fix acme/web")
	if err != nil {
		t.Fatal(err)
	}
	r.shown(r.mention("bob", "fix acme/web"), "Starting on bob")
	r.until("the limit to pass", func(s *slacktest.Snapshot) bool {
		return strings.Contains(s.Render(slacktest.Rendering{}, "one", m.TS), "Starting on alice")
	})
	s := &r.bot.sender
	for n, channel := range []string{"A", "B", "C"} {
		s.limited(session.Message{Op: session.MessagePost, Channel: channel}, time.Hour)
		s.mu.Lock()
		d := s.delay(session.Message{Op: session.MessagePost, Channel: "D"}, r.cfg.Clock.Now())
		s.mu.Unlock()
		if (d > 0) != (n == 2) {
			t.Errorf("with %d channels limited, a post in another waits %v", n+1, d)
		}
	}
}

// A token that Slack does not take any more ends the run with what to do. What was to be said is said by the next run, once.
func TestTokenRevokedInMidRun(t *testing.T) {
	for _, code := range []string{"token_revoked", "token_expired", "account_inactive", "invalid_auth"} {
		t.Run(code, func(t *testing.T) {
			r := newRig(t)
			ts := r.mention("alice", "fix acme/web")
			id := r.id(ts)
			r.ready(id, ts)
			r.shown(ts, "Working for alice")
			r.slack.Revoke(r.slack.BotToken(), code)
			r.answered(id, ts, "Fixed.")
			err := <-r.ended
			if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "SLACK_BOT_TOKEN ("+code+")") {
				t.Fatalf("the run ended with %v", err)
			}
			r.stop()
			r.slack.Revoke(r.slack.BotToken(), "")
			r.start()
			r.shown(ts, "Done for alice", "Fixed.")
			r.once(ts, "Done for alice", "Fixed.")
		})
		t.Run("app/"+code, func(t *testing.T) {
			r := newRig(t)
			r.slack.Revoke(r.slack.AppToken(), code)
			r.slack.CutSockets()
			err := <-r.ended
			if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "SLACK_APP_TOKEN ("+code+")") {
				t.Fatalf("the run ended with %v", err)
			}
		})
	}
}

// A channel that is archived, or that the bot was removed from: the participants learn of it by direct message, each once.
func TestChannelClosed(t *testing.T) {
	for name, shut := range map[string]func(*rig) error{
		"archived":         func(r *rig) error { return r.slack.Archive("general") },
		"removed from":     func(r *rig) error { return r.slack.Kick("general") },
		"removed (secret)": func(r *rig) error { return r.slack.Kick("secret") },
	} {
		t.Run(name, func(t *testing.T) {
			channel := "general"
			if strings.Contains(name, "secret") {
				channel = "secret"
			}
			r := newRig(t, func(r *rig) { r.slack.AddChannel(slacktest.Channel{Name: "secret", Kind: slacktest.Private}) })
			m, err := r.slack.As("alice").Mention(channel, "fix acme/web")
			if err != nil {
				t.Fatal(err)
			}
			r.until("the status", func(s *slacktest.Snapshot) bool { return len(s.Thread(channel, m.TS)) == 2 })
			id, err := r.hub.Find(r.ctx, session.Thread{Team: r.slack.TeamID(), Channel: m.Channel, TS: m.TS})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.slack.As("bob").Reply(channel, m.TS, "and the docs"); err != nil {
				t.Fatal(err)
			}
			r.until("both", func(s *slacktest.Snapshot) bool {
				return strings.Contains(s.Render(slacktest.Rendering{}, channel, m.TS), "1 queued (bob)")
			})
			r.ready(id, m.TS)
			if err := shut(r); err != nil {
				t.Fatal(err)
			}
			r.answered(id, m.TS, "Fixed.")
			for _, person := range []string{"ALICE", "BOB"} {
				r.until("word to "+person, func(s *slacktest.Snapshot) bool {
					all := s.Messages("D0" + person)
					return len(all) == 1 && strings.Contains(all[0].Text, "does not reach you there") && strings.Contains(all[0].Text, "<#"+m.Channel+">")
				})
			}
			r.kept("every message to be refused or sent", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
			for _, person := range []string{"ALICE", "BOB"} {
				if n := len(r.slack.Snapshot().Messages("D0" + person)); n != 1 {
					t.Errorf("%s was told %d times", person, n)
				}
			}
			r.logs("slack refuses a message for good. The ")
		})
	}
}

// A message that Slack takes in no form is at least announced.
func TestNoFormAtAll(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", Times: 3, Answer: slacktest.Refusal("msg_too_long")})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "There is a message for you here, but Slack does not take it")
}

// Slack's limits on what the bot reads are waited for, with the pause that Slack asks for; nobody is sent away.
func TestReadingThatIsLimited(t *testing.T) {
	r := newRig(t)
	for _, method := range []string{"users.info", "conversations.replies", "users.list", "conversations.open"} {
		r.slack.Inject(slacktest.Fault{Method: method, Times: 3, Answer: slacktest.RateLimited(5 * time.Minute)})
	}
	before := r.cfg.Clock.Now()
	r.shown(r.mention("alice", "fix acme/web"), "Starting on alice")
	if d := r.cfg.Clock.Now().Sub(before); d < 30*time.Minute {
		t.Errorf("Slack asked for six pauses of 5 minutes; the bot took %v", d)
	}
	if got := r.slack.Ephemerals("alice"); len(got) != 0 {
		t.Errorf("alice was told %v", got)
	}
}

// The disk is full for longer than anything else is waited for: what was acknowledged is handled when there is room, without a restart, and what
// was said is not said again because it could not be noted.
func TestDiskFullForLongRegression(t *testing.T) {
	r := newRig(t, func(r *rig) { r.db.refuses = map[string]int{"Put": 3 * handleTries, "Sent": 20} })
	r.mention("bob", "")
	r.told("bob", "no task in it")
	ts, _ := r.turn("Fixed.")
	r.shown(ts, ":eyes:", "Done for alice", "Fixed.")
	r.once(ts, "Done for alice", "Fixed.")
	r.kept("the outbox to be empty", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
	r.kept("the inbox to be empty", func() bool { all, err := r.db.Inbox(r.ctx); return err == nil && len(all) == 0 })
	if n := len(r.slack.Ephemerals("bob")); n != 1 {
		t.Errorf("bob was told %d times", n)
	}
}

// What cannot be said in a thread stands in the session's log, once for each reason; the session goes on.
func TestUnsaidIsInTheLog(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.shown(ts, "Working for alice")
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", Channel: "C0GENERAL", Times: 100, Answer: slacktest.Refusal("thread_not_found")})
	r.answered(id, ts, "Fixed.")
	r.until("word to alice", func(s *slacktest.Snapshot) bool {
		all := s.Messages("D0ALICE")
		return len(all) == 1 && strings.Contains(all[0].Text, "the thread is not there any more")
	})
	second := r.reply("alice", ts, "and the docs")
	r.called("prompt " + second)
	r.answered(id, second, "Written.")
	r.kept("the second turn is over", func() bool { return r.load(id).Session.Turn == nil })
	r.kept("every message to be refused or sent", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
	r.kept("the log says so", func() bool {
		return unsaid(r, id) == "Slack does not take what is to be said in this thread (thread_not_found)."
	})
}

// A scope that is missing is named in the log of the session; what was to be said is said when it is there.
func TestMissingScopeIsInTheLog(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", Times: 3, Answer: slacktest.MissingScope("chat:write")})
	ts, id := r.turn("Fixed.")
	r.shown(ts, "Done for alice", "Fixed.")
	r.kept("the log says so", func() bool {
		return strings.Contains(unsaid(r, id), "(missing_scope). Add the scope chat:write on the app's page")
	})
}

// unsaid are the notes about that in a session's log.
func unsaid(r *rig, id session.ID) string {
	r.t.Helper()
	events, err := r.db.Events(r.ctx, id, 0, 1_000)
	if err != nil {
		r.t.Fatal(err)
	}
	var notes []string
	for _, e := range events {
		if e.Note != nil && e.Note.Kind == session.NoteUnsaid {
			notes = append(notes, e.Note.Text)
		}
	}
	return strings.Join(notes, "\n")
}
