package session_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// town is a hub with room for few sandboxes and any number of threads.
type town struct {
	*bench
	room int
	hub  func(session.HubConfig) session.HubConfig
	ids  map[string]session.ID // by thread
	n    map[string]int64      // lines of the journal, by thread
}

func newTown(t *testing.T, room int) *town {
	w := &town{bench: &bench{t: t, store: sessiontest.NewStore(), world: &sessiontest.World{}, clock: &sessiontest.Clock{}},
		room: room, ids: map[string]session.ID{}, n: map[string]int64{}}
	w.open()
	t.Cleanup(func() { w.stop() })
	return w
}

// open starts the bot over what is stored.
func (w *town) open() {
	w.t.Helper()
	c := session.HubConfig{Store: w.store, Sandboxes: w.world, Forge: w.world, Clock: w.clock, Room: w.room, Hours: w.store}
	if w.hub != nil {
		c = w.hub(c)
	}
	hub, err := session.NewHub(c)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := hub.Start(ctx); err != nil {
		w.t.Fatal(err)
	}
	w.bench.hub = hub
	w.stop = sync.OnceFunc(func() { cancel(); hub.Wait() })
}

// ask prompts in a thread, which is opened if it is new.
func (w *town) ask(thread, prompt string) {
	w.t.Helper()
	if w.ids[thread] == "" {
		id, err := w.bench.hub.Open(w.t.Context(), session.Opening{Thread: session.Thread{Team: "T1", Channel: "C1", TS: thread}, Requester: sessiontest.Ada,
			Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-4-6"})
		if err != nil {
			w.t.Fatal(err)
		}
		w.ids[thread] = id
	}
	w.prompt(w.ids[thread], prompt)
}

func (w *town) state(thread string) session.Session {
	w.t.Helper()
	st, err := w.bench.hub.Load(w.t.Context(), w.ids[thread])
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Session
}

// comes waits for an event, after a number, that satisfies ok.
func (w *town) comes(thread string, ok func(session.Event) bool) {
	w.t.Helper()
	w.until(w.ids[thread], ok)
}

// runs waits until a thread's sandbox boots, lets it become ready, and waits until the agent has that prompt.
func (w *town) runs(thread, prompt string) {
	w.t.Helper()
	if err := w.world.Await(w.t.Context(), "start inspect-"+string(w.ids[thread])); err != nil {
		w.t.Fatal(err)
	}
	w.comes(thread, func(e session.Event) bool {
		return e.Sandbox != nil && e.Sandbox.State == session.SandboxBooting && e.Seq > w.n["seen "+thread]
	})
	w.tells(thread, readyEvent)
	w.works(thread, prompt)
}

// works waits until the agent has a prompt, now and not in an earlier sandbox.
func (w *town) works(thread, prompt string) {
	w.t.Helper()
	w.comes(thread, func(e session.Event) bool { return working(e) && e.PromptID == prompt && e.Seq > w.n["seen "+thread] })
}

func (w *town) tells(thread string, events ...session.Event) {
	w.t.Helper()
	w.n[thread] += int64(len(events))
	w.journal(w.ids[thread], w.n[thread], events...)
}

// answers ends the turn of a prompt.
func (w *town) answers(thread, prompt string) {
	w.t.Helper()
	w.n["seen "+thread] = w.state(thread).Seq
	w.tells(thread, session.Event{Kind: session.KindTurn, PromptID: prompt, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}})
	w.comes(thread, func(e session.Event) bool { return ended(e) && e.PromptID == prompt })
}

func at(place int) func(session.Event) bool {
	return func(e session.Event) bool { return e.Sandbox != nil && e.Sandbox.Place == place }
}

// live is how many sandboxes take room by what is stored.
func (w *town) live() (n int) {
	w.t.Helper()
	all, err := w.store.List(w.t.Context(), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range all {
		if s.Sandbox.Occupied() {
			n++
		}
	}
	return n
}

// starts lists the threads whose sandboxes were started, in order.
func (w *town) starts() string {
	var order []string
	for _, c := range w.world.Calls() {
		if rest, ok := strings.CutPrefix(c, "start inspect-"); ok {
			for thread, id := range w.ids {
				if strings.HasPrefix(rest, string(id)) {
					order = append(order, thread)
				}
			}
		}
	}
	return strings.Join(order, " ")
}

// Whoever came first is served first, one place for each session. An idle sandbox makes room, one with a turn does not.
func TestThirdInLine(t *testing.T) {
	w := newTown(t, 1)
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.ask("b", "b1")
	w.ask("b", "b2")
	w.ask("c", "c1")
	w.ask("d", "d1")
	w.comes("d", at(3))
	if n := w.live(); n != 1 {
		t.Errorf("%d sandboxes", n)
	}
	w.answers("a", "a1") // idle: it is put away for b
	w.runs("b", "b1")
	w.comes("a", sandboxIs(session.SandboxStopped))
	w.comes("c", at(1))
	w.comes("d", at(2))
	w.send(w.ids["c"], session.StopAsked{By: sessiontest.Ada}) // leaves the line
	w.comes("d", at(1))
	if s := w.state("c"); s.Sandbox.State != session.SandboxNone || s.Turn != nil {
		t.Errorf("%+v", s.Sandbox)
	}
	w.answers("b", "b1")
	w.works("b", "b2")
	w.answers("b", "b2")
	w.runs("d", "d1")
	if got := w.starts(); got != "a b d" {
		t.Errorf("started %s", got)
	}
}

// A session with a long queue gives way; it comes back after those who waited.
func TestQueueGivesWay(t *testing.T) {
	w := newTown(t, 1)
	for n := 1; n <= 5; n++ {
		w.ask("a", fmt.Sprint("a", n))
	}
	w.runs("a", "a1")
	w.ask("b", "b1")
	for n := 1; n <= 3; n++ {
		w.works("a", fmt.Sprint("a", n))
		w.answers("a", fmt.Sprint("a", n))
	}
	w.runs("b", "b1")
	w.comes("a", at(1))
	w.answers("b", "b1")
	w.runs("a", "a4")
	w.answers("a", "a4")
	w.works("a", "a5") // nobody waits: it goes on
	if got := w.starts(); got != "a b a" {
		t.Errorf("started %s", got)
	}
}

// After kill -9 or an orderly stop the line is as it was, and what lives counts from the start.
func TestLineAfterARestart(t *testing.T) {
	w := newTown(t, 1)
	w.ask("a", "a1")
	w.runs("a", "a1")
	for i, thread := range []string{"d", "c", "b"} { // not in the order of their names
		w.ask(thread, thread+"1")
		w.comes(thread, at(i+1))
		w.clock.Advance(time.Second)
	}
	w.stop()
	w.open()
	w.ask("e", "e1")
	w.comes("e", at(4))
	if got := w.starts(); got != "a" {
		t.Errorf("started %s", got)
	}
	w.answers("a", "a1")
	for _, thread := range []string{"d", "c", "b", "e"} {
		w.runs(thread, thread+"1")
		if n := w.live(); n != 1 {
			t.Errorf("%d sandboxes", n)
		}
		w.answers(thread, thread+"1")
	}
	if got := w.starts(); got != "a d c b e" {
		t.Errorf("started %s", got)
	}
}

// A sandbox that is lost, one whose start fails and one whose boot fails all free their room; the longest idle one goes first.
func TestRoomIsFreed(t *testing.T) {
	w := newTown(t, 2)
	w.world.OnStart = func(r session.StartRequest) (session.Begun, error) {
		if strings.Contains(r.Name, "zzzzzzzzzz") {
			return session.Begun{}, session.Errorf(session.Internal, "No such luck.")
		}
		return sessiontest.BegunAs(r), nil
	}
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.ask("b", "b1")
	w.runs("b", "b1")
	w.ids["bad"] = "zzzzzzzzzz"
	id, err := w.bench.hub.Open(t.Context(), session.Opening{ID: "zzzzzzzzzz", Thread: session.Thread{TS: "bad"}, Requester: sessiontest.Ada, Model: "anthropic/claude-sonnet-4-6"})
	if err != nil {
		t.Fatal(err)
	}
	w.prompt(id, "bad1")
	w.ask("c", "c1")
	w.comes("c", at(2))
	w.answers("a", "a1") // a is put away for bad, whose start fails: c is next
	w.comes("bad", func(e session.Event) bool { return ended(e) && e.Turn.Outcome == session.PromptFailed })
	w.runs("c", "c1")
	w.ask("d", "d1")
	w.comes("d", at(1))
	w.n["seen b"] = w.state("b").Seq
	w.send(w.ids["b"], session.Lost{Start: w.state("b").Sandbox.Start, Reason: "gone"}) // with a turn: it keeps its room
	w.runs("b", "b1")
	w.send(w.ids["b"], session.Lost{Start: w.state("b").Sandbox.Start, Reason: "gone again"})
	w.comes("b", func(e session.Event) bool { return ended(e) && e.Turn.Outcome == session.PromptFailed })
	w.comes("d", sandboxIs(session.SandboxBooting)) // what was left of b's has been ended
	w.tells("d", session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseStart, State: session.StepFailed}})
	w.comes("d", func(e session.Event) bool { return ended(e) && e.Turn.Outcome == session.PromptFailed })
	w.ask("e", "e1")
	w.runs("e", "e1")
	if n := w.live(); n != 2 {
		t.Errorf("%d sandboxes", n)
	}
	if !slices.Contains(w.world.Calls(), "suspend inspect-"+string(w.ids["b"])+"-1") {
		t.Errorf("what was left of a lost sandbox was not ended: %v", w.world.Calls())
	}
}

// The longest idle sandbox makes room; with less room than before, idle ones go until it is enough.
func TestLongestIdleGoes(t *testing.T) {
	w := newTown(t, 3)
	for _, thread := range []string{"a", "b", "c"} {
		w.ask(thread, thread+"1")
		w.runs(thread, thread+"1")
	}
	for _, thread := range []string{"b", "a", "c"} {
		w.answers(thread, thread+"1")
		w.clock.Advance(time.Second)
	}
	w.ask("d", "d1")
	w.runs("d", "d1")
	w.comes("b", sandboxIs(session.SandboxStopped))
	w.stop()
	w.room = 2
	w.open()
	w.comes("a", sandboxIs(session.SandboxStopped))
	if s := w.state("c").Sandbox.State; s != session.SandboxReady {
		t.Errorf("c is %s", s)
	}
}

// A disk that refuses keeps nobody in line for ever, and gives nothing twice.
func TestLineSurvivesARefusedCommit(t *testing.T) {
	w := newTown(t, 1)
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.ask("b", "b1")
	w.comes("b", at(1))
	w.answers("a", "a1")
	w.comes("b", sandboxIs(session.SandboxBooting))
	w.ask("c", "c1")
	w.comes("c", at(1))
	var mu sync.Mutex
	refuse := false
	w.stop()
	w.store.Fail = func(method string) error {
		mu.Lock()
		defer mu.Unlock()
		if method == "Commit" && refuse {
			refuse = false // once
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	w.open()
	w.tells("b", readyEvent)
	w.works("b", "b1")
	w.answers("b", "b1")
	w.comes("b", sandboxIs(session.SandboxSnapshotting))
	w.comes("c", sandboxIs(session.SandboxBooting))
	for {
		if st, err := w.bench.hub.Load(t.Context(), w.ids["c"]); err != nil {
			t.Fatal(err)
		} else if len(st.Effects) == 0 {
			break // nothing but what follows is committed now
		}
		runtime.Gosched()
	}
	mu.Lock()
	refuse = true
	mu.Unlock()
	err := w.bench.hub.Send(t.Context(), w.ids["a"], session.Prompted{Prompt: session.Prompt{ID: "a2", Author: sessiontest.Ada, Text: "more"}})
	if session.CodeOf(err) != session.Unavailable {
		t.Fatalf("%v", err)
	}
	w.ask("a", "a2")
	w.comes("a", at(1)) // in line once, and nobody holds room that nobody has
	w.tells("c", readyEvent)
	w.works("c", "c1")
	w.answers("c", "c1")
	w.runs("a", "a2")
}

// What sandboxes lived is stored with the commit that ends them, and counts together with those that live.
func TestSandboxHours(t *testing.T) {
	w := newTown(t, 1)
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.clock.Advance(10 * time.Hour)
	w.answers("a", "a1")
	w.clock.Advance(session.IdleAfter)
	w.comes("a", sandboxIs(session.SandboxStopped))
	if d, err := w.store.Lived(t.Context(), "2026-11-24"); d != 10*time.Hour+session.IdleAfter || err != nil {
		t.Errorf("%v %v", d, err)
	}
	w.stop()
	w.open()
	w.ask("a", "a2") // 19:10, after a restart
	w.runs("a", "a2")
	w.clock.Advance(12 * time.Hour) // 07:10 of the next day: 4:50 h count for the first, 7:10 h for the second
	w.answers("a", "a2")
	w.ask("a", "a3") // whoever has a sandbox keeps it
	w.works("a", "a3")
	w.clock.Advance(11 * time.Hour)
	w.answers("a", "a3")
	w.clock.Advance(session.IdleAfter)
	w.comes("a", func(e session.Event) bool { return sandboxIs(session.SandboxStopped)(e) && e.Seq > w.n["seen a"] })
	w.ask("b", "b1")
	w.comes("b", func(e session.Event) bool {
		return ended(e) && strings.Contains(e.Turn.Reason, "18 hours today") && strings.Contains(e.Turn.Reason, "in 6 hours, after 00:00 UTC")
	})
	w.clock.Advance(6 * time.Hour)
	w.ask("b", "b2")
	w.runs("b", "b2")
	if d, err := w.store.Lived(t.Context(), "2026-11-24"); d != 15*time.Hour || err != nil {
		t.Errorf("%v %v", d, err)
	}
}

// An installation may allow less in a day, or more, than its room would.
func TestSandboxHoursAsSet(t *testing.T) {
	w := newTown(t, 1)
	w.stop()
	w.hub = func(c session.HubConfig) session.HubConfig { c.Daily = time.Hour; return c }
	w.open()
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.clock.Advance(time.Hour - session.IdleAfter)
	w.answers("a", "a1")
	w.clock.Advance(session.IdleAfter)
	w.comes("a", sandboxIs(session.SandboxStopped))
	w.ask("b", "b1")
	w.comes("b", func(e session.Event) bool {
		return ended(e) && strings.Contains(e.Turn.Reason, "one hour today, which is the limit")
	})
	w.stop()
	w.hub = func(c session.HubConfig) session.HubConfig { c.Daily = 24 * time.Hour; return c }
	w.open()
	w.ask("b", "b2")
	w.runs("b", "b2")
}

// Room that was told to a step whose commit the disk refused, or that came to nothing, is free for others.
func TestNoRoomIsKeptForARefusedStep(t *testing.T) {
	w := newTown(t, 1)
	var mu sync.Mutex
	refuse := false
	w.stop()
	w.store.Fail = func(method string) error {
		mu.Lock()
		defer mu.Unlock()
		if method == "Commit" && refuse {
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	w.open()
	w.ask("a", "a1")
	w.runs("a", "a1")
	w.answers("a", "a1")
	w.clock.Advance(session.IdleAfter)
	w.comes("a", sandboxIs(session.SandboxStopped))
	mu.Lock()
	refuse = true
	mu.Unlock()
	if err := w.bench.hub.Send(t.Context(), w.ids["a"], session.Prompted{Prompt: session.Prompt{ID: "a2", Author: sessiontest.Ada, Text: "more"}}); session.CodeOf(err) != session.Unavailable {
		t.Fatalf("%v", err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	w.ask("b", "b1")
	w.runs("b", "b1")
	w.answers("b", "b1")
	w.clock.Advance(session.IdleAfter)
	w.comes("b", sandboxIs(session.SandboxStopped))
	if err := w.bench.hub.Send(t.Context(), w.ids["a"], session.StopAsked{By: sessiontest.Ada}); session.CodeOf(err) != session.NotFound {
		t.Fatalf("%v", err)
	}
	w.ask("c", "c1")
	w.runs("c", "c1")
	w.ask("a", "a2")
	w.comes("a", at(1))
}

// Whoever stops while no sandbox can be started makes room for who comes next, and nothing is started for nobody later.
func TestStopWhileStartsArePutOff(t *testing.T) {
	w := newTown(t, 1)
	var asked atomic.Int32
	w.world.OnStart = func(r session.StartRequest) (session.Begun, error) {
		if r.Session == w.ids["a"] {
			asked.Add(1)
			return session.Begun{}, &session.Later{At: w.clock.Now().Add(time.Minute), Err: session.Errorf(session.Unavailable, "No sandbox can be started.")}
		}
		return sessiontest.BegunAs(r), nil
	}
	w.ids["a"] = "aaaaaaaaaa"
	if _, err := w.bench.hub.Open(t.Context(), session.Opening{ID: "aaaaaaaaaa", Thread: session.Thread{TS: "a"}, Requester: sessiontest.Ada, Model: "anthropic/claude-sonnet-4-6"}); err != nil {
		t.Fatal(err)
	}
	w.ask("a", "a1")
	w.comes("a", func(e session.Event) bool {
		return e.Sandbox != nil && e.Sandbox.Reason == "No sandbox can be started."
	})
	w.ask("b", "b1")
	w.comes("b", at(1))
	w.clock.Wait(1)
	w.clock.Advance(time.Minute) // the same answer again: it is not told twice
	for asked.Load() < 2 {
		runtime.Gosched()
	}
	w.clock.Wait(1)
	w.send(w.ids["a"], session.StopAsked{By: sessiontest.Ada})
	w.runs("b", "b1")
	w.clock.Advance(time.Hour)
	if n := asked.Load(); n != 2 || w.live() != 1 {
		t.Errorf("a's sandbox was asked for %d times, %d live", n, w.live())
	}
}
