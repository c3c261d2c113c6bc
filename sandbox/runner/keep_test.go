package runner_test

import (
	"crypto/rand"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// A patch has all that a checkout has beyond a commit, whether it is committed or not, and brings it back into a fresh one.
func TestPatch(t *testing.T) {
	remote := newRemote(t, "a.txt", "a\n", "gone.txt", "gone\n", ".gitignore", "ignored\n")
	b := newBox(t, session.BootFresh, remote).start().ready()
	ask := func(from string) (int, string) {
		t.Helper()
		resp := b.get("/patch?from=" + from)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		return resp.StatusCode, string(body)
	}
	status, _ := ask("")
	equal(t, "status of nothing", status, http.StatusNoContent)
	equal(t, "prompt", b.prompt(session.Delivery{ID: "1", Author: ana, Text: `!append a.txt more ;; !run git add a.txt; git -c user.name=A -c user.email=a@b commit -qm more; ` +
		`printf '\0\1\2' > new.bin; mkdir -p "sub dir"; echo ü > "sub dir/ö.txt"; chmod +x "sub dir/ö.txt"; ln -s a.txt link; rm gone.txt; echo no > ignored; echo staged > staged.txt; git add staged.txt; touch ~/made ;; !wait go`}), 202)
	waitFor(t, filepath.Join(b.home(), "made"))
	index, err := os.ReadFile(filepath.Join(b.checkout(), ".git", "index"))
	check(t, err)
	status, patch := ask("") // in mid-turn
	equal(t, "status", status, http.StatusOK)
	again, err := os.ReadFile(filepath.Join(b.checkout(), ".git", "index"))
	check(t, err)
	equal(t, "index", string(again), string(index))
	status, _ = ask("1234567890123456789012345678901234567890")
	equal(t, "status of a commit that is not there", status, http.StatusConflict)
	status, _ = ask("--output=x")
	equal(t, "status of an option", status, http.StatusConflict)
	head := b.git("rev-parse", "HEAD")
	_, beyond := ask(head)
	if strings.Contains(beyond, "a.txt b/a.txt") || !strings.Contains(beyond, "staged") {
		t.Errorf("beyond the commit: %s", beyond)
	}
	want := b.git("status", "--porcelain", "--untracked-files=all")
	check(t, os.WriteFile(filepath.Join(b.home(), "go"), nil, 0o600))
	b.until(func(e session.Event) bool { return e.Turn != nil })
	b.stop()

	fresh := func(remote string) *box {
		n := newBox(t, session.BootFresh, remote)
		n.boot.Start, n.boot.Patch = "start2", true
		n.serve = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/git/patch" {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, patch) // the runner may be gone
		}
		return n.start().ready()
	}
	n := fresh(remote)
	equal(t, "phase", n.events[1].Boot.State, session.StepDone)
	for name, content := range map[string]string{"a.txt": "a\nmore\n", "new.bin": "\x00\x01\x02", "sub dir/ö.txt": "ü\n", "link": "a\nmore\n", "staged.txt": "staged\n"} {
		got, err := os.ReadFile(filepath.Join(n.checkout(), name))
		check(t, err)
		equal(t, name, string(got), content)
	}
	for _, name := range []string{"gone.txt", "ignored"} {
		if _, err := os.Lstat(filepath.Join(n.checkout(), name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if want == "" {
		t.Error("nothing was left to be kept")
	}

	// What does not fit is told, and the rest is there.
	pushed(t, remote, "a.txt", "another\n")
	n = fresh(remote)
	equal(t, "phase", n.events[1].Boot.State, session.StepWarning)
	equal(t, "words", n.events[1].Boot.Detail, "Not all of what was not committed fits the newest commit.")
	equal(t, "status", n.git("-c", "core.quotePath=false", "status", "--porcelain", "--untracked-files=all"), "D gone.txt\n?? link\n?? new.bin\n?? staged.txt\n?? \"sub dir/ö.txt\"")

	// A session without a repository has all its files in it.
	e := newBox(t, session.BootFresh, "").start().ready()
	e.turn(session.Delivery{ID: "1", Text: "!write notes.txt kept", Author: ana})
	resp := e.get("/patch?from=")
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	check(t, err)
	e.stop()
	patch = string(body)
	n = fresh("")
	got, err := os.ReadFile(filepath.Join(n.checkout(), "notes.txt"))
	check(t, err)
	equal(t, "notes.txt", string(got), "kept\n")
}

// A patch that nobody would take is refused before it is made whole.
func TestLargePatch(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t))
	check(t, os.MkdirAll(filepath.Join(b.boot.Dir, "run", "patch-of-one-that-was-killed", "objects"), 0o700))
	b.start().ready()
	large := make([]byte, 20<<20)
	_, _ = rand.Read(large) // never fails: crypto/rand
	check(t, os.WriteFile(filepath.Join(b.checkout(), "large"), large, 0o644))
	before := b.git("count-objects")
	resp := b.get("/patch?from=")
	resp.Body.Close()
	equal(t, "status", resp.StatusCode, http.StatusRequestEntityTooLarge)
	equal(t, "objects left in the checkout", b.git("count-objects"), before)
	if left, err := filepath.Glob(filepath.Join(b.boot.Dir, "run", "patch-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// What an agent makes of a patch leads nowhere but into the checkout: not beside it, not through a link, and not into git's own directory.
func TestPatchThatLeadsOut(t *testing.T) {
	remote := newRemote(t, "a.txt", "a\n")
	const link = "diff --git a/out b/out\nnew file mode 120000\n--- /dev/null\n+++ b/out\n@@ -0,0 +1 @@\n+..\n\\ No newline at end of file\n"
	for name, patch := range map[string]string{"beside": made("../forged"), "a hook": made(".git/forged"), "in capitals": made(".GIT/forged"), "a link": link + made("out/forged"), "absolute": made("/tmp/eyes/forged")} {
		t.Run(name, func(t *testing.T) {
			n := newBox(t, session.BootFresh, remote)
			n.boot.Patch = true
			n.serve = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, patch+made("good.txt")) } // the runner may be gone
			n.start().ready()
			equal(t, "phase", n.events[1].Boot.State, session.StepWarning)
			for _, forged := range []string{"forged", "checkout/.git/forged", "../forged", "checkout/out/forged"} {
				if _, err := os.Lstat(filepath.Join(n.boot.Dir, forged)); err == nil {
					t.Errorf("%s is there", forged)
				}
			}
		})
	}
}

// made is the patch that makes a file.
func made(name string) string {
	return "diff --git a/" + name + " b/" + name + "\nnew file mode 100644\n--- /dev/null\n+++ b/" + name + "\n@@ -0,0 +1 @@\n+forged\n"
}

// waitFor waits until there is a file.
func waitFor(t *testing.T, path string) {
	t.Helper()
	for t.Context().Err() == nil {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond) // between looks: another process writes it
	}
}
