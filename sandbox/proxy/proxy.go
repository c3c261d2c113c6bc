package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"openinspect/session"
)

// Limits of one sandbox.
const (
	maxOpen       = 64               // requests and tunnels at a time
	maxAccepted   = maxOpen + 16     // connections, those included that ask for nothing yet
	slotWait      = 10 * time.Second // for another to end, when there are as many as may be
	maxHeader     = 32 << 10         // bytes of a request's head
	headerLimit   = 10 * time.Second // for a request's head
	keepAlive     = 30 * time.Second // between requests on a connection
	idleLimit     = 5 * time.Minute  // of a connection on which nothing moves; closed before twice that
	answerLimit   = 5 * time.Minute  // for the head of a server's answer
	maxRefusals   = 20               // that are told to the operator
	maxIdleServer = 8                // connections that are kept for the next request
)

// Config says what may be reached. The zero value is good.
type Config struct {
	Except   []string // host:port, reached wherever it is: GitHub's
	Resolver Resolver // nil: the computer's, by Go's own look-ups
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	// Upstream is the proxy through which the bot itself reaches a target, as http.Transport's field Proxy; nil: none.
	Upstream func(*http.Request) (*url.URL, error)
	// Refused is told of a target that a sandbox may not reach, of each sandbox's first ones.
	Refused func(sandbox, target string, why error)
}

// Proxy lets sandboxes out to the network. It is safe for use by several of them.
type Proxy struct {
	c        Config
	excepted map[target]bool
	own      func(netip.Addr) bool
}

// New makes a proxy. It fails with Invalid if what is excepted is no host and port.
func New(c Config) (*Proxy, error) {
	p := &Proxy{c: c, excepted: map[target]bool{}, own: own}
	for _, e := range c.Except {
		t, err := parseTarget(e)
		if err != nil {
			return nil, session.Wrap("proxy.New", session.Errorf(session.Invalid, "%v", err))
		}
		p.excepted[t] = true
	}
	if p.c.Resolver == nil {
		// Go's own: a look-up that C's library makes goes on, in a thread of the bot's, when nobody waits for it any more.
		p.c.Resolver = &net.Resolver{PreferGo: true}
	}
	if p.c.Dial == nil {
		p.c.Dial = new(net.Dialer).DialContext
	}
	if p.c.Upstream == nil {
		p.c.Upstream = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	if p.c.Refused == nil {
		p.c.Refused = func(string, string, error) {}
	}
	return p, nil
}

// Serve serves one sandbox's connections until ctx ends. It closes ln, and returns when none of them is open any more; an error means that it ended
// before ctx.
func (p *Proxy) Serve(ctx context.Context, sandbox string, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &door{Proxy: p, sandbox: sandbox, life: ctx, slots: make(chan struct{}, maxOpen)}
	d.forward = d.reverseProxy()
	defer d.transport().CloseIdleConnections()
	server := &http.Server{
		Handler: d, ReadHeaderTimeout: headerLimit, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // what a sandbox does wrong is told to it alone
		// HTTP/2 is not spoken: a CONNECT of it is another thing.
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // it closes ln, too
	defer stop()
	places := make(chan struct{}, maxAccepted)
	err := server.Serve(&gate{Listener: ln, places: places, idle: idleLimit, ctx: ctx})
	ended := ctx.Err() != nil
	cancel()
	_ = server.Close()
	for range maxAccepted { // every place is given back when its connection is closed
		places <- struct{}{}
	}
	if ended || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return session.Wrap("proxy.Serve", err)
}

// door is the proxy as one sandbox sees it.
type door struct {
	*Proxy
	sandbox string
	life    context.Context
	slots   chan struct{}
	forward *httputil.ReverseProxy

	mu       sync.Mutex
	refusals int
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
	case r.URL.Host == "":
		say(w, r, http.StatusBadRequest, "this is the proxy that lets the sandbox out to the network; ask it with CONNECT or for a whole http:// address")
		return
	case r.URL.Scheme != "http":
		say(w, r, http.StatusBadRequest, "the proxy takes whole addresses that begin with http://; for everything else use CONNECT")
		return
	}
	if !d.enter() {
		say(w, r, http.StatusServiceUnavailable, fmt.Sprintf("this sandbox has %d connections open, which is as many as it may; close some", maxOpen))
		return
	}
	defer func() { <-d.slots }()
	if r.Method == http.MethodConnect {
		d.connect(w, r)
		return
	}
	d.forwarded(w, r)
}

// enter waits a while for a slot.
func (d *door) enter() bool {
	wait := time.NewTimer(slotWait)
	defer wait.Stop()
	select {
	case d.slots <- struct{}{}:
		return true
	case <-wait.C:
	case <-d.life.Done():
	}
	return false
}

// reach dials a target for the sandbox.
func (d *door) reach(ctx context.Context, hostPort string) (net.Conn, error) {
	t, err := parseTarget(hostPort)
	if err != nil {
		return nil, session.Errorf(session.Invalid, "%v", err)
	}
	conn, err := d.dial(ctx, t)
	if err == nil {
		return watch(conn, idleLimit, func() {}), nil
	}
	if session.CodeOf(err) == session.Forbidden {
		d.mu.Lock()
		d.refusals++
		tell := d.refusals <= maxRefusals
		d.mu.Unlock()
		if tell {
			d.c.Refused(d.sandbox, t.String(), err)
		}
	}
	return nil, err
}
