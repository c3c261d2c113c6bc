package sandbox

import (
	"context"

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

func (t *Tended) Spare() session.Spare { return t.spare }
