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
	likelyFor  = 5 * time.Minute  // somebody who seemed about to ask for a sandbox may still do so
	warmAge    = 30 * time.Minute // a sandbox may wait; then a younger one, with what setup.sh installs by now, takes its place
	wantedFor  = 30 * time.Minute // a start counts as demand
	wantedEach = 3                // starts keep one warm
	warmBerths = 2                // of one branch at most
	warmPause  = 10 * time.Minute // none is made where one failed
	poolEvery  = time.Minute
)

// Pool keeps sandboxes warm: booted as far as their agents, and nobody's, until a session takes one. Some are made because somebody is likely to
// ask, and end soon if they do not; others stay while their branch is in demand. They never take the room of sessions.
type pool struct {
	m    *Manager
	most int                                // how many may wait
	free func(context.Context) (int, error) // how many may live beside the sandboxes of sessions
	kept sync.WaitGroup                     // goroutines that keep one, or end one
	warm map[session.ID]*waiting            // what may be taken
	hand map[session.ID]bool                // what is the pool's to end: what may be taken, is being made, handed over or ended
	want map[berth]*demand
	bars map[berth]time.Time // where none is made, until when
	stop func() bool         // the timer of the next look; nil: there is none
	open bool                // what waited when the bot started is known

	shutting sync.Mutex // of shut
	shut     bool       // nothing more begins

	deciding sync.Mutex // held by whoever makes some or lets some end
	mu       sync.Mutex // of the maps, and of what waits
}

// berth is what a sandbox can wait for. GitHub's names do not know case.
type berth struct{ repo, base string }

func berthOf(r session.Repo, base string) berth { return berth{strings.ToLower(r.String()), base} }

// demand is what sessions asked for.
type demand struct {
	repo  session.Repo
	base  string
	asked map[string]time.Time // by start id, of the last while
}

// waiting is one of the pool's.
type waiting struct {
	spare  session.Spare
	berth  berth
	likely time.Time          // until when somebody is likely to want it
	cancel context.CancelFunc // ends keeping it
	up     chan struct{}      // closed when tended is known
	done   chan struct{}      // closed when it is kept no longer
	gone   chan struct{}      // closed when it has been ended
	tended *tended            // nil: it was not made
	ready  bool
}

func newPool(m *Manager) *pool {
	p := &pool{m: m, most: m.c.Warm, free: m.c.Free, warm: map[session.ID]*waiting{}, hand: map[session.ID]bool{}, want: map[berth]*demand{}, bars: map[berth]time.Time{}}
	if p.free == nil {
		p.free = func(context.Context) (int, error) { return p.most, nil }
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
	p.open = p.most > 0
	for _, sp := range all {
		switch {
		case sp.Kind != session.SpareWarm || sp.Taken():
		case !p.open || sp.Handle == (session.Handle{}) || now.Sub(sp.At) >= warmAge:
			p.spawn(func() { p.discard(sp) })
		default:
			p.add(sp, sp.At.Add(likelyFor), func(context.Context) (*tended, error) { return m.tend(sp) })
		}
	}
	p.arm()
	return nil
}

// Warm is told that somebody will probably want a sandbox soon, for a repository from a branch. It returns at once.
func (m *Manager) Warm(r session.Repo, base string) {
	p := m.pool
	if p.most == 0 {
		return
	}
	p.spawn(func() {
		p.deciding.Lock()
		defer p.deciding.Unlock()
		room := p.room(m.ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		now := m.c.Clock.Now()
		b := berthOf(r, base)
		if all := p.of(b); len(all) > 0 {
			all[0].likely = now.Add(likelyFor)
			return
		}
		if len(p.warm) < room {
			p.make(r, base, now.Add(likelyFor))
			p.arm()
		}
	})
}

// spawn has something go on in the pool, unless that is closed.
func (p *pool) spawn(f func()) {
	p.shutting.Lock()
	defer p.shutting.Unlock()
	if !p.shut {
		p.kept.Go(f)
	}
}

// close returns when nothing goes on in the pool any more, or ctx has ended. What waits lives on.
func (p *pool) close(ctx context.Context) {
	p.mu.Lock()
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.shutting.Lock()
	p.shut = true
	p.shutting.Unlock()
	done := make(chan struct{})
	go func() { p.kept.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// room is how many may wait now.
func (p *pool) room(ctx context.Context) int {
	if p.most == 0 || p.m.stopping() || !p.m.breaker.closed() {
		return 0
	}
	n, err := p.free(ctx)
	if err != nil {
		p.m.c.Report("", "room for warm sandboxes", err)
		return 0
	}
	return min(n, p.most)
}

// of returns what waits for a berth, the best first: what is ready, and of that what has waited longest. The lock is held.
func (p *pool) of(b berth) (all []*waiting) {
	for _, w := range p.warm {
		if w.berth == b {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, better)
	return all
}

func better(a, b *waiting) int {
	if a.ready != b.ready {
		if a.ready {
			return -1
		}
		return 1
	}
	return cmp.Or(a.spare.At.Compare(b.spare.At), cmp.Compare(a.spare.ID, b.spare.ID))
}

// look ends what waits in vain and makes what is in demand.
func (p *pool) look() {
	p.deciding.Lock()
	defer p.deciding.Unlock()
	room := p.room(p.m.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.m.c.Clock.Now()
	p.forget(now)
	for _, b := range p.berths() {
		for i, w := range p.of(b) {
			vain := !now.Before(w.likely) && i >= p.wanted(b)
			if vain || now.Sub(w.spare.At) >= warmAge || !w.fit(now) {
				p.letEnd(w)
			}
		}
	}
	p.shrink(room)
	for _, b := range p.berths() {
		for n := len(p.of(b)); n < p.wanted(b) && len(p.warm) < room; n++ {
			p.make(p.want[b].repo, b.base, now)
		}
	}
	p.arm()
}

// shrink lets the least useful end until there are no more than room. The lock is held.
func (p *pool) shrink(room int) (ending []*waiting) {
	var all []*waiting
	for _, w := range p.warm {
		all = append(all, w)
	}
	slices.SortFunc(all, better)
	for len(all) > room {
		w := all[len(all)-1]
		all = all[:len(all)-1]
		p.letEnd(w)
		ending = append(ending, w)
	}
	return ending
}

// letEnd ends one in the background. The lock is held.
func (p *pool) letEnd(w *waiting) {
	delete(p.warm, w.spare.ID)
	p.spawn(func() { p.end(w) })
}

// fit reports whether a session that takes it has at least half of its lifetime.
func (w *waiting) fit(now time.Time) bool {
	sp := w.spare
	return sp.Ends.IsZero() || sp.Ends.Sub(now) >= sp.Ends.Sub(sp.At)/2
}

// forget drops what says nothing any more. The lock is held.
func (p *pool) forget(now time.Time) {
	for b, d := range p.want {
		maps.DeleteFunc(d.asked, func(_ string, at time.Time) bool { return now.Sub(at) >= wantedFor })
		if len(d.asked) == 0 {
			delete(p.want, b)
		}
	}
	for b, until := range p.bars {
		if !now.Before(until) {
			delete(p.bars, b)
		}
	}
}

// wanted is how many are to wait for a berth. The lock is held.
func (p *pool) wanted(b berth) int { return min(p.demand(b)/wantedEach, warmBerths) }

func (p *pool) demand(b berth) int {
	if d := p.want[b]; d != nil {
		return len(d.asked)
	}
	return 0
}

// berths are those that are in demand or have something waiting, the most wanted first. The lock is held.
func (p *pool) berths() (all []berth) {
	for b := range p.want {
		all = append(all, b)
	}
	for _, w := range p.warm {
		if !slices.Contains(all, w.berth) {
			all = append(all, w.berth)
		}
	}
	slices.SortFunc(all, func(a, b berth) int {
		return cmp.Or(cmp.Compare(p.demand(b), p.demand(a)), cmp.Compare(a.repo, b.repo), cmp.Compare(a.base, b.base))
	})
	return all
}

// arm has the pool looked after in a while, if there is anything to look after. The lock is held.
func (p *pool) arm() {
	if p.stop != nil || !p.open || len(p.warm) == 0 && len(p.want) == 0 {
		return
	}
	p.stop = p.m.c.Clock.AfterFunc(poolEvery, func() {
		p.mu.Lock()
		p.stop = nil
		p.mu.Unlock()
		if !p.m.stopping() {
			p.look()
		}
	})
}
