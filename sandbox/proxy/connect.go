package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"

	"openinspect/session"
)

// connect answers CONNECT: from then on bytes go both ways, and none of them is looked at.
func (d *door) connect(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		say(w, r, http.StatusBadRequest, "CONNECT has no body")
		return
	}
	// Not with the request's context: that ends when the client has said all it will say, which may be before it has its answer.
	conn, err := d.reach(d.life, r.RequestURI)
	if err != nil {
		say(w, r, statusOf(err), session.Sentence(err))
		return
	}
	defer conn.Close()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		say(w, r, http.StatusInternalServerError, "this connection cannot be a tunnel")
		return
	}
	client, rw, err := hijacker.Hijack()
	if err != nil {
		return // the client is gone
	}
	defer client.Close()
	stop := context.AfterFunc(d.life, func() { _, _ = conn.Close(), client.Close() }) // in this order: Serve waits for the client's
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	// What the client sent with the request is in the buffer.
	join(conn, &buffered{client, rw.Reader})
}

// reverseProxy passes requests for whole addresses on. It writes them anew from what was understood of them, without the headers that are for
// proxies, the client's credentials for one among them.
func (d *door) reverseProxy() *httputil.ReverseProxy {
	transport := &http.Transport{
		Proxy:       nil, // dial knows of the bot's own
		DialContext: d.dialAsked,
		// For each sandbox apart: a connection may carry who asks.
		MaxIdleConns: maxIdleServer, IdleConnTimeout: keepAlive, MaxConnsPerHost: maxOpen,
		ResponseHeaderTimeout: answerLimit, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20,
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.Host = "" // the address's own, whatever the header says
			p.Out.Header.Del("Upgrade")
			p.Out.Header.Del("Connection")
			if _, ok := p.Out.Header["User-Agent"]; !ok {
				p.Out.Header.Set("User-Agent", "") // none, rather than Go's
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { say(w, r, statusOf(err), sentence(err)) },
	}
}

// asked is the key, in a dial's context, of the context of the request that asked for it.
type asked struct{}

// forwarded answers a request for a whole address.
func (d *door) forwarded(w http.ResponseWriter, r *http.Request) {
	d.forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), asked{}, r.Context())))
}

// dialAsked dials for a request, and no longer than the request lasts. Left alone, http.Transport lets a dial go on for requests that may come: who
// asks for silent addresses and hangs up would have any number of dials under way, each with a descriptor of the bot's.
func (d *door) dialAsked(ctx context.Context, _, address string) (net.Conn, error) {
	if r, ok := ctx.Value(asked{}).(context.Context); ok {
		ctx = r
	}
	return d.reach(ctx, address)
}

func (d *door) transport() *http.Transport { return d.forward.Transport.(*http.Transport) }

// sentence says what went wrong with a server.
func sentence(err error) string {
	if e, ok := errors.AsType[*session.Error](err); ok {
		return session.Sentence(e)
	}
	return "the server did not answer as it should: " + reason(err)
}

func statusOf(err error) int {
	switch session.CodeOf(err) {
	case session.Forbidden:
		return http.StatusForbidden
	case session.Invalid:
		return http.StatusBadRequest
	case session.NotFound, session.Conflict, session.Unavailable, session.Internal:
	}
	return http.StatusBadGateway
}

// say answers with a line of text. To CONNECT the words stand in the status line, too: programs show little else of it.
func say(w http.ResponseWriter, r *http.Request, status int, words string) {
	words = clean("openinspect: " + words)
	if r.Method == http.MethodConnect {
		if h, ok := w.(http.Hijacker); ok {
			if conn, _, err := h.Hijack(); err == nil {
				defer conn.Close()
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
					status, strings.TrimPrefix(words, "openinspect: "), len(words)+1, words) // the client may be gone
				return
			}
		}
	}
	http.Error(w, words, status)
}
