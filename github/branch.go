package github

import (
	"context"
	"net/http"
	"strings"
	"time"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// maxBranches is how many branches are looked through for the one that was meant.
const maxBranches = 300

// CheckBranch asks whether a repository has a branch. NotFound, with a sentence that has the nearest ones, if it does not.
func (g *GitHub) CheckBranch(ctx context.Context, r session.Repo, name string) error {
	token, revoke, err := g.mint(ctx, r, readContents, time.Time{})
	if err != nil {
		return err
	}
	defer revoke()
	id, err := g.installation(ctx, r)
	if err != nil {
		return err
	}
	c, err := g.client(g.guarded(installationOf(id)), token)
	if err != nil {
		return err
	}
	if !strings.Contains(name, "..") { // no branch's name has that, and in an address it leads elsewhere
		ref, _, err := c.Git.GetRef(ctx, r.Owner, r.Name, "heads/"+name)
		if err == nil && ref.GetRef() == "refs/heads/"+name {
			return nil
		}
		if status, _ := answer(err); err != nil && status != http.StatusNotFound && status != http.StatusConflict { // of an empty repository
			return problem("github.CheckBranch", err, "")
		}
	}
	var names []string
	options := &gh.BranchListOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	for len(names) < maxBranches {
		page, resp, err := c.Repositories.ListBranches(ctx, r.Owner, r.Name, options)
		if err != nil {
			return problem("github.CheckBranch", err, "")
		}
		for _, b := range page {
			names = append(names, b.GetName())
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	if len(names) == 0 {
		return session.Errorf(session.NotFound, "`%s` is empty: it has no branch and no commit yet. Push a first commit to it, then ask again.", r)
	}
	text := r.String() + " has no branch `" + session.OneLine(name, 100) + "`."
	if near := session.Nearest(name, names, 3); len(near) > 0 {
		text += " Did you mean `" + strings.Join(near, "` or `") + "`?"
	}
	return session.Errorf(session.NotFound, "%s", text)
}
