package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"openinspect/session"
)

// abortedRef keeps what the checkout held when an unfinished git operation was given up: aborting throws that away.
const abortedRef = "refs/inspect/aborted"

// settle leaves the checkout without unfinished business after a turn: locks of git commands that were killed, operations in progress,
// changes that are not committed. Nothing of the turn runs any more when it is called.
func (r *runner) settle(ctx context.Context, d session.Delivery) error {
	dir := r.git.gitDir(ctx)
	for _, lock := range []string{"index.lock", "HEAD.lock", "config.lock"} {
		if err := os.Remove(filepath.Join(dir, lock)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := r.finishOperation(ctx, dir, d); err != nil {
		return err
	}
	return r.commitLeftovers(ctx, d)
}

// finishOperation ends a git operation that the agent left in the middle. A merge, cherry-pick or revert without conflicts is only
// waiting for its commit, which commitLeftovers makes; with conflicts it is aborted. A rebase is always aborted: that brings back
// the branch with all its commits.
func (r *runner) finishOperation(ctx context.Context, dir string, d session.Delivery) error {
	there := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	abort := func(args ...string) error {
		r.keepAborted(ctx, dir, d)
		_, err := r.git.run(ctx, args...)
		return err
	}
	unmerged, err := r.git.run(ctx, "ls-files", "--unmerged")
	if err != nil {
		return err
	}
	conflicts := unmerged != ""
	switch {
	case there("rebase-apply/applying"):
		return abort("am", "--abort")
	case there("rebase-merge"), there("rebase-apply"):
		return abort("rebase", "--abort")
	case there("MERGE_HEAD") && conflicts:
		return abort("merge", "--abort")
	case there("CHERRY_PICK_HEAD") && conflicts:
		return abort("cherry-pick", "--abort")
	case there("REVERT_HEAD") && conflicts:
		return abort("revert", "--abort")
	case conflicts: // of a stash, say: there is nothing to go back to, so the files are committed as they are
	case there("BISECT_START"):
		return abort("bisect", "reset")
	}
	return nil
}

// keepAborted commits the files as they are to a ref of ours, by an index of its own. It is best effort.
func (r *runner) keepAborted(ctx context.Context, dir string, d session.Delivery) {
	index := filepath.Join(dir, "inspect-aborted-index")
	defer os.Remove(index)
	env := append(identity("AUTHOR", r.author(d), ""), identity("COMMITTER", r.cfg.Boot.Bot, "")...)
	env = append(env, "GIT_INDEX_FILE="+index)
	if _, err := r.git.call(ctx, gitCall{args: []string{"add", "-A"}, env: env}); err != nil {
		return
	}
	tree, err := r.git.call(ctx, gitCall{args: []string{"write-tree"}, env: env})
	if err != nil {
		return
	}
	commit, err := r.git.call(ctx, gitCall{args: []string{"commit-tree", tree, "-m", "What an unfinished git operation had in the checkout"}, env: env})
	if err != nil {
		return
	}
	_, _ = r.git.run(ctx, "update-ref", abortedRef, commit)
}

// commitLeftovers commits what is not committed, .gitignore respected. A clean checkout gets no commit.
func (r *runner) commitLeftovers(ctx context.Context, d session.Delivery) error {
	if _, err := r.git.run(ctx, "add", "--all", "--", "."); err != nil {
		return err
	}
	dir := r.git.gitDir(ctx)
	_, merging := os.Lstat(filepath.Join(dir, "MERGE_HEAD"))
	switch changed, err := r.staged(ctx); {
	case err != nil:
		return err
	case !changed && merging != nil:
		return nil
	}
	env := append(identity("AUTHOR", r.author(d), ""), identity("COMMITTER", r.cfg.Boot.Bot, "")...)
	_, err := r.git.call(ctx, gitCall{args: []string{"commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-F", "-"}, env: env, in: subject(d.Text) + "\n"})
	return err
}

// staged reports whether the index differs from HEAD.
func (r *runner) staged(ctx context.Context) (bool, error) {
	if r.git.resolve(ctx, "HEAD") == "" {
		files, err := r.git.run(ctx, "ls-files", "--cached")
		return files != "", err
	}
	_, err := r.git.run(ctx, "diff", "--cached", "--quiet", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
	if exitOf(err) == 1 {
		return true, nil
	}
	return false, err
}
