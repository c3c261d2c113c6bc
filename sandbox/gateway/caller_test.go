package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/sessiontest"
)

// gone is a caller who has left by the time that something is written.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// An answer that is no stream tells what it cost at its end. It is counted as told, whenever the caller leaves.
func TestWholeAnswerIsCountedWithoutItsCaller(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"type":"message","content":[{"type":"text","text":"`+strings.Repeat("long ", 100_000)+`"}],"usage":{"input_tokens":10,"output_tokens":125000}}`)
	}))
	defer provider.Close()
	g, err := New(Config{Providers: map[string]Provider{model.Anthropic: {BaseURL: provider.URL}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, calls: make(chan session.ModelCall, 1)}
	body, err := json.Marshal(anthropic(bareName(t, model.Anthropic), false))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the caller's end was not noticed")
			}
		}()
		g.Handler("abcdefghij", r.send).ServeHTTP(gone{httptest.NewRecorder()}, httptest.NewRequest("POST", "/model/anthropic/v1/messages", bytes.NewReader(body)))
	}()
	if call := <-r.calls; call.Estimate || call.Usage != (session.Usage{Input: 10, Output: 125000}) {
		t.Errorf("%+v", call)
	}
}

// A caller who has an answer and leaves before its last line, which tells what it cost, pays what it cost: the provider is listened to for a moment
// longer, and no longer.
func TestCallerLeavesBeforeTheEnd(t *testing.T) {
	for name, end := range map[string]bool{"which comes": true, "which does not come": false} {
		t.Run(name, func(t *testing.T) {
			left, upstream := make(chan struct{}), make(chan struct{})
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(upstream)
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"The answer.\"}\n\n")
				_ = http.NewResponseController(w).Flush()
				<-left
				if end {
					_, _ = io.WriteString(w, "data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":5000}}}\n\n")
					return
				}
				<-r.Context().Done()
			}))
			defer provider.Close()
			clock := &sessiontest.Clock{}
			g, err := New(Config{Clock: clock, Providers: map[string]Provider{model.OpenAI: {BaseURL: provider.URL}}})
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{t: t, calls: make(chan session.ModelCall, 1)}
			handler := g.Handler("abcdefghij", r.send)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				context.AfterFunc(q.Context(), func() { close(left) })
				handler.ServeHTTP(w, q)
			}))
			defer server.Close()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/model/openai/v1/responses", strings.NewReader(`{"model":"`+bareName(t, model.OpenAI).Name+`","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, 20)); err != nil {
				t.Fatal(err)
			}
			leave()
			for waits := !end; waits; {
				select {
				case <-upstream:
					waits = false
				default:
					clock.Advance(lastWords)
					runtime.Gosched()
				}
			}
			call := <-r.calls
			if want := (session.Usage{Input: 10, Output: 5000}); end && (call.Estimate || call.Usage != want) || !end && (!call.Estimate || call.Usage.Output == 0) {
				t.Errorf("%+v", call)
			}
		})
	}
}

// An answer that comes whole, at its end, has been written when its caller leaves before: what it can have cost by then counts.
func TestGivenUpWhileItIsWritten(t *testing.T) {
	m := bareName(t, model.Anthropic)
	for name, c := range map[string]struct {
		options string
		waits   time.Duration
		want    int64
	}{
		"whole":          {`"max_tokens":100000`, time.Minute, 3000},
		"as was allowed": {`"max_tokens":500`, time.Minute, 500},
		"without limit":  {`"max_tokens":0`, 24 * time.Hour, int64(m.Output)},
		"streamed":       {`"max_tokens":100000,"stream":true`, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &sessiontest.Clock{}
			g, err := New(Config{Clock: clock, Providers: map[string]Provider{model.Anthropic: {"http://127.0.0.1:1", "key"}}})
			if err != nil {
				t.Fatal(err)
			}
			call := &call{g: g, model: m, estimate: estimate(m, 4000)}
			got := call.unheard([]byte(`{"model":"x",`+c.options+`}`), c.waits)
			if got.Usage.Output != c.want || got.Usage.Input != call.estimate.Usage.Input || !got.Estimate || got.Cost != m.Cost(model.Usage(got.Usage)) || got.Cost <= 0 {
				t.Errorf("%+v, want %d tokens of output", got, c.want)
			}
		})
	}
}
