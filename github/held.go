package github

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"openinspect/session"
)

// heldRef is the one ref of the bundle that Held makes.
const heldRef = "refs/inspect/collected"

// Held returns a bundle of a commit that was collected, with what the branch base lacks of its history, as heldRef; nil if base has it. NotFound
// when the commit is not held any more.
func (g *GitHub) Held(ctx context.Context, id session.ID, r session.Repo, base, commit string) (io.ReadCloser, error) {
	defer g.repos.lock(r.String())()
	dir := g.quarantineDir(id)
	if !isHash(commit) {
		return nil, session.Errorf(session.Internal, "%q is not a commit", commit)
	}
	if _, err := g.git.run(ctx, command{repo: dir}, "rev-parse", "--verify", "--quiet", "refs/checked/"+commit); err != nil {
		return nil, &session.Error{Code: session.NotFound, Op: "github.Held", Message: "The bot does not hold commit " + commit[:7] + " any more.", Err: err}
	}
	token, revoke, err := g.mint(ctx, r, readContents, time.Time{})
	if err != nil {
		return nil, err
	}
	defer revoke()
	mirror, err := g.mirror(ctx, r, token)
	if err != nil {
		return nil, err
	}
	if _, err := g.quarantine(ctx, id, mirror); err != nil {
		return nil, err
	}
	tips, err := g.tips(ctx, mirror)
	if err != nil {
		return nil, err
	}
	tip := tips["refs/remotes/origin/"+base]
	if tip == "" {
		return nil, session.Errorf(session.Conflict, "The branch %s of %s does not exist any more.", base, r)
	}
	lazy := command{repo: dir, token: token, url: g.CloneURL(r), lazy: true}
	if _, err := g.git.run(ctx, lazy, "merge-base", "--is-ancestor", commit, tip); err == nil {
		return nil, nil
	}
	if _, err := g.git.run(ctx, command{repo: dir}, "update-ref", heldRef, commit); err != nil {
		return nil, session.Wrap("github.Held", err)
	}
	scratch, err := os.MkdirTemp(dir, "held-*")
	if err != nil {
		return nil, session.Wrap("github.Held", err)
	}
	defer os.RemoveAll(scratch) // what is open stays readable
	file := filepath.Join(scratch, "bundle")
	if _, err := g.git.run(ctx, lazy, "bundle", "create", "--quiet", file, heldRef, "^"+tip); err != nil {
		return nil, session.Wrap("github.Held", err)
	}
	f, err := os.Open(file)
	return f, session.Wrap("github.Held", err)
}
