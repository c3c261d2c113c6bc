package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// actor owns one session: the goroutine that steps its machine, commits what it decided, publishes, and carries effects out.
type actor struct {
	hub     *Hub
	id      ID
	machine *Machine
	log     *log
	inbox   chan request
	done    chan struct{}                 // closed when the goroutine has ended
	running map[string]context.CancelFunc // effects being carried out, by id
	timer   func() bool
	effects sync.WaitGroup
	held    []request     // whose senders wait until the machine lets model calls go on
	fresh   bool          // the process has just started
	settled chan struct{} // closed when what the process before left is put right and its deadlines are watched
}

// request is an input on its way to an actor. answer takes the refusal, or nil once everything is committed.
type request struct {
	ctx    context.Context // the sender's
	in     Input
	answer chan error
}

// send hands an input over: accepted and committed, the caller's context done, or the actor gone (ErrStopped).
func (a *actor) send(ctx context.Context, in Input) error {
	r := request{ctx: ctx, in: in, answer: make(chan error, 1)}
	select {
	case a.inbox <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-a.done:
		return errRetired
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-a.done:
		select {
		case err := <-r.answer:
			return err
		default:
			return ErrStopped
		}
	}
}

// run lives until ctx ends, or until the session is at rest and the hub lets it go.
func (a *actor) run(ctx context.Context) {
	defer close(a.done)
	defer a.effects.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-a.hub.known:
	case <-ctx.Done():
		close(a.settled)
		return
	}
	if a.fresh && a.machine.unsettled() { // before a link is up that could bring new calls
		if err := a.take(ctx, Restarted{}); err != nil {
			a.hub.report(a.id, "settle model calls", err) // they are settled at the next start
		}
	}
	for _, e := range a.machine.Resume() {
		a.carryOut(ctx, e)
	}
	a.arm(ctx)
	close(a.settled)
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-a.inbox:
			a.serve(ctx, r)
			if len(a.running) == 0 && a.machine.atRest() {
				a.hub.retire(a)
				return
			}
		}
	}
}

// serve takes an input and answers its sender: at once, or, for a call that is held, when the machine lets it go on. Who waits is kept here
// alone: after a restart the call comes again.
func (a *actor) serve(ctx context.Context, r request) {
	err := a.take(ctx, r.in)
	if _, call := r.in.(CallHeld); call && err == nil {
		a.held = append(slices.DeleteFunc(a.held, func(h request) bool { return h.ctx.Err() != nil }), r)
	} else {
		r.answer <- err
	}
	if a.machine.holding() {
		return
	}
	for _, h := range a.held {
		h.answer <- nil
	}
	a.held = nil
}

// take steps the machine and makes its decision true.
func (a *actor) take(ctx context.Context, in Input) error {
	before := a.machine.State()
	a.machine.Allow(a.hub.terms(ctx, before.Session))
	ready, err := a.machine.Step(a.hub.clock.Now(), a.hub.redactor.clean(in))
	if err != nil {
		a.hub.line.note(before.Session)
		return err
	}
	if err := a.hub.store.Commit(ctx, ready); err != nil {
		if ctx.Err() != nil {
			return ErrStopped // it may be stored or not; whoever starts next reads what is
		}
		// The machine goes back to what is stored: nothing that was not committed may be decided upon.
		a.machine = NewMachine(before).WithBudget(a.hub.budget)
		a.hub.line.note(before.Session)
		return Wrap("session.commit", err)
	}
	a.hub.line.note(ready.Record.Session)
	if len(ready.Events) > 0 {
		a.log.publish(Item{Events: ready.Events})
	}
	a.hub.committed(a.id)
	for _, id := range ready.Done {
		if cancel := a.running[id]; cancel != nil {
			cancel()
			delete(a.running, id)
		}
	}
	for _, e := range ready.Effects {
		a.carryOut(ctx, e)
	}
	a.arm(ctx)
	return nil
}

// arm sets the timer for the machine's next deadline.
func (a *actor) arm(ctx context.Context) {
	if a.timer != nil {
		a.timer()
		a.timer = nil
	}
	d := a.machine.Deadline()
	if d.IsZero() {
		return
	}
	a.timer = a.hub.clock.AfterFunc(max(0, d.Sub(a.hub.clock.Now())), func() { a.tick(ctx) })
}

// tick tells the machine that a deadline has come, again while the disk refuses.
func (a *actor) tick(ctx context.Context) {
	if err := a.send(ctx, Tick{}); CodeOf(err) == Unavailable && !errors.Is(err, ErrStopped) && ctx.Err() == nil {
		a.hub.clock.AfterFunc(time.Second, func() { a.tick(ctx) })
	}
}

// carryOut runs an effect beside the actor and feeds back what came of it.
func (a *actor) carryOut(ctx context.Context, e Effect) {
	if a.running[e.ID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	a.running[e.ID] = cancel
	if e.Attach != nil {
		r := *e.Attach
		r.Cursor = a.machine.s.Cursor
		e.Attach = &r
	}
	a.effects.Go(func() {
		in := a.perform(ctx, e)
		for in != nil && ctx.Err() == nil {
			err := a.send(ctx, in)
			if err == nil || ctx.Err() != nil || errors.Is(err, ErrStopped) {
				return
			}
			a.hub.report(a.id, "effect "+e.ID, err)
			if CodeOf(err) != Unavailable || !a.hub.pause(ctx, time.Second) { // the disk refused; what happened must not be forgotten
				return
			}
		}
	})
}

func (m *Machine) atRest() bool {
	return m.Deadline().IsZero() && State{Session: m.s, Prompts: m.prompts, Approvals: m.approvals, Effects: m.effects}.AtRest()
}
