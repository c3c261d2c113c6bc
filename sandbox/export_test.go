package sandbox

import (
	"context"
	"time"

	"openinspect/session"
)

// LiveSpare is what a test sees of a spare.
type LiveSpare = liveSpare

// Raise and Tend are what builds and the pool of warm sandboxes stand on.
func (m *Manager) Raise(ctx context.Context, sp session.Spare) (*LiveSpare, error) {
	return m.createSpare(ctx, sp, "")
}

func (m *Manager) Tend(sp session.Spare) (*LiveSpare, error) { return m.followSpare(sp) }

func (m *Manager) Discard(ctx context.Context, sp session.Spare) error {
	return m.discardSpare(ctx, sp)
}

func (t *LiveSpare) Ready(ctx context.Context) error { return t.ready(ctx) }

// Phases returns what is kept of its boot.
func (t *LiveSpare) Phases() []session.Boot {
	phases, _, _ := t.boot()
	return phases
}

func (t *LiveSpare) Spare() session.Spare { return t.spare }

// Look has the pool looked after, and is over when that is decided.
func (m *Manager) Look() { m.pool.rebalance() }

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
		d = max(d, w.wantedUntil.Sub(m.c.Clock.Now()))
	}
	return d
}

// Note has a start counted that comes to nothing.
func (m *Manager) Note(r session.StartRequest) {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	m.pool.noteStart(r)
}

// InHand reports whether the pool has something to end.
func (m *Manager) InHand() bool {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	return len(m.pool.owned) > 0
}

// Wait has sessions wait for what the pool has as long as a busy machine may take.
func (m *Manager) Wait() { m.pool.patient = patience{time.Minute, time.Minute} }

// Hurry has them wait as long as people do.
func (m *Manager) Hurry() { m.pool.patient = patience{takeLimit, healthLimit} }

// Idle reports whether no build goes on or waits for its turn.
func (b *Builder) Idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.builds) == 0
}

const MaxPatches = maxPatches

// TakePatch takes the patch of a session's checkout.
func (m *Manager) TakePatch(ctx context.Context, id session.ID) {
	m.takePatch(ctx, m.attached(id), "")
}
