package modal

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"openinspect/sandbox/modaltest"
	"openinspect/session"
)

// What is asked of Modal is counted: a start or a dial waits for each of these.
func TestWhatItCosts(t *testing.T) {
	r := newRig(t, false)
	r.create("first", "s1") // which also has the image built
	again := r.provider()
	if err := errors.Join(again.Check(r.ctx), again.Prepare(r.ctx)); err != nil {
		t.Fatal(err)
	}
	calls := func() (n int) {
		for _, m := range r.Methods() {
			n += r.Calls(m)
		}
		return n
	}
	cost := func(what string, most int, f func() error) {
		t.Helper()
		before := calls()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if n := calls() - before; n > most {
			t.Errorf("%s costs %d calls, %d at most", what, n, most)
		}
	}
	var h session.Handle
	cost("a start", 9, func() (err error) { // one script, and its input in two writes
		h, err = again.Create(r.ctx, spec("one", "s1", "", session.BootFresh))
		return err
	})
	cost("a dial after a start", 0, func() error { _, err := again.Dial(r.ctx, h); return err })
	anew := r.provider()
	cost("the first dial of a bot that was started anew", 3, func() error { _, err := anew.Dial(r.ctx, h); return err })
	cost("the next", 0, func() error { _, err := anew.Dial(r.ctx, h); return err })
	cost("a look", 8, func() error { _, err := again.Find(r.ctx, "one"); return err })
	cost("a snapshot", 3, func() error { _, err := again.Snapshot(r.ctx, h); return err })
	cost("an end", 3, func() error { return again.Destroy(r.ctx, h) })
}

// The SDK keeps a connection for each sandbox, and goroutines with it, until it is told to let go.
func TestNothingOfTheSDKIsKept(t *testing.T) {
	r := newRig(t, false)
	cycle := func() {
		h := r.create("one", "s1")
		if _, err := r.Find(r.ctx, "one"); err != nil {
			t.Fatal(err)
		}
		r.Break("SandboxSnapshotFs", modaltest.Failed, 1)
		if _, err := r.Snapshot(r.ctx, h); err == nil {
			t.Fatal("the snapshot did not fail")
		}
		r.Break("TaskExecStdioRead", modaltest.Held, 1)
		ctx, cancel := context.WithCancel(r.ctx)
		n := r.Calls("TaskExecStdioRead")
		found := make(chan error, 1)
		go func() { _, err := r.Find(ctx, "one"); found <- err }()
		if err := r.Wait(r.ctx, "TaskExecStdioRead", n+1); err != nil {
			t.Fatal(err)
		}
		cancel()
		code(t, "broken off", <-found, session.Unavailable)
		r.Mend("TaskExecStdioRead")
		if err := r.Destroy(r.ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	const cycles, room = 4, 3 // goroutines of the runtime and of connections come and go
	before := runtime.NumGoroutine()
	for range cycles {
		cycle()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before+room {
		select {
		case <-tick.C: // they end by themselves
		case <-r.ctx.Done():
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before: %s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
	r.live()
}
