package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"openinspect/session"
	"openinspect/session/model"
)

// forwarded are the headers of the agent's request that the provider gets; of Anthropic-Beta, what betas lets through.
var forwarded = []string{"Content-Type", "Accept", "User-Agent", "Anthropic-Version"}

// returned are the headers of the provider's answer that the agent gets; what identifies our account stays here.
var returned = []string{"Content-Type", "Retry-After", "Retry-After-Ms", "Request-Id", "X-Request-Id", "X-Should-Retry"}

// lastWords is how long an answer is listened to whose caller has left. What it cost stands at its very end, and who leaves just before it must not
// have it for less.
const lastWords = time.Second

// call is one call of a session's that was admitted.
type call struct {
	g        *Gateway
	asker    *asker
	id       string
	up       upstream
	model    model.Model
	path     string
	weight   int // of the request, in bytes of text
	estimate session.ModelCall
}

// estimate is what a call is taken for of which nothing is known but its request: all of it read, none of it from the cache.
func estimate(m model.Model, weight int) session.ModelCall {
	u := model.Usage{Input: int64(weight / bytesPerToken)}
	return session.ModelCall{Model: m.ID, Usage: session.Usage(u), Cost: m.Cost(u), Estimate: true}
}

// writingRate is how many tokens a second a model is taken to have written of an answer that comes whole, at its end, and was not waited for: about
// what models of the catalogue do, so that who leaves early has it neither for nothing nor for more than it can have cost.
const writingRate = 50

// unheard is what a call is taken for whose answer never began to come, after so long.
func (c *call) unheard(body []byte, waited time.Duration) session.ModelCall {
	var asked struct {
		Stream              bool `json:"stream"`
		MaxTokens           int  `json:"max_tokens"`
		MaxOutputTokens     int  `json:"max_output_tokens"`
		MaxCompletionTokens int  `json:"max_completion_tokens"`
	}
	if err := json.Unmarshal(body, &asked); err != nil || asked.Stream {
		return c.estimate // one that is streamed begins to come when it begins to be written
	}
	u := model.Usage(c.estimate.Usage)
	u.Output = int64(waited.Seconds() * writingRate)
	for _, most := range []int{c.model.Output, asked.MaxTokens, asked.MaxOutputTokens, asked.MaxCompletionTokens} {
		if most > 0 {
			u.Output = min(u.Output, int64(most))
		}
	}
	return session.ModelCall{Model: c.model.ID, Usage: session.Usage(u), Cost: c.model.Cost(u), Estimate: true}
}

// pass sends the call on, streams the answer back, and counts it whatever happens.
func (c *call) pass(w http.ResponseWriter, r *http.Request, body []byte) {
	counted := session.ModelCall{Model: c.model.ID}
	defer func() { c.asker.count(r.Context(), c.id, counted) }()
	// A call whose caller leaves is given up; one that is being answered, a moment later.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	var answered atomic.Bool
	defer context.AfterFunc(r.Context(), func() {
		if !answered.Load() {
			cancel()
			return
		}
		c.g.clock.AfterFunc(lastWords, cancel)
	})()
	alive := c.g.watch(cancel)
	defer func() { alive.stop() }()
	var sent atomic.Bool // all of it: the provider may answer, and charge for it, whether or not we hear of that
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { sent.Store(i.Err == nil) }})
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, c.up.base.JoinPath(c.path).String(), bytes.NewReader(body))
	if err != nil {
		refuse(w, c.model.Provider, http.StatusBadGateway, "api_error", "The model provider's address is wrong.")
		return
	}
	c.head(out.Header, r.Header)
	began := c.g.clock.Now()
	resp, err := c.g.client.Do(out)
	if err != nil {
		if sent.Load() {
			counted = c.unheard(body, c.g.clock.Now().Sub(began))
		}
		c.unanswered(w, r, ctx, "The model provider cannot be reached.")
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		counted.Status = resp.StatusCode
		answerRefusal(w, c.model.Provider, resp)
		return
	}
	// Not before its first byte is an answer passed on: until then what goes wrong can be said, and the runner takes an answer that breaks off
	// without a word for a link that did, and asks again in silence.
	answer := bufio.NewReaderSize(resp.Body, 32<<10)
	if _, err := answer.Peek(1); err != nil && err != io.EOF {
		counted = c.unheard(body, c.g.clock.Now().Sub(began))
		c.unanswered(w, r, ctx, "The model provider broke its answer off before it began.")
		return
	}
	answered.Store(true)
	for _, h := range returned {
		if v := resp.Header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	counter := &meter{stream: strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")}
	err = pour(w, answer, counter, alive)
	usage, whole := counter.usage(c.weight)
	counted.Usage, counted.Estimate = session.Usage(usage), !whole
	counted.Cost = c.model.Cost(usage) + c.model.Hourly(counter.hourly)
	if err != nil {
		panic(http.ErrAbortHandler) // the answer broke off: the runner must see that it did
	}
}

// unanswered tells the agent that nothing came; ctx is the call's, which the watchdog ends.
func (c *call) unanswered(w http.ResponseWriter, r *http.Request, ctx context.Context, why string) {
	switch {
	case r.Context().Err() != nil: // nobody to tell
	case ctx.Err() != nil:
		refuse(w, c.model.Provider, http.StatusGatewayTimeout, "api_error", fmt.Sprintf("The model provider did not answer for %d minutes.", int(silence.Minutes())))
	default:
		refuse(w, c.model.Provider, http.StatusBadGateway, "api_error", why)
	}
}

// head fills the headers of the request to the provider.
func (c *call) head(out, in http.Header) {
	for _, h := range forwarded {
		if v := in.Get(h); v != "" {
			out.Set(h, v)
		}
	}
	if c.model.Provider == model.Anthropic {
		if b := betas(in.Values("Anthropic-Beta")); b != "" {
			out.Set("Anthropic-Beta", b)
		}
		out.Set("X-Api-Key", c.up.key)
	} else {
		out.Set("Authorization", "Bearer "+c.up.key)
	}
}

// watchdog calls a function when it has not been fed for the time of a silence.
type watchdog struct {
	clock session.Clock
	bite  func()
	stop  func() bool

	hurried bool
}

func (g *Gateway) watch(bite func()) *watchdog {
	return &watchdog{clock: g.clock, bite: bite, stop: g.clock.AfterFunc(silence, bite)}
}

// hurry has the watchdog bite soon, whatever it is fed.
func (d *watchdog) hurry() {
	if d.stop() {
		d.stop = d.clock.AfterFunc(lastWords, d.bite)
	}
	d.hurried = true
}

func (d *watchdog) feed() {
	if !d.hurried && d.stop() {
		d.stop = d.clock.AfterFunc(silence, d.bite)
	}
}

// pour passes an answer on: a stream as it comes, anything else once it is whole and counted.
func pour(w http.ResponseWriter, body io.Reader, counter *meter, alive *watchdog) error {
	flush := http.NewResponseController(w).Flush
	if counter.stream {
		return relay(w, flush, body, counter, alive)
	}
	var all bytes.Buffer
	broken := relay(&all, func() error { return nil }, io.LimitReader(body, maxMeterLine), counter, alive)
	if _, err := w.Write(all.Bytes()); err != nil || broken != nil {
		return errors.Join(broken, err)
	}
	return relay(w, flush, body, counter, alive) // what is longer than any answer
}

// relay copies an answer as it comes. When nobody takes it any more the rest is counted alone.
func relay(w io.Writer, flush func() error, body io.Reader, counter *meter, alive *watchdog) error {
	buffer := make([]byte, 32<<10)
	var gone error
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			alive.feed()
			counter.take(buffer[:n])
			if gone == nil {
				if _, gone = w.Write(buffer[:n]); gone == nil {
					gone = flush()
				}
				if gone != nil {
					alive.hurry()
				}
			}
		}
		if err == io.EOF {
			return gone
		}
		if err != nil {
			return err
		}
	}
}

// maxRefusal is how much is read of a provider's refusal.
const maxRefusal = 1 << 20

// answerRefusal passes a provider's refusal on. What it says of our key is for the operator: the agent learns only that it was refused.
func answerRefusal(w http.ResponseWriter, provider string, resp *http.Response) {
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // best effort: the status is what counts
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		refuse(w, provider, resp.StatusCode, "authentication_error",
			"The model provider refused the operator's key. Whoever runs the bot has to check "+strings.ToUpper(provider)+"_API_KEY.")
		return
	case resp.StatusCode < 400:
		refuse(w, provider, http.StatusBadGateway, "api_error", "The model provider answered with a redirect, which is not followed.")
		return
	case resp.StatusCode == http.StatusTooManyRequests && bytes.Contains(said, []byte("insufficient_quota")):
		// OpenAI says it with the status of a limit that passes, which the agent would try again and again.
		resp.StatusCode = http.StatusPaymentRequired
		resp.Header.Del("Retry-After")
	}
	for _, h := range returned {
		if v := resp.Header.Get(h); v != "" {
			w.Header().Set(h, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(said) // best effort: the caller may be gone
}
