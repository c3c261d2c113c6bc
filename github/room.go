package github

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"openinspect/session"
)

// Limits of the commits that are held, in bytes of the disk.
const (
	maxHeld    = 256 << 20 // of one session
	maxHeldAll = 10 << 30
)

// room counts what is held of each session.
type room struct {
	one, all int64

	mu   sync.Mutex
	held map[session.ID]int64 // nil: not counted yet
}

// admit refuses commits for which there is no room, after it has made some: of earlier commits of the session, those that it still needs are
// kept, less what the remote has by now. It returns how much is held with those that come.
func (g *GitHub) admit(ctx context.Context, k *check, r session.CollectRequest) (int64, error) {
	held, comes, err := k.sizes()
	if err != nil {
		return 0, err
	}
	if held+comes > g.room.one && held > 0 {
		if err := k.compact(ctx, append(slices.Clone(r.Opening), r.Collected)); err != nil {
			g.c.Report("github.compact", err)
		}
		if held, comes, err = k.sizes(); err != nil {
			return 0, err
		}
	}
	if held+comes > g.room.one {
		return 0, session.Errorf(session.Conflict, "The bot keeps at most %d MiB of this thread's commits, and with these they would be %d, so they were not taken. They are still in the sandbox. "+
			"Open the pull request of what is there already, or ask the agent to leave large files out of its commits; then send another message.", g.room.one>>20, (held+comes+1<<20-1)>>20)
	}
	others, err := g.heldOfOthers(ctx, r.Session)
	if err != nil {
		return 0, err
	}
	if others+held+comes > g.room.all {
		return 0, session.Errorf(session.Conflict, "The bot keeps at most %d MiB of commits for all threads together, and that much is there, so these were not taken. They are still in the sandbox. "+
			"Ask whoever runs the bot to let old sessions go earlier (INSPECT_RETENTION_DAYS); then send another message.", g.room.all>>20)
	}
	return held + comes, nil
}

// sizes returns how much is held, and how much comes that is not: the same bundle may come again after a crash.
func (k *check) sizes() (held, comes int64, err error) {
	again := int64(0)
	packs, err := filepath.Glob(filepath.Join(k.objects, "pack", "pack-*"))
	for _, name := range packs {
		if info, err := os.Stat(filepath.Join(k.repo, "objects", "pack", filepath.Base(name))); err == nil {
			again += info.Size()
		}
	}
	if err == nil {
		comes, err = sizeOf(k.objects)
	}
	if err == nil {
		held, err = sizeOf(k.repo)
	}
	return held - comes, comes - again, session.Wrap("github.sizes", err) // the incoming lie within the quarantine
}

// note remembers how much is held of a session.
func (g *GitHub) note(id session.ID, size int64) {
	g.room.mu.Lock()
	defer g.room.mu.Unlock()
	if g.room.held != nil {
		g.room.held[id] = size
	}
}

// vacate takes a session off the count.
func (g *GitHub) vacate(id session.ID) {
	g.room.mu.Lock()
	defer g.room.mu.Unlock()
	delete(g.room.held, id)
}

// heldOfOthers sums what is held of all sessions but one. It counts by looking the first time, and again before it says that too much is.
func (g *GitHub) heldOfOthers(ctx context.Context, but session.ID) (int64, error) {
	g.room.mu.Lock()
	defer g.room.mu.Unlock()
	if g.room.held != nil {
		if sum := g.room.sum(but); sum+g.room.one <= g.room.all {
			return sum, nil
		}
	}
	if err := g.count(ctx); err != nil {
		return 0, err
	}
	return g.room.sum(but), nil
}

func (r *room) sum(but session.ID) (sum int64) {
	for id, n := range r.held {
		if id != but {
			sum += n
		}
	}
	return sum
}

// count looks how much is held of each session. The room is locked.
func (g *GitHub) count(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(g.git.dir, "quarantine"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return session.Wrap("github.count", err)
	}
	held := map[session.ID]int64{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return session.Wrap("github.count", err)
		}
		name, ok := strings.CutSuffix(e.Name(), ".git")
		if id := session.ID(name); ok && id.Valid() {
			if held[id], err = sizeOf(g.quarantineDir(id)); err != nil {
				return session.Wrap("github.count", err)
			}
		}
	}
	g.room.held = held
	return nil
}

// sizeOf sums the sizes of a directory's files; 0 if it is not there. What goes meanwhile does not count.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				size += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return size, err
}

// compact keeps of the quarantine what the remote lacks of some commits, and lets go what was superseded. A crash leaves it whole: packs go only
// when the one that takes their place is there.
func (k *check) compact(ctx context.Context, keep []string) error {
	c := command{repo: k.repo, token: k.token, url: k.url, lazy: true}
	refs, err := k.g.git.run(ctx, command{repo: k.repo}, "for-each-ref", "--format=%(refname)", "refs/checked", heldRef)
	if err != nil {
		return session.Wrap("github.compact", err)
	}
	var drop, want strings.Builder
	for _, ref := range strings.Fields(refs) {
		if hash := strings.TrimPrefix(ref, "refs/checked/"); slices.Contains(keep, hash) {
			want.WriteString(hash + "\n")
		} else {
			drop.WriteString("delete " + ref + "\n")
		}
	}
	if _, err := k.g.git.run(ctx, command{repo: k.repo, in: strings.NewReader(drop.String())}, "update-ref", "--stdin"); err != nil {
		return session.Wrap("github.compact", err)
	}
	packs := filepath.Join(k.repo, "objects", "pack")
	old, err := filepath.Glob(filepath.Join(packs, "pack-*"))
	if err != nil {
		return session.Wrap("github.compact", err)
	}
	made := ""
	if want.Len() > 0 {
		for _, hash := range k.tips {
			want.WriteString("^" + hash + "\n")
		}
		c.in = strings.NewReader(want.String())
		if made, err = k.g.git.run(ctx, c, "pack-objects", "--quiet", "--revs", "--non-empty", "--delta-base-offset", filepath.Join(packs, "pack")); err != nil {
			return session.Wrap("github.compact", err)
		}
		made = strings.TrimSpace(made)
	}
	slices.SortFunc(old, func(a, b string) int { return rank(b) - rank(a) }) // indexes first: what has none is not looked at
	for _, name := range old {
		if made != "" && strings.HasPrefix(filepath.Base(name), "pack-"+made+".") {
			continue
		}
		if err := os.Remove(name); err != nil {
			return session.Wrap("github.compact", err)
		}
	}
	return nil
}
