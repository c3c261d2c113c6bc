package sandbox_test

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// A start that has no more time to look for one leaves the rest to others: what it took out of the pool nobody would end.
func TestNoneIsTakenInVain(t *testing.T) {
	h := newHarbour(t, 2)
	h.demand(0, 6)
	h.passes(time.Minute)
	all := h.warm(2)
	h.boots(all...)
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	for _, s := range all {
		s.Answer("POST /claim", func(_ http.ResponseWriter, q *http.Request) { // it hangs until there is no time any more
			cancel()
			<-q.Context().Done()
		})
	}
	_, _ = h.Start(ctx, h.asks(10)) // what comes of it by itself is another matter
	eventually(h.bench, "the one that hangs is ended", func() bool { return len(h.waits()) == 1 })
	if n := h.Waiting(); n != 1 {
		t.Errorf("%d wait for the next session", n)
	}
	for _, s := range all {
		s.Answer("POST /claim", nil)
	}
	if got := h.starts(h.asks(11)); got.Start == h.asks(11).Start {
		t.Error("nobody has the other one")
	}
}
