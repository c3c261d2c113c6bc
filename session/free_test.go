package session_test

import (
	"math"
	"testing"
	"time"

	"openinspect/session"
)

// What is free is what no session has and none waits for, within the hours of the day.
func TestFree(t *testing.T) {
	w := newTown(t, 2)
	free := func(want int) {
		t.Helper()
		if n, err := w.bench.hub.Free(t.Context()); n != want || err != nil {
			t.Errorf("%d are free, %v; want %d", n, err, want)
		}
	}
	free(2)
	w.ask("a", "a1")
	w.runs("a", "a1")
	free(1)
	w.ask("b", "b1")
	w.runs("b", "b1")
	w.ask("c", "c1")
	w.comes("c", at(1))
	free(0)
	w.answers("a", "a1") // put away for c
	w.runs("c", "c1")
	w.comes("a", sandboxIs(session.SandboxStopped))
	free(0)
	w.answers("b", "b1")
	w.answers("c", "c1")
	w.clock.Advance(session.IdleAfter)
	w.comes("b", sandboxIs(session.SandboxStopped))
	w.comes("c", func(e session.Event) bool { return sandboxIs(session.SandboxStopped)(e) && e.Seq > w.n["seen c"] })
	free(2)

	w.stop()
	free(0) // nobody knows
	w.hub = func(c session.HubConfig) session.HubConfig { c.Daily = time.Minute; return c }
	w.open()
	free(0) // today's are spent
	if spent, err := w.bench.hub.Spent(t.Context()); !spent || err != nil {
		t.Errorf("not spent, %v", err)
	}
	w.stop()
	w.room, w.hub = 0, nil
	w.open()
	free(math.MaxInt)
	if spent, err := w.bench.hub.Spent(t.Context()); spent || err != nil {
		t.Errorf("spent without a limit, %v", err)
	}
}
