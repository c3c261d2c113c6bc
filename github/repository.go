package github

import (
	"context"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// listFor is how long the list of repositories is good.
const listFor = time.Minute

// Repositories returns every repository the App is installed on, in GitHub's order.
func (g *GitHub) Repositories(ctx context.Context) ([]session.RepositoryInfo, error) {
	g.mu.Lock()
	list, at := g.list, g.listedAt
	g.mu.Unlock()
	if now := g.c.Clock.Now(); !at.IsZero() && now.Sub(at) < listFor {
		return list, nil
	}
	app, err := g.client(g.app, "")
	if err != nil {
		return nil, err
	}
	list = nil
	found := map[session.Repo]int64{}
	options := &gh.ListOptions{PerPage: 100}
	for {
		installations, resp, err := app.Apps.ListInstallations(ctx, options)
		if err != nil {
			return nil, problem("github.Repositories", err, badKey)
		}
		for _, i := range installations {
			if i.SuspendedAt != nil {
				continue
			}
			repos, err := g.installed(ctx, i.GetID())
			switch session.CodeOf(err) {
			case "":
			case session.Forbidden, session.NotFound: // one that went away or was suspended a moment ago is not the others' affair
				g.c.Report("github.Repositories", err)
				continue
			case session.Invalid, session.Conflict, session.Unavailable, session.Internal:
				return nil, err
			}
			for _, r := range repos {
				list = append(list, r)
				found[r.Repo] = i.GetID()
			}
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.list, g.listedAt, g.installations = list, g.c.Clock.Now(), found
	return list, nil
}

func (g *GitHub) installed(ctx context.Context, id int64) ([]session.RepositoryInfo, error) {
	app, err := g.client(g.app, "")
	if err != nil {
		return nil, err
	}
	t, _, err := app.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{Permissions: readMetadata})
	if err != nil {
		return nil, problem("github.Repositories", err, "")
	}
	c, err := g.client(g.guarded(installationOf(id)), t.GetToken())
	if err != nil {
		return nil, err
	}
	var list []session.RepositoryInfo
	options := &gh.ListOptions{PerPage: 100}
	for {
		page, resp, err := c.Apps.ListRepos(ctx, options)
		if err != nil {
			return nil, problem("github.Repositories", err, "")
		}
		for _, r := range page.Repositories {
			list = append(list, info(r))
		}
		if resp.NextPage == 0 {
			return list, nil
		}
		options.Page = resp.NextPage
	}
}

func info(r *gh.Repository) session.RepositoryInfo {
	return session.RepositoryInfo{
		Repo:          session.Repo{Owner: r.GetOwner().GetLogin(), Name: r.GetName()},
		DefaultBranch: r.GetDefaultBranch(), Description: r.GetDescription(), Topics: r.Topics, Archived: r.GetArchived(), Bare: r.GetSize() == 0,
	}
}

// Repository returns one repository, as GitHub spells it. NotFound if the App cannot see it.
func (g *GitHub) Repository(ctx context.Context, r session.Repo) (session.RepositoryInfo, error) {
	list, err := g.Repositories(ctx)
	if err != nil {
		return session.RepositoryInfo{}, err
	}
	for _, i := range list {
		if strings.EqualFold(i.Repo.String(), r.String()) {
			return i, nil
		}
	}
	return session.RepositoryInfo{}, session.Errorf(session.NotFound, "The GitHub App is not installed on %s, or the repository does not exist.", r)
}

// installationOf and accountOf name whose limits a call counts against, whatever token it has: those of an installation change with every operation.
func installationOf(id int64) string { return "installation/" + strconv.FormatInt(id, 10) }
func accountOf(id int64) string      { return "user/" + strconv.FormatInt(id, 10) }

// userClient returns a client that acts as a person.
func (g *GitHub) userClient(t userToken) (*gh.Client, error) {
	return g.client(g.guarded(accountOf(t.Identity.ID)), t.Access)
}
