package github

import (
	"context"
	"errors"
	"hash/fnv"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// How often an open pull request is looked at: soon after somebody did something to it from Slack, then every minute, and seldom once nothing has happened
// for a day.
const (
	soonEvery   = 15 * time.Second
	soonFor     = 5 * time.Minute
	usualEvery  = time.Minute
	quietEvery  = 10 * time.Minute
	quietAfter  = 24 * time.Hour
	troubledFor = 2 * time.Minute // after a look that failed
)

// watch follows the open pull requests of all sessions. What is followed is in the store; when it was looked at is forgotten with the process.
type watch struct {
	g *GitHub

	mu     sync.Mutex
	pulls  map[session.ID]*watched
	wake   chan struct{} // closed when something is due earlier than it was
	tokens map[int64]readToken
}

// watched is one of them. But for what the watch's mu guards it is the loop's alone.
type watched struct {
	session.Followed
	cache   *conditional
	client  *gh.Client
	token   string
	changed time.Time
	seen    session.PullRequest // at the last look; zero if the session did not take it
	told    session.PullRequest // what the session took
	heard   map[string]bool     // the remarks that it took, by id
	lost    string              // the sentence that it was told last, while GitHub does not show it

	// Guarded by mu.
	next         time.Time
	soon         time.Time // until when it is looked at often
	looked       time.Time // when the last look began
	hinted       bool      // something has happened since
	head, branch string    // at the last look
}

// readToken reads the pull requests of one installation. It is kept for its hour, because tags of answers are good for one token.
type readToken struct {
	of      int64 // the installation
	value   string
	expires time.Time
	revoke  func()
}

func newWatch(g *GitHub) *watch {
	return &watch{g: g, pulls: map[session.ID]*watched{}, wake: make(chan struct{}), tokens: map[int64]readToken{}}
}

func newWatched(f session.Followed, now time.Time) *watched {
	return &watched{Followed: f, cache: &conditional{known: map[string]remembered{}}, changed: now, heard: map[string]bool{}}
}

// Follow looks at a pull request from now on, and soon.
func (w *watch) Follow(f session.Followed) {
	now := w.g.c.Clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pulls[f.Session]
	if p == nil || p.Followed != f {
		p = newWatched(f, now)
		w.pulls[f.Session] = p
	}
	p.soon, p.next = now.Add(soonFor), now.Add(soonEvery)
	w.rouse()
}

// rouse has the loop look at its times again. The caller holds mu.
func (w *watch) rouse() {
	close(w.wake)
	w.wake = make(chan struct{})
}

// run looks at what is due, one after another, until ctx ends.
func (w *watch) run(ctx context.Context) {
	all, err := w.g.c.Followed(ctx)
	for err != nil {
		w.g.c.Report("github.watch", err)
		if !w.g.wait(ctx, troubledFor) {
			return
		}
		all, err = w.g.c.Followed(ctx)
	}
	now := w.g.c.Clock.Now()
	w.mu.Lock()
	for _, f := range all {
		if w.pulls[f.Session] == nil {
			// Spread over a minute, so that a restart asks nothing all at once.
			p := newWatched(f, now)
			p.next = now.Add(jitter(f.Session))
			w.pulls[f.Session] = p
		}
	}
	w.mu.Unlock()
	for ctx.Err() == nil {
		p, wait, wake := w.first()
		if p != nil && wait <= 0 {
			w.look(ctx, p)
			continue
		}
		var due chan struct{}
		stop := func() bool { return true }
		if p != nil {
			due = make(chan struct{})
			stop = w.g.c.Clock.AfterFunc(wait, func() { close(due) })
		}
		select {
		case <-due:
		case <-wake:
		case <-ctx.Done():
		}
		stop()
	}
	for _, t := range w.tokens {
		t.revoke()
	}
}

// first returns what is due first, and in how long. Of those that are due, the ones that somebody waits for come before the others, which may be many.
func (w *watch) first() (first *watched, wait time.Duration, wake chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.g.c.Clock.Now()
	urgent := func(p *watched) bool { return !p.next.After(now) && now.Before(p.soon) }
	for _, p := range w.pulls {
		switch {
		case first == nil, urgent(p) && !urgent(first), urgent(p) == urgent(first) && p.next.Before(first.next):
			first = p
		}
	}
	if first != nil {
		wait = first.next.Sub(now)
	}
	return first, wait, w.wake
}

// look asks GitHub, and tells the session what is new.
func (w *watch) look(ctx context.Context, p *watched) {
	w.mu.Lock()
	p.looked, p.hinted = w.g.c.Clock.Now(), false
	w.mu.Unlock()
	in, err := w.ask(ctx, p)
	seen := in.PullRequest
	now := w.g.c.Clock.Now()
	if err == nil {
		p.seen = seen
		in.Remarks = slices.DeleteFunc(in.Remarks, func(r session.Remark) bool { return p.heard[r.ID] })
	}
	if err == nil && (len(in.Remarks) > 0 || !reflect.DeepEqual(seen, p.told)) {
		if err = w.g.c.Seen(ctx, p.Session, in); err == nil {
			p.told, p.changed, p.lost = seen, now, ""
			for _, r := range in.Remarks {
				p.heard[r.ID] = true
			}
		} else {
			p.seen = session.PullRequest{} // what was not taken has to be read again
		}
	}
	if lost := w.lost(p, err); lost != p.lost && ctx.Err() == nil {
		if w.g.c.Seen(ctx, p.Session, session.PullRequestSeen{PullRequest: session.PullRequest{Number: p.Number, Lost: lost}}) == nil {
			p.lost, p.told, p.seen = lost, session.PullRequest{}, session.PullRequest{} // when it is back all of it is news
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if seen.Number != 0 {
		p.head, p.branch = seen.Head, seen.Branch
		p.Repo = seen.Repo // as it is called now: webhooks have that name, and calls need not be led there
	}
	status, _ := answer(err)
	removed := status == 0 && session.CodeOf(err) == session.NotFound // the session is
	switch {
	case removed, err == nil && seen.State != session.PullOpen:
		if w.pulls[p.Session] == p { // else another is followed by now
			delete(w.pulls, p.Session)
		}
	case errors.Is(err, session.ErrBusy):
		p.next = now.Add(soonEvery)
	case limited(err) != nil:
		p.next = now.Add(limited(err).wait)
	case err != nil:
		if ctx.Err() == nil {
			w.g.c.Report("github.watch", err)
		}
		p.next = now.Add(troubledFor)
	case p.cache.low(): // what is left of the hour is for what people do
		p.next = now.Add(quietEvery)
	case now.Before(p.soon):
		p.next = now.Add(soonEvery)
	case now.Sub(p.changed) > quietAfter:
		p.next = now.Add(quietEvery)
	default:
		p.next = now.Add(usualEvery)
	}
	if at := p.looked.Add(hintEvery); p.hinted && err == nil && at.Before(p.next) {
		p.next = at
	}
}

// lost is the sentence about a pull request that GitHub does not show any more; "" if it does, or nothing is known.
func (w *watch) lost(p *watched, err error) string {
	status, words := answer(err)
	switch {
	case err == nil || status == 0 || limited(err) != nil:
		return ""
	case status == http.StatusUnauthorized: // the App was perhaps installed anew
		w.mu.Lock()
		defer w.mu.Unlock()
		maps.DeleteFunc(w.tokens, func(_ int64, t readToken) bool { return t.value == p.token })
	case status == http.StatusNotFound, status == http.StatusGone:
		return "GitHub does not show this pull request to the bot any more: the repository was deleted, or the GitHub App taken off it. Install it there again, or go on on GitHub."
	case status == http.StatusForbidden, status == http.StatusUnavailableForLegalReasons:
		return "GitHub does not show this pull request to the bot any more: " + words + "."
	}
	return ""
}

// ask looks at a pull request with a token that may only read.
func (w *watch) ask(ctx context.Context, p *watched) (session.PullRequestSeen, error) {
	token, err := w.reader(ctx, p.Repo)
	if err != nil {
		return session.PullRequestSeen{}, err
	}
	if p.client == nil || p.token != token.value {
		p.cache.forget()
		p.cache.next = w.g.guarded(installationOf(token.of))
		if p.client, err = w.g.client(p.cache, token.value); err != nil {
			return session.PullRequestSeen{}, err
		}
		p.token = token.value
	}
	return w.g.lookAgain(ctx, p.client, p.Repo, p.Number, &p.seen)
}

// readPulls is what following takes; an App that has less sees less.
func readPulls() *gh.InstallationPermissions {
	return &gh.InstallationPermissions{PullRequests: gh.String("read"), Checks: gh.String("read"), Statuses: gh.String("read")}
}

// reader returns the token with which an installation's pull requests are read.
func (w *watch) reader(ctx context.Context, r session.Repo) (readToken, error) {
	id, err := w.g.installation(ctx, r)
	if err != nil {
		return readToken{}, err
	}
	w.mu.Lock()
	t, ok := w.tokens[id]
	w.mu.Unlock()
	now := w.g.c.Clock.Now()
	if ok && now.Before(t.expires.Add(-time.Minute)) {
		return t, nil
	}
	expires := now.Add(time.Hour)
	value, revoke, err := w.g.mintAll(ctx, r, readPulls(), expires)
	if status, _ := answer(err); status == http.StatusUnprocessableEntity { // the App lacks one of them, and GitHub gives none then
		value, revoke, err = w.g.mintAll(ctx, r, &gh.InstallationPermissions{PullRequests: gh.String("read")}, expires)
	}
	if err != nil {
		return readToken{}, err
	}
	t = readToken{of: id, value: value, expires: expires, revoke: revoke}
	w.mu.Lock()
	old, had := w.tokens[id]
	w.tokens[id] = t
	w.mu.Unlock()
	if had {
		old.revoke()
	}
	return t, nil
}

// jitter is a time below a minute, always the same for a session.
func jitter(id session.ID) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(id))
	return time.Duration(h.Sum32()%60_000) * time.Millisecond
}
