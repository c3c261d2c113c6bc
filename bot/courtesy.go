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

// courtesy sends requests to Slack, no faster than Slack allows. A method that Slack has limited all the same is not called before the time
// Slack asks for, and the call is made again then: its caller only waits. What the sender and the socket call passes at once; they have
// schedules of their own.
type courtesy struct {
	next  *http.Client
	clock session.Clock

	mu    sync.Mutex
	until map[string]time.Time // by method
	paces paces
	date  time.Time // of Slack's newest answer
}

// now is no earlier than when Slack gave its newest answer, and less than a second later: on its clock, which need not be the computer's.
func (c *courtesy) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.date.IsZero() { // a proxy left it out
		return c.clock.Now()
	}
	return c.date.Add(time.Second - time.Microsecond)
}

// send makes a call once.
func (c *courtesy) send(r *http.Request) (*http.Response, error) {
	resp, err := c.next.Do(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.date = date
	}
	return resp, nil
}

// scheduled reports whether a method is called at its time already.
func scheduled(method string) bool {
	switch method {
	case "apps.connections.open", "files.getUploadURLExternal", "files.completeUploadExternal", "reactions.add", "reactions.remove":
		return true
	}
	return strings.HasPrefix(method, "chat.") || strings.HasPrefix(method, "assistant.")
}

func (c *courtesy) Do(r *http.Request) (*http.Response, error) {
	method := path.Base(r.URL.Path)
	if scheduled(method) || perMinute[method] == 0 || r.GetBody == nil && r.Body != nil {
		return c.send(r)
	}
	for n := 1; ; n++ {
		for d := c.delay(method); d > 0; d = c.delay(method) {
			if !wait(r.Context(), c.clock, d) {
				return nil, r.Context().Err()
			}
		}
		resp, err := c.send(r)
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

// delay returns how long a call has to wait; one that need not is counted. A form has to open while its trigger is good, so it does not wait for
// the pace.
func (c *courtesy) delay(method string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paces == nil {
		c.paces = paces{}
	}
	now, pace := c.clock.Now(), c.paces.of(method)
	d := c.until[method].Sub(now)
	if !strings.HasPrefix(method, "views.") {
		d = max(d, pace.delay(now, 0))
	}
	if d <= 0 {
		pace.take(now)
	}
	return max(0, d)
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
