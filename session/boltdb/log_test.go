package boltdb

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestRuns: what is committed at once lies together, blobs apart, and is read from any place as if each event lay alone.
func TestRuns(t *testing.T) {
	db := open(t, file(t), nil)
	ss := newSession(1)
	var sizes []int
	for _, commit := range [][]int{
		{100}, {0, 100, 1_000}, repeated(1_000, 40), {maxRun, maxRun - 200, 1}, {10, maxInline + 1, 10, 10}, {20_000, 20_000}, {100}, repeated(3, 500),
	} {
		var r session.Ready
		for _, size := range commit {
			ss.Seq++
			sizes = append(sizes, size)
			r.Events = append(r.Events, session.Event{
				Seq: ss.Seq, At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Part: fmt.Sprint(ss.Seq), Text: strings.Repeat("\n", size/2)},
			})
		}
		r.Record.Session = ss
		if err := db.Commit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	last := int64(len(sizes))
	for after := int64(-1); after <= last+1; after++ {
		for _, limit := range []int{1, 7, len(sizes)} {
			events, err := db.Events(t.Context(), ss.ID, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if want := max(0, min(int64(limit), last-max(after, 0))); int64(len(events)) != want {
				t.Fatalf("%d events after %d of at most %d, want %d", len(events), after, limit, want)
			}
			for i, e := range events {
				want := max(after, 0) + int64(i) + 1
				if e.Seq != want || e.Text.Part != fmt.Sprint(want) || len(e.Text.Text) != sizes[want-1]/2 {
					t.Fatalf("after %d comes event %d, part %s, of %d bytes; want event %d of %d", after, e.Seq, e.Text.Part, len(e.Text.Text), want, sizes[want-1]/2)
				}
			}
		}
	}
	keys := 0
	err := db.view(t.Context(), func(tx *bbolt.Tx) error {
		log := tx.Bucket(bSessions).Bucket([]byte(ss.ID)).Bucket(bEvents)
		if n := newest(log); n != uint64(last) {
			t.Errorf("the newest event is %d, want %d", n, last)
		}
		keys = log.Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// one, one, four of 15 at most (as stored, a line's end is two bytes), three, three with the blob's, two, one, and 43 KB of small ones
	if want := 1 + 1 + 3 + 3 + 3 + 2 + 1 + 3; keys > want {
		t.Errorf("%d events take %d values, want at most %d", last, keys, want)
	}
}

func repeated(size, n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}
