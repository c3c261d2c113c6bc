package gateway

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
	"openinspect/session/sessiontest"
)

// A provider that falls silent must not hold a turn for ever: the agent takes a call under way for progress.
func TestSilentProvider(t *testing.T) {
	clock := &sessiontest.Clock{}
	for _, c := range []struct {
		name, script, gate string
		status             int
		cut                bool
	}{
		{"before its answer", "script s\nmatch hello\ngate start\nsay Hello.\n", "start", 504, false},
		{"in its answer", "script s\nmatch hello\nsay Hello.\ngate middle\nsay You.\n", "middle", 200, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.script)
			var err error
			if r.gateway, err = New(Config{Clock: clock, Providers: map[string]Provider{model.Anthropic: {r.provider.URL(), modeltest.AnthropicKey}}}); err != nil {
				t.Fatal(err)
			}
			h := r.gateway.Handler("abcdefghij", func(context.Context, session.ModelCall) {})
			r.server = httptest.NewServer(h)
			t.Cleanup(r.server.Close)
			done := make(chan struct{})
			go func() {
				defer close(done)
				resp, text, err := r.post("/model/anthropic/v1/messages", anthropic(bareName(t, model.Anthropic), true))
				if resp == nil || resp.StatusCode != c.status || (err != nil) != c.cut {
					t.Errorf("%v %s %v", resp, text, err)
				}
				if c.status == 504 && !strings.Contains(text, "did not answer for 10 minutes") {
					t.Error(text)
				}
			}()
			<-r.provider.Waiting(c.gate)
			clock.Wait(1)
			// Whatever was read a moment ago winds the clock up again, so it may take a second time.
			for over := false; !over; {
				clock.Advance(silence)
				select {
				case <-done:
					over = true
				default:
				}
			}
		})
	}
}

// An answer that broke off before it told anything still costs its input.
func TestEstimate(t *testing.T) {
	m := &meter{stream: true}
	m.take([]byte("data: {\"type\":\"response.output_text.delta\",\"delta\":\"twelve bytes\"}\n"))
	if u, whole := m.usage(4000); whole || u.Output != 3 || u.Input != 1000 {
		t.Errorf("%+v %v", u, whole)
	}
}
