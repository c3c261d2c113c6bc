package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// buffered is a connection of which some was read already.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }
func (b *buffered) CloseWrite() error          { return closeWrite(b.Conn) }

// closeWrite says that nothing more comes; a connection that cannot say so is closed.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// watched is a connection that is closed when nothing was read or written for a while, a limit at least and twice that at most. Writes that do not
// come through are nothing.
type watched struct {
	net.Conn
	moved atomic.Bool
	gone  func() // called once when it is closed

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
}

func watch(c net.Conn, limit time.Duration, gone func()) *watched {
	w := &watched{Conn: c, gone: gone}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, func() {
		if !w.moved.Swap(false) {
			_ = w.Close() // whoever reads or writes sees it
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.closed {
			w.timer.Reset(limit)
		}
	})
	return w
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.moved.Store(true)
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.moved.Store(true)
	return n, err
}

func (w *watched) CloseWrite() error { return closeWrite(w.Conn) }

func (w *watched) Close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.timer.Stop()
	w.mu.Unlock()
	if again {
		return net.ErrClosed
	}
	defer w.gone()
	return w.Conn.Close()
}

// gate is a listener that has at most so many connections open; further ones wait to be accepted, and take nothing of ours.
type gate struct {
	net.Listener
	places chan struct{}
	idle   time.Duration
	ctx    context.Context
}

func (g *gate) Accept() (net.Conn, error) {
	select {
	case g.places <- struct{}{}:
	case <-g.ctx.Done():
		return nil, net.ErrClosed
	}
	c, err := g.Listener.Accept()
	if err != nil {
		<-g.places
		return nil, err
	}
	return watch(c, g.idle, func() { <-g.places }), nil
}

// join passes bytes both ways until both ends have said that nothing more comes, or one fails or is closed.
func join(a, b net.Conn) {
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, err := io.Copy(onlyWriter{to}, onlyReader{from})
		if err == nil {
			err = closeWrite(to)
		}
		if err != nil {
			_, _ = a.Close(), b.Close() // best effort: the other way must not wait
		}
	}
	wg.Go(func() { pass(a, b) })
	pass(b, a)
	wg.Wait()
	_, _ = a.Close(), b.Close() // they may be closed
}

// onlyReader and onlyWriter hide what io.Copy would take for a shortcut around watched.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
