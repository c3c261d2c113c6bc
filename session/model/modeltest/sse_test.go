package modeltest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// start returns a running provider with scripts in text form.
func start(t *testing.T, scripts string, c Config) *Provider {
	t.Helper()
	if scripts != "" {
		s, err := Parse("scripts", scripts)
		if err != nil {
			t.Fatal(err)
		}
		c.Scripts = append(c.Scripts, s...)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// post sends a request in one of the three formats, with the right key.
func post(t *testing.T, ctx context.Context, p *Provider, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "POST", p.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", AnthropicKey)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("Authorization", "Bearer "+OpenAIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// sent is an event as it was received.
type sent struct {
	Name string
	Data string
}

func (s sent) get(t *testing.T, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s.Data), &v); err != nil {
		t.Fatalf("%s: %v", s.Data, err)
	}
	return dig(t, v, path...)
}

// dig walks into decoded JSON by keys and indexes; what is not there is nil.
func dig(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

// reader reads a stream of events one by one.
type reader struct{ *bufio.Reader }

func stream(r io.Reader) reader { return reader{bufio.NewReader(r)} }

func (r reader) next() (e sent, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, err
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "":
			return e, nil
		case strings.HasPrefix(line, "event: "):
			e.Name = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.Data += line[6:]
		}
	}
}

// all reads to the end, which must be an orderly one.
func (r reader) all(t *testing.T) []sent {
	t.Helper()
	var all []sent
	for {
		e, err := r.next()
		if err == io.EOF && e == (sent{}) {
			return all
		}
		if err != nil {
			t.Fatalf("after %d events: %v", len(all), err)
		}
		all = append(all, e)
	}
}

// kinds returns the types of events, runs of the same shown once.
func kinds(t *testing.T, all []sent) string {
	t.Helper()
	var k []string
	for _, e := range all {
		kind, _ := e.get(t, "type").(string)
		if kind != e.Name {
			t.Errorf("event %q has the type %q", e.Name, kind)
		}
		if len(k) == 0 || k[len(k)-1] != kind {
			k = append(k, kind)
		}
	}
	return strings.Join(k, " ")
}

// number reads a JSON number.
func number(v any) int64 {
	f, _ := v.(float64)
	return int64(f)
}
