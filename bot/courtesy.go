package bot

import (
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"openinspect/session"
)

// limitedTries is how often a call is made that Slack limits each time.
const limitedTries = 6

// courtesy sends requests to Slack. A method that Slack has limited is not called before the time Slack asks for, and the call is made again
// then: its caller only waits. What the sender and the socket call passes at once; they have schedules of their own.
type courtesy struct {
	next  *http.Client
	clock session.Clock

	mu    sync.Mutex
	until map[string]time.Time // by method
}

func (c *courtesy) Do(r *http.Request) (*http.Response, error) {
	method := path.Base(r.URL.Path)
	if strings.HasPrefix(method, "chat.") || strings.HasPrefix(method, "reactions.") || method == "apps.connections.open" || r.GetBody == nil && r.Body != nil {
		return c.next.Do(r)
	}
	for n := 1; ; n++ {
		if !wait(r.Context(), c.clock, c.delay(method)) {
			return nil, r.Context().Err()
		}
		resp, err := c.next.Do(r)
		if err != nil || resp.StatusCode != http.StatusTooManyRequests {
			return resp, err
		}
		c.limited(method, resp.Header.Get("Retry-After"))
		if n == limitedTries {
			return resp, nil
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
		resp.Body.Close()
		if r.GetBody != nil {
			r = r.Clone(r.Context())
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func (c *courtesy) delay(method string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until[method].Sub(c.clock.Now())
}

func (c *courtesy) limited(method, after string) {
	seconds, err := strconv.Atoi(after)
	if err != nil {
		seconds = 30 // Slack always says; a proxy may not
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until = map[string]time.Time{}
	}
	c.until[method] = c.clock.Now().Add(time.Duration(max(1, seconds)) * time.Second)
}
