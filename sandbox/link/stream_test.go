package link

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
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

// TestStreamGivesBack: what a burst has taken of memory goes once all of it is read, and the stream goes on.
func TestStreamGivesBack(t *testing.T) {
	const burst = 512 << 10
	more := make(chan struct{})
	bot, _ := pair(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, burst))
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "more")
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://runner/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	var c *long
	open := bot.open
	bot.open = func() (net.Conn, error) {
		n, err := open()
		c, _ = n.(*long)
		return n, err
	}
	resp, err := bot.Stream(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, burst)); err != nil {
		t.Fatal(err)
	}
	kept := func() bool { // yamux does not tell
		s := reflect.ValueOf(c.Stream).Elem()
		lock := (*sync.Mutex)(s.FieldByName("recvLock").Addr().UnsafePointer())
		lock.Lock()
		defer lock.Unlock()
		return !s.FieldByName("recvBuf").IsNil()
	}
	if !kept() {
		t.Error("yamux gives its memory back by itself now: this can go")
	}
	rest := make(chan string)
	go func() {
		b, err := io.ReadAll(resp.Body)
		rest <- fmt.Sprint(string(b), err)
	}()
	for kept() && t.Context().Err() == nil { // whoever waits for more has not read the burst's last bytes yet
		c.of.shrink()
		runtime.Gosched()
	}
	close(more)
	if got := <-rest; got != "more<nil>" {
		t.Errorf("then came %q", got)
	}
	resp.Body.Close()
	if len(c.of.all) != 0 {
		t.Error("a closed stream is still known")
	}
}
