package sandbox

import (
	"sync"

	"openinspect/session"
)

// A batch is what is committed at once; it is also how far reading may run ahead of the commits.
const (
	batchEvents = 500
	batchBytes  = 256 << 10
)

// intake is what was read of a journal and is not committed yet. Its owner reads, decodes and redacts; a goroutine that lives while there is
// something to pass on commits beside it. What comes during a commit is the next batch, and a session that takes its time slows its
// runner down.
type intake struct {
	pass func([]told) error // hands a batch to the session; called by one goroutine at a time
	stop func()             // ends the reading, once pass has failed

	mu      sync.Mutex
	moved   sync.Cond // passing has changed, or there is room again
	next    []told
	events  int
	size    int
	passing bool
	err     error // pass's; nothing is taken any more
}

// told is one thing a runner told: an event with its number, or a delta.
type told struct {
	n     int64
	event *session.Event
	delta *session.Delta
}

func newIntake(pass func([]told) error, stop func()) *intake {
	i := &intake{pass: pass, stop: stop}
	i.moved.L = &i.mu
	return i
}

// put adds one thing of some size; it waits while there is a whole batch already. Nothing needs to be passed on before start. The error is pass's.
func (i *intake) put(t told, size int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.err == nil && (i.events >= batchEvents || i.size > 0 && i.size+size > batchBytes) {
		i.begin()
		i.moved.Wait()
	}
	if i.err != nil {
		return i.err
	}
	i.next = append(i.next, t)
	i.size += size
	if t.delta == nil {
		i.events++
	}
	return nil
}

// start has what was put passed on: its owner has nothing more to put just now.
func (i *intake) start() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.begin()
}

// begin is start with the lock held.
func (i *intake) begin() {
	if !i.passing && len(i.next) > 0 && i.err == nil {
		i.passing = true
		go i.drain()
	}
}

// drain passes on what there is until there is nothing more.
func (i *intake) drain() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.next) > 0 && i.err == nil {
		batch := i.next
		i.next, i.events, i.size = nil, 0, 0
		i.moved.Broadcast()
		i.mu.Unlock()
		err := i.pass(batch)
		i.mu.Lock()
		if err != nil {
			i.err = err
			i.stop()
		}
	}
	i.passing = false
	i.moved.Broadcast()
}

// finish waits until everything that was put is passed on, or pass has failed.
func (i *intake) finish() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.begin()
	for i.passing {
		i.moved.Wait()
	}
	return i.err
}
