package modeltest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"openinspect/session/model"
)

// The keys a Provider accepts unless its Config says otherwise.
const (
	AnthropicKey = "sk-ant-scripted-model-key"
	OpenAIKey    = "sk-scripted-model-key"
)

// maxRequest is the largest request body read: what the real providers take is of this order.
const maxRequest = 32 << 20

// Config is how a Provider is to behave; its zero value works.
type Config struct {
	AnthropicKey string   // what x-api-key must hold, AnthropicKey if empty
	OpenAIKey    string   // what the bearer token must be, OpenAIKey if empty
	Scripts      []Script // in order: the first that matches a prompt answers it
	Title        string   // the answer to requests without tools (titles, summaries) that no script wants, "Scripted session" if empty

	// Fault, if set, is asked before each request is answered; nil means none. It must be safe for concurrent use.
	Fault func(Request) *Fault
}

// Provider is a model provider on loopback. Its methods may be called from any goroutine.
type Provider struct {
	config Config
	id     string // makes the ids of its answers different from those of another Provider
	server *http.Server
	url    string
	closed context.Context
	close  context.CancelFunc

	mu       sync.Mutex
	scripts  []Script
	faults   []Fault
	requests []*Request
	changed  chan struct{} // closed and replaced whenever requests change
	gates    map[string]*gate
}

// New returns a Provider that is not yet listening. A script that cannot work is an error.
func New(c Config) (*Provider, error) {
	if c.AnthropicKey == "" {
		c.AnthropicKey = AnthropicKey
	}
	if c.OpenAIKey == "" {
		c.OpenAIKey = OpenAIKey
	}
	if c.Title == "" {
		c.Title = "Scripted session"
	}
	p := &Provider{config: c, id: strings.ToLower(rand.Text()[:6]), changed: make(chan struct{}), gates: map[string]*gate{}}
	p.closed, p.close = context.WithCancel(context.Background())
	if err := p.Add(c.Scripts...); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, wire := range wires {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, wire) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		openAIError(w, http.StatusNotFound, fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.URL.Path), "")
	})
	p.server = &http.Server{Handler: mux}
	return p, nil
}

// Start listens on a free port of the loopback interface and serves until Close.
func (p *Provider) Start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("modeltest: %w", err)
	}
	p.url = "http://" + l.Addr().String()
	go p.server.Serve(l) // ends with Close
	return nil
}

// URL is the base address of both providers, without /v1. It is empty before Start.
func (p *Provider) URL() string { return p.url }

// Close ends the provider at once; answers under way are cut.
func (p *Provider) Close() error {
	defer p.close()
	return p.server.Close()
}

// Add adds scripts behind those that are there.
func (p *Provider) Add(scripts ...Script) error {
	for _, s := range scripts {
		if err := s.check(); err != nil {
			return fmt.Errorf("modeltest: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scripts = append(p.scripts, scripts...)
	return nil
}

// wire is one of the three formats: how to read a request, and how to say an answer or an error in it.
type wire struct {
	provider string // of the catalogue
	read     func(body []byte) (conversation, error)
	events   func(answer) []event
	whole    func(answer) any // the answer to a request that did not ask for a stream
	fail     func(w http.ResponseWriter, status int, message, code string)
	broken   event // that the provider is overloaded, in a stream
}

var wires = map[string]wire{
	"/v1/messages":         {model.Anthropic, readMessages, messagesEvents, messagesWhole, anthropicError, messagesBroken},
	"/v1/responses":        {model.OpenAI, readResponses, responsesEvents, responsesWhole, openAIError, responsesBroken},
	"/v1/chat/completions": {model.OpenAI, readChat, chatEvents, chatWhole, openAIError, chatBroken},
}

// serve answers one request.
func (p *Provider) serve(w http.ResponseWriter, r *http.Request, wire wire) {
	rec, c, err := p.read(w, r, wire)
	refuse := func(status int, message string) {
		p.update(rec, func(q *Request) { q.Status = status })
		wire.fail(w, status, message, "")
	}
	defer p.update(rec, func(q *Request) { q.Done = true })

	want := p.config.OpenAIKey
	if wire.provider == model.Anthropic {
		want = p.config.AnthropicKey
	}
	switch {
	case rec.Key == "":
		refuse(http.StatusUnauthorized, missingKey[wire.provider])
		return
	case rec.Key != want:
		refuse(http.StatusUnauthorized, wrongKey[wire.provider])
		return
	case r.Method != http.MethodPost:
		refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	case wire.provider == model.Anthropic && r.Header.Get("Anthropic-Version") == "":
		refuse(http.StatusBadRequest, "anthropic-version: header is required")
		return
	case err != nil:
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	if _, ok := model.Find(wire.provider + "/" + c.Model); !ok {
		refuse(http.StatusNotFound, fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", c.Model))
		return
	}

	fault := p.fault(rec)
	if fault.Status != 0 {
		for k, v := range fault.Header {
			w.Header()[http.CanonicalHeaderKey(k)] = v
		}
		p.update(rec, func(q *Request) { q.Status = fault.Status })
		if fault.Body != nil {
			w.WriteHeader(fault.Status)
			w.Write(fault.Body)
			return
		}
		wire.fail(w, fault.Status, fault.message(), fault.Code)
		return
	}

	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	script, step, err := p.choose(c)
	if err != nil {
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	a := answer{id: fmt.Sprintf("%s%d", p.id, rec.N), model: c.Model, step: step, usage: step.usage(), finish: fault.Finish}
	p.update(rec, func(q *Request) { q.Script, q.Step, q.Status, q.Usage = script, c.Turns, http.StatusOK, a.usage })
	if !p.send(w, r, wire, c, a, fault) {
		panic(http.ErrAbortHandler) // returning would end the answer as if it were whole
	}
	p.update(rec, func(q *Request) { q.Whole = true })
}
