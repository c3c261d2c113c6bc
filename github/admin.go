package github

import (
	"context"
	"errors"
	"net/http"

	gh "github.com/google/go-github/v66/github"

	"openinspect/session"
)

// Admin reports whether a person's account administers a repository. It asks as that account: what the App sees of people is not theirs to switch.
func (g *GitHub) Admin(ctx context.Context, by session.Person, r session.Repo) (admin bool, err error) {
	const then = "give the command again"
	a := act{op: "github.Admin", repo: r, by: by, what: "nothing is merged in it", may: "see who administers pull requests", then: then}
	err = g.asPerson(ctx, by, func(c *gh.Client, t userToken) error {
		if _, _, err := c.Repositories.Get(ctx, r.Owner, r.Name); err != nil {
			return a.personal(err, "")
		}
		// Not what the repository says of the token's permissions: an App's may be less than its person's.
		p, _, err := c.Repositories.GetPermissionLevel(ctx, r.Owner, r.Name, t.Identity.Login)
		if status, _ := answer(err); status == http.StatusNotFound || mayNotPush(err) {
			return nil // it may not even push, or its login has changed since it was linked
		}
		if err != nil {
			return a.personal(err, "")
		}
		admin = p.GetPermission() == "admin"
		return nil
	})
	switch {
	case errors.Is(err, errUnlinked):
		err = session.Errorf(session.Forbidden, "Your GitHub account is not linked any more. Link it with `/inspect link`, then %s.", then)
	case errors.Is(err, errRelinked):
		err = session.Errorf(session.Conflict, "You have linked another GitHub account meanwhile. Please %s.", then)
	}
	return admin, err
}
