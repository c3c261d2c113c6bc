package boltdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
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
	if _, err := db.VerifyAudit(ctx); err != nil {
		t.Error(err)
	}
	if log, err := db.AuditLog(ctx, session.AuditQuery{}); err != nil || len(log) != writers*commits {
		t.Errorf("%d audit records, %v; want %d", len(log), err, writers*commits)
	}
	if fresh.Load() != commits {
		t.Errorf("%d events were fresh, want %d", fresh.Load(), commits)
	}
	if inbox, err := db.Inbox(ctx); err != nil || len(inbox) != commits {
		t.Errorf("%d events in the inbox, %v; want %d", len(inbox), err, commits)
	}
}

// TestCommitsLeaveTheDraftAlone: a session whose pull request will say 110 kilobytes is written no more for it with each commit.
func TestCommitsLeaveTheDraftAlone(t *testing.T) {
	db := open(t, file(t), nil)
	written := func(draft *session.Draft, ss *session.Session) int64 {
		t.Helper()
		before := db.bolt.Stats()
		r := step(ss, 1)
		r.Record.Draft = draft
		if err := db.Commit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		after := db.bolt.Stats()
		return after.TxStats.GetPageAlloc() - before.TxStats.GetPageAlloc()
	}
	long := &session.Draft{Proposal: &session.Proposal{Title: "t", Body: strings.Repeat("x", 60<<10)}}
	for range 50 {
		long.Asked = append(long.Asked, session.Asking{By: sessiontest.Ada, Text: strings.Repeat("x", 1_000)})
	}
	plain, drafted := newSession(1), newSession(2)
	written(nil, &plain)
	if n := written(long, &drafted); n < 110<<10 {
		t.Fatalf("a commit with the draft allocated %d bytes", n)
	}
	for range 20 {
		// the free list and how the two logs' pages are split make some difference
		if a, b := written(nil, &plain), written(nil, &drafted); b > a+32<<10 {
			t.Fatalf("a commit allocated %d bytes with a draft beside it, %d without", b, a)
		}
	}
}

// TestRetentionTakesTheDraft: nothing of what people asked for is left with a session's tombstone.
func TestRetentionTakesTheDraft(t *testing.T) {
	clock := &sessiontest.Clock{}
	db := open(t, file(t), clock)
	ss := newSession(1)
	if err := db.Commit(t.Context(), session.Ready{Record: session.Record{Session: ss, Draft: &session.Draft{Proposal: &session.Proposal{Title: "t"}}}}); err != nil {
		t.Fatal(err)
	}
	drafts := func() (n int) {
		t.Helper()
		err := db.view(t.Context(), func(tx *bbolt.Tx) error { n = len(keysOf(tx.Bucket(bDrafts))); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := drafts(); n != 1 {
		t.Fatalf("%d drafts, want 1", n)
	}
	clock.Advance(48 * time.Hour)
	if ids, err := db.Retire(t.Context(), 1); err != nil || len(ids) != 1 {
		t.Fatalf("removed %v, %v", ids, err)
	}
	if n := drafts(); n != 0 {
		t.Errorf("%d drafts are left", n)
	}
}
