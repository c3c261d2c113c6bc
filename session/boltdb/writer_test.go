package boltdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// TestOneRefusalIsOneCallers: writes share a transaction, and what one of them did before it was refused is undone alone.
func TestOneRefusalIsOneCallers(t *testing.T) {
	db := open(t, file(t), nil)
	no := errors.New("no")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var batch []*write
	for i := range 6 {
		w := &write{ctx: t.Context(), done: make(chan struct{}), run: func(tx *bbolt.Tx) error {
			if err := tx.Bucket(bChannels).Put(number(uint64(i)), nil); err != nil {
				return err
			}
			if i == 1 || i == 4 {
				return no
			}
			return nil
		}}
		if i == 2 {
			w.ctx = ended
		}
		batch = append(batch, w)
	}
	all := append([]*write(nil), batch...)
	db.commit(batch)
	want := []error{nil, no, context.Canceled, nil, no, nil}
	for i, w := range all {
		<-w.done
		if w.err != want[i] {
			t.Errorf("write %d ended with %v, want %v", i, w.err, want[i])
		}
		err := db.bolt.View(func(tx *bbolt.Tx) error {
			if kept := tx.Bucket(bChannels).Get(number(uint64(i))) != nil; kept != (want[i] == nil) {
				t.Errorf("write %d: kept is %v", i, kept)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestConcurrentWriters: many sessions commit while readers read, refusals in between, and everybody gets what is theirs.
func TestConcurrentWriters(t *testing.T) {
	const writers, commits = 8, 40
	path := file(t)
	db := open(t, path, nil)
	ctx := t.Context()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			ss := newSession(w)
			for i := range commits {
				if err := db.Commit(ctx, step(&ss, 3)); err != nil {
					t.Error(err)
					return
				}
				thief := newSession(1000 + w)
				thief.Thread = ss.Thread
				if err := db.Commit(ctx, session.Ready{Record: session.Record{Session: thief}}); session.CodeOf(err) != session.Conflict {
					t.Errorf("a second session for a thread: %v", err)
				}
				if err := db.Put(ctx, session.Message{Key: fmt.Sprint(w), Text: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
				if err := db.Audit(ctx, session.AuditRecord{Action: "approve"}); err != nil {
					t.Error(err)
				}
				events, err := db.Events(ctx, ss.ID, ss.Seq-3, 10)
				if err != nil || len(events) != 3 {
					t.Errorf("%d events are there after their commit (%v), want 3", len(events), err)
				}
			}
		})
	}
	// Of those who bring the same event, one brought it first.
	var fresh atomic.Int64
	for w := range writers {
		wg.Go(func() {
			for i := range commits {
				ok, err := db.Receive(ctx, session.Received{Key: fmt.Sprintf("%d/%d", i, w), Also: fmt.Sprint(i)})
				if err != nil {
					t.Error(err)
				}
				if ok {
					fresh.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, nil)
	for w := range writers {
		whole(t, db, newSession(w).ID, commits*3)
	}
	if err := db.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
	if log, err := db.AuditLog(ctx); err != nil || len(log) != writers*commits {
		t.Errorf("%d audit records, %v; want %d", len(log), err, writers*commits)
	}
	if fresh.Load() != commits {
		t.Errorf("%d events were fresh, want %d", fresh.Load(), commits)
	}
	if inbox, err := db.Inbox(ctx); err != nil || len(inbox) != commits {
		t.Errorf("%d events in the inbox, %v; want %d", len(inbox), err, commits)
	}
}
