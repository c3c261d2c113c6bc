package sandbox

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// SpareStore remembers sandboxes that are no session's: each is written down before the provider is asked for it, so that none is left behind by a
// bot that is killed.
type SpareStore interface {
	// PutSpare stores one by its id.
	PutSpare(ctx context.Context, s session.Spare) error
	// Spares returns all, in order of their ids.
	Spares(ctx context.Context) ([]session.Spare, error)
	// ForgetSpare forgets one that is gone, if it is there, and adds what it lived to the sums of its days.
	ForgetSpare(ctx context.Context, id session.ID, lived ...session.Lived) error
}

// liveSpare is a spare sandbox whose runner is followed, as a session's is, as long as it is nobody's. Its runner may read the repository; there is
// nobody for whom it could ask a model or use a tool.
type liveSpare struct {
	m          *Manager
	spare      session.Spare
	attachment *attachment

	mu      sync.Mutex
	phases  []session.Boot // the newest word of each phase that was told of, in order
	err     error          // why it is of no use
	changed chan struct{}  // closed with the next change
}

// createSpare makes the sandbox of a spare and starts its runner; setup is Boot.Setup, if it begins from an image. Of one that cannot be made nothing is left.
func (m *Manager) createSpare(ctx context.Context, sp session.Spare, setup string) (*liveSpare, error) {
	if err := m.c.Spares.PutSpare(ctx, sp); err != nil {
		return nil, err
	}
	boot, err := m.newBoot(ctx, sp.ID, sp.Start, sp.Repo)
	if err == nil {
		boot.Mode, boot.Base, boot.Setup, boot.Warm = sp.Mode, sp.Base, setup, sp.Kind == session.SpareWarm
		sp.Handle, err = m.c.Provider.Create(ctx, Spec{Name: sp.Name, Image: sp.Image, Boot: boot})
	}
	if err == nil {
		err = m.c.Spares.PutSpare(ctx, sp)
	}
	if err != nil {
		if err := m.discardSpare(context.WithoutCancel(ctx), sp); err != nil {
			m.c.Report(sp.ID, "end a sandbox that did not start", err) // the sweep ends it
		}
		return nil, err
	}
	return m.followSpare(sp)
}

// followSpare follows a spare's runner, from the beginning of its journal. ErrStopped when the manager is closed.
func (m *Manager) followSpare(sp session.Spare) (*liveSpare, error) {
	t := &liveSpare{m: m, spare: sp, changed: make(chan struct{})}
	a, _, err := m.attachment(session.AttachRequest{Session: sp.ID, Repo: sp.Repo, Start: sp.Start, Handle: sp.Handle}, t.send, true)
	t.attachment = a
	return t, err
}

// unfollow ends following it. Its sandbox lives on, and its token stays where it is.
func (t *liveSpare) unfollow() { t.attachment.stop() }

// send takes what its runner tells.
func (t *liveSpare) send(_ context.Context, in session.Input) error {
	switch in := in.(type) {
	case session.Journaled:
		for _, e := range in.Events {
			if e.Kind == session.KindBoot && e.Boot != nil {
				t.noteBoot(*e.Boot)
			}
		}
		return nil
	case session.Lost:
		t.fail(session.Errorf(session.NotFound, "%s", in.Reason))
		return nil
	}
	return session.Errorf(session.Conflict, "This sandbox is no session's.")
}

// How much is kept of what a spare's runner tells of a phase, in characters and bytes: it is stored with a build, and no session's log bounds it.
const (
	maxDetail = 300
	maxTail   = 16 << 10
)

// noteBoot takes one word of its boot, if it is one.
func (t *liveSpare) noteBoot(b session.Boot) {
	if !b.Phase.Known() {
		return
	}
	b.Detail = session.OneLine(b.Detail, maxDetail)
	b.Output = strings.Clone(strings.ToValidUTF8(b.Output[max(0, len(b.Output)-maxTail):], "")) // which would keep the whole event
	if b.State == session.StepFailed {
		defer t.fail(&BootError{Boot: b})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.phases, func(o session.Boot) bool { return o.Phase == b.Phase }); i >= 0 {
		t.phases[i] = b
	} else {
		t.phases = append(t.phases, b)
	}
	t.wake()
}

func (t *liveSpare) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	t.wake()
}

// wake is called with the lock held.
func (t *liveSpare) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// boot returns what was told of its boot so far, and whether it is ready; the error is why it never will be.
func (t *liveSpare) boot() (phases []session.Boot, ready bool, err error) {
	last := session.PhaseReady
	if t.spare.Kind == session.SpareWarm {
		last = session.PhaseAgent // it stops there, until it is claimed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ready = slices.ContainsFunc(t.phases, func(b session.Boot) bool { return b.Phase == last && b.State == session.StepDone })
	return slices.Clone(t.phases), ready, t.err
}

// ready waits until it is. The error is a BootError when a phase failed, NotFound when the sandbox is lost, ErrStopped when it is followed no longer.
func (t *liveSpare) ready(ctx context.Context) error {
	for {
		t.mu.Lock()
		moved := t.changed
		t.mu.Unlock()
		if _, ready, err := t.boot(); ready || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-t.attachment.done:
			if _, ready, err := t.boot(); ready || err != nil {
				return err
			}
			return t.attachment.err
		case <-ctx.Done():
			return &session.Error{Code: session.Unavailable, Op: "sandbox.ready", Message: "The sandbox did not become ready in time.", Err: ctx.Err()}
		}
	}
}

// BootError is a boot that failed, with the phase and the last lines of what failed in it.
type BootError struct{ Boot session.Boot }

func (e *BootError) Error() string {
	return cmp.Or(session.OneLine(e.Boot.Detail, maxDetail), string(e.Boot.Phase)+" failed")
}

// discardSpare ends a spare's sandbox and forgets it, with its token. What cannot be ended now stays written down.
func (m *Manager) discardSpare(ctx context.Context, sp session.Spare) error {
	if a := m.attached(sp.ID); a != nil {
		a.stop()
	}
	if err := m.destroyNamed(ctx, sp.Name, sp.Handle); err != nil {
		return session.Wrap("sandbox.discardSpare", err)
	}
	if err := m.c.Store.DeleteSecret(ctx, tokenKey(sp.ID, sp.Start)); err != nil {
		return session.Wrap("sandbox.discardSpare", err)
	}
	return session.Wrap("sandbox.discardSpare", m.c.Spares.ForgetSpare(ctx, sp.ID, sp.Lived(m.c.Clock.Now())...))
}

// destroyNamed ends a sandbox whose handle may not be known.
func (m *Manager) destroyNamed(ctx context.Context, name string, h session.Handle) error {
	if h != (session.Handle{}) {
		return m.c.Provider.Destroy(ctx, h)
	}
	list, err := m.c.Provider.List(ctx)
	for _, h := range list {
		if err == nil && h.Name == name {
			err = m.c.Provider.Destroy(ctx, h)
		}
	}
	return err
}

// status asks its runner how it is.
func (t *liveSpare) status(ctx context.Context) (link.Status, error) {
	_, l, err := t.m.connected(ctx, t.spare.ID)
	if err != nil {
		return link.Status{}, err
	}
	return t.attachment.status(ctx, l)
}
