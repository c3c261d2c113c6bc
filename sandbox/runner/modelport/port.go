package modelport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

const (
	maxBody = 64 << 20
	// hold is how long a call waits for the bot. The agent then gets 503 and tries five times more.
	hold = 5 * time.Minute
	// again is the pause before a link that failed a call at once is tried again.
	again = 250 * time.Millisecond
	// retryAfter is what the agent is told after a hold, in seconds.
	retryAfter = "5"
)

// Linker is where the link to the bot comes from: Link blocks until one is up.
type Linker interface {
	Link(ctx context.Context) (http.RoundTripper, error)
}

// Port is the agent's model provider.
type Port struct {
	links    Linker
	clock    session.Clock
	token    string
	inFlight atomic.Int64
}

// New makes a port with a token of its own: everything in the sandbox, and without isolation everything on the computer, can reach it.
func New(links Linker, clock session.Clock) *Port {
	return &Port{links: links, clock: clock, token: rand.Text()}
}

// Token is what callers present as their API key.
func (p *Port) Token() string { return p.token }

// InFlight counts the calls under way: an agent that waits for its model is not stuck.
func (p *Port) InFlight() int { return int(p.inFlight.Load()) }

// Serve listens on loopback until ctx ends. It returns the base URL: provider P is at url/P, without /v1.
func (p *Port) Serve(ctx context.Context) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", session.Wrap("modelport.Serve", err)
	}
	srv := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { _ = srv.Serve(l) }() // ends with the listener
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	return "http://" + l.Addr().String(), nil
}

// ServeHTTP passes one call to the bot.
func (p *Port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	provider, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !p.known(r) {
		refuse(w, provider, http.StatusUnauthorized, "authentication_error", "This is not the key of this sandbox's model port.")
		return
	}
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		refuse(w, provider, http.StatusRequestEntityTooLarge, "invalid_request_error", "The request is larger than 64 MiB, or broke off.")
		return
	}
	resp := p.ask(r, body)
	if resp == nil {
		if r.Context().Err() == nil {
			w.Header().Set("Retry-After", retryAfter)
			refuse(w, provider, http.StatusServiceUnavailable, "overloaded_error", "The bot is away; the model cannot be reached.")
		}
		return
	}
	defer resp.Body.Close()
	for name, v := range resp.Header {
		w.Header()[name] = v
	}
	w.WriteHeader(resp.StatusCode)
	called, err := pass(w, resp.Body)
	if err != nil && !called {
		panic(http.ErrAbortHandler) // cut: the agent asks again and drops the half answer
	}
}

// known compares the caller's key in constant time.
func (p *Port) known(r *http.Request) bool {
	key := r.Header.Get("X-Api-Key")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		key = bearer
	}
	return subtle.ConstantTimeCompare([]byte(key), []byte(p.token)) == 1
}

// ask sends a call over whichever link is up until one brings an answer. It returns nil when none did for the time of a hold, or when the
// caller went away.
func (p *Port) ask(r *http.Request, body []byte) *http.Response {
	waiting, cancel := context.WithCancel(r.Context())
	defer cancel()
	stop := p.clock.AfterFunc(hold, cancel)
	defer stop()
	for {
		l, err := p.links.Link(waiting)
		if err != nil {
			return nil
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://bot/model"+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			return nil
		}
		out.Header = r.Header.Clone()
		out.Header.Del("X-Api-Key")
		out.Header.Del("Authorization")
		resp, err := l.RoundTrip(out)
		if err == nil && resp.Header.Get(link.HeaderRestarting) == "" {
			return resp
		}
		if err == nil {
			resp.Body.Close() // the bot is stopping: the next one will answer
		}
		if !p.pause(waiting) {
			return nil
		}
	}
}

// pause keeps a link that fails at once from being asked in a tight loop.
func (p *Port) pause(ctx context.Context) bool {
	c := make(chan struct{})
	stop := p.clock.AfterFunc(again, func() { close(c) })
	defer stop()
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// refuse answers with an error in the provider's own shape.
func refuse(w http.ResponseWriter, provider string, status int, kind, message string) {
	body := map[string]any{"error": map[string]any{"type": kind, "message": message}}
	if provider == "anthropic" {
		body["type"] = "error"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // best effort: the caller may be gone
}
