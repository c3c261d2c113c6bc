package sandbox

import (
	"context"
	"slices"
	"time"

	"openinspect/session"
)

// takeGrace is how long a session that took a spare may not know it yet, as while the disk refuses to store. A session that gave its start up meanwhile never
// will.
const takeGrace = time.Hour

// spareOwners returns the spares, and what tells whether anybody has the sandbox or the image of a name: its spare, or the session that ofSession is asked
// about. A sandbox that a session took still has the name of the spare that it was.
func (m *Manager) spareOwners(ctx context.Context, ofSession func(owner session.ID, name string) bool) (known func(name string) bool, all []session.Spare, err error) {
	all, err = m.c.Spares.Spares(ctx)
	byID := map[session.ID]session.Spare{}
	for _, sp := range all {
		byID[sp.ID] = sp
	}
	return func(name string) bool {
		owner := session.SandboxOwner(name)
		switch sp, spare := byID[owner]; {
		case !spare:
			return ofSession(owner, name)
		case sp.Taken():
			return ofSession(sp.Session, name) || ofSession(sp.Session, sp.Asked()) && m.c.Clock.Now().Sub(sp.TakenAt) < takeGrace
		}
		return true
	}, all, err
}

// forgetSpares ends spares that nobody keeps, as after a failure to end them, and forgets those that were taken and are no session's any more. left reports
// whether there is anything of a name, built whether a build that goes on has the id.
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

// discardUntaken ends a warm sandbox that the pool does not own, unless a session has taken it since the spares were read: that is written down before the
// pool disowns it.
func (m *Manager) discardUntaken(ctx context.Context, id session.ID) error {
	all, err := m.c.Spares.Spares(ctx)
	i := slices.IndexFunc(all, func(sp session.Spare) bool { return sp.ID == id })
	if err != nil || i < 0 || all[i].Taken() {
		return err
	}
	return m.discardSpare(ctx, all[i])
}
