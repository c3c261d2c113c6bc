package github

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answers is a GitHub that has one answer for everything, under a tag.
type answers struct {
	tag, body, left string
	modified, date  time.Time // zero: it has none
	deaf            bool      // to dates
	asked           []string  // the condition of each call
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	since := r.Header.Get("If-Modified-Since")
	a.asked = append(a.asked, r.Header.Get("If-None-Match")+since)
	h := http.Header{"Etag": {a.tag}, "X-Ratelimit-Limit": {"5000"}, "X-Ratelimit-Remaining": {a.left}}
	status, body := http.StatusOK, a.body
	if !a.date.IsZero() {
		h.Set("Date", a.date.Format(http.TimeFormat))
		h.Set("Last-Modified", a.modified.Format(http.TimeFormat))
	}
	if r.Header.Get("If-None-Match") == a.tag || since != "" && since == h.Get("Last-Modified") && !a.deaf {
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

// TestConditionalByDate: what has a date is asked for by it, once it is old enough to show a change; and no more where GitHub does not go by it.
func TestConditionalByDate(t *testing.T) {
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	g := &answers{tag: `"1"`, body: "one", left: "4000", modified: at, date: at.Add(30 * time.Second)}
	c := &conditional{next: g, known: map[string]remembered{}}
	get := func(want string, unchanged bool, asked string) {
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
		if got := resp.Header.Get(headerUnchanged) != ""; err != nil || string(body) != want || got != unchanged || g.asked[len(g.asked)-1] != asked {
			t.Errorf("%q, unchanged %v, asked with %q, %v; want %q, %v, %q", body, got, g.asked[len(g.asked)-1], err, want, unchanged, asked)
		}
	}
	first := at.Format(http.TimeFormat)
	get("one", false, "")
	g.date = at.Add(2 * time.Minute)
	get("one", true, `"1"`) // within its first minute
	g.tag, g.body = `"2"`, "one, beside a push"
	get("one", true, first)
	g.modified, g.body, g.tag = at.Add(3*time.Minute), "three", `"3"`
	g.date = g.modified.Add(time.Hour)
	get("three", false, first)
	g.deaf = true
	get("three", false, g.modified.Format(http.TimeFormat))
	get("three", true, `"3"`)
}
