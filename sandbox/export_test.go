package sandbox

import (
	"context"
	"time"

	"openinspect/session"
)

// Tended is what a test sees of a spare.
type Tended = tended

// Raise and Tend are what builds and the pool of warm sandboxes stand on.
func (m *Manager) Raise(ctx context.Context, sp session.Spare) (*Tended, error) {
	return m.raise(ctx, sp, "")
}

func (m *Manager) Tend(sp session.Spare) (*Tended, error) { return m.tend(sp) }

func (m *Manager) Discard(ctx context.Context, sp session.Spare) error { return m.discard(ctx, sp) }

func (t *Tended) Ready(ctx context.Context) error { return t.ready(ctx) }

// Phases returns what is kept of its boot.
func (t *Tended) Phases() []session.Boot {
	phases, _, _ := t.boot()
	return phases
}

func (t *Tended) Spare() session.Spare { return t.spare }

// Look has the pool looked after, and is over when that is decided.
func (m *Manager) Look() { m.pool.look() }

// Waiting returns how many of the pool's have come as far as they do for nobody.
func (m *Manager) Waiting() (n int) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	for _, w := range m.pool.warm {
		if w.ready {
			n++
		}
	}
	return n
}

// Likely returns for how long the pool believes that somebody wants what waits.
func (m *Manager) Likely() (d time.Duration) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	for _, w := range m.pool.warm {
		d = max(d, w.likely.Sub(m.c.Clock.Now()))
	}
	return d
}

// Note has a start counted that comes to nothing.
func (m *Manager) Note(r session.StartRequest) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.note(r)
}

// InHand reports whether the pool has something to end.
func (m *Manager) InHand() bool {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	return len(m.pool.hand) > 0
}

const MaxPatches = maxPatches

// TakePatch takes the patch of a session's checkout.
func (m *Manager) TakePatch(ctx context.Context, id session.ID) {
	m.takePatch(ctx, m.attached(id), "")
}
