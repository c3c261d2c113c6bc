package boltdbtest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"openinspect/session"
)

// Recorder is a store that remembers its transactions: how many events of which session each had.
type Recorder struct {
	session.Store
	commits atomic.Uint64 // durable so far

	mu   sync.Mutex
	txns map[uint64]map[session.ID]int
}

// Witness counts transactions: it is boltdb.Options.Witness. Whoever waits for one learns of it later.
func (r *Recorder) Witness(n uint64, durable bool) {
	if durable {
		r.commits.Store(n)
	}
}

// Commit implements session.Store.
func (r *Recorder) Commit(ctx context.Context, ready session.Ready) error {
	err := r.Store.Commit(ctx, ready)
	if n := len(ready.Events); n > 0 {
		txn := r.commits.Load() // as a rule the one that it was in; the next one, if this goroutine was late
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.txns == nil {
			r.txns = map[uint64]map[session.ID]int{}
		}
		if r.txns[txn] == nil {
			r.txns[txn] = map[session.ID]int{}
		}
		r.txns[txn][ready.Record.Session.ID] += n
	}
	return err
}

// Recorded returns the transactions since the last call, in order.
func (r *Recorder) Recorded() []map[session.ID]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []map[session.ID]int
	for _, n := range slices.Sorted(maps.Keys(r.txns)) {
		all = append(all, r.txns[n])
	}
	r.txns = nil
	return all
}
