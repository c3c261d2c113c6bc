package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, for tests in which time is synctest's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// silent counts the dials under way to what does not answer.
var silent atomic.Int64

// bubble serves on pipes in a synctest bubble. far is the other end of what the proxy dials.
func bubble(t *testing.T, f func(t *testing.T, dial func() net.Conn, far chan net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		far := make(chan net.Conn, 200)
		p, err := New(Config{Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "9.9.9.") { // does not answer
				silent.Add(1)
				defer silent.Add(-1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			near, other := net.Pipe()
			far <- other
			return near, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Serve(ctx, "one", ln) }()
		f(t, func() net.Conn {
			near, other := net.Pipe()
			ln.conns <- other
			return near
		}, far)
		cancel()
		time.Sleep(time.Second) // net/http lingers after a refusal
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// tunnel makes a tunnel and returns both ends.
func tunnel(t *testing.T, dial func() net.Conn, far chan net.Conn) (near, end net.Conn) {
	t.Helper()
	near = dial()
	if _, err := io.WriteString(near, "CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(near, 16), &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	return near, <-far
}

func TestSlowHeader(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, _ chan net.Conn) {
		began := time.Now()
		c := dial()
		go func() {
			for _, err := io.WriteString(c, "GET http://one.test/ HTTP/1.1\r\n"); err == nil; _, err = io.WriteString(c, "X: y\r\n") {
				time.Sleep(time.Second)
			}
		}()
		_, _ = io.Copy(io.Discard, c) // its end is what matters
		if took := time.Since(began); took > headerLimit+time.Second {
			t.Errorf("it was waited for for %s", took)
		}
	})
}

func TestHugeHeader(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, _ chan net.Conn) {
		c := dial()
		go func() {
			_, _ = io.WriteString(c, "GET http://one.test/ HTTP/1.1\r\nX: "+strings.Repeat("y", 2*maxHeader))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Error(resp, err)
		}
	})
}

// Where nothing moves for minutes the connection ends, in good time and not before; where something moves now and then, in either direction, it stays.
func TestIdle(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, far chan net.Conn) {
		near, end := tunnel(t, dial, far)
		for range 20 { // a download: nothing comes from the client
			time.Sleep(idleLimit - time.Second)
			go func() { _, _ = end.Write([]byte("x")) }()
			if _, err := io.ReadFull(near, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if _, err := near.Read(make([]byte, 1)); err == nil {
			t.Error("it was not closed")
		}
		if _, err := end.Read(make([]byte, 1)); err == nil {
			t.Error("its other end was not closed")
		}
		if took := time.Since(began); took < idleLimit || took > 2*idleLimit {
			t.Errorf("it was closed after %s", took)
		}
	})
}

func TestDialIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, _ chan net.Conn) {
		began := time.Now()
		c := dial()
		go func() { _, _ = io.WriteString(c, "CONNECT 9.9.9.9:443 HTTP/1.1\r\n\r\n") }()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.Status != "502 9.9.9.9:443 could not be reached: it does not answer" {
			t.Error(resp, err)
		}
		if took := time.Since(began); took > dialLimit {
			t.Errorf("it took %s", took)
		}
	})
}

// Whoever asks for silent addresses and hangs up leaves no dials behind: each would have a descriptor of the bot's.
func TestDialsEndWithTheirRequests(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, _ chan net.Conn) {
		for i := range 2 * maxOpen {
			c := dial()
			if _, err := fmt.Fprintf(c, "GET http://9.9.9.9:%d/ HTTP/1.1\r\nHost: x\r\n\r\n", 8000+i); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if i == 0 && silent.Load() != 1 {
				t.Error("it was not dialled")
			}
			_ = c.Close()
			synctest.Wait()
		}
		if n := silent.Load(); n != 0 {
			t.Errorf("%d dials are under way for nobody", n)
		}
	})
}

// One sandbox has so many tunnels and no more; a further one waits a while for another's end, and is then told why it got none.
func TestTooMany(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, far chan net.Conn) {
		var first net.Conn
		for i := range maxOpen {
			near, end := tunnel(t, dial, far)
			defer end.Close()
			if i == 0 {
				first = near
			}
		}
		ask := func() net.Conn {
			c := dial()
			go func() { _, _ = io.WriteString(c, "CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n") }()
			return c
		}
		resp, err := http.ReadResponse(bufio.NewReader(ask()), nil)
		if err != nil || resp.Status != fmt.Sprintf("503 this sandbox has %d connections open, which is as many as it may; close some", maxOpen) {
			t.Error(resp, err)
		}
		waiting := ask()
		synctest.Wait()
		_ = first.Close()
		resp, err = http.ReadResponse(bufio.NewReader(waiting), &http.Request{Method: "CONNECT"})
		if err != nil || resp.StatusCode != 200 {
			t.Error(resp, err)
		}
	})
}

// Connections that ask for nothing take no more than their places, and not for long.
func TestSilentConnections(t *testing.T) {
	bubble(t, func(t *testing.T, dial func() net.Conn, far chan net.Conn) {
		began := time.Now()
		for range maxAccepted {
			_ = dial()
		}
		near, _ := tunnel(t, dial, far) // accepted once one of them has gone
		defer near.Close()
		if took := time.Since(began); took > headerLimit {
			t.Errorf("it took %s", took)
		}
	})
}
