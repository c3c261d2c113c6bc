package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// passes steps the clock minute by minute until ok, and returns how long that was.
func (b *bench) passes(what string, ok func() bool) time.Duration {
	b.t.Helper()
	began := b.clock.Now()
	eventually(b, what, func() bool {
		if ok() {
			return true
		}
		b.clock.advance(time.Minute)
		return false
	})
	return b.clock.Now().Sub(began)
}

// begun is an attachment that has read something.
func begun(t *testing.T) *bench {
	b := attached(t)
	b.runner.Tell(text("on"))
	b.texts(1)
	return b
}

// A runner that answers, and does not end a turn in which nothing moves, is asked twice and then told of.
func TestStalledTurn(t *testing.T) {
	b := begun(t)
	b.runner.Claim(func(st *link.Status) { st.PromptID, st.Words = "1.1", "Its last words: hunter22\nfailed" })
	if d := b.passes("it is told", func() bool { return len(b.inputs) > 0 }); d < 12*time.Minute {
		t.Errorf("judged after %s", d)
	}
	if in := next[session.Stalled](b); in.Start != "s1" || in.Words != "Its last words: redacted failed" {
		t.Errorf("got %+v", in)
	}
	// An event between the two looks is progress.
	if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.2", Text: "go on"}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		began := b.clock.Now()
		b.passes("ten minutes have passed", func() bool { return b.clock.Now().Sub(began) >= 10*time.Minute })
		b.runner.Tell(text("on"))
		b.texts(1)
	}
	if len(b.inputs) != 0 {
		t.Errorf("got %#v", <-b.inputs)
	}
}

// A runner that answers, but never takes the prompt it is offered again and again, is told of too.
func TestPromptNeverTaken(t *testing.T) {
	b := begun(t)
	b.runner.Refuse("POST /prompts", link.Problem{Code: session.Unavailable, Message: "not yet"})
	b.passes("it is told", func() bool {
		if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.2", Text: "go on"}); session.CodeOf(err) != session.Unavailable {
			t.Fatal(err)
		}
		return len(b.inputs) > 0
	})
	next[session.Stalled](b)
}

// What moves is waited for: a tool that runs, a model call, the commit of what was left, a boot.
func TestMovingTurn(t *testing.T) {
	for name, claim := range map[string]func(*link.Status){
		"tool":   func(st *link.Status) { st.Tools = 1 },
		"model":  func(st *link.Status) { st.Models = 1 },
		"commit": func(st *link.Status) { st.Settling = true },
		"boot":   func(st *link.Status) { st.Phase = session.PhaseSetup },
	} {
		t.Run(name, func(t *testing.T) {
			b := begun(t)
			b.runner.Claim(claim)
			began, before := b.clock.Now(), b.runner.Asked()
			b.passes("it was asked often enough", func() bool { return b.runner.Asked() > before+20 && b.clock.Now().Sub(began) > 40*time.Minute })
			if len(b.inputs) != 0 {
				t.Errorf("got %#v", <-b.inputs)
			}
		})
	}
}

// The bot's clock jumps hours ahead in the middle of a turn, as after a computer's sleep, and the sandbox's is hours off anyway: the runner is asked before
// anything is judged, and since it answers, nothing is. What it is given then is good by the new time.
func TestClockThatJumps(t *testing.T) {
	for name, off := range map[string]time.Duration{"sandbox right": 0, "sandbox ahead": 7 * time.Hour, "sandbox behind": -7 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			b := begun(t)
			says := func(word string) {
				t.Helper()
				e := text(word)
				e.At = b.clock.Now().Add(off)
				b.runner.Tell(e)
				if j := next[session.Journaled](b); len(j.Events) != 1 || j.Events[0].Text == nil || j.Events[0].Text.Text != word {
					t.Errorf("got %+v", j)
				}
			}
			credential := func() (expires time.Time) {
				t.Helper()
				status, answer, err := b.runner.Call(b.ctx, "/git/credential", link.CredentialRequest{Protocol: "https", Host: "github.example", Path: "acme/web.git"})
				var c link.Credential
				if err != nil || status != http.StatusOK || json.Unmarshal([]byte(answer), &c) != nil {
					t.Fatalf("%d %s, %v", status, answer, err)
				}
				return c.Expires
			}
			if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.1", Text: "do it"}); err != nil {
				t.Fatal(err)
			}
			b.runner.Claim(func(st *link.Status) { st.PromptID = "1.1" }) // it thinks, and shows no other reason to wait
			says("before")
			credential()
			for range 3 {
				asked := b.runner.Asked()
				b.clock.advance(7 * time.Hour)
				eventually(b, "it is asked as a silent runner and as a turn without progress", func() bool { return b.runner.Asked() >= asked+2 })
				says("after")
				if at := credential(); !at.After(b.clock.Now()) {
					t.Errorf("a credential that was good until %s is given at %s", at, b.clock.Now())
				}
			}
			if len(b.inputs) != 0 {
				t.Errorf("got %#v", <-b.inputs)
			}
			if n := b.runner.Dials(); n != 1 {
				t.Errorf("%d links", n)
			}
		})
	}
}

// A runner that boots for ever, telling and answering all the time, is given up.
func TestEndlessBoot(t *testing.T) {
	b := newBench(t)
	b.runner.Claim(func(st *link.Status) { st.Phase = session.PhaseSetup })
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(text("on"))
	b.texts(1)
	n := 1
	d := b.passes("it is given up", func() bool {
		b.runner.Tell(text("on"))
		for len(b.inputs) > 0 {
			if in, ok := (<-b.inputs).(session.Lost); ok {
				if !strings.Contains(in.Reason, "did not become ready") {
					t.Errorf("it was lost because %s", in.Reason)
				}
				return true
			}
			n++
		}
		return false
	})
	if d < time.Hour || n < 30 {
		t.Errorf("given up after %s and %d events", d, n)
	}
}

// What waits to look at a link again goes with it: a bot that redials for days must not gather timers.
func TestTimersEndWithTheLink(t *testing.T) {
	b := newBench(t)
	b.runner.Claim(func(st *link.Status) { st.Phase = session.PhaseSetup })
	b.start("s1")
	if err := b.Attach(b.ctx, b.request("s1", session.Cursor{}), b.send); err != nil {
		t.Fatal(err)
	}
	b.runner.Tell(text("on"))
	b.texts(1)
	timers := func() int {
		b.clock.mu.Lock()
		defer b.clock.mu.Unlock()
		return len(b.clock.timers)
	}
	eventually(b, "the link is watched", func() bool { return timers() >= 3 })
	if err := b.Manager.Close(b.ctx); err != nil {
		t.Fatal(err)
	}
	eventually(b, "nothing waits any more", func() bool { return timers() == 0 })
}
