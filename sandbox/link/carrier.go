package link

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"openinspect/session"
)

// settings of a yamux session. A larger window would be bought with delay: on a slow line what is in flight stands before every ping, and a
// healthy link would be taken for dead.
func settings() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	c.EnableKeepAlive = false // it would keep a goroutine; see keepAlive
	c.ConnectionWriteTimeout = 15 * time.Second
	c.MaxStreamWindowSize = 1 << 20
	c.StreamCloseTimeout = 30 * time.Second
	c.AcceptBacklog = maxStreams
	return c
}

// keepAliveEvery is how often either end asks the other whether it is there. Without an answer within the time of a write the link is lost.
const keepAliveEvery = 10 * time.Second

// keepAlive pings the other end from time to time, as yamux's own does, with nothing that waits in between.
func keepAlive(s *yamux.Session, long *streams) {
	time.AfterFunc(keepAliveEvery, func() {
		if s.IsClosed() {
			return
		}
		long.shrink()
		if _, err := s.Ping(); err != nil {
			s.Close()
			return
		}
		keepAlive(s, long)
	})
}

// carry runs HTTP both ways over c.
func carry(c net.Conn, client bool, h http.Handler) (*Link, error) {
	var s *yamux.Session
	var err error
	if client {
		s, err = yamux.Client(&joiner{Conn: &guard{Conn: c}}, settings())
	} else {
		s, err = yamux.Server(&joiner{Conn: &guard{Conn: c}}, settings())
	}
	if err != nil {
		c.Close()
		return nil, session.Wrap("link", err)
	}
	long := &streams{of: s}
	keepAlive(s, long)
	if h == nil {
		h = http.NotFoundHandler()
	}
	// Every handler's context ends with the link, also that of one which has not read its request's body, where net/http notices no loss.
	life, lost := context.WithCancel(context.Background())
	plain := new(http.Protocols) // else every link's server gets the whole configuration of HTTP/2
	plain.SetHTTP1(true)
	srv := &http.Server{Handler: impatient(h), Protocols: plain, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return life }}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_ = srv.Serve(&listener{Session: s, ctx: ctx, cancel: cancel, open: make(chan struct{}, maxStreams)}) // ends with the session, or with Shutdown
		cancel()
		<-s.CloseChan()
		lost()
	}()
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return s.Open() },
		Proxy:                  nil,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		MaxConnsPerHost:        maxStreams - maxLong, // what the other end takes; a call beyond waits instead of failing
		MaxIdleConnsPerHost:    16,                   // the default of 2 would open a stream per request, at twice the latency
		IdleConnTimeout:        callerIdleTimeout,
		// Every stream has its own pair: small ones, which large reads and writes go past.
		ReadBufferSize:  1 << 10,
		WriteBufferSize: 1 << 10,
	}
	return &Link{
		RoundTripper: transport,
		open:         long.open,
		done:         s.CloseChan(),
		close:        s.Close,
		shutdown: func(ctx context.Context) error {
			defer s.Close()
			bounded(ctx, s.GoAway) // best effort: the session may be gone
			err := srv.Shutdown(ctx)
			if err == nil {
				// An answer to a ping means that the other end has read all that was sent before it, which closing could otherwise discard.
				bounded(ctx, func() error { _, err := s.Ping(); return err })
			}
			return err
		},
	}, nil
}

// bounded waits for f, but not longer than ctx. The link is closed soon after, which ends an f that is left behind.
func bounded(ctx context.Context, f func() error) {
	done := make(chan struct{})
	go func() { _ = f(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// listener takes the other end's streams, at most maxStreams at a time; one beyond is closed. A stream that we closed and the other end did not
// still keeps its memory for a while, so an end that piles those up loses the link. Closing the listener does not close the session: http.Server.Shutdown closes its
// listener first, and would otherwise cut the very requests that it then waits for.
type listener struct {
	*yamux.Session
	ctx    context.Context
	cancel context.CancelFunc
	open   chan struct{} // one token for each stream that is open
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptStreamWithContext(l.ctx)
		if err != nil {
			return nil, err
		}
		if l.NumStreams() > maxKept {
			c.Close()
			l.Session.Close()
			return nil, yamux.ErrStreamsExhausted
		}
		select {
		case l.open <- struct{}{}:
			return &counted{Conn: c, release: l.open}, nil
		default:
			c.Close()
		}
	}
}

func (l *listener) Close() error { l.cancel(); return nil }

// counted gives its token back when it is closed, once.
type counted struct {
	net.Conn
	once    sync.Once
	release chan struct{}
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.release })
	return err
}

// joiner holds a frame's header back until its body follows, so that both make one WebSocket message: yamux writes them one after the other
// from one goroutine.
type joiner struct {
	net.Conn
	frame []byte
	held  bool
}

// yamux's frame header: version, type, flags (2), stream (4), length (4); type 0 is data. github.com/hashicorp/yamux/blob/master/spec.md
const headerSize = 12

func (j *joiner) Write(p []byte) (int, error) {
	if j.held {
		j.held = false
		j.frame = append(j.frame, p...)
		if _, err := j.Conn.Write(j.frame); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if len(p) == headerSize && p[1] == 0 && binary.BigEndian.Uint32(p[8:]) != 0 {
		j.frame = append(j.frame[:0], p...)
		j.held = true
		return len(p), nil
	}
	return j.Conn.Write(p)
}
