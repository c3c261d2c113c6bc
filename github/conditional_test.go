package github

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// answers is a GitHub that has one answer for everything, under a tag.
type answers struct {
	tag, body, left string
	asked           []string // If-None-Match of each call
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.Header.Get("If-None-Match"))
	h := http.Header{"Etag": {a.tag}, "X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {a.left}}
	status, body := http.StatusOK, a.body
	if r.Header.Get("If-None-Match") == a.tag {
		status, body = http.StatusNotModified, ""
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestConditional: what is unchanged is had from memory, and marked; what is left of the hour's calls is known from either.
func TestConditional(t *testing.T) {
	g := &answers{tag: `"1"`, body: "one", left: "4000"}
	c := &conditional{next: g, known: map[string]remembered{}}
	get := func(want string, unchanged, low bool) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://github.test/pulls/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if got := resp.Header.Get(headerUnchanged) != ""; err != nil || string(body) != want || resp.StatusCode != http.StatusOK || got != unchanged || c.low() != low {
			t.Errorf("%d %q, unchanged %v, low %v, %v; want %q, %v, %v", resp.StatusCode, body, got, c.low(), err, want, unchanged, low)
		}
		if r.Header.Get("If-None-Match") != "" {
			t.Error("the caller's request was changed")
		}
	}
	get("one", false, false)
	g.left = "999"
	get("one", true, true)
	g.tag, g.body, g.left = `"2"`, "two", "1000"
	get("two", false, false)
	get("two", true, false)
	c.forget()
	get("two", false, false)
	if got := strings.Join(g.asked, " "); got != ` "1" "1" "2" ` {
		t.Errorf("the tags asked with are %q", got)
	}
}
