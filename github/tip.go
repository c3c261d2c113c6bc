package github

import (
	"context"
	"net/http"
	"time"

	"openinspect/session"
)

// Tip returns a repository's default branch and the commit that it is at; "" if it has no commit yet. NotFound if the App cannot see it.
//
// It does not ask conditionally: the tags of GitHub's answers are good for one token, and this one is made for the question and ends with it.
func (g *GitHub) Tip(ctx context.Context, r session.Repo) (branch, commit string, err error) {
	err = g.followed(ctx, r, func() error {
		info, err := g.Repository(ctx, g.current(r))
		if err != nil {
			return err
		}
		branch = info.DefaultBranch
		token, revoke, err := g.mint(ctx, info.Repo, readContents, time.Time{})
		if err != nil {
			return err
		}
		defer revoke()
		id, err := g.installation(ctx, info.Repo)
		if err != nil {
			return err
		}
		c, err := g.client(g.guarded(installationOf(id)), token)
		if err != nil {
			return err
		}
		ref, _, err := c.Git.GetRef(ctx, info.Repo.Owner, info.Repo.Name, "heads/"+branch)
		if status, _ := answer(err); status == http.StatusNotFound || status == http.StatusConflict {
			return nil // it is empty
		}
		if err != nil {
			return problem("github.Tip", err, "")
		}
		commit = ref.GetObject().GetSHA()
		return nil
	})
	return branch, commit, err
}
