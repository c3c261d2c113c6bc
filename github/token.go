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
	id, err := g.installation(ctx, r)
	if err != nil {
		return "", nil, err
	}
	app, err := g.client(g.app, "")
	if err != nil {
		return "", nil, err
	}
	t, _, err := app.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{Repositories: []string{r.Name}, Permissions: p})
	if err != nil {
		g.mu.Lock()
		delete(g.installations, r)
		g.mu.Unlock()
		return "", nil, problem("github.mint", err, "The GitHub App may not use "+r.String()+". Check that it is installed there with write access to contents.")
	}
	var once sync.Once
	return t.GetToken(), func() { once.Do(func() { g.revoke(t.GetToken()) }) }, nil
}

// revoke is best effort: a token that stays lives for an hour at most.
func (g *GitHub) revoke(token string) {
	c, err := g.client(http.DefaultTransport, token)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, err = c.Apps.RevokeInstallationToken(ctx)
	}
	if err != nil {
		g.c.Report("github.revoke", err)
	}
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
	g.c.Clock.AfterFunc(readFor, revoke)
	return "x-access-token", token, g.c.Clock.Now().Add(readFor), nil
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
		return 0, problem("github.installation", err, "The GitHub App is not installed on "+r.String()+", or the repository does not exist. Install it there, or name another repository.")
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
		return self, problem("github.Bot", err, "GitHub does not accept the App's key. Check GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY.")
	}
	login := app.GetSlug() + "[bot]"
	users, err := g.client(http.DefaultTransport, "")
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
