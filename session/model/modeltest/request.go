package modeltest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"openinspect/session/model"
)

// Request is one request as it came in, and what became of it.
type Request struct {
	N        int    // 1 for the first
	Provider string // whose format it came in: "anthropic" or "openai"
	Path     string
	Key      string // the API key that came with it
	Header   http.Header
	Body     []byte

	Model  string
	Stream bool
	Prompt string   // the text of the last user message
	Tools  []string // the names of the tools offered

	Script string      // the script that answered, "" if none
	Step   int         // 0 for the script's first step
	Status int         // the status of the answer, 0 until it is known
	Usage  model.Usage // what the answer reports, if Status is 200
	Whole  bool        // the answer was sent to its end
	Done   bool        // nothing more will happen to it
}

// Requests returns all requests so far, the first first. Their headers and bodies are shared and must not be changed.
func (p *Provider) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.copy()
}

func (p *Provider) copy() []Request {
	all := make([]Request, len(p.requests))
	for i, r := range p.requests {
		all[i] = *r
	}
	return all
}

// Wait returns as soon as ok holds for the requests so far. It asks again whenever one comes in or changes. Its error is ctx's.
func (p *Provider) Wait(ctx context.Context, ok func([]Request) bool) error {
	for {
		p.mu.Lock()
		all, changed := p.copy(), p.changed
		p.mu.Unlock()
		if ok(all) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Provider) update(r *Request, f func(*Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(r)
	close(p.changed)
	p.changed = make(chan struct{})
}

// conversation is what the three formats have in common.
type conversation struct {
	Model  string
	Stream bool
	Prompt string   // the text of the last user message
	Turns  int      // the assistant's turns since
	Tools  []string // names
}

// read records a request and understands it as far as it can be understood.
func (p *Provider) read(w http.ResponseWriter, r *http.Request, wire wire) (*Request, conversation, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	var c conversation
	if err == nil {
		c, err = wire.read(body)
	}
	key := r.Header.Get("X-Api-Key")
	if wire.provider == model.OpenAI {
		key, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	rec := &Request{Provider: wire.provider, Path: r.URL.Path, Key: key, Header: r.Header.Clone(), Body: body,
		Model: c.Model, Stream: c.Stream, Prompt: c.Prompt, Tools: c.Tools}
	p.mu.Lock()
	p.requests = append(p.requests, rec)
	rec.N = len(p.requests)
	p.mu.Unlock()
	p.update(rec, func(*Request) {})
	return rec, c, err
}

// item is a message of any of the three formats, or another item of a Responses input.
type item struct {
	Type    string          `json:"type"`
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// text returns the text of a message. Results is true if it holds results of tools and nothing else, as Anthropic's user messages may.
func (i item) text() (text string, results bool) {
	if json.Unmarshal(i.Content, &text) == nil {
		return text, false
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(i.Content, &parts) != nil {
		return "", false
	}
	var texts []string
	results = len(parts) > 0
	for _, part := range parts {
		switch part.Type {
		case "text", "input_text":
			texts = append(texts, part.Text)
		}
		results = results && part.Type == "tool_result"
	}
	return strings.Join(texts, "\n"), results
}

// refusal is what a provider says of a request that it cannot understand.
type refusal string

func (r refusal) Error() string { return string(r) }

type tool struct {
	Type     string
	Name     string
	Function struct{ Name string }
}

func readMessages(body []byte) (conversation, error) {
	var q struct {
		Model     string
		Stream    bool
		MaxTokens int `json:"max_tokens"`
		Messages  []item
		Tools     []tool
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return conversation{}, refusal("The request body is not valid JSON: " + err.Error())
	}
	c := follow(q.Model, q.Stream, false, q.Messages, q.Tools)
	switch {
	case q.Model == "":
		return c, refusal("model: Field required")
	case q.MaxTokens <= 0:
		return c, refusal("max_tokens: Field required")
	case len(q.Messages) == 0:
		return c, refusal("messages: at least one message is required")
	}
	return c, nil
}

func readResponses(body []byte) (conversation, error) {
	var q struct {
		Model  string
		Stream bool
		Input  json.RawMessage
		Tools  []tool
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return conversation{}, refusal("We could not parse the JSON body of your request: " + err.Error())
	}
	var items []item
	if json.Unmarshal(q.Input, &items) != nil { // a string is short for one user message
		items = []item{{Role: "user", Content: q.Input}}
	}
	c := follow(q.Model, q.Stream, true, items, q.Tools)
	if q.Model == "" || len(q.Input) == 0 {
		return c, refusal("Missing required parameter: 'model' or 'input'.")
	}
	return c, nil
}

func readChat(body []byte) (conversation, error) {
	var q struct {
		Model    string
		Stream   bool
		Messages []item
		Tools    []tool
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return conversation{}, refusal("We could not parse the JSON body of your request: " + err.Error())
	}
	c := follow(q.Model, q.Stream, false, q.Messages, q.Tools)
	if q.Model == "" || len(q.Messages) == 0 {
		return c, refusal("Missing required parameter: 'model' or 'messages'.")
	}
	return c, nil
}

// follow finds the last prompt, and counts the assistant's turns since. A turn of a Responses input is a run of items of the assistant's: reasoning,
// message, calls; of the other formats it is one message.
func follow(name string, stream, runs bool, items []item, tools []tool) conversation {
	c := conversation{Model: name, Stream: stream}
	turn := false
	for _, i := range items {
		switch {
		case i.Role == "user":
			text, results := i.text()
			if !results {
				c.Prompt, c.Turns = text, 0
			}
			turn = false
		case i.Role == "assistant", i.Type == "function_call", i.Type == "reasoning":
			if !turn || !runs {
				c.Turns++
			}
			turn = true
		default: // a tool's result, or instructions
			turn = false
		}
	}
	for _, t := range tools {
		if n := t.Name + t.Function.Name; n != "" && !slices.Contains(c.Tools, n) {
			c.Tools = append(c.Tools, n)
		}
	}
	return c
}
