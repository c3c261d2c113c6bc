package github

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// readFor is how long a sandbox's read token lives before we revoke it.
const readFor = 5 * time.Minute

// mint makes an installation token for one repository with the least that is needed. revoke ends it; it may be called more than once.
func (g *GitHub) mint(ctx context.Context, r session.Repo, p *gh.InstallationPermissions) (token string, revoke func(), err error) {
	for range 2 {
		var id int64
		if id, err = g.installation(ctx, r); err != nil {
			return "", nil, err
		}
		app, e := g.client(g.app, "")
		if e != nil {
			return "", nil, e
		}
		t, _, e := app.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{Repositories: []string{r.Name}, Permissions: p})
		if e == nil {
			var once sync.Once
			return t.GetToken(), func() { once.Do(func() { g.revoke(t.GetToken()) }) }, nil
		}
		err = appProblem("github.mint", r, e, "The GitHub App may not use `"+r.String()+"`. Check that it is installed there with write access to contents.")
		if limited(e) == nil {
			g.forget(r)
		}
		if status, _ := answer(e); status != http.StatusNotFound {
			break // else the App was installed anew, and what we knew was the installation before
		}
	}
	return "", nil, err
}

// forget has the installation of a repository looked up again.
func (g *GitHub) forget(r session.Repo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.installations, r)
}

// revoke is best effort: a token that stays lives for an hour at most. One that GitHub does not take any more is as good as revoked.
func (g *GitHub) revoke(token string) {
	c, err := g.client(http.DefaultTransport, token)
	for tries := 0; c != nil && tries < 2; tries++ {
		ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
		_, err = c.Apps.RevokeInstallationToken(ctx)
		cancel()
		if status, _ := answer(err); err == nil || status == http.StatusUnauthorized {
			return
		}
	}
	g.c.Report("github.revoke", err)
}

var (
	readContents  = &gh.InstallationPermissions{Contents: gh.String("read")}
	writeContents = &gh.InstallationPermissions{Contents: gh.String("write")}
)

// Clone returns a credential with which git may read one repository for a few minutes. It is what a sandbox gets.
func (g *GitHub) Clone(ctx context.Context, r session.Repo) (username, password string, expires time.Time, err error) {
	token, revoke, err := g.mint(ctx, r, readContents)
	if err != nil {
		return "", "", time.Time{}, err
	}
	revoke = g.keepReading(token, revoke)
	g.c.Clock.AfterFunc(readFor, revoke)
	return "x-access-token", token, g.c.Clock.Now().Add(readFor), nil
}

// keepReading remembers a sandbox's token until it is revoked: at an orderly stop nobody would be left to do it.
func (g *GitHub) keepReading(token string, revoke func()) func() {
	done := func() {
		revoke()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.reading, token)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading[token] = done
	return done
}

// installation returns the App's installation that has a repository.
func (g *GitHub) installation(ctx context.Context, r session.Repo) (int64, error) {
	g.mu.Lock()
	id := g.installations[r]
	g.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	app, err := g.client(g.app, "")
	if err != nil {
		return 0, err
	}
	i, _, err := app.Apps.FindRepositoryInstallation(ctx, r.Owner, r.Name)
	if err != nil {
		return 0, appProblem("github.installation", r, err, "The GitHub App is not installed on "+r.String()+", or the repository does not exist. Install it there, or name another repository.")
	}
	g.mu.Lock()
	g.installations[r] = i.GetID()
	g.mu.Unlock()
	return i.GetID(), nil
}

// Bot returns the committer of the bot's commits: the App's bot user.
func (g *GitHub) Bot(ctx context.Context) (session.Author, error) {
	g.mu.Lock()
	self := g.self
	g.mu.Unlock()
	if self.Email != "" {
		return self, nil
	}
	c, err := g.client(g.app, "")
	if err != nil {
		return self, err
	}
	app, _, err := c.Apps.Get(ctx, "")
	if err != nil {
		return self, problem("github.Bot", err, badKey)
	}
	login := app.GetSlug() + "[bot]"
	users, err := g.client(g.guarded("nobody"), "")
	if err != nil {
		return self, err
	}
	// The bot's user has an id of its own, which is not the App's.
	u, _, err := users.Users.Get(ctx, login)
	if err != nil {
		return self, problem("github.Bot", err, "GitHub does not know the bot user of the App "+app.GetSlug()+".")
	}
	self = session.Author{Name: login, Email: strconv.FormatInt(u.GetID(), 10) + "+" + login + "@users.noreply.github.com"}
	g.mu.Lock()
	g.self = self
	g.mu.Unlock()
	return self, nil
}

// basic is the Authorization header with which git presents a token.
func basic(token string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+token))
}
