package github

import (
	"context"
	"strings"
	"time"

	"openinspect/session"
)

// maxPatch is how much of a diff is kept to be shown, in bytes.
const maxPatch = 256 << 10

// Collect fetches a bundle, checks every commit of it that is not on the remote, and keeps them in the session's quarantine.
func (g *GitHub) Collect(ctx context.Context, r session.CollectRequest, bundle session.Bundler) (c *session.Changes, err error) {
	defer g.repos.lock(r.Repo.String())()
	err = g.followed(ctx, r.Repo, func() (err error) {
		c, err = g.collect(ctx, r, bundle)
		return err
	})
	if to := g.current(r.Repo); c != nil && to != r.Repo {
		c.Repo = to
	}
	return c, err
}

func (g *GitHub) collect(ctx context.Context, r session.CollectRequest, bundle session.Bundler) (*session.Changes, error) {
	bot, err := g.Bot(ctx)
	if err != nil {
		return nil, err
	}
	token, revoke, err := g.mint(ctx, r.Repo, readContents, time.Time{})
	if err != nil {
		return nil, err
	}
	defer revoke()
	mirror, err := g.mirror(ctx, r.Repo, token)
	if err != nil {
		return nil, err
	}
	quarantine, err := g.quarantine(ctx, r.Session, mirror)
	if err != nil {
		return nil, err
	}
	tips, err := g.tips(ctx, mirror)
	if err != nil {
		return nil, err
	}
	base, ok := tips["refs/remotes/origin/"+r.Base]
	if len(tips) == 0 {
		return nil, session.Errorf(session.Conflict, "`%s` is empty: it has no branch, so there is nothing to compare the changes with. Push a first commit to its branch `%s`, then send another message here.", r.Repo, r.Base)
	}
	if !ok {
		return nil, session.Errorf(session.Conflict, "The branch %s of %s does not exist any more, so there is nothing to compare the changes with.", r.Base, r.Repo)
	}
	have := []string{base}
	if r.Collected != "" {
		have = append(have, r.Collected)
	}
	body, err := bundle(ctx, have)
	if err != nil {
		return nil, session.Wrap("github.Collect", err)
	}
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	in, err := newIncoming(quarantine)
	if err != nil {
		return nil, err
	}
	defer in.drop()
	k := &check{g: g, where: r.Repo, repo: quarantine, objects: in.objects, token: token, url: g.CloneURL(r.Repo), tips: tips, bot: bot, identities: r.Identities, paths: g.paths, pushed: r.Pushed}
	head, err := k.unpack(ctx, body)
	if err != nil {
		return nil, err
	}
	commits, err := k.commits(ctx, head)
	if err != nil {
		return nil, err
	}
	if len(commits) == 0 {
		return nil, nil // everything it has is on the remote already
	}
	if err := g.credits(r).checkAll(commits); err != nil {
		return nil, err
	}
	k.noteSkips(commits)
	if err := k.contents(ctx, head); err != nil {
		return nil, err
	}
	changes := &session.Changes{Head: head, Commits: len(commits), Subject: commits[0].subject()}
	if changes.Files, changes.Patch, err = k.diff(ctx, base, head); err != nil {
		return nil, err
	}
	if len(changes.Files) == 0 {
		return nil, nil // commits that cancel each other out propose nothing
	}
	changes.Attention, changes.Named = k.wanted(), k.named()
	held, err := g.admit(ctx, k, r)
	if err != nil {
		return nil, err
	}
	if err := in.take(); err != nil {
		return nil, err
	}
	g.note(r.Session, held)
	// The ref is what keeps the commit; it is named by it, because what was shown must stay what is pushed.
	if _, err := g.git.run(ctx, command{repo: quarantine}, "update-ref", "refs/checked/"+head, head); err != nil {
		return nil, session.Wrap("github.Collect", err)
	}
	return changes, nil
}

// tips returns the remote's branches as the mirror has them.
func (g *GitHub) tips(ctx context.Context, mirror string) (map[string]string, error) {
	out, err := g.git.run(ctx, command{repo: mirror}, "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/origin")
	if err != nil {
		return nil, session.Wrap("github.tips", err)
	}
	tips := map[string]string{}
	for line := range strings.Lines(out) {
		if hash, ref, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			tips[ref] = hash
		}
	}
	return tips, nil
}
