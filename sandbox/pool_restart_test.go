package sandbox_test

import (
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
)

// What waited when the bot was stopped waits on; what it cannot use is ended.
func TestPoolAfterARestart(t *testing.T) {
	for _, c := range []struct {
		name string
		warm int
		do   func(*harbour)
		kept bool
	}{
		{name: "as it was", warm: 1, kept: true},
		{name: "none are to wait", warm: 0},
		{name: "half an hour later", warm: 1, do: func(h *harbour) { h.clock.advance(30 * time.Minute) }},
		{name: "killed while it was made", warm: 1, do: func(h *harbour) {
			sp := h.spares()[0]
			sp.Handle = session.Handle{}
			if err := h.store.PutSpare(h.ctx, sp); err != nil {
				h.t.Fatal(err)
			}
		}},
		{name: "dead", warm: 1, do: func(h *harbour) { h.provider.KillAll() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarbour(t, 1)
			h.Warm(repo, "main")
			s := h.warm(1)[0]
			h.boots(s)
			h.restart(c.warm)
			if c.do != nil {
				c.do(h)
			}
			h.openPool()
			r := h.asks(0)
			if c.kept {
				h.settled()
				h.taken(r, h.starts(r), s)
				return
			}
			eventually(h.bench, "it is ended", func() bool { return len(h.spares()) == 0 && h.provider.Live() == 0 && h.vault.len() == 0 })
			if got := h.starts(r); got.Start != r.Start {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A bot that is killed between taking one and handing it over gives the same one to the same start, however far it had come.
func TestTakingSurvivesAKill(t *testing.T) {
	for _, c := range []struct {
		name string
		came func(h *harbour, r session.StartRequest, sp session.Spare, s *sandboxtest.Script)
		lost bool
	}{
		{name: "written down"},
		{name: "claimed", came: func(h *harbour, r session.StartRequest, _ session.Spare, s *sandboxtest.Script) { s.Own(r.Session) }},
		{name: "with its key", came: func(h *harbour, r session.StartRequest, sp session.Spare, s *sandboxtest.Script) {
			s.Own(r.Session)
			h.vault.rename("link/"+string(sp.ID)+"/"+sp.Start, "link/"+string(r.Session)+"/"+sp.Start)
		}},
		{name: "and gone", lost: true, came: func(h *harbour, _ session.StartRequest, sp session.Spare, _ *sandboxtest.Script) {
			h.provider.Kill(sp.Name)
		}},
		{name: "and another's", lost: true, came: func(h *harbour, _ session.StartRequest, _ session.Spare, s *sandboxtest.Script) { s.Own("otherother") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarbour(t, 1)
			h.Warm(repo, "main")
			s := h.warm(1)[0]
			h.boots(s)
			h.restart(1)
			r := h.asks(0)
			sp := h.spares()[0]
			sp.Session, sp.For, sp.TakenAt = r.Session, r.Start, h.clock.Now()
			if err := h.store.PutSpare(h.ctx, sp); err != nil {
				t.Fatal(err)
			}
			if c.came != nil {
				c.came(h, r, sp, s)
			}
			got := h.starts(r) // before the pool is opened: the hub takes up what was begun
			h.openPool()
			if !c.lost {
				h.taken(r, got, s)
				return
			}
			if got.Start != r.Start {
				t.Errorf("got %+v", got)
			}
			eventually(h.bench, "it is ended", func() bool { return len(h.spares()) == 0 && h.provider.Live() == 1 })
		})
	}
}

// The hourly sweep ends what the pool could not end, and leaves what waits, what is being handed over and what sessions took.
func TestSweepOfSpares(t *testing.T) {
	h := newHarbour(t, 1)
	h.Warm(repo, "main")
	h.boots(h.warm(1)[0])
	sessions := map[string]bool{}
	sweep := func() {
		t.Helper()
		if err := h.Sweep(h.ctx, func(_ session.ID, name string) bool { return sessions[name] }); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if n := h.provider.Live(); n != 1 {
		t.Fatalf("%d live: what waits was ended", n)
	}
	r := h.asks(0)
	got := h.starts(r)
	sessions[r.Name] = true // it does not know yet what it has got
	sweep()
	sessions = map[string]bool{got.Handle.Name: true}
	h.clock.advance(2 * time.Hour)
	sweep()
	if n := h.provider.Live(); n != 1 || len(h.spares()) != 1 {
		t.Fatalf("%d live: what was taken was ended", n)
	}
	sessions = map[string]bool{r.Name: true} // it gave its start up before it heard of it
	sweep()                                  // it is gone for good
	sweep()
	if n := h.provider.Live(); n != 0 || len(h.spares()) != 0 {
		t.Errorf("%d live, %v", n, h.spares())
	}
	h.Warm(repo, "main")
	h.boots(h.warm(2)[1])
	h.provider.Fail("Destroy", session.Errorf(session.Unavailable, "not now"))
	h.passes(5 * time.Minute)
	eventually(h.bench, "it was tried", func() bool { return h.Waiting() == 0 && !h.InHand() })
	h.provider.Fail("Destroy", nil)
	sweep()
	if n := h.provider.Live(); n != 0 || len(h.spares()) != 0 {
		t.Errorf("%d live, %v", n, h.spares())
	}
}

// What a session takes while a sweep goes on is not ended by what the sweep knows from before.
func TestTakenDuringASweep(t *testing.T) {
	h := newHarbour(t, 1)
	h.Warm(repo, "main")
	s := h.warm(1)[0]
	h.boots(s)
	r := h.asks(0)
	orphan := sandbox.Spec{Name: "inspect-nobodysone-1", Boot: link.Boot{Start: "nobodysone-1", Mode: session.BootFresh}}
	if _, err := h.provider.Create(h.ctx, orphan); err != nil {
		t.Fatal(err)
	}
	var got session.Begun
	err := h.Sweep(h.ctx, func(_ session.ID, name string) bool {
		if name == orphan.Name { // all that there is has been looked through
			got = h.starts(r)
		}
		return name != orphan.Name
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := h.provider.Live(); n != 1 {
		t.Errorf("%d live", n)
	}
	h.taken(r, got, s)
}

// Of one that was ready and cannot be reached any more a start does not wait longer than for any other answer.
func TestUnreachableSandboxIsNotWaitedFor(t *testing.T) {
	h := newHarbour(t, 1)
	h.Hurry()
	h.Warm(repo, "main")
	s := h.warm(1)[0]
	h.boots(s)
	h.provider.Fail("Dial", session.Errorf(session.Unavailable, "there is no way in"))
	dialled := h.provider.Calls("Dial")
	s.Drop()
	eventually(h.bench, "its link is missed", func() bool { return h.provider.Calls("Dial") > dialled })
	begin := time.Now()
	r := h.asks(0)
	if got := h.starts(r); got.Start != r.Start {
		t.Errorf("got %+v", got)
	}
	if waited := time.Since(begin); waited > 10*time.Second {
		t.Errorf("it waited for %v", waited)
	}
	eventually(h.bench, "it is ended", func() bool { return len(h.spares()) == 0 && h.provider.Live() == 1 })
}
