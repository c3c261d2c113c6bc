package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/model"
)

// Limits of what a session may do at once.
const (
	maxBody    = 64 << 20
	maxStreams = 4
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
}

// Gateway passes model calls on. Its zero value is of no use; make it with New.
type Gateway struct {
	providers map[string]upstream
	client    *http.Client
	clock     session.Clock

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
		client: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableCompression: true, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if g.clock == nil {
		g.clock = session.SystemClock{}
	}
	for id, p := range c.Providers {
		base, err := url.Parse(strings.TrimSuffix(p.BaseURL, "/"))
		if err != nil || base.Host == "" || paths[id] == nil {
			return nil, session.Errorf(session.Invalid, "the model provider %q at %q is none that the gateway knows", id, p.BaseURL)
		}
		g.providers[id] = upstream{base, p.Key}
	}
	return g, nil
}

// Handler serves one session's calls: POST /model/PROVIDER/v1/…. record is told of each, after its answer; what it does must not be lost
// because the caller went away, so its context does not end with the request's.
func (g *Gateway) Handler(_ session.ID, record func(context.Context, session.ModelCall)) http.Handler {
	streams := make(chan struct{}, maxStreams)
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
		select {
		case streams <- struct{}{}:
			defer func() { <-streams }()
		default:
			w.Header().Set("Retry-After", retryAfter)
			refuse(w, provider, http.StatusTooManyRequests, "rate_limit_error", fmt.Sprintf("At most %d model calls of a session run at once.", maxStreams))
			return
		}
		if !g.enter() {
			w.Header().Set("Retry-After", retryAfter)
			w.Header().Set(link.HeaderRestarting, "1")
			refuse(w, provider, http.StatusServiceUnavailable, "overloaded_error", "The bot is restarting.")
			return
		}
		defer g.leave()
		// Read whole: what is asked has to be looked at, and a proxy that answers while a body is still being read can cut answers short.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			refuse(w, provider, http.StatusRequestEntityTooLarge, "invalid_request_error", "The request is larger than 64 MiB, or broke off.")
			return
		}
		body, m, err := admit(provider, body)
		if err != nil {
			refuse(w, provider, http.StatusBadRequest, "invalid_request_error", session.Sentence(err))
			return
		}
		g.pass(w, r, up, m, "/"+rest, body, record)
	})
}

// forwarded are the headers of the agent's request that the provider gets.
var forwarded = []string{"Content-Type", "Accept", "User-Agent", "Anthropic-Version", "Anthropic-Beta"}

// returned are the headers of the provider's answer that the agent gets; what identifies our account stays here.
var returned = []string{"Content-Type", "Retry-After", "Retry-After-Ms", "Request-Id", "X-Request-Id", "X-Should-Retry"}

// pass sends one admitted call on and streams the answer back.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, up upstream, m model.Model, path string, body []byte, record func(context.Context, session.ModelCall)) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	alive := g.watch(cancel)
	defer func() { alive.stop() }()
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, up.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		refuse(w, m.Provider, http.StatusBadGateway, "api_error", "The model provider's address is wrong.")
		return
	}
	for _, h := range forwarded {
		if v := r.Header.Get(h); v != "" {
			out.Header.Set(h, v)
		}
	}
	if m.Provider == model.Anthropic {
		out.Header.Set("X-Api-Key", up.key)
	} else {
		out.Header.Set("Authorization", "Bearer "+up.key)
	}
	call := session.ModelCall{Model: m.ID}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 30*time.Second)
		defer cancel()
		if call.Status != 0 || call.Usage != (session.Usage{}) {
			record(ctx, call)
		}
	}()
	resp, err := g.client.Do(out)
	if err != nil {
		switch {
		case r.Context().Err() != nil: // nobody to tell
		case ctx.Err() != nil:
			refuse(w, m.Provider, http.StatusGatewayTimeout, "api_error", fmt.Sprintf("The model provider did not answer for %d minutes.", int(silence.Minutes())))
		default:
			refuse(w, m.Provider, http.StatusBadGateway, "api_error", "The model provider cannot be reached.")
		}
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		call.Status = resp.StatusCode
		answerRefusal(w, m.Provider, resp)
		return
	}
	for _, h := range returned {
		if v := resp.Header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	counter := &meter{stream: strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")}
	err = relay(w, resp.Body, counter, alive)
	usage, whole := counter.usage(len(body))
	call.Usage, call.Estimate = session.Usage(usage), !whole
	call.Cost = m.Cost(usage)
	if err != nil {
		panic(http.ErrAbortHandler) // the answer broke off: the runner must see that it did
	}
}

// watchdog calls a function when it has not been fed for the time of a silence.
type watchdog struct {
	clock session.Clock
	bite  func()
	stop  func() bool
}

func (g *Gateway) watch(bite func()) *watchdog {
	return &watchdog{g.clock, bite, g.clock.AfterFunc(silence, bite)}
}

func (d *watchdog) feed() {
	if d.stop() {
		d.stop = d.clock.AfterFunc(silence, d.bite)
	}
}

// relay copies an answer as it comes.
func relay(w http.ResponseWriter, body io.Reader, counter *meter, alive *watchdog) error {
	flush := http.NewResponseController(w)
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			alive.feed()
			counter.take(buffer[:n])
			if _, err := w.Write(buffer[:n]); err != nil {
				return err
			}
			if err := flush.Flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answerRefusal passes a provider's refusal on. What it says of our key is for the operator: the agent learns only that it was refused.
func answerRefusal(w http.ResponseWriter, provider string, resp *http.Response) {
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		refuse(w, provider, resp.StatusCode, "authentication_error",
			"The model provider refused the operator's key. Whoever runs the bot has to check "+strings.ToUpper(provider)+"_API_KEY.")
		return
	}
	if resp.StatusCode < 400 {
		refuse(w, provider, http.StatusBadGateway, "api_error", "The model provider answered with a redirect, which is not followed.")
		return
	}
	for _, h := range returned {
		if v := resp.Header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, 1<<20)) // best effort: the status is what counts
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
