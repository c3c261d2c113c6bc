package githubtest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limit is one principal's rate limit, and what it has been used for.
type limit struct {
	who       string // in GitHub's words
	max, used int
	reset     time.Time

	usage  Usage
	asked  map[string]bool // what was read, by token and address
	recent []spent         // of the last minute
}

// spent is what a call cost of the limit of haste.
type spent struct {
	at     time.Time
	points int
}

// Usage is what somebody asked GitHub's REST API for, since the server began. Calls without a good credential are nobody's.
type Usage struct {
	// Paid counts the calls that count against the hourly limit, refused ones too: all but those answered 304.
	Paid int
	// First counts those of Paid that read something for the first time with their token. An installation's token ends after an hour, and what an
	// ETag of the old one saved has to be read and paid once more.
	First int
	// Free counts the calls answered 304.
	Free int
	// Peak is the most points in a minute of the server's clock, as GitHub's secondary limit counts them: reading costs one, everything else
	// five. GitHub allows 900; whether it counts what was answered 304 is not documented, so it is counted here.
	Peak int
}

// Usage returns what each principal used: "app", "installation acme", "user ada" and "nobody".
func (s *Server) Usage() map[string]Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]Usage{}
	for who, l := range s.limits {
		all[who] = l.usage
	}
	return all
}

func (l *limit) describe(h http.Header) {
	h.Set("X-Ratelimit-Limit", strconv.Itoa(l.max))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(max(l.max-l.used, 0)))
	h.Set("X-Ratelimit-Used", strconv.Itoa(l.used))
	h.Set("X-Ratelimit-Reset", itoa(l.reset.Unix()))
	h.Set("X-Ratelimit-Resource", "core")
}

// spend counts a call that was answered with status.
func (l *limit) spend(r *http.Request, status int, now time.Time) {
	points := 5
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		points = 1
		key := r.Header.Get("Authorization") + "\n" + r.URL.RequestURI()
		if !l.asked[key] && status != http.StatusNotModified {
			l.usage.First++
		}
		l.asked[key] = true
	}
	if status == http.StatusNotModified {
		l.usage.Free++
	} else {
		l.usage.Paid++
		l.used++
	}
	l.recent = slices.DeleteFunc(append(l.recent, spent{now, points}), func(p spent) bool { return now.Sub(p.at) >= time.Minute })
	sum := 0
	for _, p := range l.recent {
		sum += p.points
	}
	l.usage.Peak = max(l.usage.Peak, sum)
}

// limitOf finds the limit a call counts against, and starts its next hour when the last one is over.
func (s *Server) limitOf(c *call) *limit {
	name, who, most := "nobody", "", 60
	switch {
	case c.token != nil && c.token.installation != nil:
		i := c.token.installation
		name, who, most = "installation "+i.account.login, "installation ID "+itoa(i.id), s.cfg.RateLimit
	case c.token != nil:
		name, who, most = "user "+c.account.login, "user ID "+itoa(c.account.id), s.cfg.RateLimit
	case c.r.Header.Get("Authorization") != "":
		name, who, most = "app", "app ID "+itoa(s.cfg.App.ID), s.cfg.RateLimit
	default:
		who, _, _ = strings.Cut(c.r.RemoteAddr, ":")
	}
	l := s.limits[name]
	if l == nil {
		l = &limit{who: who, max: most, asked: map[string]bool{}}
		s.limits[name] = l
	}
	if now := s.now(); !now.Before(l.reset) {
		l.used, l.reset = 0, now.Add(time.Hour)
	}
	return l
}

func (s *Server) getRateLimit(c *call) *reply {
	l := s.limitOf(c)
	core := object{"limit": l.max, "used": l.used, "remaining": max(l.max-l.used, 0), "reset": l.reset.Unix()}
	return ok(object{"resources": object{"core": core, "search": core}, "rate": core})
}
