package session_test

import (
	"context"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// broken is a store in which one session cannot be read, or not be written.
type broken struct {
	session.Store
	unread, unwritten session.ID
}

func (b *broken) Load(ctx context.Context, id session.ID) (session.State, error) {
	if id == b.unread {
		return session.State{}, &session.Error{Code: session.Internal, Message: session.DamagedWords, Err: &session.Damaged{}}
	}
	return b.Store.Load(ctx, id)
}

func (b *broken) Commit(ctx context.Context, r session.Ready) error {
	if r.Record.Session.ID == b.unwritten {
		return session.Errorf(session.Internal, "no")
	}
	return b.Store.Commit(ctx, r)
}

// A session that cannot be read, or whose step fails for good, is left out: neither the start nor the line waits for it.
func TestDamagedSessionIsLeftOut(t *testing.T) {
	w := newTown(t, 1)
	var store *broken
	looked, reported := make(chan session.ID, 100), make(chan session.ID, 100)
	w.hub = func(c session.HubConfig) session.HubConfig {
		c.Store = store
		c.OnCommit = func(id session.ID) {
			if id == store.unread {
				looked <- id
			}
		}
		c.Report = func(id session.ID, _ string, err error) { reported <- id }
		return c
	}
	w.ask("a", "a1")
	w.runs("a", "a1")
	for i, thread := range []string{"b", "c", "d"} {
		w.ask(thread, thread+"1")
		w.comes(thread, at(i+1))
		w.clock.Advance(time.Second)
	}
	w.stop()
	store = &broken{Store: w.store, unread: w.ids["b"], unwritten: w.ids["c"]}
	w.open()
	if id := <-reported; id != w.ids["b"] {
		t.Errorf("%s is reported, want b", id)
	}
	if id := <-looked; id != w.ids["b"] {
		t.Errorf("%s is to be looked at, want b", id)
	}
	w.answers("a", "a1")
	w.runs("d", "d1") // the clock stands: nobody is tried again
	if got := w.starts(); got != "a d" {
		t.Errorf("started %s", got)
	}
	err := w.bench.hub.Send(t.Context(), w.ids["b"], session.StopAsked{By: sessiontest.Ada})
	if session.Sentence(err) != session.DamagedWords {
		t.Errorf("whoever writes there is told: %v", err)
	}
}
