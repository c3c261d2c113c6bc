package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"openinspect/session"
)

const (
	proxyHold  = 10 * time.Second       // for a bot that is away
	proxyAgain = 100 * time.Millisecond // between tries to reach it
	proxyOpen  = 256                    // connections at a time; the bot's own limit is lower
)

// proxyPort is where a sandbox without a network finds the bot's forward proxy: a port on its loopback. It passes bytes on to the bot's socket and
// looks at none of them; what may be reached is decided outside.
type proxyPort struct {
	socket string
	clock  session.Clock
	listen func(network, address string) (net.Listener, error) // net.Listen
	places chan struct{}
	url    string
}

// openProxyPort listens until ctx ends. github is the address that is cloned from: if that is on the loopback of the bot's computer, it is
// made to be at the same address inside, where programs would look for it in vain without asking any proxy.
func openProxyPort(ctx context.Context, socket, github string, clock session.Clock) (*proxyPort, error) {
	p := &proxyPort{socket: socket, clock: clock, listen: net.Listen, places: make(chan struct{}, proxyOpen)}
	return p, p.open(ctx, github)
}

func (p *proxyPort) open(ctx context.Context, github string) error {
	// Before any port is taken that is only to be free: the kernel would as well choose GitHub's.
	target, listen := loopback(github)
	for _, at := range listen {
		ln, err := p.listen("tcp", at)
		if err != nil { // git will say that it cannot connect; this says why
			fmt.Fprintf(os.Stderr, "the loopback address %s cannot be had inside: %v\n", at, err)
			continue
		}
		p.serve(ctx, ln, func(ctx context.Context, c *net.TCPConn) { p.tunnel(ctx, c, target) })
	}
	ln, err := p.listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.url = "http://" + ln.Addr().String()
	p.serve(ctx, ln, p.pass)
	return nil
}

// loopback returns host:port of an address on loopback, and where to listen to stand for it; nothing if it is elsewhere.
func loopback(address string) (target string, listen []string) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	target = net.JoinHostPort(host, port)
	if host == "localhost" {
		return target, []string{"127.0.0.1:" + port, "[::1]:" + port}
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		return target, []string{target}
	}
	return "", nil
}

// serve accepts connections until ctx ends, no more than proxyOpen at a time.
func (p *proxyPort) serve(ctx context.Context, ln net.Listener, handle func(context.Context, *net.TCPConn)) {
	context.AfterFunc(ctx, func() { _ = ln.Close() })
	go func() {
		for {
			p.places <- struct{}{}
			c, err := ln.Accept()
			if err != nil {
				<-p.places
				if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				time.Sleep(proxyAgain) // out of descriptors, as a rule; some will be free again
				continue
			}
			go func() {
				defer func() { <-p.places }()
				defer c.Close()
				handle(ctx, c.(*net.TCPConn))
			}()
		}
	}()
}

// pass joins a connection to one of the bot's.
func (p *proxyPort) pass(ctx context.Context, c *net.TCPConn) {
	bot, err := p.dial(ctx)
	if err != nil {
		away(c)
		return
	}
	defer bot.Close()
	join(c, bot, bot)
}

// tunnel joins a connection to a target, through the bot's proxy.
func (p *proxyPort) tunnel(ctx context.Context, c *net.TCPConn, target string) {
	bot, err := p.dial(ctx)
	if err != nil {
		away(c)
		return
	}
	defer bot.Close()
	if _, err := fmt.Fprintf(bot, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target); err != nil {
		return
	}
	in := bufio.NewReader(bot)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != http.StatusOK {
		return // the connection is cut, as the target itself would
	}
	join(c, bot, in)
}

// dial connects to the bot's socket, and waits a while for a bot that is away.
func (p *proxyPort) dial(ctx context.Context) (*net.UnixConn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := p.clock.AfterFunc(proxyHold, cancel)
	defer stop()
	for {
		c, err := dialUnix(ctx, p.socket)
		if err == nil {
			return c.(*net.UnixConn), nil
		}
		again := make(chan struct{})
		stop := p.clock.AfterFunc(proxyAgain, func() { close(again) })
		select {
		case <-again:
		case <-ctx.Done():
			stop()
			return nil, err
		}
	}
}

// away answers whoever asks for the network while the bot is away.
func away(c *net.TCPConn) {
	const words = "openinspect: the bot that lets this sandbox out to the network is not running right now; try again in a minute\n"
	_, err := fmt.Fprintf(c, "HTTP/1.1 503 the bot is away, try again in a minute\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Retry-After: 60\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(words), words)
	if err != nil || c.CloseWrite() != nil {
		return // the caller is gone
	}
	// What was asked is read, or closing would take the answer back.
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20)) // best effort
}

// join passes bytes both ways until both ends have said that nothing more comes, or one of them fails. in is where b is read from.
func join(a *net.TCPConn, b *net.UnixConn, in io.Reader) {
	var wg sync.WaitGroup
	pass := func(to io.Writer, from io.Reader, end func() error) {
		_, err := io.Copy(to, from)
		if err == nil {
			err = end()
		}
		if err != nil {
			_, _ = a.Close(), b.Close() // best effort: the other way must not wait
		}
	}
	wg.Go(func() { pass(b, a, b.CloseWrite) })
	pass(a, in, a.CloseWrite)
	wg.Wait()
}

// environment is what makes programs use the port. Programs know the variables in either case, or in one only.
func (p *proxyPort) environment() []string {
	// All loopback, in the several ways in which programs compare it. Without brackets: Python's httpx does not start with them.
	const direct = "localhost,127.0.0.1,127.0.0.0/8,::1,.localhost"
	var env []string
	for _, v := range [][2]string{
		{"http_proxy", p.url}, {"https_proxy", p.url}, {"all_proxy", p.url}, {"no_proxy", direct},
		{"HTTP_PROXY", p.url}, {"HTTPS_PROXY", p.url}, {"ALL_PROXY", p.url}, {"NO_PROXY", direct},
		{"NODE_USE_ENV_PROXY", "1"}, // Node's own fetch looks at them only if told to
	} {
		env = append(env, v[0]+"="+v[1])
	}
	return env
}
