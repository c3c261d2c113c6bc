package sandbox

import (
	"context"
	"errors"
	"time"

	"openinspect/session"
)

// start has one more sandbox started for a branch, unless the last one failed a short while ago. The lock is held.
func (p *pool) start(r session.Repo, base string, likely time.Time) {
	now := p.m.c.Clock.Now()
	if !p.open || now.Before(p.paused[branchOf(r, base)]) {
		return
	}
	sp := session.NewSpare(session.SpareWarm, session.BootFresh, r, base, now)
	sp.Ends = p.m.ends(now)
	p.m.c.LogWarm(sp, "starts")
	p.add(sp, likely, func(ctx context.Context) (*liveSpare, error) { return p.create(ctx, sp) })
}

// create makes a sandbox, from the branch's image if there is one. An image that does not exist any more is not used again.
func (p *pool) create(ctx context.Context, sp session.Spare) (*liveSpare, error) {
	image, err := p.m.prebuilts.get(ctx, sp.Repo)
	if err != nil {
		p.m.c.Report(sp.ID, "look for the repository's image", err)
	}
	setup := ""
	if err == nil && image.Good() && image.Base == sp.Base {
		sp.Mode, sp.Image, setup = session.BootImage, image.Image, image.Setup
	}
	t, err := p.m.createSpare(ctx, sp, setup)
	if session.CodeOf(err) == session.NotFound {
		p.m.markBad(ctx, sp.Repo, sp.Image, doesNotExist)
	}
	return t, err
}

// add has a sandbox kept that create makes or finds. The lock is held.
func (p *pool) add(sp session.Spare, likely time.Time, create func(context.Context) (*liveSpare, error)) {
	ctx, cancel := context.WithCancel(p.m.ctx)
	w := &warmSandbox{
		spare: sp, branch: branchOf(sp.Repo, sp.Base), wantedUntil: likely, cancel: cancel,
		created: make(chan struct{}), done: make(chan struct{}), ended: make(chan struct{}),
	}
	p.warm[sp.ID], p.owned[sp.ID] = w, true
	p.spawn(func() { p.keep(ctx, w, create) })
}

// keep makes a sandbox and keeps it in the pool until it is taken, ended, or of no use. Of one that is of no use it leaves nothing.
func (p *pool) keep(ctx context.Context, w *warmSandbox, create func(context.Context) (*liveSpare, error)) {
	defer close(w.done)
	defer w.cancel()
	t, err := create(ctx)
	if err == nil {
		w.live = t
	}
	close(w.created)
	if err == nil {
		err = p.wait(ctx, w)
	}
	if !p.remove(w) || p.m.stopping() {
		return // somebody else has it, or the next run of the bot will
	}
	p.m.c.Report(w.spare.ID, "warm sandbox", err)
	if boot, ok := errors.AsType[*BootError](err); ok && boot.Boot.Phase == session.PhaseSync {
		p.m.markBad(p.m.ctx, w.spare.Repo, w.live.spare.Image, neverReady)
	}
	p.mu.Lock()
	p.paused[w.branch] = p.m.c.Clock.Now().Add(failurePause)
	p.mu.Unlock()
	if w.live != nil { // else nothing was left of it
		p.discard(w.live.spare)
	}
	p.release(w)
}

// wait waits until a sandbox is ready, and then until it is of no use any more, which the error tells, or ctx ends.
func (p *pool) wait(ctx context.Context, w *warmSandbox) error {
	if err := w.live.ready(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	w.ready = true
	p.mu.Unlock()
	p.m.c.LogWarm(w.live.spare, "waits")
	select {
	case <-w.live.attachment.done:
		return w.live.attachment.err
	case <-ctx.Done():
		return nil
	}
}

// remove takes a sandbox out of the pool. False: it is not there any more, and somebody else's.
func (p *pool) remove(w *warmSandbox) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.warm[w.spare.ID] != w {
		return false
	}
	delete(p.warm, w.spare.ID)
	return true
}

// end ends a sandbox that was removed from the pool.
func (p *pool) end(w *warmSandbox) {
	defer close(w.ended)
	w.cancel()
	<-w.done
	if w.live != nil && !p.m.stopping() {
		p.discard(w.live.spare)
	}
	p.release(w)
}

// release disowns a sandbox: what is left of it is a session's, or the hourly sweep's.
func (p *pool) release(w *warmSandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.owned, w.spare.ID)
}

// discard ends a sandbox. One that cannot be ended stays written down, and the hourly sweep tries again.
func (p *pool) discard(sp session.Spare) {
	if err := p.m.discardSpare(context.WithoutCancel(p.m.ctx), sp); err != nil {
		p.m.c.Report(sp.ID, "end a warm sandbox", err)
		return
	}
	p.m.c.LogWarm(sp, "has ended")
}

// has reports whether the pool owns a sandbox, by its spare's id.
func (p *pool) has(id session.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owned[id]
}
