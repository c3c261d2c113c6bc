package runner_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// hand makes the bot answer POST /git/collected with a commit of a repository, and what main lacks of its history.
func (b *box) hand(repo, commit string) {
	b.t.Helper()
	git(b.t, repo, "update-ref", link.CollectedRef, commit)
	file := filepath.Join(b.t.TempDir(), "collected.bundle")
	git(b.t, repo, "bundle", "create", "--quiet", file, link.CollectedRef, "^origin/main")
	b.boot.Collected = commit
	b.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/git/collected" {
			http.NotFound(w, r)
			return
		}
		f, err := os.Open(file)
		if err != nil {
			b.t.Error(err)
			return
		}
		defer f.Close()
		_, _ = io.Copy(w, f) // the runner may be gone
	}
}

// Files that are older than what the bot holds of the session are brought up to it when they are restored: what is pushed next leaves nothing of it out.
func TestRestoreCatchesUp(t *testing.T) {
	work := session.Delivery{ID: "2", Text: "!write a.txt two ;; !write b.txt two", Author: ana}
	for _, c := range []struct{ name, left, status, stash string }{
		{"clean", "", "", ""},
		{"beside it", "note.txt", "?? note.txt", ""},
		{"in its way", "b.txt", "", "On main: left when the commits of this thread were brought back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			remote := newRemote(t)
			b := newBox(t, session.BootFresh, remote).start().ready()
			b.turn(session.Delivery{ID: "1", Text: "!write a.txt one", Author: ana})
			b.stop()
			older := filepath.Join(t.TempDir(), "older")
			check(t, os.CopyFS(older, os.DirFS(b.checkout())))
			b.boot.Mode, b.boot.Start = session.BootSnapshot, "start2"
			b.start().ready()
			b.turn(work)
			newest := b.git("rev-parse", "HEAD")
			b.stop()
			newer := newBox(t, session.BootSnapshot, remote)
			newer.boot.Start = "start3"
			check(t, os.CopyFS(newer.checkout(), os.DirFS(older)))
			if c.left != "" {
				check(t, os.WriteFile(filepath.Join(newer.checkout(), c.left), []byte("left"), 0o644))
			}
			newer.hand(b.checkout(), newest)
			newer.start().ready()
			equal(t, "HEAD", newer.git("rev-parse", "HEAD"), newest)
			equal(t, "status", newer.git("status", "--short"), c.status)
			equal(t, "kept aside", newer.git("stash", "list", "--format=%s"), c.stash)
		})
	}
}
