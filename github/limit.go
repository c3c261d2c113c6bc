package github

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"openinspect/session"
)

// limits remembers where GitHub has said that it wants no more calls for a while, so that nobody asks again before: asking on makes the while
// longer. GitHub limits whoever asks, so it is kept for each: the App, its installations, and people's accounts, whatever token they have at the time.
type limits struct {
	clock session.Clock
	mu    sync.Mutex
	until map[string]time.Time
}

// limitError is a call that was not made, or refused, because of a limit.
type limitError struct {
	wait time.Duration // from now
}

func (e *limitError) Error() string { return fmt.Sprintf("rate limited for another %s", e.wait) }

// sentence is for a person.
func (e *limitError) sentence() string {
	when := "in a minute"
	if m := int((e.wait + time.Minute - 1) / time.Minute); m > 1 {
		when = fmt.Sprintf("in %d minutes", m)
	}
	return "GitHub limits how often the bot may ask, and the limit is reached. It takes requests again " + when + "; please try again then."
}

// limited returns the limit that err is about; nil if it is about none.
func limited(err error) *limitError {
	e, _ := errors.AsType[*limitError](err)
	return e
}

// guard is a transport that keeps the limits of one who asks.
type guard struct {
	*limits
	who  string
	next http.RoundTripper
}

// RoundTrip makes the call unless a limit stands in its way.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	now := g.clock.Now()
	g.mu.Lock()
	until := g.until[g.who]
	if !until.After(now) {
		delete(g.until, g.who)
	}
	g.mu.Unlock()
	if wait := until.Sub(now); wait > 0 {
		return nil, &limitError{wait}
	}
	resp, err := g.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	wait, err := pause(resp)
	if err != nil || wait == 0 {
		return resp, err
	}
	resp.Body.Close()
	g.mu.Lock()
	now = g.clock.Now()
	maps.DeleteFunc(g.until, func(_ string, until time.Time) bool { return !until.After(now) })
	g.until[g.who] = now.Add(wait)
	g.mu.Unlock()
	return nil, &limitError{wait}
}

// Bounds of a pause. GitHub asks for a minute at least where it does not say how long.
const (
	leastPause = time.Second
	blindPause = time.Minute
	maxPause   = 2 * time.Hour
)

// pause returns for how long an answer wants no more calls; 0 if it is not about a limit. Both of GitHub's limits come as 403 or as 429;
// docs.github.com, "Rate limits for the REST API".
func pause(resp *http.Response) (time.Duration, error) {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return 0, nil
	}
	clamp := func(d time.Duration) (time.Duration, error) { return min(max(d, leastPause), maxPause), nil }
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		return clamp(time.Duration(after) * time.Second)
	}
	if reset, err := strconv.ParseInt(resp.Header.Get("X-Ratelimit-Reset"), 10, 64); err == nil && resp.Header.Get("X-Ratelimit-Remaining") == "0" {
		now, err := http.ParseTime(resp.Header.Get("Date")) // both by GitHub's clock: ours may be wrong
		if err != nil {
			now = time.Now()
		}
		return clamp(time.Unix(reset, 0).Sub(now))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		resp.Body.Close()
		return 0, err
	}
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
	words := strings.ToLower(string(body))
	if resp.StatusCode == http.StatusTooManyRequests || strings.Contains(words, "secondary rate limit") || strings.Contains(words, "abuse detection") {
		return clamp(blindPause)
	}
	return 0, nil
}
