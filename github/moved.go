package github

import (
	"context"
	"net/http"
	"strings"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// current is what a repository is called now, as far as is known, that was called r when its session last heard. GitHub leads its API's callers from the
// old name to the new one; tokens are made by name, though, and git of ours follows nobody: an address that is not what it was may be anybody's.
func (g *GitHub) current(r session.Repo) session.Repo {
	g.mu.Lock()
	defer g.mu.Unlock()
	if to, moved := g.moved[r]; moved {
		return to
	}
	return r
}

// learn asks GitHub what a repository is called now, and reports whether that is news.
func (g *GitHub) learn(ctx context.Context, r session.Repo) bool {
	g.forget(r)
	id, err := g.installation(ctx, r)
	if err != nil {
		return false
	}
	app := *g.app // which it writes to
	t := ghinstallation.NewFromAppsTransport(&app, id)
	t.InstallationTokenOptions = &gh.InstallationTokenOptions{Permissions: readMetadata}
	c, err := g.client(t, "")
	if err != nil {
		return false
	}
	is, _, err := c.Repositories.Get(ctx, r.Owner, r.Name)
	if err != nil {
		return false
	}
	to, ok := session.ParseRepo(is.GetFullName())
	if !ok || strings.EqualFold(to.String(), g.current(r).String()) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved[r] = to
	return true
}

// followed carries out what is done under a repository's name, and once more if it turns out that the repository has another one.
func (g *GitHub) followed(ctx context.Context, r session.Repo, f func() error) error {
	err := f()
	if status, _ := answer(err); err != nil && ctx.Err() == nil && (status == http.StatusNotFound || session.CodeOf(err) == session.NotFound || strings.Contains(said(err), "returned error: 301")) && g.learn(ctx, r) {
		return f()
	}
	return err
}
