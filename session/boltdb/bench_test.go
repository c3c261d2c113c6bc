package boltdb

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// BenchmarkAppend commits events of 1 KiB, one goroutine per session, and puts the same bytes through the least bbolt writer there can be:
// one goroutine, one transaction for what is queued, no encoding, no record, no index. ratio is the store's share of that
// writer's speed, in this one run; events are counted, not commits.
func BenchmarkAppend(b *testing.B) {
	for _, sessions := range []int{1, 10, 50} {
		for _, batch := range []int{1, 20} {
			b.Run(fmt.Sprintf("sessions=%d/batch=%d", sessions, batch), func(b *testing.B) {
				db := open(b, file(b), nil)
				bare := newBare(b)
				event := session.Event{At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Part: "p"}}
				body, err := encode(event)
				if err != nil {
					b.Fatal(err)
				}
				event.Text.Text = strings.Repeat("x", 1024-len(body))
				if body, err = encode(event); err != nil {
					b.Fatal(err)
				}
				all := make([]session.Session, sessions)
				for n := range all {
					all[n] = newSession(n)
				}
				commits := max(1, b.N/batch/sessions)
				b.ResetTimer()
				ours := race(sessions, func(n int) {
					ss := &all[n]
					for range commits {
						r := session.Ready{Events: make([]session.Event, batch)}
						for i := range r.Events {
							ss.Seq++
							r.Events[i] = event
							r.Events[i].Seq = ss.Seq
						}
						r.Record.Session = *ss
						if err := db.Commit(b.Context(), r); err != nil {
							b.Error(err)
						}
					}
				})
				b.StopTimer()
				theirs := race(sessions, func(n int) {
					for i := range commits {
						bare.put(newSession(n).ID, i*batch, batch, body)
					}
				})
				events := float64(commits * batch * sessions)
				b.ReportMetric(events/ours.Seconds(), "events/s")
				b.ReportMetric(events/theirs.Seconds(), "bare-events/s")
				b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			})
		}
	}
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

// bare is the writer to compare with.
type bare struct {
	db    *bbolt.DB
	queue chan *puts
}

type puts struct {
	id          session.ID
	first, many int
	body        []byte
	done        chan struct{}
}

func newBare(b *testing.B) *bare {
	db, err := bbolt.Open(b.TempDir()+"/bare.db", 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapSize})
	if err != nil {
		b.Fatal(err)
	}
	w := &bare{db, make(chan *puts)}
	b.Cleanup(func() {
		close(w.queue)
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	go func() {
		for p := range w.queue {
			batch := []*puts{p}
			for more := true; more; {
				select {
				case p, ok := <-w.queue:
					if more = ok; ok {
						batch = append(batch, p)
					}
				default:
					more = false
				}
			}
			if err := db.Update(func(tx *bbolt.Tx) error { return writePuts(tx, batch) }); err != nil {
				b.Error(err)
			}
			for _, p := range batch {
				close(p.done)
			}
		}
	}()
	return w
}

func writePuts(tx *bbolt.Tx, batch []*puts) error {
	for _, p := range batch {
		bucket, err := tx.CreateBucketIfNotExists([]byte(p.id))
		if err != nil {
			return err
		}
		bucket.FillPercent = eventsFill
		for i := range p.many {
			if err := bucket.Put(number(uint64(p.first+i)), p.body); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *bare) put(id session.ID, first, many int, body []byte) {
	p := &puts{id, first, many, body, make(chan struct{})}
	w.queue <- p
	<-p.done
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
