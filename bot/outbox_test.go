package bot

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// A restart in mid-turn tells the rest of the turn in the same message.
func TestRestartInMidTurn(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.journal(id, session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "1", Name: "read", State: session.StepDone, Title: "a.go"}})
	r.shown(ts, "read `a.go`")
	r.stop()
	second := r.reply("bob", ts, "and the docs")
	r.start()
	r.shown(ts, "1 queued (bob)")
	r.journal(id, session.Event{Kind: session.KindTool, PromptID: ts, Tool: &session.Tool{Call: "2", Name: "read", State: session.StepDone, Title: "b.go"}})
	r.shown(ts, "read 2 files")
	r.answered(id, ts, "Fixed.")
	r.called("prompt " + second)
	r.shown(ts, "Done for alice · 2 steps", "Fixed.", "Working for bob")
	if n := len(r.slack.Calls("chat.postMessage")); n != 3 {
		t.Errorf("%d posts, want 3: two turns' status, one answer\n%s", n, r.slack.Render("general", ts))
	}
}

// A restart asks Slack nothing for a session of which all is told: with many, what each of them has read would be held until its turn comes.
func TestRestartAsksNothingOfWhatIsTold(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.cfg.Log = func(id session.ID) string { return "https://inspect.example.com/s/" + string(id) }
	})
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Done for alice", "Fixed.")
	r.quietly(id)
	r.stop()
	before := len(r.slack.Calls("conversations.info"))
	if before == 0 {
		t.Fatal("nobody asked who is in the channel")
	}
	r.start()
	r.bot.Notify(id)
	r.eventually("the log is read", func() bool {
		p := &r.bot.presenter
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.tellers[id] != nil && !p.tellers[id].running && p.tellers[id].seq == r.load(id).Session.Seq
	})
	if n := len(r.slack.Calls("conversations.info")) - before; n != 0 {
		t.Errorf("asked %d times who is in the channel", n)
	}
}

// A post whose answer is lost is found again, not made twice.
func TestPostInDoubt(t *testing.T) {
	r := newRig(t)
	var lost atomic.Int32
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "chat.postMessage" && lost.Add(1) == 1 {
			return slacktest.Cut()
		}
		return nil
	}})
	ts := r.mention("alice", "fix acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Done for alice", "Fixed.")
	if n := len(r.slack.Thread("general", ts)); n != 3 {
		t.Errorf("the thread has %d messages, want 3\n%s", n, r.slack.Render("general", ts))
	}
}

// A message that an earlier run may have posted is looked for before it is posted.
func TestPostInDoubtAfterRestart(t *testing.T) {
	r := newRig(t)
	gone := make(chan struct{})
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "chat.postMessage" {
			<-gone // Slack has the message; its answer never comes
		}
		return nil
	}})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	r.stop()
	close(gone)
	r.slack.SetFaults(slacktest.Faults{})
	id := r.id(ts)
	r.start()
	r.ready(id, ts)
	r.answered(id, ts, "Fixed.")
	r.shown(ts, "Done for alice", "Fixed.")
	if n := len(r.slack.Thread("general", ts)); n != 3 {
		t.Errorf("the thread has %d messages, want 3\n%s", n, r.slack.Render("general", ts))
	}
}

// Slack refuses blocks: people get the same in words, all of them, and the operator what was refused and why.
func TestFormThatSlackRefuses(t *testing.T) {
	for _, code := range []string{"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"} {
		t.Run(code, func(t *testing.T) {
			r := newRig(t)
			r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
				if strings.HasPrefix(c.Method, "chat.") && len(c.Args["blocks"]) > len("[]") {
					return slacktest.Refusal(code, "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]")
				}
				return nil
			}})
			long := strings.Repeat("It was a race. ", 500)
			ts, _ := r.turn("Fixed <!channel>. " + long + "That is all.")
			r.shown(ts, "Done for alice", "Fixed", "That is all.")
			for _, m := range r.slack.Thread("general", ts) {
				if strings.Contains(m.Text, "<!channel>") {
					t.Errorf("it pings a channel: %.100s", m.Text)
				}
			}
			r.logs("sending less of it", "error="+code, "must be less than 3001 characters", "blocks=markdown")
		})
	}
}

// A long answer takes several messages, in order, none of its code without its fence; its card stands under the last. One that is longer still
// is a file.
func TestLongAnswer(t *testing.T) {
	var long strings.Builder
	for n := range 150 {
		fmt.Fprintf(&long, "Step %d is about `x`.\n\n```go\nfunc step%d() { // %s\n}\n```\n\n", n, n, strings.Repeat("really ", 10))
	}
	r := newRig(t)
	r.world.OnCollect = changes("a")
	ts, _ := r.turn(long.String())
	r.shown(ts, "Step 149", "Changes ready")
	var answers []slacktest.Message
	for _, m := range r.slack.Thread("general", ts) {
		if strings.Contains(fmt.Sprint(m.Blocks), "func step") {
			answers = append(answers, m)
		}
	}
	if len(answers) != 3 {
		t.Fatalf("the answer takes %d messages\n%.2000s", len(answers), r.slack.Render("general", ts))
	}
	next := 0
	for n, m := range answers {
		text, _ := m.Blocks[0]["text"].(string)
		if strings.Count(text, "```")%2 != 0 {
			t.Errorf("message %d has an open fence:\n%s", n, text)
		}
		for strings.Contains(text, fmt.Sprintf("func step%d()", next)) {
			next++
		}
		if card := strings.Contains(fmt.Sprint(m.Blocks), "Changes ready"); card != (n == 2) {
			t.Errorf("message %d: a card: %v", n, card)
		}
	}
	if next != 150 {
		t.Errorf("the steps come in order up to %d", next)
	}

	second := r.reply("bob", ts, "and again")
	r.called("prompt " + second)
	id := r.id(ts)
	r.answered(id, second, strings.Repeat(long.String(), 3))
	r.shown(ts, "The answer is longer; all of it is in the attached file.")
	r.until("the file", func(s *slacktest.Snapshot) bool {
		for _, m := range s.Thread("general", ts) {
			if len(m.Files) == 1 && strings.HasPrefix(m.Files[0].Name, "answer-") {
				return string(m.Files[0].Data) == strings.TrimSpace(strings.Repeat(long.String(), 3))
			}
		}
		return false
	})
}

func TestTooFastForSlack(t *testing.T) {
	r := newRig(t)
	var refused atomic.Int32
	r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
		if c.Method == "chat.postMessage" && refused.Add(1) <= 2 {
			return slacktest.RateLimited(30 * time.Second)
		}
		if c.Method == "reactions.add" && c.N == 1 {
			return &slacktest.Response{Status: http.StatusBadGateway}
		}
		return nil
	}})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, ":eyes:", "Starting on alice")
}

func TestFinalRefusal(t *testing.T) {
	r := newRig(t)
	r.slack.SetFaults(slacktest.Faults{Before: func(c slacktest.Call) *slacktest.Response {
		if c.Method == "reactions.add" {
			return slacktest.Refusal("too_many_reactions")
		}
		return nil
	}})
	ts := r.mention("alice", "fix acme/web")
	r.shown(ts, "Starting on alice")
	r.kept("the refusal", func() bool {
		m, err := r.db.Message(r.ctx, "eyes/C0GENERAL/"+ts)
		return err == nil && m.Failed == "too_many_reactions"
	})
	if n := len(r.slack.Calls("reactions.add")); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

func TestPace(t *testing.T) {
	at := newLeap().Now()
	p := pace{every: time.Second, burst: 3}
	for n := range 3 {
		if d := p.delay(at, 0); d != 0 {
			t.Fatalf("%d of the burst waits %v", n, d)
		}
		p.take(at)
	}
	if d := p.delay(at, 0); d != time.Second {
		t.Errorf("the fourth waits %v", d)
	}
	if d := p.delay(at.Add(400*time.Millisecond), 0); d != 600*time.Millisecond {
		t.Errorf("a little later it waits %v", d)
	}
	if d := p.delay(at.Add(time.Minute), 0); d != 0 {
		t.Errorf("after a pause it waits %v", d)
	}
}

// Edits of one message keep their distance, urgent ones do not; what is to be said first holds back what comes later, not reactions.
func TestDelay(t *testing.T) {
	at := newLeap().Now()
	var s sender
	s.init(&Bot{})
	edit := session.Message{Key: "k", Op: session.MessagePost, Channel: "C", TS: "1.1"}
	s.edited["k"] = at
	if d := s.delay(edit, at.Add(time.Second)); d != editEvery-time.Second {
		t.Errorf("an edit waits %v", d)
	}
	edit.Urgent = true
	if d := s.delay(edit, at.Add(time.Second)); d != 0 {
		t.Errorf("an urgent edit waits %v", d)
	}
	s.blocked["chat.update"] = at.Add(time.Minute)
	if d := s.delay(edit, at); d != time.Minute {
		t.Errorf("while Slack wants no edits it waits %v", d)
	}
	s.blocked["chat.postMessage C"] = at.Add(time.Minute)
	for channel, want := range map[string]time.Duration{"C": time.Minute, "D": 0} {
		post := session.Message{Key: "p", Op: session.MessagePost, Channel: channel}
		if d := s.delay(post, at); d != want {
			t.Errorf("while Slack wants no posts in C, one in %s waits %v", channel, d)
		}
	}
}

func TestRedial(t *testing.T) {
	at := newLeap().Now()
	r := &redial{clock: frozen{at}}
	var got []time.Duration
	for range 9 {
		got = append(got, r.delay())
	}
	// On a clock that stands still, each opening has to wait for those before it too.
	if got[0] != 0 || got[1] != time.Second || got[2] != 2*time.Second || got[8] != maxPause {
		t.Errorf("openings wait %v", got)
	}
	r.clock = frozen{at.Add(time.Hour)}
	if d := r.delay(); d != 0 {
		t.Errorf("after a connection that lived, an opening waits %v", d)
	}
	r.failed(&slack.RateLimitedError{RetryAfter: 5 * time.Minute})
	if d := r.delay(); d != 5*time.Minute {
		t.Errorf("while Slack wants no connection, an opening waits %v", d)
	}
}

// What the agent shows is posted below its answer, with words for who cannot see it; after a turn that left no answer, too.
func TestImagesOfTheAgent(t *testing.T) {
	r := newRig(t)
	ts := r.mention("alice", "draw acme/web")
	id := r.id(ts)
	r.ready(id, ts)
	shown := func(prompt, name, alt, content string) {
		hash, err := r.db.KeepFile(r.ctx, id, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.hub.Send(r.ctx, id, session.Shown{File: session.File{Name: name, Type: "image/png", Size: int64(len(content)), Hash: hash}, Alt: alt}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		shown(ts, fmt.Sprintf("chart%d.jpg", n), fmt.Sprintf("chart %d <!channel>", n), fmt.Sprint("content ", n))
	}
	if err := r.hub.Send(r.ctx, id, session.Shown{Asks: true}); session.CodeOf(err) != session.Conflict {
		t.Errorf("a sixth: %v", err)
	}
	if n := len(r.slack.Thread("general", ts)); n > 2 {
		t.Errorf("%d messages before the turn is over", n)
	}
	r.slack.SetFaults(slacktest.Faults{After: func(c slacktest.Call, _ slacktest.Response) *slacktest.Response {
		if c.Method == "files.completeUploadExternal" && c.N == 1 {
			return slacktest.Cut() // it is there, and we do not know
		}
		return nil
	}})
	r.answered(id, ts, "Here they are.")
	r.until("five images", func(s *slacktest.Snapshot) bool {
		n := 0
		for _, m := range s.Thread("general", ts) {
			n += len(m.Files)
		}
		return n >= 5
	})
	r.kept("the outbox to be empty", func() bool { p, err := r.db.Pending(r.ctx); return err == nil && len(p) == 0 })
	var got []string
	for _, m := range r.slack.Thread("general", ts)[1:] {
		for _, f := range m.Files {
			got = append(got, f.Name[:6]+f.Name[len(f.Name)-4:]+" "+f.AltText+": "+string(f.Data))
		}
		if m.Text != "" && len(m.Files) == 0 {
			got = append(got, "text")
		}
	}
	want := "text, text"
	for n := range 5 {
		want += fmt.Sprintf(", chart%d.png chart %d <!channel>: content %d", n, n, n)
	}
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}
