package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"openinspect/session"
)

const (
	dialLimit = 30 * time.Second // for a name and all its addresses
	dialEach  = 3 * time.Second  // for one of several addresses, at least
	maxAddrs  = 16               // of a name's that are tried
)

// Resolver finds a name's addresses. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dial connects to a target. Forbidden when the target may not be reached, Unavailable when it cannot.
func (p *Proxy) dial(ctx context.Context, t target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	excepted := p.excepted[t]
	if !excepted && !open(t.port) {
		return nil, session.Errorf(session.Forbidden, "a sandbox may not reach port %d: 80, 443 and those from 1024 up are open", t.port)
	}
	addrs, err := p.lookup(ctx, t.host)
	if err != nil {
		return nil, err
	}
	why := ""
	var may []netip.Addr
	for _, a := range addrs {
		// What is checked is a; it is a that is dialled, and not the name again.
		what := refusal(a)
		if what == "" && p.own(a) {
			what = "an address of the bot's computer or of its neighbours"
		}
		switch {
		case excepted || what == "":
			may = append(may, a)
		case t.host == a.String():
			why = fmt.Sprintf("a sandbox may not reach %s: it is %s", t.host, what)
		default: // without the address, which may be a secret of a private network's
			why = fmt.Sprintf("a sandbox may not reach %s: it leads to %s", t.host, what)
		}
	}
	if len(may) == 0 {
		return nil, session.Errorf(session.Forbidden, "%s", why)
	}
	return p.dialAny(ctx, t, may[:min(len(may), maxAddrs)])
}

// lookup returns the addresses of a host, at least one.
func (p *Proxy) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := p.c.Resolver.LookupNetIP(ctx, "ip", host)
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound || err == nil && len(addrs) == 0 {
		return nil, session.Errorf(session.Unavailable, "there is no host %s", host)
	}
	if err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "proxy.lookup", Message: "the name " + host + " could not be looked up", Err: err}
	}
	return addrs, nil
}

// dialAny tries addresses in turn, the resolver's order, each with a fair share of the time that is left.
func (p *Proxy) dialAny(ctx context.Context, t target, addrs []netip.Addr) (net.Conn, error) {
	var last error
	for i, a := range addrs {
		deadline, _ := ctx.Deadline()
		share := max(time.Until(deadline)/time.Duration(len(addrs)-i), dialEach)
		one, cancel := context.WithTimeout(ctx, share)
		conn, err := p.dialOne(one, t, netip.AddrPortFrom(a, t.port))
		cancel()
		if err == nil {
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, &session.Error{Code: session.Unavailable, Op: "proxy.dial", Message: fmt.Sprintf("%s could not be reached: %s", t, reason(last)), Err: last}
}

// reason is why a dial failed, without the addresses in it.
func reason(err error) string {
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "it does not answer"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return clean(e.Err.Error())
	}
	return clean(err.Error())
}

// dialOne connects to an address, through the proxy that the bot itself needs if there is one. That one is given the address, not the name: it
// would look the name up again.
func (p *Proxy) dialOne(ctx context.Context, t target, a netip.AddrPort) (net.Conn, error) {
	scheme := "https"
	if t.port == 80 {
		scheme = "http"
	}
	via, err := p.c.Upstream(&http.Request{URL: &url.URL{Scheme: scheme, Host: t.String()}})
	if err != nil {
		return nil, err
	}
	if via == nil {
		return p.c.Dial(ctx, "tcp", a.String())
	}
	return p.dialVia(ctx, via, a)
}

// dialVia connects through another proxy.
func (p *Proxy) dialVia(ctx context.Context, via *url.URL, a netip.AddrPort) (net.Conn, error) {
	if via.Scheme != "http" {
		return nil, fmt.Errorf("the bot's own proxy is %s:, and only http: can be passed through", via.Scheme)
	}
	at := via.Host
	if via.Port() == "" {
		at = net.JoinHostPort(via.Hostname(), "80")
	}
	conn, err := p.c.Dial(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("the bot's own proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: a.String()}, Host: a.String(), Header: http.Header{}}
	if u := via.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
		req.Header["Proxy-Authorization"] = req.Header["Authorization"]
		req.Header.Del("Authorization")
	}
	err = req.Write(conn)
	var resp *http.Response
	in := bufio.NewReader(conn)
	if err == nil {
		resp, err = http.ReadResponse(in, req)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the bot's own proxy refused with status %d", resp.StatusCode)
	}
	if err != nil {
		_ = conn.Close() // the error to tell is err
		return nil, err
	}
	return &buffered{conn, in}, nil
}
