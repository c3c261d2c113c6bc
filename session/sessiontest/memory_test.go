package sessiontest

import (
	"errors"
	"testing"

	"openinspect/session"
)

func TestMemory(t *testing.T) {
	TestStore(t, func(_ *testing.T, clock session.Clock) Store {
		m := NewStore()
		m.Clock = clock
		return m
	})
}

func TestMemoryFails(t *testing.T) {
	full := errors.New("disk full")
	m := NewStore()
	m.Fail = func(method string) error {
		if method == "Commit" {
			return full
		}
		return nil
	}
	ss := fresh(one)
	if err := m.Commit(t.Context(), session.Ready{Record: session.Record{Session: ss}}); !errors.Is(err, full) {
		t.Errorf("Commit returned %v, want what Fail said", err)
	}
	if _, err := m.Load(t.Context(), one); session.CodeOf(err) != session.NotFound {
		t.Errorf("Load returned %v; the failed commit must have done nothing", err)
	}
}
