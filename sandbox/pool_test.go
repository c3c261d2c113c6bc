package sandbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
)

// harbour is a bench whose sandboxes have a runner each, some of which wait for sessions.
type harbour struct {
	*bench

	mu      sync.Mutex
	runners []*sandboxtest.Script // in the order in which they began
	free    int
}

func newHarbour(t *testing.T, warm int) *harbour {
	h := &harbour{free: 10}
	h.bench = newBench(t, h.config(warm))
	h.Wait()
	h.provider.Runner = h.run
	h.openPool()
	return h
}

func (h *harbour) config(warm int) func(*sandbox.Config) {
	return func(c *sandbox.Config) {
		c.MaxWarm = warm
		c.Free = func(context.Context) (int, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.free, nil
		}
	}
}

// restart is the bot's, which may be in order or by kill -9: nothing of the pool is written down at the end.
func (h *harbour) restart(warm int) {
	h.t.Helper()
	if err := h.Close(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	h.Manager = h.manager(h.config(warm))
	h.Wait()
}

func (h *harbour) openPool() {
	h.t.Helper()
	if err := h.OpenPool(h.ctx); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harbour) run(ctx context.Context, b link.Boot) error {
	s := &sandboxtest.Script{}
	h.mu.Lock()
	h.runners = append(h.runners, s)
	h.mu.Unlock()
	return s.Run(ctx, b)
}

// warm returns the runners that were started for nobody, in that order, once there are n.
func (h *harbour) warm(n int) (all []*sandboxtest.Script) {
	h.t.Helper()
	eventually(h.bench, fmt.Sprint(n, " warm ones were started"), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		all = slices.DeleteFunc(slices.Clone(h.runners), func(s *sandboxtest.Script) bool { return !s.Boot().Warm })
		return len(all) == n && len(h.waits()) > 0 && h.made() || n == 0
	})
	return all
}

// waits are the spares that are written down, nobody's and with a handle.
func (h *harbour) waits() []session.Spare {
	return slices.DeleteFunc(h.spares(), func(s session.Spare) bool { return s.Taken() || s.Handle == (session.Handle{}) })
}

// made reports whether all that is written down as nobody's has its handle.
func (h *harbour) made() bool {
	return !slices.ContainsFunc(h.spares(), func(s session.Spare) bool { return !s.Taken() && s.Handle == (session.Handle{}) })
}

// boots lets runners come as far as they do for nobody.
func (h *harbour) boots(all ...*sandboxtest.Script) {
	h.t.Helper()
	for _, s := range all {
		s.Tell(phase(session.PhaseSync, session.StepDone))
		s.Tell(phase(session.PhaseAgent, session.StepDone))
	}
	h.settled()
}

// settled waits until the pool has heard what was told.
func (h *harbour) settled() {
	h.t.Helper()
	eventually(h.bench, "the pool knows what is ready", func() bool { return h.Waiting() == len(h.waits()) })
}

// passes lets time pass in steps in which the pool looks.
func (h *harbour) passes(d time.Duration) {
	h.t.Helper()
	for ; d > 0; d -= time.Minute {
		h.clock.advance(min(d, time.Minute))
		h.Look()
	}
}

func (h *harbour) asks(n int) session.StartRequest {
	id := session.ID(fmt.Sprintf("session%c%c%c", 'a'+n/26, 'a'+n%26, 'a'))
	return session.StartRequest{Session: id, Name: "inspect-" + string(id) + "-1", Start: string(id) + "-1", Mode: session.BootFresh, Repo: repo, Base: "main", At: h.clock.Now()}
}

// starts starts the sandbox of a session.
func (h *harbour) starts(r session.StartRequest) session.Begun {
	h.t.Helper()
	b, err := h.Start(h.ctx, r)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// taken checks that a session has got a runner that was nobody's.
func (h *harbour) taken(r session.StartRequest, got session.Begun, by *sandboxtest.Script) {
	h.t.Helper()
	boot := by.Boot()
	if got.Start != boot.Start || got.Handle.Name != "inspect-"+boot.Start || got.Mode != boot.Mode {
		h.t.Fatalf("got %+v, want %s", got, boot.Start)
	}
	if by.Owner().Session != r.Session {
		h.t.Errorf("it is %q's", by.Owner().Session)
	}
	attach := session.AttachRequest{Session: r.Session, Repo: r.Repo, Start: got.Start, Handle: got.Handle}
	if err := h.Attach(h.ctx, attach, h.send); err != nil {
		h.t.Fatal(err)
	}
	for _, sp := range h.spares() {
		if sp.Name == got.Handle.Name && (sp.Session != r.Session || sp.For != r.Start || !sp.TakenAt.Equal(h.clock.Now())) {
			h.t.Errorf("written down is %+v", sp)
		}
	}
}

func TestWarmSandboxIsTaken(t *testing.T) {
	h := newHarbour(t, 2)
	h.Warm(repo, "main")
	s := h.warm(1)[0]
	h.Warm(session.Repo{Owner: "Acme", Name: "Web"}, "main") // the same, and it waits already
	h.boots(s)
	r := h.asks(0)
	other := r
	other.Session, other.Start, other.Base = "sessionzzz", "sessionzzz-1", "dev"
	if got := h.starts(other); got.Start != other.Start {
		t.Errorf("a session on another branch got %+v", got)
	}
	got := h.starts(r)
	h.taken(r, got, s)
	in := next[session.Journaled](h.bench) // what it did while it was nobody's
	if in.Start != got.Start || in.Events[0].Boot.Phase != session.PhaseSync {
		t.Errorf("told %+v", in)
	}
	if again := h.starts(r); again != got {
		t.Errorf("the same start got %+v", again)
	}
	if n := h.provider.Calls("Create"); n != 2 {
		t.Errorf("%d sandboxes were made", n)
	}
	h.clock.advance(time.Hour)
	h.Look()
	if n := h.provider.Live(); n != 2 {
		t.Errorf("%d live: what a session has taken is the session's", n)
	}
	if got := h.starts(h.asks(1)); got.Start != h.asks(1).Start {
		t.Errorf("the next session got %+v", got)
	}
}

func TestSessionsWithFilesTakeNoWarmSandbox(t *testing.T) {
	for _, change := range []func(*session.StartRequest){
		func(r *session.StartRequest) { r.Mode = session.BootSnapshot },
		func(r *session.StartRequest) { r.Collected = "0123456" },
		func(r *session.StartRequest) { r.Patch = true },
		func(r *session.StartRequest) { r.Anew = true },
		func(r *session.StartRequest) { r.Repo = session.Repo{} },
	} {
		h := newHarbour(t, 1)
		h.Warm(repo, "main")
		h.boots(h.warm(1)[0])
		r := h.asks(0)
		change(&r)
		if got := h.starts(r); got.Start != r.Start {
			t.Errorf("%+v got %+v", r, got)
		}
	}
}

// One that still boots is taken too: its session sees the rest of the boot.
func TestBootingSandboxIsTaken(t *testing.T) {
	h := newHarbour(t, 1)
	h.Warm(repo, "main")
	s := h.warm(1)[0]
	s.Tell(phase(session.PhaseSync, session.StepRunning))
	r := h.asks(0)
	h.taken(r, h.starts(r), s)
	s.Tell(phase(session.PhaseReady, session.StepDone))
	for {
		in := next[session.Journaled](h.bench)
		if in.Events[len(in.Events)-1].Boot.Phase == session.PhaseReady {
			break
		}
	}
}

// One that nobody asks for in five minutes is ended, and its time counts.
func TestWarmSandboxEndsUnused(t *testing.T) {
	h := newHarbour(t, 1)
	h.Warm(repo, "main")
	h.boots(h.warm(1)[0])
	h.passes(4 * time.Minute)
	h.Warm(repo, "main") // somebody seems to want it again
	eventually(h.bench, "that is known", func() bool { return h.Likely() == 5*time.Minute })
	h.passes(4 * time.Minute)
	if n := h.provider.Live(); n != 1 {
		t.Fatalf("%d live after four minutes", n)
	}
	h.passes(time.Minute)
	eventually(h.bench, "it is ended", func() bool { return h.provider.Live() == 0 && len(h.spares()) == 0 && h.vault.len() == 0 })
	if lived, err := h.store.Lived(h.ctx, h.clock.Now().UTC().Format(time.DateOnly)); err != nil || lived != 9*time.Minute {
		t.Errorf("lived %s, %v", lived, err)
	}
	eventually(h.bench, "the pool looks after nothing", func() bool { return !h.clock.waits() })
}

// demand has so many sessions start on the branch.
func (h *harbour) demand(from, n int) {
	h.t.Helper()
	for i := range n {
		h.starts(h.asks(from + i))
	}
}

// A branch in demand has sandboxes waiting for it, replaced when they are taken, when they get old, and as long as the demand lasts.
func TestPoolFollowsDemand(t *testing.T) {
	h := newHarbour(t, 2)
	h.demand(0, 2)
	h.passes(time.Minute)
	if n := len(h.warm(0)); n != 0 {
		t.Errorf("%d wait after two starts", n)
	}
	h.demand(2, 1)
	h.passes(time.Minute)
	first := h.warm(1)[0]
	h.boots(first)
	h.passes(10 * time.Minute)
	h.demand(3, 1)
	if first.Owner().Session == "" {
		t.Fatal("it was not taken")
	}
	h.passes(time.Minute)
	second := h.warm(2)[1]
	h.boots(second)
	h.demand(4, 1)
	h.demand(5, 3)
	h.passes(time.Minute)
	h.boots(h.warm(4)[2:]...) // two: more than that no branch has
	h.passes(28 * time.Minute)
	if n := len(h.waits()); n != 2 {
		t.Errorf("%d wait after half an hour", n)
	}
	h.passes(3 * time.Minute) // both are too old, and the demand is
	eventually(h.bench, "nobody wants one any more", func() bool { return len(h.waits()) == 0 })
}

func TestOldSandboxIsReplaced(t *testing.T) {
	h := newHarbour(t, 1)
	h.demand(0, 3)
	h.passes(time.Minute)
	old := h.warm(1)[0]
	h.boots(old)
	h.passes(15 * time.Minute)
	for n := range 3 {
		r := h.asks(10 + n)
		h.Note(r) // it is wanted still
	}
	h.passes(15 * time.Minute)
	h.boots(h.warm(2)[1])
	eventually(h.bench, "the old one is ended", func() bool { return len(h.waits()) == 1 })
	if w := h.waits()[0]; w.Start == old.Boot().Start {
		t.Error("the old one waits on")
	}
}

// What is found dead or strange when it is handed out is ended, and the next best is taken; without one the session starts its own.
func TestSickSandboxIsNotHandedOut(t *testing.T) {
	h := newHarbour(t, 2)
	h.demand(0, 6)
	h.passes(time.Minute)
	all := h.warm(2)
	h.boots(all...)
	first, second := all[0], all[1]
	if w := h.waits(); w[0].Start != first.Boot().Start {
		first, second = second, first // what is older, or was made in the same moment and is first by its id, is better
	}
	first.Refuse("GET /status", link.Problem{Code: session.Internal, Message: "sick"})
	r := h.asks(10)
	h.taken(r, h.starts(r), second)
	eventually(h.bench, "the first is ended", func() bool { return len(h.waits()) == 0 })
	h.passes(time.Minute)
	rest := h.warm(4)[2:]
	h.boots(rest...)
	for _, s := range rest {
		s.Refuse("POST /claim", link.Problem{Code: session.Conflict, Message: "taken"})
	}
	r = h.asks(11)
	if got := h.starts(r); got.Start != r.Start {
		t.Errorf("got %+v", got)
	}
	eventually(h.bench, "they are ended, and the one that was taken is known", func() bool { return len(h.spares()) == 1 })
}

// A warm sandbox that fails is ended, and none is made for that branch for a while.
func TestFailingBootIsNotRepeated(t *testing.T) {
	for name, fail := range map[string]func(*harbour){
		"its script": func(h *harbour) { h.warm(1)[0].Tell(phase(session.PhaseStart, session.StepFailed)) },
		"its computer, when it waited": func(h *harbour) {
			h.boots(h.warm(1)[0])
			h.provider.KillAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t, 1)
			h.Warm(repo, "main")
			h.warm(1)
			fail(h)
			eventually(h.bench, "it is ended", func() bool { return len(h.spares()) == 0 && h.provider.Live() == 0 })
			h.demand(0, 3)
			made := h.provider.Calls("Create")
			h.Warm(repo, "main")
			h.passes(9 * time.Minute)
			if n := h.provider.Calls("Create"); n != made {
				t.Fatalf("%d were made", n-made)
			}
			h.passes(2 * time.Minute)
			h.warm(2)
		})
	}
}

// Sessions come first: what waits ends when they need its room, and nothing is started where there is none.
func TestWarmSandboxGivesWay(t *testing.T) {
	h := newHarbour(t, 2)
	h.Warm(repo, "main")
	h.boots(h.warm(1)[0])
	h.mu.Lock()
	h.free = 0
	h.mu.Unlock()
	live := -1
	h.provider.Runner = func(ctx context.Context, b link.Boot) error {
		h.mu.Lock()
		first := live < 0
		h.mu.Unlock()
		if first { // of those that come after it the test is over, perhaps, and their end waited for
			n := h.provider.Live() // without the lock, for which the runner of one that is being ended may wait
			h.mu.Lock()
			live = n
			h.mu.Unlock()
		}
		return h.run(ctx, b)
	}
	r := h.asks(0)
	r.Base = "dev"
	h.starts(r)
	eventually(h.bench, "it runs", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return live >= 0 })
	if live > 1 {
		t.Errorf("%d lived at once", live)
	}
	eventually(h.bench, "nothing waits", func() bool { return len(h.spares()) == 0 })
	h.demand(1, 3)
	h.Warm(repo, "main")
	h.passes(2 * time.Minute)
	if n := len(h.spares()); n != 0 {
		t.Errorf("%d wait where there is no room", n)
	}
}

// What waits begins from the branch's image, of which a session is told, and its end is the provider's.
func TestWarmSandboxFromAnImage(t *testing.T) {
	h := newHarbour(t, 1)
	h.demand(0, 1)
	image := must(h.provider.Snapshot(h.ctx, must(h.provider.List(h.ctx))[0]))
	if err := h.store.PutPrebuilt(h.ctx, session.Prebuilt{Repo: repo, Base: "main", Image: image, Setup: "5e70"}); err != nil {
		t.Fatal(err)
	}
	h.Warm(repo, "main")
	s := h.warm(1)[0]
	h.boots(s)
	if boot := s.Boot(); boot.Mode != session.BootImage || boot.Setup != "5e70" {
		t.Errorf("told %+v", boot)
	}
	r := h.asks(1)
	got := h.starts(r)
	h.taken(r, got, s)
	if got.Image != image {
		t.Errorf("got %+v", got)
	}
	r = h.asks(2)
	r.Bad = image // it did not become ready from there
	h.Warm(repo, "main")
	h.boots(h.warm(2)[1])
	if got := h.starts(r); got.Start != r.Start || got.Mode != session.BootFresh {
		t.Errorf("got %+v", got)
	}

	h.passes(10 * time.Minute)
	p, err := h.store.Prebuilt(h.ctx, repo)
	if err != nil || p.Good() {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Bad = ""
	if err := h.store.PutPrebuilt(h.ctx, p); err != nil {
		t.Fatal(err)
	}
	h.Warm(repo, "main")
	h.warm(3)[2].Tell(phase(session.PhaseSync, session.StepFailed))
	eventually(h.bench, "the image is given up", func() bool { p, err := h.store.Prebuilt(h.ctx, repo); return err == nil && !p.Good() })
}

// unhurried is a provider that makes what waits for sessions once it is let.
type unhurried struct {
	sandbox.Provider
	asked, made chan struct{}
}

func (s *unhurried) Create(ctx context.Context, spec sandbox.Spec) (session.Handle, error) {
	if spec.Boot.Warm {
		close(s.asked)
		select {
		case <-s.made:
		case <-ctx.Done():
			return session.Handle{}, ctx.Err()
		}
	}
	return s.Provider.Create(ctx, spec)
}

// One that is being made is waited for: a session's own would come later still.
func TestSandboxIsTakenWhileItIsMade(t *testing.T) {
	h := newHarbour(t, 1)
	if err := h.Close(h.ctx); err != nil {
		t.Fatal(err)
	}
	s := &unhurried{h.provider, make(chan struct{}), make(chan struct{})}
	h.Manager = h.manager(h.config(1), func(c *sandbox.Config) { c.Provider = s })
	h.Wait()
	h.openPool()
	h.Warm(repo, "main")
	<-s.asked
	r := h.asks(0)
	got := make(chan session.Begun, 1)
	go func() { b, _ := h.Start(h.ctx, r); got <- b }()
	eventually(h.bench, "it is taken out of the pool", func() bool { return h.Likely() == 0 })
	close(s.made)
	b := <-got
	h.mu.Lock()
	runner := h.runners[0]
	h.mu.Unlock()
	h.taken(r, b, runner)
}
