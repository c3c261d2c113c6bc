package link

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
)

// dialled returns a bare stream to an end of a link that serves h, as another end than ours may use it.
func dialled(t *testing.T, h http.Handler) (net.Conn, *Link) {
	t.Helper()
	accepted := make(chan *Link, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, err := Accept(w, r, h)
		if err != nil {
			t.Error(err)
		}
		accepted <- l
	}))
	t.Cleanup(srv.Close)
	ws, _, err := websocket.Dial(t.Context(), srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := stream(ws)
	l := <-accepted
	t.Cleanup(func() { c.Close(); l.Close() })
	return c, l
}

// hostile returns a yamux session with an end of a link.
func hostile(t *testing.T, h http.Handler) (*yamux.Session, *Link) {
	t.Helper()
	c, l := dialled(t, h)
	config := settings()
	config.AcceptBacklog = 10 * maxKept
	config.EnableKeepAlive = false
	s, err := yamux.Client(c, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, l
}

func TestStreamsBeyondTheBoundAreClosed(t *testing.T) {
	arrived, release := make(chan bool, 200), make(chan bool)
	s, _ := hostile(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-release
	}))
	defer close(release)
	open := func() net.Conn {
		c, err := s.Open()
		if err == nil {
			_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: link\r\n\r\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range maxStreams {
		open()
		<-arrived
	}
	if _, err := open().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one stream too many: %v", err)
	}
	if len(arrived) > 0 {
		t.Error("it was served")
	}
}

func TestStreamsLeftOpenCostTheLink(t *testing.T) {
	s, l := hostile(t, nil)
	for {
		c, err := s.Open()
		if err != nil {
			break // the link went while we were opening
		}
		if _, err := io.WriteString(c, "no HTTP\r\n\r\n"); err != nil { // refused and closed by the other end, and kept open by this one
			break
		}
		io.Copy(io.Discard, c)
	}
	<-l.Done()
}

func frame(kind byte, flags uint16, length uint32) []byte {
	b := make([]byte, headerSize)
	b[1] = kind
	binary.BigEndian.PutUint16(b[2:], flags)
	binary.BigEndian.PutUint32(b[8:], length)
	return b
}

func TestPingsThatAreAnsweredAreFine(t *testing.T) {
	c, l := dialled(t, say("ok"))
	for i := range uint32(10 * maxPings) {
		if _, err := c.Write(frame(typePing, flagSYN, i)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, headerSize)
		if _, err := io.ReadFull(c, answer); err != nil || binary.BigEndian.Uint32(answer[8:]) != i {
			t.Fatal(i, err)
		}
	}
	select {
	case <-l.Done():
		t.Error("the link is gone")
	default:
	}
}

// lines is a connection to read from and to write to without another end.
type lines struct {
	net.Conn
	io.Reader
	out []byte
}

func (l *lines) Read(p []byte) (int, error)  { return l.Reader.Read(p) }
func (l *lines) Write(p []byte) (int, error) { l.out = append(l.out, p...); return len(p), nil }

func TestGuard(t *testing.T) {
	ping, body := frame(typePing, flagSYN, 1), frame(typeData, 0, 36)
	inBody := append(append(body, ping...), append(ping, ping...)...) // a body that looks like pings
	flood := strings.Repeat(string(inBody)+string(ping), maxPings)
	for name, size := range map[string]int{"bytes": 1, "odd pieces": 7, "at once": 1 << 16} {
		g := &guard{Conn: &lines{Reader: strings.NewReader(flood)}}
		got, err := io.ReadAll(struct{ io.Reader }{bufio.NewReaderSize(onlyN{g, size}, 16)})
		if err != nil || string(got) != flood {
			t.Errorf("%s: as many as may wait: %d bytes, %v", name, len(got), err)
		}
		g = &guard{Conn: &lines{Reader: strings.NewReader(flood + string(ping))}}
		if _, err := io.ReadAll(onlyN{g, size}); err != errPings {
			t.Errorf("%s: one more: %v", name, err)
		}
		g = &guard{Conn: &lines{Reader: strings.NewReader(flood + string(ping))}}
		g.pings.Store(1)
		g.Write(frame(typePing, flagACK, 1))
		g.Write(frame(typePing, flagACK, 1))
		if _, err := io.ReadAll(onlyN{g, size}); err != nil {
			t.Errorf("%s: one more, and one answered: %v", name, err)
		}
	}
}

// onlyN reads at most n bytes at a time.
type onlyN struct {
	r io.Reader
	n int
}

func (o onlyN) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), o.n)]) }

// The context of a handler that reads nothing ends with the link too.
func TestLossEndsHandlers(t *testing.T) {
	arrived, ended := make(chan bool), make(chan bool)
	bot, runner := pair(t, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}))
	body, feed := io.Pipe()
	defer feed.Close()
	failed := make(chan error)
	go func() {
		_, err := bot.Client().Post("http://link/", "text/plain", body)
		failed <- err
	}()
	<-arrived
	runner.Close()
	<-ended
	feed.Close() // net/http waits for a body that it is still reading
	if err := <-failed; err == nil {
		t.Error("a call over a lost link succeeded")
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	bot, runner := pair(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}), nil)
	defer close(release)
	go func() {
		if resp, err := runner.Client().Get("http://link/"); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bot.Shutdown(ctx); err == nil {
		t.Error("said to be in good order")
	}
	<-bot.Done()
	<-runner.Done()
}

func TestShutdownRefusesWhatIsNew(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	bot, runner := pair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/second" {
			return
		}
		io.WriteString(w, "first")
		http.NewResponseController(w).Flush()
		close(arrived)
		<-release
		io.WriteString(w, strings.Repeat(" rest", 100_000))
	}), say("runner"))
	resp, err := runner.Client().Get("http://link/")
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	down := make(chan error, 1)
	go func() { down <- bot.Shutdown(t.Context()) }()
	for { // until the farewell has come through, or for ever
		again, err := runner.Client().Get("http://link/second")
		if err != nil {
			break
		}
		again.Body.Close()
	}
	close(release)
	if b, err := io.ReadAll(resp.Body); len(b) != 5+500_000 || err != nil {
		t.Errorf("the call under way got %d bytes, %v", len(b), err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// Over a unix socket, with a context that ends when the link stands.
func TestOverUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "l")
	dir := filepath.Dir(path)
	l, err := listenIn(t, dir, "l")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *Link, 1)
	srv := &http.Server{Handler: Authenticate(HashToken("secret"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, err := Accept(w, r, say("runner:"))
		if err != nil {
			t.Error(err)
		}
		accepted <- end
	}))}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	bot, err := Dial(ctx, DialOptions{URL: "http://runner/link", Token: "secret", Dial: func(ctx context.Context) (net.Conn, error) {
		return DialUnix(ctx, path, uid)
	}})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	runner := <-accepted
	t.Cleanup(func() { bot.Close(); runner.Close() })
	if got := call(t, bot, "hi"); got != "runner:hi" {
		t.Error(got)
	}
	runner.Close()
	<-bot.Done()
}

func BenchmarkSmallRequest(b *testing.B) {
	bot, runner := pair(b, say("ok"), say("ok"))
	for name, l := range map[string]*Link{"BotToRunner": bot, "RunnerToBot": runner} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				call(b, l, "")
			}
		})
	}
}

// An event is a line of 1 KiB. While nothing else is there each is flushed by itself; in a burst they go together.
func BenchmarkEvents(b *testing.B) {
	for name, burst := range map[string]int{"Single": 1, "Bursts": 100} {
		b.Run(name, func(b *testing.B) { benchmarkEvents(b, burst) })
	}
}

func benchmarkEvents(b *testing.B, burst int) {
	line := []byte(strings.Repeat("x", 1023) + "\n")
	bot, _ := pair(b, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		buffered := bufio.NewWriterSize(w, 64<<10)
		for {
			for range burst {
				buffered.Write(line) // keeps its error
			}
			if buffered.Flush() != nil || rc.Flush() != nil {
				return
			}
		}
	}))
	req, err := http.NewRequestWithContext(b.Context(), "GET", "http://link/events", nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := bot.Client().Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if got, err := r.ReadSlice('\n'); err != nil || len(got) != len(line) {
			b.Fatal(fmt.Errorf("%d bytes: %w", len(got), err))
		}
	}
}
