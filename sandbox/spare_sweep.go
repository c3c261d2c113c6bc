package sandbox

import (
	"context"
	"slices"
	"time"

	"openinspect/session"
)

// takeGrace is how long a session may not know yet what it has taken, as while the disk refuses to store. One that has given its start up never will.
const takeGrace = time.Hour

// spareOwners looks through what is written down of sandboxes that are no session's, and returns who knows a sandbox or an image by its name: a spare, or
// known, which is asked for what sessions have. What a session took is named for the spare that it was.
func (m *Manager) spareOwners(ctx context.Context, known func(owner session.ID, name string) bool) (func(name string) bool, []session.Spare, error) {
	all, err := m.c.Spares.Spares(ctx)
	by := map[session.ID]session.Spare{}
	for _, sp := range all {
		by[sp.ID] = sp
	}
	return func(name string) bool {
		owner := session.SandboxOwner(name)
		switch sp, spare := by[owner]; {
		case !spare:
			return known(owner, name)
		case sp.Taken():
			return known(sp.Session, name) || known(sp.Session, sp.Asked()) && m.c.Clock.Now().Sub(sp.TakenAt) < takeGrace
		}
		return true
	}, all, err
}

// forgetSpares ends spare sandboxes that nobody keeps, as after a failure to end them, and forgets what was taken and is a session's no more. left reports
// whether something is there under a name, built whether a build that goes on has an id.
func (m *Manager) forgetSpares(ctx context.Context, all []session.Spare, known, left func(name string) bool, built func(session.ID) bool) (errs []error) {
	for _, sp := range all {
		switch {
		case sp.Kind == session.SpareBuild:
			if !built(sp.ID) {
				errs = append(errs, m.discardSpare(ctx, sp))
			}
		case sp.Taken() && !known(sp.Name) && !left(sp.Name):
			errs = append(errs, m.c.Spares.ForgetSpare(ctx, sp.ID, sp.Lived(sp.TakenAt)...))
		case !sp.Taken() && !m.pool.has(sp.ID):
			errs = append(errs, m.discardUntaken(ctx, sp.ID))
		}
	}
	return errs
}

// discardUntaken ends a warm sandbox that the pool does not have, unless a session took it since all were looked through: the pool lets go of one only once
// that is written down.
func (m *Manager) discardUntaken(ctx context.Context, id session.ID) error {
	all, err := m.c.Spares.Spares(ctx)
	i := slices.IndexFunc(all, func(sp session.Spare) bool { return sp.ID == id })
	if err != nil || i < 0 || all[i].Taken() {
		return err
	}
	return m.discardSpare(ctx, all[i])
}
