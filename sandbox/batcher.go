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

// batcher takes what is read of a journal and commits it in batches. Its owner reads, decodes and redacts; beside it a goroutine, which lives while there
// is something to commit, hands on one batch after another. What comes during a commit is the next batch, and a session that takes its time slows its
// runner down.
type batcher struct {
	commit func([]received) error // hands a batch to the session; called by one goroutine at a time
	stop   func()                 // ends the reading, once commit has failed

	mu         sync.Mutex
	changed    sync.Cond // committing has changed, or there is room again
	pending    []received
	events     int // in pending
	size       int // of pending, in bytes
	committing bool
	err        error // commit's; nothing is taken any more
}

// received is one thing that a runner told: an event with its number, or a delta.
type received struct {
	n     int64
	event *session.Event
	delta *session.Delta
}

func newBatcher(commit func([]received) error, stop func()) *batcher {
	b := &batcher{commit: commit, stop: stop}
	b.changed.L = &b.mu
	return b
}

// put adds one thing of a size in bytes; it waits while a whole batch is pending already. Nothing need be committed before flush. The error is commit's.
func (b *batcher) put(r received, size int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.err == nil && (b.events >= batchEvents || b.size > 0 && b.size+size > batchBytes) {
		b.startCommits()
		b.changed.Wait()
	}
	if b.err != nil {
		return b.err
	}
	b.pending = append(b.pending, r)
	b.size += size
	if r.delta == nil {
		b.events++
	}
	return nil
}

// flush has what was put committed, without waiting for it: the owner has nothing more to put just now.
func (b *batcher) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.startCommits()
}

// startCommits starts the goroutine if there is work for it. The lock is held.
func (b *batcher) startCommits() {
	if !b.committing && len(b.pending) > 0 && b.err == nil {
		b.committing = true
		go b.commitAll()
	}
}

// commitAll commits what is pending until there is nothing more.
func (b *batcher) commitAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.pending) > 0 && b.err == nil {
		batch := b.pending
		b.pending, b.events, b.size = nil, 0, 0
		b.changed.Broadcast()
		b.mu.Unlock()
		err := b.commit(batch)
		b.mu.Lock()
		if err != nil {
			b.err = err
			b.stop()
		}
	}
	b.committing = false
	b.changed.Broadcast()
}

// wait waits until everything that was put is committed, or commit has failed, whose error it returns.
func (b *batcher) wait() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.startCommits()
	for b.committing {
		b.changed.Wait()
	}
	return b.err
}
