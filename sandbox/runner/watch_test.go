package runner_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// A turn in which nothing moves is ended after ten minutes, with the agent's last words. What it had written is kept.
func TestTurnWithoutProgress(t *testing.T) {
	clock := &sessiontest.Clock{}
	b := newBox(t, session.BootFresh, newRemote(t))
	b.clock = clock
	b.start().ready()
	equal(t, "status", b.prompt(session.Delivery{ID: "1", Author: ana, Text: "!write a.txt a\n!say on\n!hang"}), http.StatusAccepted)
	b.until(func(e session.Event) bool { return e.Kind == session.KindText })
	clock.Advance(10*time.Minute - time.Second)
	st := b.status()
	equal(t, "prompt that runs", st.PromptID, "1")
	equal(t, "words", st.Words, "Its last words: the script hangs.")
	clock.Advance(time.Second)
	answer := b.until(func(e session.Event) bool { return e.Turn != nil })
	equal(t, "answer", *answer.Turn, session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptFailed,
		Reason: "The agent made no progress for 10 minutes and was stopped. Please send your message again. Its last words: the script hangs."})
	equal(t, "kept", b.git("show", "--format=", "--name-only"), "a.txt")
	equal(t, "next turn", b.turn(session.Delivery{ID: "2", Text: "!say fine"}).Outcome, session.PromptDone)
	clock.Advance(time.Hour) // nobody watches a turn that is over
	equal(t, "one more", b.turn(session.Delivery{ID: "3", Text: "!say fine"}).Outcome, session.PromptDone)
}

// A tool that runs and a model call under way are progress, however long they take.
func TestSlowIsNotStuck(t *testing.T) {
	clock := &sessiontest.Clock{}
	var models atomic.Int32
	b := newBox(t, session.BootFresh, "")
	b.clock, b.models = clock, func() int { return int(models.Load()) }
	b.start().ready()
	b.prompt(session.Delivery{ID: "1", Text: `!run until [ -e "$HOME/go" ]; do sleep 0.01; done` + "\n!say on\n!hang"})
	b.until(func(e session.Event) bool { return e.Tool != nil })
	clock.Advance(3 * time.Hour)
	equal(t, "tools", b.status().Tools, 1)
	models.Store(2)
	check(t, os.WriteFile(filepath.Join(b.home(), "go"), nil, 0o644))
	b.until(func(e session.Event) bool { return e.Kind == session.KindText })
	clock.Advance(3 * time.Hour)
	equal(t, "models", b.status().Models, 2)
	equal(t, "tools", b.status().Tools, 0)
	models.Store(0)
	clock.Advance(9 * time.Minute)
	equal(t, "prompt that runs", b.status().PromptID, "1")
	clock.Advance(time.Minute)
	equal(t, "answer", b.until(func(e session.Event) bool { return e.Turn != nil }).Turn.Outcome, session.PromptFailed)
}

// A clone from a server that stalls has an end, and so has every process of it.
func TestStalledClone(t *testing.T) {
	asked, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	}))
	defer server.Close()
	clock := &sessiontest.Clock{}
	b := newBox(t, session.BootFresh, "")
	b.boot.Repo, b.boot.CloneURL, b.clock = session.Repo{Owner: "acme", Name: "web"}, server.URL+"/acme/web.git", clock
	b.start()
	for range 2 { // the clone; then the look at why it failed
		<-asked
		for over := false; !over; { // git may have said something a moment ago, which counts from when it is heard
			clock.Advance(5 * time.Minute)
			select {
			case <-ended:
				over = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	e := b.until(func(e session.Event) bool { return e.Boot != nil && e.Boot.State == session.StepFailed })
	if e.Boot.Phase != session.PhaseSync || !strings.Contains(e.Boot.Output, "nothing came from the remote for 300 s") {
		t.Errorf("%+v", e.Boot)
	}
}
