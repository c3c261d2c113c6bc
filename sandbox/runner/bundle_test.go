package runner_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// bundled asks for a bundle and writes it to a file, "" when there is nothing new.
func (b *box) bundled(have ...string) string {
	b.t.Helper()
	resp := b.get("/bundle?have=" + strings.Join(have, ","))
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return ""
	}
	equal(b.t, "status", resp.StatusCode, 200)
	f, err := os.CreateTemp(b.t.TempDir(), "bundle")
	check(b.t, err)
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	check(b.t, err)
	return f.Name()
}

// heads returns what a bundle holds.
func heads(t *testing.T, dir, bundle string) string {
	t.Helper()
	git(t, dir, "bundle", "verify", "--quiet", bundle)
	return git(t, dir, "bundle", "list-heads", bundle)
}

func TestBundle(t *testing.T) {
	remote := newRemote(t)
	b := newBox(t, session.BootFresh, remote).start().ready()
	equal(t, "nothing new", b.bundled(), "")
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "!run git checkout -q -b anything ;; !write a.txt a"})
	first := b.git("rev-parse", "HEAD")
	stranger := strings.Repeat("ab", 20)
	bundle := b.bundled(stranger, "--all", "main", "")
	equal(t, "heads", heads(t, remote, bundle), first+" refs/inspect/head")
	git(t, remote, "fetch", "--quiet", bundle, "refs/inspect/head:refs/heads/collected")

	equal(t, "nothing newer", b.bundled(first), "")
	equal(t, "collected", b.git("rev-parse", "refs/inspect/collected"), first)
	b.turn(session.Delivery{ID: "2", Author: ben, Identities: []session.Author{ana, ben}, Text: "!write b.txt b"})
	second := b.git("rev-parse", "HEAD")
	equal(t, "parent", b.git("rev-parse", "HEAD~"), first)
	bundle = b.bundled(first)
	equal(t, "heads", heads(t, remote, bundle), second+" refs/inspect/head")
	equal(t, "commits", git(t, remote, "rev-list", "--count", "collected"), "2")
	if out, err := os.ReadFile(bundle); err != nil || strings.Count(string(out[:200]), first) != 1 {
		t.Errorf("the bundle does not begin at what was collected (%v)", err)
	}

	b.prompt(session.Delivery{ID: "3", Text: "!wait go"})
	resp := b.get("/bundle")
	resp.Body.Close()
	equal(t, "in mid-turn", resp.StatusCode, 409)
	check(t, os.WriteFile(filepath.Join(b.home(), "go"), nil, 0o644))
}

func TestBundleOfAnEmptyRepository(t *testing.T) {
	remote := filepath.Join(t.TempDir(), "empty.git")
	check(t, os.MkdirAll(remote, 0o755))
	git(t, remote, "init", "--quiet", "--bare", "-b", "main")
	b := newBox(t, session.BootFresh, remote).start().ready()
	equal(t, "nothing", b.bundled(), "")
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "!write a.txt a"})
	equal(t, "heads", heads(t, remote, b.bundled()), b.git("rev-parse", "HEAD")+" refs/inspect/head")
}

// In a shallow checkout a branch can lie so far behind the base that the two do not seem to meet.
func TestBundleDeepens(t *testing.T) {
	remote := newRemote(t)
	work := t.TempDir()
	git(t, work, "clone", "--quiet", remote, ".")
	var stream strings.Builder // one process for many commits
	parent := git(t, work, "rev-parse", "HEAD")
	for i := range 300 {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Dev <dev@example.com> %d +0000\ndata 1\nx\n", 1_600_000_000+i)
		if i == 0 {
			fmt.Fprintf(&stream, "from %s\n", parent)
		}
		fmt.Fprintf(&stream, "M 644 inline n.txt\ndata %d\n%d\n", len(fmt.Sprint(i)), i)
	}
	input := filepath.Join(t.TempDir(), "stream")
	check(t, os.WriteFile(input, []byte(stream.String()), 0o644))
	importStream(t, remote, input)
	b := newBox(t, session.BootFresh, remote).start().ready()
	equal(t, "depth", b.git("rev-list", "--count", "HEAD"), "100")
	// The agent fetches an old commit of the base and builds on it: nothing in the checkout tells that it is the base's.
	old := git(t, remote, "rev-parse", "main~250")
	git(t, remote, "config", "uploadpack.allowAnySHA1InWant", "true")
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "Prompt\n!run git fetch -q --depth 5 origin " + old + " && git checkout -q -b old FETCH_HEAD ;; !write a.txt a"})
	bundle := b.bundled()
	equal(t, "parent", b.git("rev-parse", "HEAD~"), old)
	equal(t, "merge base", b.git("merge-base", "HEAD", "origin/main"), old)
	git(t, remote, "fetch", "--quiet", bundle, "refs/inspect/head:refs/heads/got")
	equal(t, "subject", git(t, remote, "log", "-1", "--format=%s", "got"), "Prompt")
}
