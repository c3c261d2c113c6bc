package sandbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"openinspect/session"
)

// How the pool decides what waits in it.
const (
	likelyFor     = 5 * time.Minute  // how long a sign that somebody is about to ask for a sandbox counts
	maxWarmAge    = 30 * time.Minute // then a younger one takes its place, with what setup.sh installs by now
	demandWindow  = 30 * time.Minute // how long a start counts as demand
	startsPerWarm = 3                // so many starts within the window keep one warm
	maxWarm       = 2                // of one branch
	failurePause  = 10 * time.Minute // how long none is made for a branch after one failed
	poolInterval  = time.Minute      // between two looks
)

// pool keeps sandboxes warm: booted as far as their agents, and nobody's, until a session takes one. Some are made because somebody is likely to
// ask, and end soon if they do not; others stay while their branch is in demand. They never take the room of sessions.
type pool struct {
	m       *Manager
	limit   int                                // how many may wait
	patient patience                           // with what waits, once a session asks for it
	free    func(context.Context) (int, error) // how many may live beside the sandboxes of sessions
	working sync.WaitGroup                     // goroutines that keep one, or end one
	warm    map[session.ID]*warmSandbox        // what may be taken
	owned   map[session.ID]bool                // what is the pool's to end: what may be taken, is being made, handed over or ended
	demands map[branch]*demand
	paused  map[branch]time.Time // where none is made, until when
	stop    func() bool          // the timer of the next look; nil: there is none
	open    bool                 // what waited when the bot started is known

	closing sync.Mutex // guards closed
	closed  bool       // nothing more begins

	deciding sync.Mutex // held by whoever makes some or lets some end
	mu       sync.Mutex // guards the maps and what is in them, stop and open
}

// branch is what a sandbox is warm for: a branch of a repository, whose name is in lower case, because GitHub's names do not know case.
type branch struct{ repo, base string }

func branchOf(r session.Repo, base string) branch { return branch{strings.ToLower(r.String()), base} }

// demand is what sessions asked for of a branch.
type demand struct {
	repo   session.Repo
	base   string
	starts map[string]time.Time // by start id, of the last while
}

// warmSandbox is one of the pool's, from before it is made until it is taken or has ended.
type warmSandbox struct {
	spare       session.Spare
	branch      branch
	wantedUntil time.Time          // until when somebody is likely to want it
	cancel      context.CancelFunc // ends keeping it
	created     chan struct{}      // closed when live is known
	done        chan struct{}      // closed when it is kept no longer
	ended       chan struct{}      // closed when it has been ended
	live        *liveSpare         // nil: it was not made
	ready       bool
}

func newPool(m *Manager) *pool {
	p := &pool{
		m: m, limit: m.c.MaxWarm, patient: patience{takeLimit, healthLimit}, free: m.c.Free, warm: map[session.ID]*warmSandbox{}, owned: map[session.ID]bool{},
		demands: map[branch]*demand{}, paused: map[branch]time.Time{},
	}
	if within := m.c.Patient; within > 0 {
		p.patient = patience{within, within}
	}
	if p.free == nil {
		p.free = func(context.Context) (int, error) { return p.limit, nil }
	}
	return p
}

// OpenPool takes up the sandboxes that waited when the bot was last stopped, and from then on keeps some warm. Call it once sessions are taken up,
// which come first.
func (m *Manager) OpenPool(ctx context.Context) error {
	p := m.pool
	all, err := m.c.Spares.Spares(ctx)
	if err != nil {
		return session.Wrap("sandbox.OpenPool", err)
	}
	now := m.c.Clock.Now()
	p.deciding.Lock()
	defer p.deciding.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = p.limit > 0
	for _, sp := range all {
		switch {
		case sp.Kind != session.SpareWarm || sp.Taken():
		case !p.open || sp.Handle == (session.Handle{}) || now.Sub(sp.At) >= maxWarmAge:
			p.spawn(func() { p.discard(sp) })
		default:
			p.add(sp, sp.At.Add(likelyFor), func(context.Context) (*liveSpare, error) { return m.followSpare(sp) })
		}
	}
	p.schedule()
	return nil
}

// Warm is told that somebody will probably want a sandbox soon, for a repository from a branch. It returns at once.
func (m *Manager) Warm(r session.Repo, base string) {
	p := m.pool
	if p.limit == 0 {
		return
	}
	p.spawn(func() {
		p.deciding.Lock()
		defer p.deciding.Unlock()
		room := p.room(m.ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		now := m.c.Clock.Now()
		b := branchOf(r, base)
		if all := p.candidates(b); len(all) > 0 {
			all[0].wantedUntil = now.Add(likelyFor)
			return
		}
		if len(p.warm) < room {
			p.start(r, base, now.Add(likelyFor))
			p.schedule()
		}
	})
}

// spawn has something go on in the pool, unless that is closed.
func (p *pool) spawn(f func()) {
	p.closing.Lock()
	defer p.closing.Unlock()
	if !p.closed {
		p.working.Go(f)
	}
}

// close returns when nothing goes on in the pool any more, or ctx has ended. What waits lives on.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.closing.Lock()
	p.closed = true
	p.closing.Unlock()
	done := make(chan struct{})
	go func() { p.working.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// room is how many may wait now.
func (p *pool) room(ctx context.Context) int {
	if p.limit == 0 || p.m.stopping() || !p.m.breaker.closed() {
		return 0
	}
	n, err := p.free(ctx)
	if err != nil {
		p.m.c.Report("", "room for warm sandboxes", err)
		return 0
	}
	return min(n, p.limit)
}

// candidates returns what waits for a branch, the best first: what is ready, and of that what has waited longest. The lock is held.
func (p *pool) candidates(b branch) (all []*warmSandbox) {
	for _, w := range p.warm {
		if w.branch == b {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, better)
	return all
}

func better(a, b *warmSandbox) int {
	if a.ready != b.ready {
		if a.ready {
			return -1
		}
		return 1
	}
	return cmp.Or(a.spare.At.Compare(b.spare.At), cmp.Compare(a.spare.ID, b.spare.ID))
}

// rebalance ends what waits in vain and makes what is in demand.
func (p *pool) rebalance() {
	p.deciding.Lock()
	defer p.deciding.Unlock()
	room := p.room(p.m.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.m.c.Clock.Now()
	p.expire(now)
	for _, b := range p.branches() {
		for i, w := range p.candidates(b) {
			vain := !now.Before(w.wantedUntil) && i >= p.target(b)
			if vain || now.Sub(w.spare.At) >= maxWarmAge || !w.fit(now) {
				p.endLater(w)
			}
		}
	}
	p.shrink(room)
	for _, b := range p.branches() {
		for n := len(p.candidates(b)); n < p.target(b) && len(p.warm) < room; n++ {
			p.start(p.demands[b].repo, b.base, now)
		}
	}
	p.schedule()
}

// shrink lets the least useful end until there are no more than room. The lock is held.
func (p *pool) shrink(room int) (ending []*warmSandbox) {
	var all []*warmSandbox
	for _, w := range p.warm {
		all = append(all, w)
	}
	slices.SortFunc(all, better)
	for len(all) > room {
		w := all[len(all)-1]
		all = all[:len(all)-1]
		p.endLater(w)
		ending = append(ending, w)
	}
	return ending
}

// endLater ends one in the background. The lock is held.
func (p *pool) endLater(w *warmSandbox) {
	delete(p.warm, w.spare.ID)
	p.spawn(func() { p.end(w) })
}

// fit reports whether a session that takes it has at least half of its lifetime.
func (w *warmSandbox) fit(now time.Time) bool {
	sp := w.spare
	return sp.Ends.IsZero() || sp.Ends.Sub(now) >= sp.Ends.Sub(sp.At)/2
}

// expire drops what says nothing any more. The lock is held.
func (p *pool) expire(now time.Time) {
	for b, d := range p.demands {
		maps.DeleteFunc(d.starts, func(_ string, at time.Time) bool { return now.Sub(at) >= demandWindow })
		if len(d.starts) == 0 {
			delete(p.demands, b)
		}
	}
	for b, until := range p.paused {
		if !now.Before(until) {
			delete(p.paused, b)
		}
	}
}

// target is how many are to wait for a branch. The lock is held.
func (p *pool) target(b branch) int { return min(p.demand(b)/startsPerWarm, maxWarm) }

func (p *pool) demand(b branch) int {
	if d := p.demands[b]; d != nil {
		return len(d.starts)
	}
	return 0
}

// branches are those that are in demand or have something waiting, the most wanted first. The lock is held.
func (p *pool) branches() (all []branch) {
	for b := range p.demands {
		all = append(all, b)
	}
	for _, w := range p.warm {
		if !slices.Contains(all, w.branch) {
			all = append(all, w.branch)
		}
	}
	slices.SortFunc(all, func(a, b branch) int {
		return cmp.Or(cmp.Compare(p.demand(b), p.demand(a)), cmp.Compare(a.repo, b.repo), cmp.Compare(a.base, b.base))
	})
	return all
}

// schedule has the pool looked after in a while, if there is anything to look after. The lock is held.
func (p *pool) schedule() {
	if p.stop != nil || !p.open || len(p.warm) == 0 && len(p.demands) == 0 {
		return
	}
	p.stop = p.m.c.Clock.AfterFunc(poolInterval, func() {
		p.mu.Lock()
		p.stop = nil
		p.mu.Unlock()
		if !p.m.stopping() {
			p.rebalance()
		}
	})
}
