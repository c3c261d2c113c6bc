package session

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// HubConfig is what a Hub works with. Store, Sandboxes and Forge are required.
type HubConfig struct {
	Store     Store
	Sandboxes Sandboxes
	Forge     Forge
	Clock     Clock // default: the computer's
	// Budget is how many US dollars a session may spend before its thread is asked, and how many a yes adds. 0: no limit.
	Budget float64
	// Room is how many sandboxes may live at once; 0: any number.
	Room int
	// Hours, with Room, caps how long all sandboxes together live in a day.
	Hours Hours
	// Daily is that cap; 0: HoursPerRoom for each that may live at once.
	Daily time.Duration
	// Starts is how often one session's sandbox may start in an hour; 0: DefaultStarts.
	Starts int
	// Audit tells the audit log's head, for what is done on GitHub to carry; nil: nothing carries one.
	Audit Auditor
	// Redactor takes secrets out of every input before it is decided upon; default: token shapes alone.
	Redactor *Redactor
	// OnCommit is called after each commit to a session, in its goroutine: it must return at once. Start calls it for those that are damaged.
	OnCommit func(ID)
	// Report takes errors of effects, for the operator's log; people learn of them through events.
	Report func(id ID, op string, err error)
}

// Hub maps threads to actors.
type Hub struct {
	store     Store
	sandboxes Sandboxes
	forge     Forge
	clock     Clock
	budget    float64
	audit     Auditor
	redactor  *Redactor
	onCommit  func(ID)
	onReport  func(ID, string, error)
	hours     Hours
	daily     time.Duration
	starts    int
	line      *line
	known     chan struct{} // of Start; closed when the line knows every sandbox that lives, and everybody who waits

	opening sync.Mutex // one Open at a time: two mentions in one thread make one session

	mu     sync.Mutex
	ctx    context.Context // of Run; nil before and after
	actors map[ID]*actor
	logs   map[ID]*log
	wg     sync.WaitGroup
}

// errRetired tells that an actor went away between look-up and send; the hub looks again.
var errRetired = errors.New("actor retired")

// NewHub makes a hub; Run brings it to life.
func NewHub(c HubConfig) (*Hub, error) {
	if c.Store == nil || c.Sandboxes == nil || c.Forge == nil {
		return nil, Errorf(Internal, "a hub needs a store, sandboxes and a forge")
	}
	h := &Hub{
		store: c.Store, sandboxes: c.Sandboxes, forge: c.Forge, clock: c.Clock, budget: c.Budget, audit: c.Audit, redactor: c.Redactor, onCommit: c.OnCommit, onReport: c.Report,
		hours: c.Hours, daily: cmp.Or(c.Daily, time.Duration(c.Room)*HoursPerRoom), starts: c.Starts, line: newLine(c.Room),
		actors: map[ID]*actor{}, logs: map[ID]*log{},
	}
	if h.redactor == nil {
		h.redactor = NewRedactor()
	}
	if h.clock == nil {
		h.clock = SystemClock{}
	}
	return h, nil
}

// Start takes up every session that is not at rest: when it returns, what the process before left is put right in each, if the store lets it, so that times that
// people get anew begin before anything new is heard of them. Sends are taken from then on until ctx ends; Wait then returns when all has stopped.
func (h *Hub) Start(ctx context.Context) error {
	h.mu.Lock()
	h.ctx, h.known = ctx, make(chan struct{})
	h.mu.Unlock()
	ids, err := h.store.Open(ctx)
	if err != nil {
		return Wrap("session.Hub.Start", err)
	}
	var all []*actor
	for _, id := range ids {
		a, err := h.actor(id, true)
		if _, one := errors.AsType[*Damaged](err); one {
			h.report(id, "start", err)
			h.committed(id) // whoever tells its people looks
			continue
		}
		if err != nil {
			return Wrap("session.Hub.Start", err)
		}
		all = append(all, a)
	}
	h.line.sort()
	close(h.known)
	for _, a := range all {
		<-a.settled
	}
	h.wg.Go(func() { h.keepLine(ctx) })
	return nil
}

// Wait blocks until the context given to Start has ended and every actor has stopped. Feeds end with ErrStopped.
func (h *Hub) Wait() {
	h.mu.Lock()
	ctx := h.ctx
	h.mu.Unlock()
	if ctx == nil {
		return
	}
	<-ctx.Done()
	h.wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ctx = nil
	for _, l := range h.logs {
		l.endAll(ErrStopped)
	}
}

// Open opens the session of a thread, or returns the one it has. The opening's ID may be empty.
func (h *Hub) Open(ctx context.Context, o Opening) (ID, error) {
	h.opening.Lock()
	defer h.opening.Unlock()
	if id, err := h.store.Find(ctx, o.Thread); err == nil {
		return id, nil
	} else if CodeOf(err) != NotFound {
		return "", Wrap("session.Hub.Open", err)
	}
	if o.ID == "" {
		o.ID = NewID()
	}
	ready, err := NewMachine(State{}).Step(h.clock.Now(), Opened{o})
	if err != nil {
		return "", Wrap("session.Hub.Open", err)
	}
	if err := h.store.Commit(ctx, ready); err != nil {
		return "", Wrap("session.Hub.Open", err)
	}
	return o.ID, nil
}

// Find returns the session of a thread; NotFound if it has none.
func (h *Hub) Find(ctx context.Context, t Thread) (ID, error) { return h.store.Find(ctx, t) }

// Load returns what is stored of a session.
func (h *Hub) Load(ctx context.Context, id ID) (State, error) { return h.store.Load(ctx, id) }

// Send hands an input to a session and returns when what it led to is committed. The machine's refusal comes back with a sentence for
// whoever sent it. ErrStopped when the hub is not running.
func (h *Hub) Send(ctx context.Context, id ID, in Input) error {
	for {
		a, err := h.actor(id, false)
		if err != nil {
			return err
		}
		if err := a.send(ctx, in); !errors.Is(err, errRetired) {
			return err
		}
	}
}

// Live shows a delta to the session's readers. It is not stored.
func (h *Hub) Live(id ID, d Delta) {
	h.mu.Lock()
	l := h.logs[id]
	h.mu.Unlock()
	if l != nil {
		l.publish(Item{Delta: &d})
	}
}

// Feed subscribes to a session's log after a number: history first, then live, without gap or repeat.
func (h *Hub) Feed(ctx context.Context, id ID, after int64) (*Feed, error) {
	h.mu.Lock()
	if l := h.logs[id]; l != nil && h.actors[id] != nil { // it knows how far the log is
		defer h.mu.Unlock()
		return l.subscribe(h.store, id, after), nil
	}
	h.mu.Unlock()
	st, err := h.store.Load(ctx, id)
	if err != nil {
		return nil, Wrap("session.Hub.Feed", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logOf(id, st.Session.Seq).subscribe(h.store, id, after), nil
}

// logOf returns the live end of a session's log, which is known to have reached seq. h.mu is held.
func (h *Hub) logOf(id ID, seq int64) *log {
	l := h.logs[id]
	if l == nil {
		l = &log{released: func() { h.release(id) }}
		h.logs[id] = l
	}
	l.reached(seq)
	return l
}

// release forgets a log that nobody reads or writes.
func (h *Hub) release(id ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.logs[id]; l != nil && h.actors[id] == nil && l.readers() == 0 {
		delete(h.logs, id)
	}
}

// actor returns the session's actor, starting it if it rests; fresh: this is the process's start.
func (h *Hub) actor(id ID, fresh bool) (*actor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx == nil || h.ctx.Err() != nil {
		return nil, ErrStopped
	}
	if a := h.actors[id]; a != nil {
		return a, nil
	}
	st, err := h.store.Load(h.ctx, id)
	if err != nil {
		return nil, Wrap("session.Hub", err)
	}
	a := &actor{
		hub: h, id: id, machine: NewMachine(st).WithBudget(h.budget), fresh: fresh, log: h.logOf(id, st.Session.Seq),
		inbox: make(chan request), done: make(chan struct{}), settled: make(chan struct{}), running: map[string]context.CancelFunc{},
	}
	h.actors[id] = a
	h.line.note(st.Session)
	ctx := h.ctx
	h.wg.Go(func() {
		a.run(ctx)
		h.mu.Lock()
		if h.actors[id] == a {
			delete(h.actors, id)
		}
		h.mu.Unlock()
		h.release(id)
	})
	return a, nil
}

// retire lets an actor at rest go. From then on a send finds errRetired and starts it anew.
func (h *Hub) retire(a *actor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.actors, a.id)
}

// auditHead is the audit log's head now.
func (h *Hub) auditHead(ctx context.Context) (AuditHead, error) {
	if h.audit == nil {
		return AuditHead{}, nil
	}
	return h.audit.AuditHead(ctx)
}

func (h *Hub) committed(id ID) {
	if h.onCommit != nil {
		h.onCommit(id)
	}
}

func (h *Hub) report(id ID, op string, err error) {
	if h.onReport != nil {
		h.onReport(id, op, err)
	}
}

// pause waits for d on the hub's clock; false if ctx ended first.
func (h *Hub) pause(ctx context.Context, d time.Duration) bool {
	c := make(chan struct{})
	stop := h.clock.AfterFunc(d, func() { close(c) })
	select {
	case <-c:
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}
