package modelport

import (
	"bufio"
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
	return &Port{links: links, clock: clock, token: session.OwnToken + rand.Text()}
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
	resp, answer := p.ask(r, body)
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
	called, err := pass(w, answer)
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

// ask sends a call over whichever link is up until one brings the first byte of an answer: before that nothing is lost by asking again. It
// returns nil when none did while the call waited for the time of a hold, or when the caller went away.
func (p *Port) ask(r *http.Request, body []byte) (*http.Response, *bufio.Reader) {
	left := hold
	for {
		l := p.wait(r.Context(), &left)
		if l == nil {
			return nil, nil
		}
		resp, answer := try(l, r, body)
		if resp != nil {
			return resp, answer
		}
		if r.Context().Err() != nil || !p.pause(r.Context(), &left) {
			return nil, nil
		}
	}
}

// try sends a call over one link. It returns nil if no byte of an answer came, or if the bot is stopping: the next one will answer.
func try(l http.RoundTripper, r *http.Request, body []byte) (*http.Response, *bufio.Reader) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://bot/model"+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil
	}
	out.Header = r.Header.Clone()
	out.Header.Del("X-Api-Key")
	out.Header.Del("Authorization")
	resp, err := l.RoundTrip(out)
	if err != nil {
		return nil, nil
	}
	answer := bufio.NewReaderSize(resp.Body, 64<<10)
	if _, err := answer.Peek(1); err != nil && err != io.EOF || resp.Header.Get(link.HeaderRestarting) != "" {
		resp.Body.Close()
		return nil, nil
	}
	return resp, answer
}

// wait returns a link that is up, or nil when left, which it takes its time from, has run out or ctx has ended.
func (p *Port) wait(ctx context.Context, left *time.Duration) (l http.RoundTripper) {
	p.spend(ctx, left, func(ctx context.Context) {
		l, _ = p.links.Link(ctx) // without an error there is a link
	})
	return l
}

// pause keeps a link that fails at once from being asked in a tight loop. It reports whether there is time left.
func (p *Port) pause(ctx context.Context, left *time.Duration) bool {
	p.spend(ctx, left, func(ctx context.Context) {
		over := make(chan struct{})
		stop := p.clock.AfterFunc(again, func() { close(over) })
		defer stop()
		select {
		case <-over:
		case <-ctx.Done():
		}
	})
	return *left > 0 && ctx.Err() == nil
}

// spend runs f, for as long as is left at most, and takes off what that took. What a call spends in being answered does not count.
func (p *Port) spend(ctx context.Context, left *time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := p.clock.Now()
	stop := p.clock.AfterFunc(*left, cancel)
	defer stop()
	f(ctx)
	*left -= p.clock.Now().Sub(began)
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
