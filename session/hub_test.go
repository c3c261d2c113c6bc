package session_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// bench is a hub over a memory store and a world that agrees to everything.
type bench struct {
	t     *testing.T
	store *sessiontest.Memory
	world *sessiontest.World
	hub   *session.Hub
	clock *sessiontest.Clock
	cost  float64 // a session's budget
	stop  func()
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, store: sessiontest.NewStore(), world: &sessiontest.World{}, clock: &sessiontest.Clock{}}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

// start makes a hub over what is stored, as a restart of the bot does.
func (b *bench) start() {
	b.t.Helper()
	hub, err := session.NewHub(session.HubConfig{Store: b.store, Sandboxes: b.world, Forge: b.world, Audit: b.store, Clock: b.clock, Budget: b.cost})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := hub.Start(ctx); err != nil {
		b.t.Fatal(err)
	}
	b.hub = hub
	b.stop = sync.OnceFunc(func() { cancel(); hub.Wait() })
}

func (b *bench) open() session.ID {
	b.t.Helper()
	id, err := b.hub.Open(b.t.Context(), session.Opening{
		Thread: session.Thread{Team: "T1", Channel: "C1", TS: "1.0"}, Requester: sessiontest.Ada,
		Repo: session.Repo{Owner: "acme", Name: "web"}, Base: "main", Model: "anthropic/claude-sonnet-4-6",
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) send(id session.ID, in session.Input) {
	b.t.Helper()
	if err := b.hub.Send(b.t.Context(), id, in); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) prompt(id session.ID, ts string) {
	b.t.Helper()
	b.send(id, session.Prompted{Prompt: session.Prompt{ID: ts, Author: sessiontest.Ada, Text: "fix it"}})
}

// journal is a batch of the runner's, for the sandbox that the session has.
func (b *bench) journal(id session.ID, n int64, events ...session.Event) {
	b.t.Helper()
	st, err := b.hub.Load(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	b.send(id, session.Journaled{Start: st.Session.Sandbox.Start, Cursor: session.Cursor{Journal: "j", N: n}, Events: events})
}

// until reads the log until an event satisfies ok, and returns all that was read.
func (b *bench) until(id session.ID, ok func(session.Event) bool) []session.Event {
	b.t.Helper()
	f, err := b.hub.Feed(b.t.Context(), id, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	var all []session.Event
	for {
		item, err := f.Next(b.t.Context())
		if err != nil {
			b.t.Fatalf("%v after %d events", err, len(all))
		}
		all = append(all, item.Events...)
		for _, e := range item.Events {
			if ok(e) {
				return all
			}
		}
	}
}

var readyEvent = session.Event{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}}

func ended(e session.Event) bool { return e.Turn != nil && e.Turn.State == session.TurnEnded }

func working(e session.Event) bool { return e.Turn != nil && e.Turn.State == session.TurnWorking }

func sandboxIs(state session.SandboxState) func(session.Event) bool {
	return func(e session.Event) bool { return e.Sandbox != nil && e.Sandbox.State == state }
}

func TestOneTurn(t *testing.T) {
	b := newBench(t)
	b.world.OnCollect = func(r session.CollectRequest) (*session.Changes, error) {
		return &session.Changes{Head: "aaaaaaaaaaaaaaaa", Commits: 1, Subject: "Fix it"}, nil
	}
	id := b.open()
	if again := b.open(); again != id {
		t.Errorf("one thread made two sessions: %s and %s", id, again)
	}
	b.answer(id)
	log := b.until(id, ended)
	for i, e := range log {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Seq)
		}
	}
	if last := log[len(log)-1].Turn; last.Card != "c1" || last.Outcome != session.PromptDone {
		t.Errorf("%+v", last)
	}
	var opened, reviewed session.AuditHead
	b.world.OnOpen = func(r session.OpenRequest) (session.PullRequest, error) {
		opened = r.Audit
		return session.PullRequest{Number: 7, Repo: r.Repo, Branch: r.Branch, Base: r.Base, Commit: r.Commit, State: session.PullOpen, OpenedBy: r.By}, nil
	}
	b.world.OnReview = func(r session.ReviewRequest) (session.Review, error) {
		reviewed = r.Audit
		return session.Review{ID: 80, By: *r.By.GitHub, State: session.ReviewApproved, Commit: r.Commit, Writes: true}, nil
	}
	b.send(id, session.Approved{By: sessiontest.Bob, Card: "c1", Emoji: "white_check_mark"})
	b.until(id, func(e session.Event) bool { return e.Card != nil && e.Card.Kind == session.CardPullRequest })
	eve := session.Person{Slack: "UEVE", Name: "Eve", GitHub: &session.Identity{ID: 105, Login: "eve"}}
	b.send(id, session.Approved{By: eve, Card: "c2", Emoji: "white_check_mark"})
	b.until(id, func(e session.Event) bool { return e.PullRequest != nil && len(e.PullRequest.Reviews) == 1 })
	audit, err := b.store.AuditLog(t.Context(), session.AuditQuery{Session: id})
	if err != nil || len(audit) != 4 {
		t.Fatalf("%+v %v", audit, err)
	}
	// What goes to GitHub carries the log as it was when the approval was in it.
	if audit[0].Result != "accepted" || opened != audit[0].AuditHead || audit[2].Result != "accepted" || reviewed != audit[2].AuditHead {
		t.Errorf("opened with %v, reviewed with %v, of\n%+v", opened, reviewed, audit)
	}
	if a := audit[3]; a.Action != "review" || a.Emoji != "white_check_mark" || a.Number != 7 || a.Ref != "80" || a.Result != "done" || audit[1].Number != 7 {
		t.Errorf("%+v", a)
	}
}

// What was committed and not confirmed is done again by the next process, once it is confirmed never more.
func TestEffectsRunAgainAfterARestart(t *testing.T) {
	b := newBench(t)
	started := make(chan struct{}, 8)
	hold := make(chan struct{})
	b.world.OnStart = func(r session.StartRequest) (session.Begun, error) {
		started <- struct{}{}
		<-hold
		return sessiontest.BegunAs(r), nil
	}
	id := b.open()
	b.prompt(id, "1.1")
	<-started
	go func() { close(hold) }()
	b.stop() // the outcome of the first call may or may not be known by now
	b.start()
	b.until(id, sandboxIs(session.SandboxBooting))
	b.stop()
	calls := len(b.world.Calls())
	b.start()
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	for _, c := range b.world.Calls()[calls:] {
		if c == "start" {
			t.Errorf("a confirmed start ran again: %v", b.world.Calls())
		}
	}
	if err := b.world.Await(t.Context(), "prompt 1.1"); err != nil {
		t.Error(err)
	}
}

// A bot that was away for longer than a runner may take to stop asks it first when it is back.
func TestStopOverARestart(t *testing.T) {
	b := newBench(t)
	id := b.open()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	b.send(id, session.StopAsked{ID: "stop/1", By: sessiontest.Ada})
	b.stop()
	b.clock.Advance(5 * session.StopWithin)
	b.start()
	if st, err := b.hub.Load(t.Context(), id); err != nil || !st.Session.Turn.StopAt.Equal(b.clock.Now().Add(session.StopWithin)) {
		t.Errorf("the time that it has does not begin with the start: %+v %v", st.Session.Turn, err)
	}
	b.send(id, session.Tick{})
	b.journal(id, 2, session.Event{Kind: session.KindTurn, PromptID: "1.1", Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped}})
	log := b.until(id, ended)
	if end := log[len(log)-1].Turn; end.Outcome != session.PromptStopped || end.Reason != "Stopped by Ada." {
		t.Errorf("the turn ended like this: %+v", end)
	}
}

// A commit that the disk refuses changes nothing: the sender is told, and the next try has the machine as it was.
func TestRefusedCommit(t *testing.T) {
	b := newBench(t)
	id := b.open()
	var mu sync.Mutex
	full := true
	b.store.Fail = func(method string) error {
		mu.Lock()
		defer mu.Unlock()
		if method == "Commit" && full {
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	err := b.hub.Send(t.Context(), id, session.Prompted{Prompt: session.Prompt{ID: "1.1", Author: sessiontest.Ada, Text: "fix it"}})
	if session.CodeOf(err) != session.Unavailable {
		t.Fatalf("%v", err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	b.prompt(id, "1.1")
	if log := b.until(id, sandboxIs(session.SandboxBooting)); log[0].Seq != 1 || log[0].Prompt == nil {
		t.Errorf("%+v", log)
	}
}

func TestIdleSandboxIsPutAway(t *testing.T) {
	b := newBench(t)
	id := b.open()
	b.answer(id)
	b.until(id, ended)
	b.clock.Advance(session.IdleAfter)
	b.until(id, sandboxIs(session.SandboxStopped))
	st, err := b.hub.Load(t.Context(), id)
	if err != nil || !st.AtRest() {
		t.Errorf("%+v %v", st.Session, err)
	}
	// A session at rest takes up its work again.
	b.prompt(id, "1.2")
	if err := b.world.Await(t.Context(), "start inspect-"+string(id)+"-2"); err != nil {
		t.Error(err)
	}
}

// That the bot stops is no failure of what it was doing: the next run does it.
func TestStoppedInTheMiddle(t *testing.T) {
	b := newBench(t)
	var asked atomic.Int32
	b.world.OnSuspend = func(session.Handle) (string, error) {
		asked.Add(1)
		return "", session.ErrStopped
	}
	id := b.open()
	b.answer(id)
	b.until(id, ended)
	b.clock.Advance(session.IdleAfter)
	b.until(id, sandboxIs(session.SandboxSnapshotting))
	if err := b.world.Await(t.Context(), "suspend "); err != nil {
		t.Fatal(err)
	}
	for range 1000 { // as long as it would have to be tried again
		b.clock.Advance(time.Minute)
		runtime.Gosched()
	}
	b.stop()
	if n := asked.Load(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	b.world.OnSuspend = nil
	b.start()
	b.until(id, sandboxIs(session.SandboxStopped))
}

func TestFeedHasNoGapAndNoRepeat(t *testing.T) {
	b := newBench(t)
	id := b.open()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	const more = 2000
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range more {
			b.journal(id, int64(n+2), session.Event{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Text: "x"}})
		}
	})
	for range 4 {
		wg.Go(func() {
			var last int64
			for last < more {
				f, err := b.hub.Feed(t.Context(), id, last)
				if err != nil {
					t.Error(err)
					return
				}
				for last < more {
					item, err := f.Next(t.Context())
					if errors.Is(err, session.ErrSlow) {
						break // resume by number
					}
					if err != nil {
						t.Error(err)
						return
					}
					for _, e := range item.Events {
						if e.Seq != last+1 {
							t.Errorf("%d after %d", e.Seq, last)
							return
						}
						last = e.Seq
					}
				}
				f.Close()
			}
		})
	}
	wg.Wait()
}

func TestSlowReaderIsClosed(t *testing.T) {
	b := newBench(t)
	id := b.open()
	b.prompt(id, "1.1")
	b.until(id, sandboxIs(session.SandboxBooting))
	b.journal(id, 1, readyEvent)
	b.until(id, working)
	f, err := b.hub.Feed(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := range 400 {
		b.journal(id, int64(n+2), session.Event{Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Text: "x"}})
	}
	for {
		if _, err := f.Next(t.Context()); err != nil {
			if !errors.Is(err, session.ErrSlow) {
				t.Errorf("%v", err)
			}
			return
		}
	}
}

func TestStoppedHub(t *testing.T) {
	b := newBench(t)
	id := b.open()
	f, err := b.hub.Feed(t.Context(), id, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.stop()
	if err := b.hub.Send(t.Context(), id, session.Tick{}); !errors.Is(err, session.ErrStopped) {
		t.Errorf("%v", err)
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, session.ErrStopped) {
		t.Errorf("%v", err)
	}
	if _, err := b.hub.Feed(t.Context(), "zzzzzzzzzz", 0); session.CodeOf(err) != session.NotFound {
		t.Errorf("%v", err)
	}
}
