package bot

import (
	"context"
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
}

// reading is when something was read at Slack, which may take several calls: it was as it reads at some time between the two, on Slack's clock, which need
// not be the computer's. What is said later, or by another call, may be newer than what was read.
type reading struct{ from, to time.Time }

type readingKey struct{}

// timed returns a context whose calls note when they read.
func timed(ctx context.Context) (context.Context, *reading) {
	r := &reading{}
	return context.WithValue(ctx, readingKey{}, r), r
}

// note takes a call that took so long, and the whole second in which Slack says it answered.
func (r *reading) note(took time.Duration, second time.Time) {
	if from := second.Add(-took); r.from.IsZero() || from.Before(r.from) {
		r.from = from
	}
	if to := second.Add(time.Second - time.Microsecond); to.After(r.to) {
		r.to = to
	}
}

// send makes a call once.
func (c *courtesy) send(r *http.Request) (*http.Response, error) {
	began := c.clock.Now()
	resp, err := c.next.Do(r)
	if err != nil {
		return nil, err
	}
	if when, ok := r.Context().Value(readingKey{}).(*reading); ok && resp.StatusCode != http.StatusTooManyRequests {
		now := c.clock.Now()
		date, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil { // a proxy left it out
			date = now.Truncate(time.Second)
		}
		when.note(now.Sub(began), date)
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
