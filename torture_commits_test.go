//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// changedForge is GitHub, which is asked about those turns alone that left something. Looking at the remote after each of so many would take hours.
type changedForge struct{ session.Forge }

func (f changedForge) Collect(ctx context.Context, r session.CollectRequest, bundle session.Bundler) (*session.Changes, error) {
	b, err := bundle(ctx, []string{r.Collected})
	if b == nil || err != nil {
		return nil, err
	}
	_ = b.Close() // it is fetched again
	return f.Forge.Collect(ctx, r, bundle)
}

// checkouts is where the crew makes its commits: one repository for all sandboxes.
type checkouts struct {
	dir string

	mu    sync.Mutex // one commit or bundle at a time
	heads map[session.ID]string
	made  int
}

// newCheckouts clones a repository that lies on this computer.
func newCheckouts(dir, from string) (*checkouts, error) {
	w := &checkouts{dir: dir, heads: map[session.ID]string{}}
	if out, err := exec.Command("git", "clone", "-q", "--bare", from, dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git clone: %w: %s", err, out)
	}
	return w, nil
}

func (w *checkouts) git(in string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", append([]string{"--git-dir=" + w.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	cmd.Stdin = strings.NewReader(in)
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, words.String())
	}
	return out, err
}

// commit adds a file in a session's sandbox, in the name of whoever prompted.
func (w *checkouts) commit(b link.Boot, d session.Delivery, task string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	from := w.heads[b.Session]
	if from == "" {
		from = "refs/heads/" + b.Base
	}
	message := d.Credit.Message("Do task "+task, d.Author, cmp.Or(d.Log, b.LogURL, string(b.Session)))
	content := fmt.Sprintf("%s, number %d\n", task, w.made)
	out, err := w.git(fmt.Sprintf("commit refs/inspect/new\nmark :1\nauthor %s <%s> 1800000000 +0000\ncommitter %s <%s> 1800000000 +0000\ndata %d\n%s\nfrom %s^0\nM 100644 inline work/%d.txt\ndata %d\n%s\nget-mark :1\n",
		d.Author.Name, d.Author.Email, b.Bot.Name, b.Bot.Email, len(message), message, from, w.made, len(content), content), "fast-import", "--quiet", "--force")
	if err == nil {
		w.heads[b.Session] = strings.TrimSpace(string(out))
	}
	return err
}

// anew leaves what a session did: it is merged.
func (w *checkouts) anew(id session.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.heads, id)
}

// serve answers GET /bundle for a session's sandbox.
func (w *checkouts) serve(id session.ID) http.HandlerFunc {
	return func(rw http.ResponseWriter, q *http.Request) {
		b, err := w.bundle(id, strings.Split(q.FormValue("have"), ","))
		switch {
		case err != nil:
			http.Error(rw, err.Error(), http.StatusInternalServerError)
		case b == nil:
			rw.WriteHeader(http.StatusNoContent)
		default:
			_, _ = rw.Write(b) // the bot may be gone
		}
	}
}

func (w *checkouts) bundle(id session.ID, have []string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	head := w.heads[id]
	if head == "" || slices.Contains(have, head) {
		return nil, nil
	}
	if _, err := w.git("", "update-ref", "refs/inspect/head", head); err != nil {
		return nil, err
	}
	args := []string{"bundle", "create", "--quiet", "-", "refs/inspect/head"}
	for _, h := range have {
		if _, err := w.git("", "cat-file", "-e", h+"^{commit}"); err == nil { // a runner drops what it does not know, such as a merge
			args = append(args, "^"+h)
		}
	}
	return w.git("", args...)
}
