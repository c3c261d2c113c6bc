package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"
)

// inBubble runs f in a bubble, where hours of waiting take no time; connections are pipes in memory. yamux keeps timers for whoever comes next, and a
// bubble must not touch those of another, so that each runs in a process of its own.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	const alone = "OPENINSPECT_TEST_ALONE"
	if os.Getenv(alone) != "" {
		synctest.Test(t, f)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), alone+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// botEnd returns the bot's end of a link, and the other end's connection bare.
func botEnd(t *testing.T, h http.Handler) (*Link, net.Conn) {
	t.Helper()
	c, other := net.Pipe()
	l, err := carry(c, true, h)
	if err != nil {
		t.Fatal(err)
	}
	return l, other
}

// bareRunner returns the bot's end of a link, and streams of a runner that says on them what it likes.
func bareRunner(t *testing.T, h http.Handler) (*Link, *yamux.Session) {
	t.Helper()
	l, c := botEnd(t, h)
	config := settings()
	config.AcceptBacklog = 10 * maxKept
	s, err := yamux.Server(c, config)
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func opened(t *testing.T, s *yamux.Session, said string) net.Conn {
	t.Helper()
	c, err := s.Open()
	if err == nil {
		_, err = io.WriteString(c, said)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// after runs f and returns how long it took.
func after(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func between(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s after %v, not between %v and %v", what, got, least, most)
	}
}

// hole swallows what is written once it is dug, and nothing comes out of it.
type hole struct {
	net.Conn
	dug, closed chan bool
}

func (h *hole) Write(p []byte) (int, error) {
	select {
	case <-h.dug:
		return len(p), nil
	default:
		return h.Conn.Write(p)
	}
}

func (h *hole) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	select {
	case <-h.dug:
		<-h.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (h *hole) Close() error {
	close(h.closed)
	return h.Conn.Close()
}

// Packets that vanish without a word are noticed by keep-alive, and every call that is under way ends.
func TestBlackHole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a, b := net.Pipe()
		h := &hole{Conn: a, dug: make(chan bool), closed: make(chan bool)}
		bot, err := carry(h, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		runner, err := carry(b, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begun ")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := bot.Client().Get("http://runner/events")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // a quiet link lives
		select {
		case <-bot.Done():
			t.Fatal("a quiet link was taken for a lost one")
		default:
		}
		close(h.dug)
		between(t, "the loss was noticed", after(func() { <-bot.Done() }), 10*time.Second, 30*time.Second)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("what was being read had a good end")
		}
		runner.Close()
	})
}

// A runner that takes the connection and never reads from it is lost too, though the network is fine.
func TestRunnerThatNeverReads(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bot, c := botEnd(t, nil)
		between(t, "the loss was noticed", after(func() { <-bot.Done() }), 10*time.Second, 30*time.Second)
		c.Close()
	})
}

func TestSlowHeader(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bot, runner := bareRunner(t, say("served"))
		c := opened(t, runner, "POST /tools/ask HTTP/1.1\r\n")
		ended := make(chan time.Duration, 1)
		go func() { ended <- after(func() { io.Copy(io.Discard, c) }) }()
		for i := range 100 {
			if _, err := fmt.Fprintf(c, "X-%d: y\r\n", i); err != nil {
				break
			}
			time.Sleep(5 * time.Second)
		}
		between(t, "a header that trickles is given up", <-ended, headerTimeout, headerTimeout+time.Second)
		bot.Close()
		runner.Close()
	})
}

func TestSlowBody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		handled := make(chan error, 1)
		bot, runner := bareRunner(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			handled <- err
		}))
		c := opened(t, runner, "POST /tools/ask HTTP/1.1\r\nHost: bot\r\nContent-Length: 1000\r\n\r\n")
		trickled := make(chan bool)
		go func() {
			defer close(trickled)
			for {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
			}
		}()
		var err error
		between(t, "a body that trickles is given up", after(func() { err = <-handled }), bodyTimeout, bodyTimeout+time.Second)
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("the handler got %v", err)
		}
		bot.Close()
		runner.Close()
		<-trickled
	})
}

// The answer to a request whose body has come may take as long as it likes: a model's does.
func TestLongAnswerAfterBody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a, b := net.Pipe()
		bot, err := carry(a, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
			for range 60 {
				select {
				case <-time.After(30 * time.Second):
				case <-r.Context().Done():
					t.Error("the call was given up")
					return
				}
				io.WriteString(w, "word ")
				http.NewResponseController(w).Flush()
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		runner, err := carry(b, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := runner.Client().Post("http://bot/model", "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); len(b) != 300 || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		bot.Close()
		runner.Close()
	})
}

func TestIdleStreamIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bot, runner := bareRunner(t, say("served"))
		c := opened(t, runner, "GET / HTTP/1.1\r\nHost: bot\r\n\r\n")
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		between(t, "a stream that does nothing is closed", after(func() {
			if _, err := r.ReadByte(); err != io.EOF {
				t.Error(err)
			}
		}), idleTimeout, idleTimeout+time.Second)
		bot.Close()
		runner.Close()
	})
}

func TestHeadersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		bot, runner := bareRunner(t, say("served"))
		c := opened(t, runner, "GET / HTTP/1.1\r\nHost: bot\r\n")
		go func() {
			for i := 0; ; i++ { // without an end
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 1000)); err != nil {
					return
				}
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v %v", resp, err)
		}
		answer := make(chan bool)
		go func() {
			defer close(answer)
			s, err := runner.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(s, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(s, "X-%d: %s\r\n", i, strings.Repeat("y", 1000)); err != nil {
					return
				}
			}
		}()
		if _, err := bot.Client().Get("http://runner/status"); err == nil {
			t.Error("an answer whose header never ends was taken")
		}
		<-answer
		bot.Close()
		runner.Close()
	})
}

// The bot serves so many calls of one runner at a time and no more, however many streams it opens.
func TestBotServesSoManyAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var serving atomic.Int32
		release := make(chan bool)
		bot, runner := bareRunner(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			serving.Add(1)
			<-release
		}))
		for range maxStreams + 20 {
			opened(t, runner, "GET / HTTP/1.1\r\nHost: bot\r\n\r\n")
			synctest.Wait()
		}
		if n := serving.Load(); n != maxStreams {
			t.Errorf("%d at once", n)
		}
		select {
		case <-bot.Done():
			t.Error("the link is gone")
		default:
		}
		close(release)
		bot.Close()
		runner.Close()
	})
}

// An answer that nobody reads waits, and holds up no other.
func TestUnreadAnswerHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var written atomic.Int64
		a, b := net.Pipe()
		bot, err := carry(a, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		runner, err := carry(b, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/status" {
				io.WriteString(w, "fine")
				return
			}
			for r.Context().Err() == nil {
				n, err := w.Write(make([]byte, 64<<10))
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", "http://runner/bundle", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bot.Client().Do(req); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := written.Load(); n == 0 || n > 3<<20 {
			t.Errorf("%d bytes of an answer that is not read are on their way", n)
		}
		for range 100 {
			time.Sleep(time.Minute)
			resp, err := bot.Client().Get("http://runner/status")
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "fine" || err != nil {
				t.Fatalf("%q %v", b, err)
			}
			resp.Body.Close()
		}
		cancel()
		bot.Close()
		runner.Close()
	})
}
