package bot

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/session"
)

// BenchmarkAcknowledge is a busy workspace: 50 events a second for four seconds each time, most of them talk among people, one in fifty a mention.
// It prints how long Slack waits for an acknowledgement, which comes after what is ours is on the disk, and people for the first sign that
// they were heard. The goals are 100 ms and one second.
func BenchmarkAcknowledge(b *testing.B) {
	const each = 20 * time.Millisecond
	r := newRig(b, func(r *rig) { r.cfg.Clock = session.SystemClock{} })
	var mu sync.Mutex
	asked, signs := map[string]time.Time{}, map[string]time.Duration{}
	r.slack.OnChange(func(c slacktest.Change) {
		mu.Lock()
		defer mu.Unlock()
		ts := c.Message.TS
		if c.Message.User == r.slack.Bot().ID {
			ts = c.Message.ThreadTS
		} else if c.Kind != slacktest.Reacted {
			return
		}
		if at, ok := asked[ts]; ok && signs[ts] == 0 {
			signs[ts] = time.Since(at)
		}
	})
	tick := time.NewTicker(each)
	defer tick.Stop()
	for range b.N {
		for n := 0; n < int(4*time.Second/each); n++ {
			<-tick.C
			if n%50 != 0 {
				if _, err := r.slack.As("bob").Post("general", fmt.Sprintf("nothing for a bot %d", n)); err != nil {
					b.Fatal(err)
				}
				continue
			}
			mu.Lock()
			begun := time.Now()
			ts := r.mention("alice", "fix acme/web")
			asked[ts] = begun
			mu.Unlock()
			n++ // a mention is two events
			<-tick.C
		}
	}
	r.until("all to be acknowledged and answered", func(s *slacktest.Snapshot) bool {
		mu.Lock()
		defer mu.Unlock()
		return s.Unacked() == 0 && len(signs) == len(asked)
	})
	var acks, first []time.Duration
	for _, d := range r.slack.Snapshot().Deliveries() {
		acks = append(acks, d.Took)
	}
	for _, d := range signs {
		first = append(first, d)
	}
	ms := func(all []time.Duration, percent int) float64 {
		slices.Sort(all)
		return float64(all[min(len(all)-1, len(all)*percent/100)].Microseconds()) / 1_000
	}
	b.ReportMetric(ms(acks, 50), "ack-p50-ms")
	b.ReportMetric(ms(acks, 99), "ack-p99-ms")
	b.ReportMetric(ms(first, 95), "sign-p95-ms")
	b.ReportMetric(0, "ns/op")
}
