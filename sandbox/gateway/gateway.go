package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"openinspect/session"
	"openinspect/session/model"
)

// Limits of what a session may do at once.
const (
	maxBody    = 64 << 20 // of one call, and of all that are under way
	maxStreams = 4
	maxHeld    = 32  // calls that wait for the thread; they are no streams
	retryAfter = "2" // seconds, of an answer that says to come again
	// silence is how long a provider may say nothing, before its answer or in it; both send signs of life while they think.
	silence = 10 * time.Minute
)

// Provider is where a model provider is, and our key for it.
type Provider struct {
	BaseURL string // without /v1
	Key     string
}

// Config is what a Gateway works with.
type Config struct {
	Providers map[string]Provider // by the ids of the catalogue: anthropic, openai
	Clock     session.Clock       // nil: the computer's
	// Report takes errors that nobody waits for: a call that could not be counted. Nil: nobody.
	Report func(id session.ID, op string, err error)
}

// Gateway passes model calls on. Its zero value is of no use; make it with New.
type Gateway struct {
	providers map[string]upstream
	client    *http.Client
	clock     session.Clock
	report    func(session.ID, string, error)
	run       string          // makes the ids of calls different from those of another process
	numbers   atomic.Uint64   // of calls
	stopping  context.Context // ends when draining begins
	stop      context.CancelFunc

	mu       sync.Mutex
	draining bool
	calls    int
	idle     chan struct{} // closed when calls reaches 0 while draining
}

type upstream struct {
	base *url.URL
	key  string
}

// paths are what may be called of each provider. Everything else a provider has (files, batches, keys) is nothing of an agent's.
var paths = map[string][]string{
	model.Anthropic: {"/v1/messages"},
	model.OpenAI:    {"/v1/responses", "/v1/chat/completions"},
}

// New makes a gateway; it does no I/O.
func New(c Config) (*Gateway, error) {
	g := &Gateway{
		providers: map[string]upstream{},
		clock:     c.Clock,
		report:    c.Report,
		run:       rand.Text(),
		client: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if g.clock == nil {
		g.clock = session.SystemClock{}
	}
	if g.report == nil {
		g.report = func(session.ID, string, error) {}
	}
	g.stopping, g.stop = context.WithCancel(context.Background())
	for id, p := range c.Providers {
		base, err := url.Parse(strings.TrimSuffix(p.BaseURL, "/"))
		if err != nil || base.Host == "" || paths[id] == nil {
			return nil, session.Errorf(session.Invalid, "the model provider %q at %q is none that the gateway knows", id, p.BaseURL)
		}
		g.providers[id] = upstream{base, p.Key}
	}
	return g, nil
}

// Handler serves one session's calls: POST /model/PROVIDER/v1/…. send is the session: it is asked before each call with CallBegun, and told of
// it with ModelCalled after its answer, also when the caller went away.
func (g *Gateway) Handler(id session.ID, send session.Send) http.Handler {
	asker := &asker{g, id, send}
	streams, held := make(chan struct{}, maxStreams), make(chan struct{}, maxHeld)
	var taken atomic.Int64 // bytes of bodies
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		provider, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/model/"), "/")
		up, ok := g.providers[provider]
		switch {
		case !ok || !slices.Contains(paths[provider], "/"+rest):
			refuse(w, provider, http.StatusNotFound, "not_found_error", "This is not something an agent may ask of a model provider.")
			return
		case r.Method != http.MethodPost:
			refuse(w, provider, http.StatusMethodNotAllowed, "invalid_request_error", "Only POST is served here.")
			return
		}
		leave, ok := take(streams)
		if !ok {
			tooMany(w, provider, maxStreams)
			return
		}
		defer leave()
		size := r.ContentLength
		if size < 0 || size > maxBody {
			size = maxBody // it may be that long
		}
		free := sync.OnceFunc(func() { taken.Add(-size) })
		defer free()
		if taken.Add(size) > maxBody {
			askAgain(w, provider, "Other calls of this session are too large for this one to run beside them.")
			return
		}
		// Read whole: what is asked has to be looked at, and a proxy that answers while a body is still being read can cut answers short.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			refuse(w, provider, http.StatusRequestEntityTooLarge, "invalid_request_error", "The request is larger than 64 MiB, or broke off.")
			return
		}
		if !g.enter() { // not before: a body that does not come would keep a bot from stopping
			askAgain(w, provider, "The bot is restarting.")
			return
		}
		defer g.leave()
		body, m, err := admit("/"+rest, body)
		if err != nil {
			refuse(w, provider, http.StatusBadRequest, "invalid_request_error", session.Sentence(err))
			return
		}
		call := &call{g: g, asker: asker, up: up, model: m, path: "/" + rest, weight: weight(body)}
		call.estimate = estimate(m, call.weight)
		err = asker.begin(r.Context(), call)
		switch {
		case errors.Is(err, session.ErrHeld):
			leave()
			free()
			out, ok := take(held)
			if !ok {
				tooMany(w, provider, maxHeld)
				return
			}
			defer out()
			asker.hold(r.Context()) // without the body, which nothing refers to any more: the runner has it
			askAgain(w, provider, "The thread is asked whether this may cost more.")
		case session.CodeOf(err) == session.Unavailable:
			askAgain(w, provider, session.Sentence(err))
		case session.CodeOf(err) == session.Internal:
			refuse(w, provider, http.StatusInternalServerError, "api_error", session.Sentence(err))
		case err != nil:
			refuse(w, provider, http.StatusBadRequest, "invalid_request_error", session.Sentence(err))
		default:
			call.pass(w, r, body)
		}
	})
}

// take takes a place, if there is one, and returns how it is given back, once.
func take(places chan struct{}) (leave func(), ok bool) {
	select {
	case places <- struct{}{}:
		return sync.OnceFunc(func() { <-places }), true
	default:
		return nil, false
	}
}

func tooMany(w http.ResponseWriter, provider string, most int) {
	w.Header().Set("Retry-After", retryAfter)
	refuse(w, provider, http.StatusTooManyRequests, "rate_limit_error", fmt.Sprintf("At most %d model calls of a session run at once.", most))
}

// enter counts a call in; false while draining.
func (g *Gateway) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return false
	}
	g.calls++
	return true
}

func (g *Gateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.calls == 0 && g.draining {
		close(g.idle)
	}
}

// Drain lets the calls under way finish and takes no more. It returns when none is left, or with ctx's error. It is called once, at an orderly
// stop of the bot: runners hold what is refused meanwhile and send it to the next one.
func (g *Gateway) Drain(ctx context.Context) error {
	g.mu.Lock()
	g.draining = true
	g.stop()
	g.idle = make(chan struct{})
	if g.calls == 0 {
		close(g.idle)
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
