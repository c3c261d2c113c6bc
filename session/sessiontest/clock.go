package sessiontest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"openinspect/session"
)

// Clock is a session.Clock that moves when told. The zero Clock shows Epoch.
type Clock struct {
	mu     sync.Mutex
	now    time.Duration // since Epoch
	set    uint64        // timers set so far
	timers []*timer      // by time, then in the order they were set
	armed  chan struct{} // closed when a timer is set; nil while nobody waits for that
}

type timer struct {
	at time.Duration
	n  uint64
	f  func()
}

var _ session.Clock = (*Clock)(nil)

// Now returns the time the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Epoch.Add(c.now)
}

// AfterFunc runs f in its own goroutine when Advance has moved the clock on by d: at once if d is not positive.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set++
	t := &timer{at: c.now + d, n: c.set, f: f}
	c.timers = append(c.timers, t)
	slices.SortFunc(c.timers, func(a, b *timer) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n)) })
	if c.armed != nil {
		close(c.armed)
		c.armed = nil
	}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.timers, t)
		if i < 0 {
			return false
		}
		c.timers = slices.Delete(c.timers, i, i+1)
		return true
	}
}

// Advance moves the clock on by d. Timers that come due on the way run one after another, each at its time and to its end,
// those set meanwhile included; timers of one time run in the order they were set.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.now + d
	for len(c.timers) > 0 && c.timers[0].at <= end {
		t := c.timers[0]
		c.timers = c.timers[1:]
		c.now = max(c.now, t.at)
		c.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			t.f()
		}()
		<-done
		c.mu.Lock()
	}
	c.now = max(c.now, end)
}

// Next returns how far the nearest timer is away; false if none is set.
func (c *Clock) Next() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 {
		return 0, false
	}
	return c.timers[0].at - c.now, true
}

// Wait blocks until at least n timers are set.
func (c *Clock) Wait(n int) {
	for {
		c.mu.Lock()
		if len(c.timers) >= n {
			c.mu.Unlock()
			return
		}
		if c.armed == nil {
			c.armed = make(chan struct{})
		}
		armed := c.armed
		c.mu.Unlock()
		<-armed
	}
}
