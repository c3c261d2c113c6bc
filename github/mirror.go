package github

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openinspect/session"
)

// mirrorDir returns where the mirror of a repository lies.
func (g *GitHub) mirrorDir(r session.Repo) (string, error) {
	name := filepath.Join(strings.ToLower(r.Owner), strings.ToLower(r.Name)+".git")
	if strings.Count(name, "/") != 1 || !filepath.IsLocal(name) {
		return "", session.Errorf(session.Internal, "%q is not the name of a repository", r.String())
	}
	return filepath.Join(g.git.dir, "mirrors", name), nil
}

// mirror returns the bot's one mirror of a repository: bare, never shallow, without blobs.
func (g *GitHub) mirror(ctx context.Context, r session.Repo, token string) (string, error) {
	dir, err := g.mirrorDir(r)
	if err != nil {
		return "", err
	}
	if err := g.git.init(ctx, dir); err != nil {
		return "", err
	}
	c := command{repo: dir, token: token, url: g.CloneURL(r), lazy: true, remote: true}
	_, err = g.git.run(ctx, c, "fetch", "--quiet", "--prune", "--no-tags", "--no-auto-gc", "--filter=blob:none", "origin", "+refs/heads/*:refs/remotes/origin/*")
	if err != nil {
		return "", remoteProblem("github.mirror", r, "Then send another message here.", err)
	}
	return dir, nil
}

func (g *GitHub) quarantineDir(id session.ID) string {
	return filepath.Join(g.git.dir, "quarantine", string(id)+".git")
}

// rejoin makes a quarantine see its mirror again: a backup has the one without the other, and may be restored elsewhere.
func (g *GitHub) rejoin(ctx context.Context, id session.ID, r session.Repo, token string) error {
	dir, err := g.mirrorDir(r)
	if err != nil {
		return err
	}
	objects := filepath.Join(dir, "objects")
	at, err := os.ReadFile(filepath.Join(g.quarantineDir(id), "objects", "info", "alternates"))
	if _, gone := os.Stat(objects); err == nil && gone == nil && string(at) == objects+"\n" {
		return nil
	}
	mirror, err := g.mirror(ctx, r, token)
	if err == nil {
		_, err = g.quarantine(ctx, id, mirror)
	}
	return err
}

// quarantine returns the repository where a session's commits are unpacked. It sees the mirror's objects; the mirror does not see its.
func (g *GitHub) quarantine(ctx context.Context, id session.ID, mirror string) (string, error) {
	dir := g.quarantineDir(id)
	if err := g.git.init(ctx, dir); err != nil {
		return "", err
	}
	alternates := filepath.Join(dir, "objects", "info", "alternates")
	if err := os.WriteFile(alternates, []byte(filepath.Join(mirror, "objects")+"\n"), 0o600); err != nil {
		return "", session.Wrap("github.quarantine", err)
	}
	return dir, nil
}

// Sweep removes the commits that are held for sessions that are not known any more. It goes on after a failure and returns all of them.
func (g *GitHub) Sweep(ctx context.Context, known func(session.ID) bool) error {
	entries, err := os.ReadDir(filepath.Join(g.git.dir, "quarantine"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	all := []error{err}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".git")
		if id := session.ID(name); ok && id.Valid() && ctx.Err() == nil && !known(id) {
			all = append(all, os.RemoveAll(g.quarantineDir(id)))
			g.vacate(id)
		}
	}
	return session.Wrap("github.Sweep", errors.Join(all...))
}

// incoming is where one bundle is unpacked: objects that see the quarantine's, and that the quarantine does not see until they are taken. What
// is refused, or was left by a crash, leaves nothing behind.
type incoming struct{ quarantine, objects string }

func newIncoming(quarantine string) (*incoming, error) {
	old, err := filepath.Glob(filepath.Join(quarantine, "incoming-*"))
	if err != nil {
		return nil, session.Wrap("github.incoming", err)
	}
	held, err := filepath.Glob(filepath.Join(quarantine, "held-*"))
	if err != nil {
		return nil, session.Wrap("github.incoming", err)
	}
	for _, dir := range append(old, held...) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, session.Wrap("github.incoming", err)
		}
	}
	dir, err := os.MkdirTemp(quarantine, "incoming-*")
	if err != nil {
		return nil, session.Wrap("github.incoming", err)
	}
	return &incoming{quarantine, dir}, session.Wrap("github.incoming", os.Mkdir(filepath.Join(dir, "pack"), 0o700))
}

// take moves the packs into the quarantine, indexes last: a pack without one is not looked at.
func (in *incoming) take() error {
	packs, err := filepath.Glob(filepath.Join(in.objects, "pack", "pack-*"))
	if err != nil {
		return session.Wrap("github.incoming", err)
	}
	slices.SortFunc(packs, func(a, b string) int { return rank(a) - rank(b) })
	to := filepath.Join(in.quarantine, "objects", "pack")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return session.Wrap("github.incoming", err)
	}
	for _, name := range packs {
		if err := os.Rename(name, filepath.Join(to, filepath.Base(name))); err != nil {
			return session.Wrap("github.incoming", err)
		}
	}
	return nil
}

func rank(name string) int {
	if strings.HasSuffix(name, ".idx") {
		return 1
	}
	return 0
}

// drop is best effort: the next bundle of the session removes what is left.
func (in *incoming) drop() { _ = os.RemoveAll(in.objects) }

// init makes a bare repository, complete before it has its name.
func (g git) init(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return session.Wrap("github.init", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-*")
	if err != nil {
		return session.Wrap("github.init", err)
	}
	defer os.RemoveAll(tmp)
	if _, err := g.run(ctx, command{repo: tmp}, "init", "--quiet", "--bare", "--template="); err != nil {
		return session.Wrap("github.init", err)
	}
	if err := os.MkdirAll(filepath.Join(tmp, "objects", "info"), 0o700); err != nil {
		return session.Wrap("github.init", err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, e := os.Stat(dir); e != nil {
			return session.Wrap("github.init", err)
		}
	}
	return nil
}
