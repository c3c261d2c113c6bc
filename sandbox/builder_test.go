package sandbox_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// tips is GitHub: the commits of repositories' default branches.
type tips struct {
	mu    sync.Mutex
	at    map[session.Repo]string
	err   error
	asked int
	waits func(context.Context) error // before it answers; nil: it does not
}

func (t *tips) Tip(ctx context.Context, r session.Repo) (string, string, error) {
	if t.waits != nil {
		if err := t.waits(ctx); err != nil {
			return "", "", err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	return "main", t.at[r], t.err
}

func (t *tips) questions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asked
}

func (t *tips) move(r session.Repo, commit string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[r], t.err = commit, err
}

// yard is a Builder on a bench. Every sandbox's runner boots as steps say, unless it is to be told by the test.
type yard struct {
	*bench
	*sandbox.Builder
	tips  *tips
	spent atomic.Bool  // the day's hours are
	room  atomic.Int32 // for so many records more; negative: for all
	told  chan session.Prebuilt
	end   context.CancelFunc
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{bench: newBench(t), tips: &tips{at: map[session.Repo]string{repo: "aaa1"}}, told: make(chan session.Prebuilt, 10)}
	y.runner.Claim(func(st *link.Status) { st.Head, st.Setup = "aaa1", "5e70" })
	y.room.Store(-1)
	y.store.Fail = func(method string) error {
		if method == "PutPrebuilt" && y.room.Load() >= 0 && y.room.Add(-1) < 0 {
			y.room.Store(0)
			return session.Errorf(session.Unavailable, "The disk is full.")
		}
		return nil
	}
	y.build("1")
	t.Cleanup(y.stop)
	y.looked() // or what a test asks for may be seen there first
	return y
}

// build makes one more Builder, as a bot does that is started.
func (y *yard) build(basis string) {
	y.Builder = sandbox.NewBuilder(sandbox.BuilderConfig{Manager: y.bench.Manager, Tips: y.tips, Basis: basis, Spent: func(context.Context) (bool, error) { return y.spent.Load(), nil }, Told: func(_ context.Context, p session.Prebuilt) error {
		y.told <- p
		return nil
	}})
	ctx, cancel := context.WithCancel(y.ctx)
	y.end = cancel
	y.Builder.Start(ctx)
}

// looked waits until the repositories have been looked at, and the next look is arranged.
func (y *yard) looked() {
	y.t.Helper()
	eventually(y.bench, "the next look is arranged", func() bool {
		y.clock.mu.Lock()
		defer y.clock.mu.Unlock()
		for t := range y.clock.timers {
			if t.at.Equal(y.clock.now.Add(30 * time.Minute)) {
				return true
			}
		}
		return false
	})
}

// later advances the clock to when the repositories are looked at next, and waits until that is done.
func (y *yard) later() {
	y.t.Helper()
	y.looked()
	y.clock.advance(30 * time.Minute)
	y.looked()
}

// stop ends the Builder, and what goes on stays as it is.
func (y *yard) stop() {
	y.end()
	y.Builder.Wait()
}

// restart ends the bot and starts another one.
func (y *yard) restart(basis string) {
	y.t.Helper()
	y.stop()
	if err := y.bench.Close(y.ctx); err != nil {
		y.t.Fatal(err)
	}
	y.bench.Manager = y.manager()
	y.build(basis)
}

// begun waits until a build that was not seen before has its runner, and returns its start.
func (y *yard) begun(before string) (start string) {
	y.t.Helper()
	eventually(y.bench, "a build has begun", func() bool {
		boot := y.runner.Boot()
		start = boot.Start
		return start != before && boot.Mode == session.BootBuild
	})
	return start
}

func (y *yard) record() session.Prebuilt {
	y.t.Helper()
	p, err := y.Image(y.ctx, repo)
	if err != nil {
		y.t.Fatal(err)
	}
	return p
}

func (y *yard) until(state session.BuildState) session.Prebuilt {
	y.t.Helper()
	eventually(y.bench, "the build is "+string(state), func() bool { return y.record().State == state })
	return y.record()
}

func (y *yard) ready() session.Prebuilt {
	y.t.Helper()
	y.runner.Tell(phase(session.PhaseReady, session.StepDone))
	return y.until(session.BuildDone)
}

// clean checks that nothing of any build is left but images.
func (y *yard) clean(images ...string) {
	y.t.Helper()
	eventually(y.bench, "no build's sandbox is left", func() bool { return y.provider.Live() == 0 && len(y.spares()) == 0 && y.vault.len() == 0 })
	all, err := y.store.Images(y.ctx)
	if err != nil {
		y.t.Fatal(err)
	}
	var got []string
	for _, i := range all {
		got = append(got, i.ID)
	}
	slices.Sort(images)
	if !slices.Equal(got, images) {
		y.t.Errorf("images %v are remembered, want %v", got, images)
	}
}

func (y *yard) switched(on bool) session.Prebuilt {
	y.t.Helper()
	p, err := y.Switch(y.ctx, repo, on, sessiontest.Ada)
	if err != nil {
		y.t.Fatal(err)
	}
	return p
}

func TestImageIsBuiltOnDemand(t *testing.T) {
	y := newYard(t)
	for _, by := range []session.Person{sessiontest.Ada, sessiontest.Bob, sessiontest.Ada} {
		if _, err := y.Build(y.ctx, repo, by); err != nil {
			t.Fatal(err)
		}
	}
	start := y.begun("")
	y.until(session.BuildGoesOn)
	y.clock.advance(90 * time.Second)
	p := y.ready()
	if p.Commit != "aaa1" || p.Setup != "5e70" || p.Base != "main" || p.Basis != "1" || p.Took != 90*time.Second || !p.Good() || p.Enabled {
		t.Errorf("got %+v", p)
	}
	if n := y.provider.Calls("Create"); n != 1 {
		t.Errorf("%d sandboxes for one image", n)
	}
	told := <-y.told
	if len(told.Asked) != 2 || told.State != session.BuildDone {
		t.Errorf("told %+v", told)
	}
	y.clean(p.Image)
	eventually(y.bench, "nobody waits to be told", func() bool { return len(y.record().Asked) == 0 })

	// The next image takes its place.
	y.tips.move(repo, "bbb2", nil)
	y.runner.Claim(func(st *link.Status) { st.Head = "bbb2" })
	if _, err := y.Build(y.ctx, repo, session.Person{}); err != nil {
		t.Fatal(err)
	}
	y.begun(start)
	y.runner.Tell(phase(session.PhaseReady, session.StepDone))
	eventually(y.bench, "the second image is there", func() bool { return y.record().Commit == "bbb2" })
	next := y.record()
	if next.Image == p.Image || next.Setup != "" {
		t.Errorf("got %+v", next)
	}
	y.clean(p.Image, next.Image) // the sweep deletes the first
}

// A runner that does not come to look at its checkout is asked again: an image without its commit and its setup.sh would be built anew, and set up again.
func TestBuildOfABusyRunner(t *testing.T) {
	y := newYard(t)
	var asked atomic.Int32
	y.runner.Claim(func(st *link.Status) {
		if st.Head = ""; asked.Add(1) > 2 { // the first is the link's own
			st.Head, st.Setup = "aaa1", "5e70"
		}
	})
	if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil {
		t.Fatal(err)
	}
	y.begun("")
	if p := y.ready(); p.Commit != "aaa1" || p.Setup != "5e70" {
		t.Errorf("got %+v", p)
	}
	<-y.told
}

// A build that fails leaves the image of before where it is, and is not tried again before the branch moves.
func TestBuildFails(t *testing.T) {
	y := newYard(t)
	y.switched(true)
	first := y.begun("")
	p := y.ready()
	if told := <-y.told; told.State != session.BuildDone || len(told.Asked) != 1 || told.Asked[0].Slack != sessiontest.Ada.Slack {
		t.Errorf("who switched it on is told %+v", told)
	}
	y.tips.move(repo, "bbb2", nil)
	y.later()
	second := y.begun(first)
	if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil { // it goes on already
		t.Fatal(err)
	}
	y.runner.Tell(phase(session.PhaseSetup, session.StepFailed))
	failed := y.until(session.BuildFailed)
	if failed.Reason != "exit code 3" || failed.Output != "oh no" || failed.Image != p.Image || !failed.Good() {
		t.Errorf("got %+v", failed)
	}
	if told := <-y.told; told.Output != "oh no" || len(told.Asked) != 1 {
		t.Errorf("told %+v", told)
	}
	y.clean(p.Image)
	y.later()
	y.tips.move(repo, "ccc3", nil)
	y.later()
	y.begun(second)
	y.runner.Claim(func(st *link.Status) { st.Head = "ccc3" })
	if p := y.ready(); p.Commit != "ccc3" || p.Reason != "" || p.Output != "" {
		t.Errorf("got %+v", p)
	}
	if n := y.provider.Calls("Create"); n != 3 {
		t.Errorf("%d builds", n)
	}
}

func TestBuildCannotBegin(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(*yard)
	}{
		{"GitHub is away", "GitHub does not answer.", func(y *yard) {
			y.tips.move(repo, "", session.Errorf(session.Unavailable, "GitHub does not answer."))
		}},
		{"empty", "The repository has no commit yet.", func(y *yard) { y.tips.move(repo, "", nil) }},
		{"no hours", "All sandboxes together have run for as many hours today as they may. None is begun for a build before 00:00 UTC.", func(y *yard) { y.spent.Store(true) }},
		{"no sandbox", "No room.", func(y *yard) { y.provider.Fail("Create", session.Errorf(session.Unavailable, "No room.")) }},
		{"no image", "Its files could not be kept. No space.", func(y *yard) {
			y.provider.Fail("Snapshot", session.Errorf(session.Unavailable, "No space."))
			go func() {
				y.begun("")
				y.runner.Tell(phase(session.PhaseReady, session.StepDone))
			}()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := newYard(t)
			c.spoil(y)
			if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil {
				t.Fatal(err)
			}
			if p := y.until(session.BuildFailed); p.Reason != c.want || p.Good() {
				t.Errorf("got %+v", p)
			}
			<-y.told
			y.clean()
		})
	}
}

// What is switched on is looked at every half hour, and built when its branch or the bot has moved, or its image is bad.
func TestImagesAreKeptUpToDate(t *testing.T) {
	y := newYard(t)
	if p := y.switched(true); p.State != session.BuildDue || !p.Enabled {
		t.Errorf("switched on: %+v", p)
	}
	start := y.begun("")
	p := y.ready()
	y.clean(p.Image)
	y.later()
	if n := y.provider.Calls("Create"); n != 1 {
		t.Errorf("%d builds of one commit", n)
	}
	y.tips.move(repo, "bbb2", nil)
	y.later()
	start = y.begun(start)
	y.runner.Claim(func(st *link.Status) { st.Head = "bbb2" })
	y.ready()
	eventually(y.bench, "it is there", func() bool { return y.record().Commit == "bbb2" })

	// What the sandbox says of its commit is no reason to build again and again.
	y.tips.move(repo, "ccc3", nil)
	y.later()
	start = y.begun(start)
	y.runner.Claim(func(st *link.Status) { st.Head = "ddd4" })
	y.ready()
	eventually(y.bench, "it is there", func() bool { return y.record().Commit == "ddd4" })
	n := y.provider.Calls("Create")
	y.later()
	if again := y.provider.Calls("Create"); again != n {
		t.Errorf("%d more builds of one commit", again-n)
	}
	y.runner.Claim(func(st *link.Status) { st.Head = "ccc3" })

	// Another bot.
	y.restart("2")
	start = y.begun(start)
	y.ready()
	eventually(y.bench, "it is there", func() bool { return y.record().Basis == "2" })

	// No sandbox became ready from it: the next one begins from the base, at once.
	good := y.record()
	r := session.StartRequest{Session: id, Name: "inspect-1", Start: "s1", Mode: session.BootFresh, Repo: repo, Base: "main", Bad: good.Image}
	if begun, err := y.bench.Start(y.ctx, r); err != nil || begun.Mode != session.BootFresh || begun.Image != "" {
		t.Errorf("began %+v, %v", begun, err)
	}
	eventually(y.bench, "its runner has begun", func() bool { return y.runner.Boot().Start == "s1" }) // one runner serves all: the next build's is told by it
	if p := y.record(); p.Good() || p.Bad == "" {
		t.Errorf("got %+v", p)
	}
	y.later()
	y.begun(start)

	// Off: the build ends, and nothing begins from an image any more.
	y.switched(false)
	eventually(y.bench, "the build has ended", func() bool { return len(y.spares()) == 0 })
	if p := y.record(); p.Enabled || p.Image != "" || p.State != session.BuildNone {
		t.Errorf("switched off: %+v", p)
	}
	asked := y.tips.questions()
	y.clock.advance(time.Hour)
	y.stop()
	if y.tips.questions() != asked {
		t.Error("what is switched off is looked at")
	}
}

// A session begins from the image of its branch; where that does not exist any more, or is of no use, from the base.
func TestStartFromImage(t *testing.T) {
	y := newYard(t)
	y.switched(true)
	y.begun("")
	p := y.ready()
	y.clean(p.Image)
	n := 0
	start := func(change func(*session.StartRequest)) session.Begun {
		t.Helper()
		n++
		name := "inspect-" + strings.Repeat("i", n)
		r := session.StartRequest{Session: id, Name: name, Start: name, Mode: session.BootFresh, Repo: repo, Base: "main"}
		change(&r)
		begun, err := y.bench.Start(y.ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		eventually(y.bench, "its runner has begun", func() bool { return y.runner.Boot().Start == name })
		if boot := y.runner.Boot(); boot.Mode != begun.Mode || boot.Start != begun.Start {
			t.Errorf("began as %+v, the runner as %s", begun, boot.Mode)
		}
		return begun
	}
	nothing := func(*session.StartRequest) {}
	if b := start(nothing); b.Mode != session.BootImage || b.Image != p.Image || y.runner.Boot().Setup != "5e70" {
		t.Errorf("began %+v", b)
	}
	for what, change := range map[string]func(*session.StartRequest){
		"another branch":     func(r *session.StartRequest) { r.Base = "dev" },
		"another repository": func(r *session.StartRequest) { r.Repo.Name = "api" },
		"no repository":      func(r *session.StartRequest) { r.Repo = session.Repo{} },
	} {
		if b := start(change); b.Mode != session.BootFresh || b.Image != "" {
			t.Errorf("%s began %+v", what, b)
		}
	}
	d := y.provider
	for _, h := range must(d.List(y.ctx)) {
		if err := d.Destroy(y.ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DeleteImage(y.ctx, p.Image); err != nil {
		t.Fatal(err)
	}
	if b := start(nothing); b.Mode != session.BootFresh {
		t.Errorf("without the image: %+v", b)
	}
	if p := y.record(); p.Good() {
		t.Errorf("it is good still: %+v", p)
	}
}

// A build of which nothing can be written down is not begun over and over, each time with a question at GitHub, but with the next look.
func TestBuildWithoutRoomForItsRecord(t *testing.T) {
	y := newYard(t)
	y.room.Store(1)
	if _, err := y.Build(y.ctx, repo, sessiontest.Ada); err != nil {
		t.Fatal(err)
	}
	eventually(y.bench, "it is begun, and over", func() bool { return y.tips.questions() > 0 && y.Idle() })
	for range 10_000 {
		y.record()
	}
	if n := y.tips.questions(); n > 2 {
		t.Errorf("begun %d times", n)
	}
	y.room.Store(-1)
	y.later()
	y.begun("")
	y.ready()
	<-y.told
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// At most two are built at a time, and one of a repository.
func TestBuildsTakeTurns(t *testing.T) {
	y := newYard(t)
	y.provider.Runner = func(ctx context.Context, b link.Boot) error { return new(sandboxtest.Script).Run(ctx, b) } // one serves one sandbox
	for _, name := range []string{"a", "b", "c"} {
		r := session.Repo{Owner: "acme", Name: name}
		y.tips.move(r, "aaa1", nil)
		if _, err := y.Build(y.ctx, r, session.Person{}); err != nil {
			t.Fatal(err)
		}
	}
	going := func() (n int) {
		for _, p := range must(y.Images(y.ctx)) {
			if p.State == session.BuildGoesOn {
				n++
			}
		}
		return n
	}
	eventually(y.bench, "two are built", func() bool { return going() == 2 && y.provider.Live() == 2 })
	y.stop() // nothing more can begin
	if n := y.provider.Calls("Create"); n != 2 {
		t.Errorf("%d were begun", n)
	}
	if errors.Is(y.ctx.Err(), context.Canceled) {
		t.Error("the test ended")
	}
}
