package link

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"openinspect/session"
)

// TestStream: an answer that goes on comes as it is written, and ends with its context, on both ends.
func TestStream(t *testing.T) {
	more, gone := make(chan string), make(chan bool)
	bot, _ := pair(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Kind", "lines")
		for {
			select {
			case s := <-more:
				_, _ = io.WriteString(w, s)
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				close(gone)
				return
			}
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runner/events?after=3", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { more <- "one\n" }()
	resp, err := bot.Stream(req)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Kind") != "lines" {
		t.Fatal(resp, err)
	}
	lines := bufio.NewReader(resp.Body)
	for _, want := range []string{"one\n", "two\n", strings.Repeat("x", 2*maxHeader) + "\n"} {
		if want != "one\n" {
			more <- want
		}
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
		}
	}
	cancel()
	<-gone
	if _, err := lines.ReadByte(); err == nil {
		t.Error("there is more after the end")
	}
	resp.Body.Close()
}

// TestStreamEndlessHead: the head of an answer has a limit.
func TestStreamEndlessHead(t *testing.T) {
	bot, _ := pair(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Long", strings.Repeat("x", maxHeader))
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://runner/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bot.Stream(req); session.CodeOf(err) != session.Unavailable {
		t.Error(err)
	}
}
