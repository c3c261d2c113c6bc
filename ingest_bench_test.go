//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/boltdb/boltdbtest"
)

// BenchmarkIngest sends 5,000 events of 1 KiB through the whole pipeline, spread over the sessions, until each session's reader has its
// last; b.N is how often. Then a bare bbolt writer makes the same transactions of the same bytes.
//
//	ratio          our speed by the bare writer's; the goal is 0.5
//	cpu-µs/event   of all of it, the sending end included; the goal is 50 with one session
func BenchmarkIngest(b *testing.B) {
	for _, sessions := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) { benchmarkIngest(b, sessions, max(1000, 5000/sessions)) })
	}
}

func benchmarkIngest(b *testing.B, sessions, burst int) {
	p := newPipeline(b, sessions)
	bare, err := boltdbtest.Open(filepath.Join(b.TempDir(), "bare.db"), mapSize)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = bare.Close() })
	body, err := json.Marshal(toolEvent(p.prompts[0]))
	if err != nil {
		b.Fatal(err)
	}
	sent := int64(1) // the journal's first line is the boot's
	commits := 0
	var ours, theirs, used time.Duration
	p.store.Recorded()
	for range b.N {
		lines := make([][]string, sessions)
		for i := range lines {
			lines[i] = toolLines(p.prompts[i], sent+1, burst)
		}
		sent += int64(burst)
		feeds := p.feeds(b)
		before := cpu(b)
		ours += p.each(b, func(b *testing.B, i int) { p.burst(b, i, lines[i], feeds[i]) })
		used += cpu(b) - before
		txns := p.store.Recorded()
		commits += len(txns)
		begin := time.Now()
		for _, txn := range txns {
			if err := bare.Append(txn, body); err != nil {
				b.Fatal(err)
			}
		}
		theirs += time.Since(begin)
	}
	events := float64(b.N * sessions * burst)
	b.ReportMetric(events/ours.Seconds(), "events/s")
	b.ReportMetric(events/theirs.Seconds(), "bare-events/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(used.Seconds()*1e6/events, "cpu-µs/event")
	b.ReportMetric(events/float64(commits), "events/commit")
	b.ReportMetric(0, "ns/op") // an op is a whole burst
}

// feeds opens a reader of each session, at its newest event.
func (p *pipeline) feeds(b *testing.B) []*session.Feed {
	b.Helper()
	feeds := make([]*session.Feed, len(p.ids))
	for i, id := range p.ids {
		st, err := p.hub.Load(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if feeds[i], err = p.hub.Feed(b.Context(), id, st.Session.Seq); err != nil {
			b.Fatal(err)
		}
	}
	return feeds
}

// burst has a runner send lines and reads the session's feed until all of them are there.
func (p *pipeline) burst(b *testing.B, i int, lines []string, feed *session.Feed) {
	defer feed.Close()
	until := feed.Last() + int64(len(lines))
	p.runners[i].Raw(lines...)
	for feed.Last() < until {
		if _, err := feed.Next(b.Context()); err != nil {
			b.Error(err)
			return
		}
	}
}
