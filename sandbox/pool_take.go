package sandbox

import (
	"context"
	"slices"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// How long a start looks for a warm sandbox, and how long one of them may take to answer, in real time: then it is quicker to make one.
const (
	takeLimit   = 3 * time.Second
	healthLimit = 2 * time.Second

	// One that is being made was asked for before the session's own would be, so it is waited for.
	madeLimit = 15 * time.Second
)

// patience is how long that is in one pool: takeLimit and healthLimit, unless Config.Patient says otherwise, as it does in tests.
type patience struct{ take, health time.Duration }

// take hands a warm sandbox over to a session that asks for one, if it can use one and there is one; without one the start goes on by itself. The
// same start gets the same one again. The error is the store's.
func (p *pool) take(ctx context.Context, r session.StartRequest) (b session.Begun, ok bool, err error) {
	if !canUseWarm(r) {
		return b, false, nil
	}
	if b, ok, err = p.retake(ctx, r); ok || err != nil {
		return b, ok, err
	}
	w := p.takeBest(r)
	if w == nil {
		return b, false, nil
	}
	p.awaitCreated(ctx, w)
	limited, cancel := context.WithTimeout(ctx, p.patient.take)
	defer cancel()
	for w != nil { // whatever is out of the pool is handed over or ended
		b, err := p.handOver(limited, w, r)
		if err == nil {
			p.release(w)
			w.spare.Session = r.Session
			p.m.c.LogWarm(w.spare, "is taken")
			return b, true, nil
		}
		if p.m.stopping() {
			return b, false, session.ErrStopped // it is that session's, if that was written down: the next run knows
		}
		p.m.c.Report(r.Session, "take a warm sandbox", err)
		sick := w
		p.spawn(func() { p.end(sick) })
		if w = nil; limited.Err() == nil {
			w = p.takeBest(r)
		}
	}
	return session.Begun{}, false, nil
}

// awaitCreated waits, within madeLimit, until a sandbox that is being made exists and its runner has a link. One that was ready once is not waited for, even
// if its link is down.
func (p *pool) awaitCreated(ctx context.Context, w *warmSandbox) {
	p.mu.Lock()
	ready := w.ready
	p.mu.Unlock()
	if ready {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, madeLimit)
	defer cancel()
	select {
	case <-w.created:
	case <-ctx.Done():
		return
	}
	if w.live != nil {
		_, _ = w.live.attachment.linked(ctx) // it is asked next
	}
}

// takeBest takes the best one for a request out of the pool; nil if there is none.
func (p *pool) takeBest(r session.StartRequest) *warmSandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.m.c.Clock.Now()
	for _, w := range p.candidates(branchOf(r.Repo, r.Base)) {
		if w.fit(now) {
			delete(p.warm, w.spare.ID)
			return w
		}
	}
	return nil
}

// handOver makes one that was taken out of the pool a session's: it is written down before anything of it is.
func (p *pool) handOver(ctx context.Context, w *warmSandbox, r session.StartRequest) (session.Begun, error) {
	select {
	case <-w.created:
	case <-ctx.Done():
		return session.Begun{}, ctx.Err()
	}
	t := w.live
	if t == nil {
		return session.Begun{}, session.Errorf(session.NotFound, "It was not made.")
	}
	if err := t.healthy(ctx, p.patient.health); err != nil {
		return session.Begun{}, err
	}
	sp := t.spare
	sp.Session, sp.For, sp.TakenAt = r.Session, r.Start, p.m.c.Clock.Now()
	if err := p.m.c.Spares.PutSpare(ctx, sp); err != nil {
		return session.Begun{}, err
	}
	return p.m.claim(ctx, t, sp)
}

// healthy asks a runner directly whether it can be a session's. One that still boots can.
func (t *liveSpare) healthy(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l, err := t.attachment.linked(ctx)
	if err != nil {
		return err
	}
	if _, _, err := t.boot(); err != nil {
		return err
	}
	st, err := t.attachment.status(ctx, l)
	switch {
	case err != nil:
		return err
	case st.Start != t.spare.Start || st.Claimed != "":
		return session.Errorf(session.Conflict, "The sandbox is not what it was.")
	}
	return nil
}

// claim claims a spare's sandbox for the session that took it, and leaves it to that session.
func (m *Manager) claim(ctx context.Context, t *liveSpare, sp session.Spare) (session.Begun, error) {
	l, err := t.attachment.linked(ctx)
	if err != nil {
		return session.Begun{}, err
	}
	if err := t.attachment.post(ctx, l, "http://runner/claim", link.Claim{Session: sp.Session, LogURL: m.c.LogURL(sp.Session)}); err != nil {
		return session.Begun{}, err
	}
	t.unfollow()
	token, err := m.c.Store.Secret(ctx, tokenKey(sp.ID, sp.Start))
	if err == nil {
		err = m.c.Store.PutSecret(ctx, tokenKey(sp.Session, sp.Start), token)
	}
	if err != nil {
		return session.Begun{}, err
	}
	if err := m.c.Store.DeleteSecret(ctx, tokenKey(sp.ID, sp.Start)); err != nil {
		m.c.Report(sp.Session, "forget token", err)
	}
	return begunFrom(sp), nil
}

func begunFrom(sp session.Spare) session.Begun {
	return session.Begun{Handle: sp.Handle, Start: sp.Start, Mode: sp.Mode, Image: sp.Image, Ends: sp.Ends}
}

// retake returns what the same start took before: the bot was killed before that was committed.
func (p *pool) retake(ctx context.Context, r session.StartRequest) (session.Begun, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, p.patient.take)
	defer cancel()
	all, err := p.m.c.Spares.Spares(ctx)
	i := slices.IndexFunc(all, func(sp session.Spare) bool { return sp.Session == r.Session && sp.For == r.Start })
	if err != nil || i < 0 {
		return session.Begun{}, false, err
	}
	sp := all[i]
	if _, err := p.m.c.Store.Secret(ctx, tokenKey(r.Session, sp.Start)); session.CodeOf(err) != session.NotFound {
		return begunFrom(sp), err == nil, err
	}
	t, err := p.m.followSpare(sp)
	var b session.Begun
	if err == nil {
		b, err = p.m.claim(ctx, t, sp)
	}
	if err == nil || p.m.stopping() {
		return b, err == nil, err
	}
	p.m.c.Report(r.Session, "take a warm sandbox again", err)
	if err := p.m.discardSpare(context.WithoutCancel(ctx), sp); err != nil {
		p.m.c.Report(sp.ID, "end a warm sandbox", err)
	}
	return session.Begun{}, false, nil
}

// makeRoom notes that a session asks for a sandbox, and lets those end that wait in its room. It returns when they have, or after some seconds.
func (p *pool) makeRoom(ctx context.Context, r session.StartRequest) {
	if p.limit == 0 {
		return
	}
	p.deciding.Lock()
	room := p.room(ctx)
	p.mu.Lock()
	p.noteStart(r)
	ending := p.shrink(room)
	p.schedule()
	p.mu.Unlock()
	p.deciding.Unlock()
	limited, cancel := context.WithTimeout(ctx, p.patient.take)
	defer cancel()
	for _, w := range ending {
		select {
		case <-w.ended:
		case <-limited.Done():
			return
		}
	}
}

// noteStart counts a start that a warm sandbox serves, or would have. The lock is held.
func (p *pool) noteStart(r session.StartRequest) {
	if !canUseWarm(r) {
		return
	}
	b := branchOf(r.Repo, r.Base)
	d := p.demands[b]
	if d == nil {
		d = &demand{repo: r.Repo, base: r.Base, starts: map[string]time.Time{}}
		p.demands[b] = d
	}
	d.starts[r.Start] = p.m.c.Clock.Now()
}

// canUseWarm reports whether a session could use a warm sandbox: it has no files of its own, and has not found the image bad from which one may have begun.
func canUseWarm(r session.StartRequest) bool {
	return r.Mode == session.BootFresh && r.Repo != (session.Repo{}) && !r.Anew && r.Collected == "" && !r.Patch && r.Bad == ""
}
