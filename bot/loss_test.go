package bot

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// Somebody deletes the status message: it is not edited every few seconds from then on, and the answer comes.
func TestDeletedStatusRegression(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	status := r.ours(ts, "Working for alice")
	if err := r.slack.Remove("general", status.TS); err != nil {
		t.Fatal(err)
	}
	tool := func(call string) session.Event {
		return session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: call, Name: "bash", State: session.StepDone, Input: json.RawMessage(`{"command":"make ` + call + `"}`)}}
	}
	r.journal(id, tool("first"))
	r.logs("a message is not there any more")
	tried := len(r.slack.Calls("chat.update"))
	for _, call := range []string{"second", "third"} {
		r.journal(id, tool(call))
		r.quietly(id)
	}
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Fixed.")
	r.kept("the outbox to be empty", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
	if n := len(r.slack.Calls("chat.update")); n != tried {
		t.Errorf("%d edits of a message that is not there", n-tried)
	}
	if strings.Contains(r.log.String(), "refuses a message for good") {
		t.Error("the operator reads of a refusal")
	}
	events, err := r.db.Events(r.ctx, id, 0, 1_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == session.KindNote && e.Note.Kind == session.NoteUnsaid {
			t.Errorf("the log says %q", e.Note.Text)
		}
	}
}

// Files have a way of their own, which may be shut: what is said after one that does not arrive does.
func TestFilesHoldNothingUpRegression(t *testing.T) {
	for name, answer := range map[string]*slacktest.Response{
		"missing_scope": slacktest.MissingScope("files:write"), "429": slacktest.RateLimited(time.Minute), "503": slacktest.Failure(503),
	} {
		t.Run(name, func(t *testing.T) {
			clock := &sessiontest.Clock{}
			r := newRig(t, func(r *rig) { r.cfg.Clock, r.begun = clock, clock.Now() })
			r.slack.Inject(slacktest.Fault{Method: "files.getUploadURLExternal", Answer: answer})
			r.world.OnCollect = changes("a")
			ts, id := r.turn("Fixed.") // with a diff as a file
			r.stepped(clock, ts, "Changes ready")
			second := r.reply("alice", ts, "and the docs")
			r.called("prompt " + second)
			r.answered(id, second, "Done, too.")
			r.stepped(clock, ts, "Done, too.")
			r.slack.Heal()
			r.stepped(clock, ts, "aaaaaaa.diff")
		})
	}
}

// An upload that Slack lost between its steps is made anew.
func TestLostUploadRegression(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: "files.completeUploadExternal", Times: 1, Answer: slacktest.Refusal("file_not_found")})
	r.world.OnCollect = changes("a")
	ts, _ := r.turn("Fixed.") // with a diff as a file
	r.shown(ts, "aaaaaaa.diff")
}

// A thread of which Slack shows no status is one thread: the channel's others have theirs.
func TestNoPulseInOneThreadRegression(t *testing.T) {
	r := newRig(t)
	r.slack.Inject(slacktest.Fault{Method: "assistant.threads.setStatus", Times: 1, Answer: slacktest.Refusal("message_not_found")})
	r.mention("alice", "fix acme/web")
	r.logs("does not show that the bot is working")
	r.pulsing(r.mention("bob", "fix acme/web"), "is getting ready…")
}

// A message that may be in a long thread is looked for where it can be: after what it is about.
func TestLookInLongThreadRegression(t *testing.T) {
	r := newRig(t)
	root, err := r.slack.As("alice").Post("general", "what do you all think?")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 450 {
		if _, err := r.slack.As("bob").Reply("general", root.TS, fmt.Sprintf("opinion %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	r.slack.Inject(slacktest.Fault{Method: "chat.postMessage", After: true, Times: 1, Answer: slacktest.Cut()})
	asked := r.reply("alice", root.TS, "<@"+r.slack.Bot().ID+"> fix acme/web")
	id := r.id(root.TS)
	r.ready(id, asked)
	r.answered(id, asked, "Fixed.")
	r.shown(root.TS, "Done for alice", "Fixed.")
	r.once(root.TS, "Done for alice", "Fixed.")
	looked := 0
	for _, c := range r.slack.Calls("conversations.replies") {
		if c.Args["include_all_metadata"] == "true" || c.Args["include_all_metadata"] == "1" {
			looked++
		}
	}
	if looked != 1 {
		t.Errorf("%d pages were read, want 1", looked)
	}
}

// stepped steps the clock until a thread shows something, whatever else waits.
func (r *rig) stepped(clock *sessiontest.Clock, ts, part string) {
	r.t.Helper()
	for !strings.Contains(r.slack.Render("general", ts), part) {
		changed := r.db.changed()
		r.bot.sender.atRest(func() { toNext(clock) })
		select {
		case <-changed:
		case <-time.After(time.Millisecond): // a call that is due may not have begun
		case <-r.ctx.Done():
			r.t.Fatalf("the thread never showed %q\n%s", part, r.slack.Render("general", ts))
		}
	}
}
