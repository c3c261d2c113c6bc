package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"openinspect/session/model"
	"openinspect/session/model/modeltest"
	"openinspect/session/sessiontest"
)

// A provider that falls silent must not hold a turn for ever: the agent takes a call under way for progress.
func TestSilentProvider(t *testing.T) {
	// call makes a call through a gateway with a clock of its own.
	call := func(t *testing.T, script string) (*rig, *sessiontest.Clock, func() (*http.Response, error)) {
		r, clock := newRig(t, script), &sessiontest.Clock{}
		g, err := New(Config{Clock: clock, Providers: map[string]Provider{model.Anthropic: {r.provider.URL(), modeltest.AnthropicKey}}})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(g.Handler("abcdefghij", r.send))
		t.Cleanup(server.Close)
		body, err := json.Marshal(anthropic(bareName(t, model.Anthropic), true))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/model/anthropic/v1/messages", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Anthropic-Version", "2023-06-01")
		return r, clock, func() (*http.Response, error) { return http.DefaultClient.Do(req) }
	}
	t.Run("before its answer", func(t *testing.T) {
		r, clock, do := call(t, "script s\nmatch hello\ngate start\nsay Hello.\n")
		go func() {
			<-r.provider.Waiting("start")
			clock.Advance(silence)
		}()
		resp, err := do()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(text), "did not answer for 10 minutes") {
			t.Errorf("%d %s %v", resp.StatusCode, text, err)
		}
	})
	// An answer that has not begun is refused in words, whether its head came or not: one that breaks off says nothing.
	for name, c := range map[string]struct {
		fault  modeltest.Fault
		status int
		words  string
	}{
		"after its head":        {modeltest.Fault{Stall: true}, http.StatusGatewayTimeout, "did not answer for 10 minutes"},
		"broken after its head": {modeltest.Fault{CutAtStart: true}, http.StatusBadGateway, "broke its answer off before it began"},
		"broken before it":      {modeltest.Fault{Drop: true}, http.StatusBadGateway, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			r, clock, do := call(t, "script s\nmatch hello\nsay Hello.\n")
			r.provider.Fail(c.fault)
			if c.fault.Stall {
				go func() {
					if r.provider.Wait(t.Context(), func(all []modeltest.Request) bool { return len(all) == 1 && all[0].Status == http.StatusOK }) == nil {
						clock.Advance(silence)
					}
				}()
			}
			resp, err := do()
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(string(text), c.words) {
				t.Errorf("%d %s %v", resp.StatusCode, text, err)
			}
			if told := <-r.calls; !told.Estimate || told.Usage.Input == 0 {
				t.Errorf("it was counted as %+v", told)
			}
		})
	}
	t.Run("in its answer", func(t *testing.T) {
		r, clock, do := call(t, "script s\nmatch hello\nsay Hello.\ngate middle\nsay You.\n")
		resp, err := do()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for line := ""; !strings.Contains(line, "Hello."); {
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(silence)
		if rest, err := io.ReadAll(lines); err == nil {
			t.Errorf("the break was hidden: %s", rest)
		}
		if c := <-r.calls; !c.Estimate {
			t.Errorf("%+v", c)
		}
	})
}
