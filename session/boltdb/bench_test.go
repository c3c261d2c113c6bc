package boltdb

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/boltdb/boltdbtest"
	"openinspect/session/sessiontest"
)

// BenchmarkAppend commits events of 1 KiB, one goroutine per session, and then makes the same transactions with a bare bbolt writer. ratio is
// the store's share of that writer's speed, in this one run; events are counted, not commits.
func BenchmarkAppend(b *testing.B) {
	for _, sessions := range []int{1, 10, 50} {
		for _, batch := range []int{1, 20} {
			b.Run(fmt.Sprintf("sessions=%d/batch=%d", sessions, batch), func(b *testing.B) { benchmarkAppend(b, sessions, batch) })
		}
	}
}

func benchmarkAppend(b *testing.B, sessions, batch int) {
	store := &boltdbtest.Recorder{}
	db, err := Open(file(b), Options{MasterKey: testKey, Witness: store.Witness})
	if err != nil {
		b.Fatal(err)
	}
	store.Store = db
	bare, err := boltdbtest.Open(b.TempDir()+"/bare.db", mapSize)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Close(); _ = db.Close() })
	event := session.Event{At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Part: "p"}}
	body, err := encode(event)
	if err != nil {
		b.Fatal(err)
	}
	event.Text.Text = strings.Repeat("x", 1024-len(body))
	if body, err = encode(event); err != nil {
		b.Fatal(err)
	}
	commits := max(1, b.N/batch/sessions)
	b.ResetTimer()
	ours := race(sessions, func(n int) {
		ss := newSession(n)
		for range commits {
			r := session.Ready{Events: make([]session.Event, batch)}
			for i := range r.Events {
				ss.Seq++
				r.Events[i] = event
				r.Events[i].Seq = ss.Seq
			}
			r.Record.Session = ss
			if err := store.Commit(b.Context(), r); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	begin := time.Now()
	for _, txn := range store.Recorded() {
		if err := bare.Append(txn, body); err != nil {
			b.Fatal(err)
		}
	}
	theirs := time.Since(begin)
	events := float64(commits * batch * sessions)
	b.ReportMetric(events/ours.Seconds(), "events/s")
	b.ReportMetric(events/theirs.Seconds(), "bare-events/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}

// race runs f in n goroutines and returns how long all of them took.
func race(n int, f func(n int)) time.Duration {
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
	return time.Since(begin)
}

// BenchmarkEvents reads a log of 10,000 events of 1 KiB as a new reader does, in pages.
func BenchmarkEvents(b *testing.B) {
	db := open(b, file(b), nil)
	ss := newSession(1)
	text := strings.Repeat("x", 900)
	for range 10 {
		var r session.Ready
		for range 1000 {
			ss.Seq++
			r.Events = append(r.Events, session.Event{Seq: ss.Seq, At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Text: text}})
		}
		r.Record.Session = ss
		if err := db.Commit(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for after := int64(0); after < ss.Seq; {
			events, err := db.Events(b.Context(), ss.ID, after, 500)
			if err != nil || len(events) == 0 {
				b.Fatal(len(events), err)
			}
			after = events[len(events)-1].Seq
		}
	}
}
