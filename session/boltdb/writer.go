package boltdb

import (
	"context"
	"slices"

	"go.etcd.io/bbolt"
)

// maxBatch bounds how many writes share a transaction.
const maxBatch = 4096

// write is one caller's part of a transaction. run may be called more than once, each time on a transaction without its effects.
type write struct {
	ctx  context.Context
	run  func(tx *bbolt.Tx) error
	err  error
	done chan struct{}
}

// update runs a write and returns when it is durable or undone. The context can keep it from starting; from then on its
// outcome is awaited, so that an error always means that nothing was stored.
func (db *DB) update(ctx context.Context, run func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{ctx: ctx, run: run, done: make(chan struct{})}
	select {
	case db.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	case <-db.stop:
		return errClosed
	}
	<-w.done
	return w.err
}

// write is the one goroutine that writes.
func (db *DB) write() {
	defer close(db.ended)
	var batch []*write
	for {
		select {
		case <-db.stop:
			return
		case w := <-db.queue:
			batch = append(batch[:0], w)
		}
	drain:
		for len(batch) < maxBatch {
			select {
			case w := <-db.queue:
				batch = append(batch, w)
			default:
				break drain
			}
		}
		db.commit(batch)
	}
}

// commit makes the batch one transaction. bbolt cannot undo a part of one, so when a write is refused the transaction is given up
// and the others run again without it.
func (db *DB) commit(batch []*write) {
	for len(batch) > 0 {
		refused, id := -1, 0
		err := db.apply(func(tx *bbolt.Tx) error {
			id = tx.ID()
			for i, w := range batch {
				err := w.ctx.Err()
				if err == nil {
					err = w.run(tx)
				}
				if err != nil {
					refused = i
					return err
				}
			}
			db.witness(db.commits+1, false)
			return nil
		})
		if refused < 0 {
			err = db.settle(id, err)
			if err == nil {
				db.commits++
				db.witness(db.commits, true)
			}
			for _, w := range batch {
				w.err = err
				close(w.done)
			}
			return
		}
		batch[refused].err = err
		close(batch[refused].done)
		batch = slices.Delete(batch, refused, refused+1)
	}
}
