package github

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// headerUnchanged marks an answer that GitHub said is still the one of before.
const headerUnchanged = "X-Inspect-Unchanged"

// What is kept of one address, and of a pull request: each commit of its branch has addresses of its own, and what is there is up to whatever runs there.
const (
	maxRemembered    = 1 << 20
	maxRememberedAll = 2 << 20
)

// conditional is a transport that remembers the answers of one pull request's addresses, so that asking again costs nothing while they are the same:
// docs.github.com, "Use conditional requests". What has a date is asked for by it: a pull request holds its repository, so its tag is another one after
// every push to any branch.
type conditional struct {
	next http.RoundTripper

	mu      sync.Mutex
	known   map[string]remembered
	size    int  // of all that is known
	scant   bool // the last answer said that little of the hour's calls is left
	undated bool // GitHub does not go by dates
}

type remembered struct {
	tag    string
	header http.Header
	body   []byte
	at     time.Time // when it was so last, by GitHub's clock
}

// dated is when an answer was changed last; "" if it does not say, or so shortly before that another change of the same second would not show.
func (r remembered) dated() string {
	modified, err := http.ParseTime(r.header.Get("Last-Modified"))
	if err != nil || r.at.Sub(modified) < time.Minute {
		return ""
	}
	return r.header.Get("Last-Modified")
}

func (c *conditional) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.URL.String()
	c.mu.Lock()
	was, ok := c.known[key]
	since := was.dated()
	if c.undated {
		since = ""
	}
	c.mu.Unlock()
	if ok {
		r = r.Clone(r.Context())
		if since != "" {
			r.Header.Set("If-Modified-Since", since) // alone: a tag beside it would decide
		} else {
			r.Header.Set("If-None-Match", was.tag)
		}
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	c.count(resp.Header)
	at, _ := http.ParseTime(resp.Header.Get("Date")) // else its date is not gone by
	switch {
	case resp.StatusCode == http.StatusNotModified && ok:
		resp.Body.Close()
		was.at = at
		c.mu.Lock()
		c.known[key] = was
		c.mu.Unlock()
		header := was.header.Clone()
		header.Set(headerUnchanged, "true")
		header.Set("Date", resp.Header.Get("Date"))
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
			Header: header, Body: io.NopCloser(bytes.NewReader(was.body)), ContentLength: int64(len(was.body)), Request: r,
		}, nil
	case resp.StatusCode == http.StatusOK && r.Method == http.MethodGet && resp.Header.Get("ETag") != "":
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxRemembered))
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if len(body) < maxRemembered {
			c.mu.Lock()
			c.remember(key, remembered{resp.Header.Get("ETag"), resp.Header, body, at})
			c.undated = c.undated || since != "" && resp.Header.Get("Last-Modified") == since
			c.mu.Unlock()
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	}
	return resp, nil
}

// count notes how much of the hour's calls is left: docs.github.com, "Rate limits for the REST API".
func (c *conditional) count(h http.Header) {
	most, err := strconv.Atoi(h.Get("X-Ratelimit-Limit"))
	left, e := strconv.Atoi(h.Get("X-Ratelimit-Remaining"))
	if err != nil || e != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scant = left < most/5
}

// low reports whether less than a fifth of the hour's calls is left.
func (c *conditional) low() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scant
}

// remember keeps an answer; where there is no room for it, instead of all others. The caller holds mu.
func (c *conditional) remember(key string, r remembered) {
	c.size += len(r.body) - len(c.known[key].body)
	if c.size > maxRememberedAll {
		clear(c.known)
		c.size = len(r.body)
	}
	c.known[key] = r
}

// forget drops what was remembered: a token that is new gets other tags.
func (c *conditional) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.known)
	c.size = 0
}
