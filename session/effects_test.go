package session_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// answer brings a session's first turn to where the agent has answered.
func (b *bench) answer(id session.ID) {
	b.t.Helper()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	b.journal(id, 2, session.Event{Kind: session.KindTurn, PromptID: "1.1", Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}})
}

// Commits that cannot be fetched for minutes do not keep the thread waiting for ever.
func TestCollectingGivesUp(t *testing.T) {
	b := newBench(t)
	var tries atomic.Int32
	b.world.OnCollect = func(session.CollectRequest) (*session.Changes, error) {
		tries.Add(1)
		return nil, session.Errorf(session.Unavailable, "GitHub does not answer.")
	}
	id := b.open()
	b.answer(id)
	b.tries(20)
	log := b.until(id, ended)
	if end := log[len(log)-1].Turn; end.Outcome != session.PromptFailed || !strings.Contains(end.Reason, "GitHub does not answer. The agent's commits are still in the sandbox") {
		t.Errorf("%+v", end)
	}
	if n := tries.Load(); n != 20 {
		t.Errorf("%d tries", n)
	}
}

// tries lets an effect that fails be tried so often.
func (b *bench) tries(n int) {
	for range n - 1 {
		b.clock.Wait(1) // the pause before the next try
		next, _ := b.clock.Next()
		b.clock.Advance(next)
	}
}

// A place that does not answer when a sandbox is to be put away, or takes its time to say that it cannot, does not keep its thread waiting for long.
func TestPuttingAwayGivesUp(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		tries int32
	}{{0, 11}, {65 * time.Second, 3}} {
		t.Run(c.takes.String(), func(t *testing.T) {
			b := newBench(t)
			var tries atomic.Int32
			b.world.OnSuspend = func(session.Handle) (string, error) {
				b.clock.Advance(c.takes)
				tries.Add(1)
				return "", session.Errorf(session.Unavailable, "The provider does not answer.")
			}
			id := b.open()
			b.answer(id)
			b.until(id, ended)
			b.send(id, session.RoomNeeded{})
			b.prompt(id, "1.2")
			b.tries(int(c.tries))
			b.until(id, func(e session.Event) bool { return working(e) && e.PromptID == "1.2" })
			if n := tries.Load(); n != c.tries {
				t.Errorf("%d tries", n)
			}
		})
	}
}

// A snapshot that fails for good is no reason to forget the sandbox and what is in it.
func TestFailedSnapshotKeepsTheSandbox(t *testing.T) {
	b := newBench(t)
	var broken atomic.Bool
	broken.Store(true)
	b.world.OnSuspend = func(h session.Handle) (string, error) {
		if broken.Load() {
			return "", session.Errorf(session.Internal, "The disk is full.")
		}
		return "image of " + h.Name, nil
	}
	id := b.open()
	b.answer(id)
	b.until(id, ended)
	b.clock.Advance(session.IdleAfter)
	b.until(id, func(e session.Event) bool {
		return e.Sandbox != nil && e.Sandbox.State == session.SandboxReady && e.Sandbox.Reason == "The disk is full."
	})
	broken.Store(false)
	b.clock.Advance(session.IdleAfter)
	b.until(id, sandboxIs(session.SandboxStopped))
	st, err := b.hub.Load(t.Context(), id)
	if err != nil || st.Session.Sandbox.Image != "image of inspect-"+string(id)+"-1" {
		t.Errorf("%+v %v", st.Session.Sandbox, err)
	}
}

// fillable makes the store refuse commits while what it returns is true.
func (b *bench) fillable() *atomic.Bool {
	full := &atomic.Bool{}
	b.store.Fail = func(method string) error {
		if method == "Commit" && full.Load() {
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	return full
}

// A deadline that came while the disk refused is not forgotten.
func TestDeadlineSurvivesAFullDisk(t *testing.T) {
	b := newBench(t)
	full := b.fillable()
	id := b.open()
	b.answer(id)
	b.until(id, ended)
	full.Store(true)
	b.clock.Advance(session.IdleAfter)
	full.Store(false)
	b.clock.Advance(time.Second)
	b.until(id, sandboxIs(session.SandboxStopped))
}

// What a refused commit decided is taken back whole: the turn begins to work once, when it is stored.
func TestRefusedCommitTakesTheTurnBack(t *testing.T) {
	b := newBench(t)
	full := b.fillable()
	hold := make(chan struct{})
	b.world.OnPrompt = func(session.ID, session.Delivery) error { <-hold; return nil }
	t.Cleanup(func() { close(hold) })
	id := b.open()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	if err := b.world.Await(t.Context(), "prompt"); err != nil {
		t.Fatal(err)
	}
	st, err := b.hub.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	batch := session.Journaled{Start: st.Session.Sandbox.Start, Cursor: session.Cursor{Journal: "j", N: 2},
		Events: []session.Event{{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: "hello"}}}}
	if err := b.hub.Send(t.Context(), id, batch); session.CodeOf(err) != session.Unavailable {
		t.Fatal(err)
	}
	full.Store(false)
	b.send(id, batch)
	works := 0
	for _, e := range b.until(id, func(e session.Event) bool { return e.Text != nil }) {
		if working(e) {
			works++
		}
	}
	if works != 1 {
		t.Errorf("the turn began to work %d times", works)
	}
}

// step makes a machine take inputs that it must not refuse.
func step(t *testing.T, m *session.Machine, inputs ...session.Input) (all []session.Event) {
	t.Helper()
	for _, in := range inputs {
		r, err := m.Step(sessiontest.Epoch, in)
		if err != nil {
			t.Fatalf("%T: %v", in, err)
		}
		all = append(all, r.Events...)
	}
	return all
}

// running is a machine in the middle of its first turn, and the id of its runner.
func running(t *testing.T, by session.Person) (*session.Machine, string) {
	t.Helper()
	m := session.NewMachine(session.State{})
	step(t, m, session.Opened{Opening: session.Opening{ID: "abcdefghij", Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main"}},
		session.Prompted{Prompt: session.Prompt{ID: "1.1", Author: by, Text: "fix it"}})
	start := m.State().Session.Sandbox.Start
	step(t, m, session.Started{Effect: "e1", Start: start, Begun: session.Begun{Handle: session.Handle{Provider: "test", Name: "n", ID: "h"}, Start: start}},
		session.Journaled{Start: start, Events: []session.Event{readyEvent}}, session.Delivered{Effect: "e3", PromptID: "1.1"})
	return m, start
}

// Whatever a runner says, an event is of a size that can be stored and shown, and a log has an end.
func TestSandboxCannotFillTheLog(t *testing.T) {
	m, start := running(t, sessiontest.Ada)
	long := strings.Repeat("ä", 1<<19)
	events := step(t, m, session.Journaled{Start: start, Events: []session.Event{
		{Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Call: long, Name: long, State: "never", Title: long, Input: []byte(`"` + long + `"`), Output: long, Error: long, Diff: long}},
		{Kind: session.KindTodo, PromptID: "1.1", Todo: make([]session.TodoItem, 10_000)},
		{Kind: session.KindError, PromptID: "1.1", Error: &session.Failure{Code: "mine", Message: long}},
		{Kind: session.KindRetry, PromptID: "1.1", Retry: &session.Retry{Reason: long}},
	}})
	tool := events[0].Tool
	if len(tool.Call) > 9<<10 || len(tool.Name) > 9<<10 || len(tool.Title) > 9<<10 || len(tool.Output) > 65<<10 || len(tool.Error) > 65<<10 || len(tool.Diff) > 513<<10 || len(tool.Input) > 100 {
		t.Errorf("a tool event of %d bytes was let through", len(tool.Call)+len(tool.Name)+len(tool.Title)+len(tool.Output)+len(tool.Error)+len(tool.Diff)+len(tool.Input))
	}
	if tool.State != session.StepFailed || len(events[1].Todo) != 200 || events[2].Error.Code != session.Internal || len(events[2].Error.Message) > 9<<10 || len(events[3].Retry.Reason) > 9<<10 {
		t.Errorf("%s, %d todos, code %s", tool.State, len(events[1].Todo), events[2].Error.Code)
	}
	var stored int
	var notices []session.Event
	for range 1000 {
		for _, e := range step(t, m, session.Journaled{Start: start, Events: []session.Event{{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: long[:500<<10]}}}}) {
			if e.Note != nil {
				notices = append(notices, e)
			}
			if e.Text != nil {
				stored += len(e.Text.Text)
			}
		}
	}
	if stored > 257<<20 || len(notices) != 1 || notices[0].Note.Kind != session.NoteNotice || !strings.Contains(notices[0].Note.Text, "log of this thread is full") {
		t.Errorf("%d MiB were stored, %d notices", stored>>20, len(notices))
	}
	if log := step(t, m, session.Journaled{Start: start, Events: []session.Event{{Kind: session.KindTurn, PromptID: "1.1", Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}}}}); len(log) != 1 {
		t.Errorf("the answer did not come through: %+v", log)
	}
}

// A sandbox's clock may be hours wrong, either way, and so may have been the bot's: the log is in order, nothing in it happened later than it is, and how
// long something took is what the runner measured.
func TestLogIsInOrderWhateverTheSandboxesClockSays(t *testing.T) {
	for name, off := range map[string]time.Duration{"right": 0, "ahead": 7 * time.Hour, "behind": -7 * time.Hour, "a year behind": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			m := session.NewMachine(session.State{})
			now := sessiontest.Epoch
			var log []session.Event
			take := func(in session.Input) {
				t.Helper()
				now = now.Add(time.Minute)
				r, err := m.Step(now, in)
				if err != nil {
					t.Fatalf("%T: %v", in, err)
				}
				for _, e := range r.Events {
					if e.At.After(now) || e.At.Before(sessiontest.Epoch) || len(log) > 0 && e.At.Before(log[len(log)-1].At) {
						t.Errorf("%s at %s is told at %s, after what was at %s", e.Kind, e.At, now, log[max(0, len(log)-1)].At)
					}
					log = append(log, e)
				}
			}
			says := func(ago time.Duration, e session.Event) session.Event {
				e.At = now.Add(time.Minute - ago + off)
				return e
			}
			take(session.Opened{Opening: session.Opening{ID: "abcdefghij", Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main"}})
			take(session.Prompted{Prompt: session.Prompt{ID: "1.1", Author: sessiontest.Ada, Text: "fix it"}})
			start := m.State().Session.Sandbox.Start
			take(session.Started{Effect: "e1", Start: start, Begun: session.Begun{Handle: session.Handle{Provider: "test", Name: "n", ID: "h"}, Start: start}})
			setup := session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseSetup, State: session.StepDone, Millis: 41_000}}
			take(session.Journaled{Start: start, Events: []session.Event{says(30*time.Second, setup), says(20*time.Second, readyEvent)}})
			take(session.Delivered{Effect: "e3", PromptID: "1.1"})
			old := m.State() // as a bot stored it that did not note when the newest event was
			old.Session.Latest = time.Time{}
			early := says(0, session.Event{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: "early"}})
			if r, err := session.NewMachine(old).Step(now, session.Journaled{Start: start, Events: []session.Event{early}}); err != nil || r.Events[0].At.Before(sessiontest.Epoch) {
				t.Errorf("%+v, %v", r.Events, err)
			}
			take(session.Journaled{Start: start, Events: []session.Event{
				says(3*time.Second, session.Event{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: "Let me see."}}),
				says(2*time.Second, session.Event{Kind: session.KindRetry, PromptID: "1.1", Retry: &session.Retry{Attempt: 1, Next: now.Add(time.Minute + 28*time.Second + off)}}),
				says(2*time.Second, session.Event{Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Call: "c", Name: "bash", State: session.StepDone, Millis: 1500}}),
			}})
			take(session.Prompted{Prompt: session.Prompt{ID: "1.2", Author: sessiontest.Bob, Text: "and then this"}})
			take(session.Journaled{Start: start, Events: []session.Event{
				says(time.Second, session.Event{Kind: session.KindTurn, PromptID: "1.1", Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}}),
			}})
			took := map[string]int64{}
			for _, e := range log {
				switch {
				case e.Boot != nil && e.Boot.Phase == session.PhaseSetup:
					took["setup"] = e.Boot.Millis
				case e.Tool != nil:
					took["tool"] = e.Tool.Millis
				case e.Retry != nil:
					took["retry"] = e.Retry.Next.Sub(e.At).Milliseconds()
				}
			}
			if took["setup"] != 41_000 || took["tool"] != 1500 || took["retry"] != 30_000 {
				t.Errorf("took %v ms", took)
			}
			last := log[len(log)-1]
			if want := now.Add(-time.Second); off == 0 && !last.At.Equal(want) {
				t.Errorf("a clock that is right was not believed: %s, not %s", last.At, want)
			}
			// The bot's clock is set back: what it says itself is by its clock, and so is what the sandbox says at the latest.
			now, log = sessiontest.Epoch, nil
			r, err := m.Step(now, session.Prompted{Prompt: session.Prompt{ID: "1.3", Author: sessiontest.Bob, Text: "once more"}})
			if err != nil || len(r.Events) == 0 || !r.Events[0].At.Equal(now) {
				t.Errorf("%+v, %v", r.Events, err)
			}
		})
	}
}

// A log's size is counted as it is stored, escapes and the bot's own events included, so that the limit is one of the disk.
func TestLogIsCountedAsStored(t *testing.T) {
	m := session.NewMachine(session.State{})
	var all []session.Event
	take := func(in ...session.Input) { t.Helper(); all = append(all, step(t, m, in...)...) }
	take(session.Opened{Opening: session.Opening{ID: "abcdefghij", Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main"}},
		session.Prompted{Prompt: session.Prompt{ID: "1.1", Author: sessiontest.Ada, Text: strings.Repeat("<why>\n", 5000)}})
	start := m.State().Session.Sandbox.Start
	take(session.Started{Effect: "e1", Start: start, Begun: session.Begun{Handle: session.Handle{Provider: "test", Name: "n", ID: "h"}, Start: start}},
		session.Journaled{Start: start, Events: []session.Event{readyEvent}}, session.Delivered{Effect: "e3", PromptID: "1.1"})
	for _, word := range []string{"<&>", "\x01\x02", "plain", "\n\t\"\\", "é—"} {
		take(session.Journaled{Start: start, Events: []session.Event{
			{Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Call: "c", Name: "bash", State: session.StepDone, Input: []byte(`{"command":"<<<<<<<<<<"}`), Output: strings.Repeat(word, 10_000)}},
			{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: strings.Repeat(word, 20_000)}},
			{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseSetup, State: session.StepWarning, Output: strings.Repeat(word, 1000)}},
		}}, session.ModelCalled{Call: session.ModelCall{Model: "anthropic/claude", Cost: 0.01}})
	}
	for range 100 {
		take(session.Journaled{Start: start, Events: []session.Event{{Kind: session.KindTodo, PromptID: "1.1", Todo: make([]session.TodoItem, 200)}}})
	}
	var stored int64
	for _, e := range all {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		stored += int64(len(b))
	}
	if told := m.State().Session.Told; told < stored*99/100 || told > stored*101/100 {
		t.Errorf("the log is counted as %d bytes; %d are stored", told, stored)
	}
}

// Commits of a turn stay acceptable when their author unlinks, or links another account, before they are collected again.
func TestIdentitiesStay(t *testing.T) {
	m, start := running(t, sessiontest.Ada)
	answered := func(prompt string) session.Input {
		return session.Journaled{Start: start, Events: []session.Event{{Kind: session.KindTurn, PromptID: prompt, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}}}}
	}
	step(t, m, answered("1.1"), session.Collected{Effect: "e4"})
	alone := sessiontest.Ada
	alone.GitHub = nil
	step(t, m, session.Prompted{Prompt: session.Prompt{ID: "1.2", Author: alone, Text: "more"}}, answered("1.2"))
	want, _ := sessiontest.Ada.Author()
	for _, e := range m.State().Effects {
		if e.Collect != nil && len(e.Collect.Identities) == 1 && e.Collect.Identities[0] == want {
			return
		}
	}
	t.Errorf("%+v", m.State().Effects)
}

// The draft of a pull request, which may be long, is committed when it changes and not with everything else.
func TestDraftIsCommittedWhenItChanges(t *testing.T) {
	m, start := running(t, sessiontest.Ada)
	changes := func(in session.Input) bool {
		t.Helper()
		r, err := m.Step(sessiontest.Epoch, in)
		if err != nil {
			t.Fatalf("%T: %v", in, err)
		}
		return r.Record.Draft != nil
	}
	ada := sessiontest.Ada
	ada.GitHub = &session.Identity{ID: 9, Login: "ada-9"}
	for _, c := range []struct {
		in   session.Input
		want bool
	}{
		{session.Journaled{Start: start, Events: []session.Event{{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: "hm"}}}}, false},
		{session.Proposed{Call: "1", Proposal: session.Proposal{Title: "Fix it", Body: "It was broken."}}, true},
		{session.Proposed{Call: "1", Proposal: session.Proposal{Title: "Fix it", Body: "It was broken."}}, false}, // the call again
		{session.Updated{Text: "still here"}, false},
		{session.Linked{By: sessiontest.Bob}, false}, // who asked for nothing
		{session.Linked{By: ada}, true},
		{session.Prompted{Prompt: session.Prompt{ID: "1.2", Author: ada, Text: "more"}}, false}, // not begun
	} {
		if got := changes(c.in); got != c.want {
			t.Errorf("after %T the draft is committed: %v, want %v", c.in, got, c.want)
		}
	}
	if d := m.State().Draft; len(d.Asked) != 1 || d.Asked[0].By.GitHub.Login != "ada-9" || d.Proposal.Title != "Fix it" {
		t.Errorf("the draft is %+v", d)
	}
}

func TestParseRepo(t *testing.T) {
	for s, ok := range map[string]bool{
		"acme/web": true, "a.b/c_d-e": true, "acme": false, "acme/": false, "/web": false, "acme/..": false, "../web": false, "./web": false,
		"acme/web/x": false, "-acme/web": false, "acme/we b": false, "acme/w\n": false,
	} {
		if _, got := session.ParseRepo(s); got != ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// A start that is put off is no failure: its thread is told, once for each new time, and it goes on when it may.
func TestStartIsPutOff(t *testing.T) {
	b := newBench(t)
	var puts atomic.Int32
	b.world.OnStart = func(r session.StartRequest) (session.Begun, error) {
		if n := puts.Add(1); n <= 8 { // more often than a start is tried
			words := "Sandboxes do not start right now."
			if n > 4 {
				words = "Sandboxes still do not start."
			}
			return session.Begun{}, session.Wrap("sandbox.Start", &session.Later{At: b.clock.Now().Add(time.Minute), Err: session.Errorf(session.Unavailable, "%s", words)})
		}
		return sessiontest.BegunAs(r), nil
	}
	id := b.open()
	b.prompt(id, "1.1")
	for range 8 {
		b.clock.Wait(1)
		b.clock.Advance(time.Minute)
	}
	var told []string
	for _, e := range b.until(id, sandboxIs(session.SandboxBooting)) {
		if e.Sandbox != nil {
			told = append(told, e.Sandbox.Reason)
		}
	}
	if got := strings.Join(told, "|"); got != "|Sandboxes do not start right now.|Sandboxes still do not start.|" {
		t.Errorf("told %q", got)
	}
}

// An outcome that the store can never take is the operator's to know: nothing else would say why the session stands still.
func TestOutcomeThatCannotBeStoredIsReported(t *testing.T) {
	w := newTown(t, 1)
	w.stop()
	reports := make(chan string, 1)
	w.hub = func(c session.HubConfig) session.HubConfig {
		c.Report = func(_ session.ID, op string, err error) { reports <- op + ": " + string(session.CodeOf(err)) }
		return c
	}
	var broken atomic.Bool
	w.store.Fail = func(method string) error {
		if method == "Commit" && broken.Load() {
			return session.Errorf(session.Internal, "It cannot be encoded.")
		}
		return nil
	}
	asked := make(chan struct{})
	w.world.OnStart = func(r session.StartRequest) (session.Begun, error) {
		<-asked
		return sessiontest.BegunAs(r), nil
	}
	w.open()
	w.ask("1.0", "1.1")
	broken.Store(true)
	close(asked)
	select {
	case got := <-reports:
		if got != "effect e1: internal" {
			t.Errorf("reported %q", got)
		}
	case <-time.After(time.Minute): // ends a failing test
		t.Error("nothing was reported")
	}
}
