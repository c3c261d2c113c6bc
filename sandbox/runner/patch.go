package runner

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// patchTimeout bounds making a patch; the bot waits for a minute.
const patchTimeout = 50 * time.Second

// patchDir begins the name of the directory in which a patch is made.
const patchDir = "patch-"

// errPatchSize tells that a patch is larger than the bot takes.
var errPatchSize = session.Errorf(session.Invalid, "What is not committed is larger than %d MiB.", link.MaxPatch>>20)

// patch answers GET /patch?from=: what the checkout has beyond a commit, also in mid-turn. It changes nothing in the checkout: the index is one of its own, and so are the objects.
func (r *runner) patch(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	early := r.phaseNow == session.PhaseSync
	r.mu.Unlock()
	if early { // a checkout that is not there yet must not pass for one without news
		refuse(w, http.StatusTooEarly, session.Errorf(session.Unavailable, "The sandbox is not ready yet."))
		return
	}
	ctx, cancel := context.WithTimeout(q.Context(), patchTimeout)
	defer cancel()
	from, err := r.patchFrom(ctx, q.FormValue("from"))
	if err != nil {
		refuse(w, link.StatusOf(session.CodeOf(err)), err)
		return
	}
	out := &bounded{left: link.MaxPatch}
	switch err := r.makePatch(ctx, from, out); {
	case out.left < 0:
		refuse(w, http.StatusRequestEntityTooLarge, errPatchSize)
	case err != nil:
		refuse(w, http.StatusInternalServerError, gitFailed("What is not committed could not be packed.", err))
	case len(out.b) == 0:
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = w.Write(out.b) // the bot may be gone
	}
}

// patchFrom returns what a patch is to be against: the commit that is asked for, else where the checkout left the base branch, else nothing.
func (r *runner) patchFrom(ctx context.Context, commit string) (string, error) {
	if commit != "" {
		if !objectName.MatchString(commit) || r.git.resolve(ctx, commit) == "" {
			return "", session.Errorf(session.Conflict, "This checkout does not have the commit %.40q.", commit)
		}
		return commit, nil
	}
	if left, err := r.git.run(ctx, "merge-base", "HEAD", "refs/remotes/origin/"+base(r.cfg.Boot.Base)); err == nil {
		return left, nil
	}
	nothing, err := r.git.run(ctx, "hash-object", "-t", "tree", "/dev/null")
	if err != nil {
		return "", gitFailed("What is not committed could not be packed.", err)
	}
	return nothing, nil
}

func (r *runner) makePatch(ctx context.Context, from string, out io.Writer) error {
	dir, err := os.MkdirTemp(r.paths.run, patchDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	index, own := filepath.Join(dir, "index"), r.git.gitDir(ctx)
	// With the checkout's own to begin from, git need not read what it has read before. There may be none.
	if b, err := os.ReadFile(filepath.Join(own, "index")); err == nil {
		if err := os.WriteFile(index, b, 0o600); err != nil {
			return err
		}
	}
	// A large file would else be in the repository, and in every image, once for each time that it was looked at.
	objects := filepath.Join(dir, "objects")
	if err := os.Mkdir(objects, 0o700); err != nil {
		return err
	}
	env := []string{"GIT_INDEX_FILE=" + index, "GIT_OBJECT_DIRECTORY=" + objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + filepath.Join(own, "objects")}
	// What changes in this very moment is left out: the agent may be at work.
	if _, err := r.git.call(ctx, gitCall{args: []string{"add", "--all", "--ignore-errors", "--", "."}, env: env}); err != nil && exitOf(err) != 1 {
		return err
	}
	_, err = r.git.call(ctx, gitCall{env: env, out: out, args: []string{
		"diff", "--cached", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", from}})
	return err
}

// bounded keeps what is written to it, as long as it fits; left is negative once it did not.
type bounded struct {
	b    []byte
	left int
}

func (o *bounded) Write(p []byte) (int, error) {
	if o.left -= len(p); o.left < 0 {
		return 0, errPatchSize
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// patchUp brings what the bot kept of a checkout into a fresh one. detail is its line so far. What does not fit is told, and no reason not to boot.
func (r *runner) patchUp(ctx context.Context, detail string) (string, error) {
	if !r.cfg.Boot.Patch {
		return detail, nil
	}
	file := filepath.Join(r.paths.run, "kept.patch")
	defer os.Remove(file)
	there, err := r.fetchKept(ctx, "patch", file, link.MaxPatch)
	if err != nil || !there {
		return detail, err
	}
	if _, err := r.git.run(ctx, "apply", "--whitespace=nowarn", file); err == nil {
		return detail + ", with what was not committed", nil
	}
	if _, err = r.git.run(ctx, "apply", "--whitespace=nowarn", "--reject", file); err == nil {
		return detail + ", with what was not committed", nil
	}
	r.dropRejects(ctx, file)
	return "", gitFailed("Not all of what was not committed fits the newest commit.", err)
}

// dropRejects removes the files that git leaves beside those in which something did not fit: they would be committed with the turn.
func (r *runner) dropRejects(ctx context.Context, file string) {
	names, err := r.git.run(ctx, "apply", "--numstat", "-z", file)
	if err != nil {
		return
	}
	root, err := os.OpenRoot(r.paths.checkout)
	if err != nil {
		return
	}
	defer root.Close()
	for line := range strings.SplitSeq(names, "\x00") {
		if _, name, ok := strings.Cut(line, "\t"); ok {
			_, name, _ = strings.Cut(name, "\t")
			if err := root.Remove(name + ".rej"); err != nil && !errors.Is(err, os.ErrNotExist) {
				continue // a directory, say: not git's
			}
		}
	}
}
