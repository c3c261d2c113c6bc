package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/github/githubtest"
	"openinspect/session"
)

// Approval of an older commit failed after its push; the next one, of a newer commit, is not taken for somebody else's branch.
func TestPushAfterAFailedOpening(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart // one\n", "One")
	first, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	w.server.SetFault(func(c githubtest.Call) *githubtest.Response {
		if c.Route == "POST /repos/{owner}/{repo}/pulls" && !c.After {
			return &githubtest.Response{Status: http.StatusForbidden}
		}
		return nil
	})
	if _, err := w.open(first.Head, bob); session.CodeOf(err) != session.Forbidden {
		t.Fatalf("%v", err)
	}
	w.server.SetFault(nil)
	w.commit(ada, "cart.go", "package cart // two\n", "Two")
	second, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	pr, err := w.open(second.Head, bob)
	if err != nil || pr.Commit != second.Head {
		t.Errorf("%+v %v", pr, err)
	}
	// What somebody else pushed is still left alone.
	if _, err := w.server.Commit("acme/web", githubtest.Change{Branch: "inspect/abcdefghij-fix", Message: "Mine", Files: map[string]string{"x": "x"}}); err != nil {
		t.Fatal(err)
	}
	w.commit(ada, "cart.go", "package cart // three\n", "Three")
	third, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(third.Head, bob); session.CodeOf(err) != session.Conflict {
		t.Errorf("%v", err)
	}
}

// broken reads a bundle up to its middle.
type broken struct {
	io.Reader
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

// A link that breaks while commits are handed over is tried again: it says nothing about the commits.
func TestBrokenBundle(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.commit(ada, "cart.go", "package cart // one\n", "One")
	cause := session.Errorf(session.Unavailable, "The sandbox broke off.")
	for _, part := range []int{0, 10, 2} { // nothing, a piece of the header, half
		_, err := w.github.Collect(context.Background(), w.request(), func(ctx context.Context, have []string) (io.ReadCloser, error) {
			whole, err := w.bundler(ctx, have)
			if err != nil {
				return nil, err
			}
			b, err := io.ReadAll(whole)
			if err != nil {
				return nil, err
			}
			length := 0
			if part > 0 {
				length = len(b) / part
			}
			return io.NopCloser(&broken{bytes.NewReader(b[:length]), cause}), nil
		})
		if session.CodeOf(err) != session.Unavailable || session.Sentence(err) != "The sandbox broke off." {
			t.Errorf("%v", err)
		}
	}
	left := filepath.Join(w.github.quarantineDir(w.request().Session), "held-1") // of a bot that was killed while it made a bundle
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if c, err := w.collect(); err != nil || c == nil {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// What is small as a pack and huge when it is looked at is refused before it fills the bot's memory.
func TestHugeCommits(t *testing.T) {
	w := newWorld(t)
	w.clone()
	head := w.run("", "git", "rev-parse", "HEAD")
	a, _ := ada.Author()
	message := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(message, bytes.Repeat([]byte("x"), maxOutput+1), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(w.as(a), "git", "commit", "-q", "--allow-empty", "-F", message)
	if _, err := w.collect(); session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "a message of 64 MiB") {
		t.Errorf("a huge message: %.200v", err)
	}
	w.run("", "git", "reset", "-q", "--hard", head)
	for i := range maxFiles + 1 {
		w.write(fmt.Sprintf("many/%d", i), "x")
	}
	w.commit(ada, "cart.go", "package cart // many\n", "Many")
	if _, err := w.collect(); session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "touch 10002 files") {
		t.Errorf("many files: %.200v", err)
	}
	// A long diff is shown in part.
	w.run("", "git", "reset", "-q", "--hard", head)
	w.commit(ada, "long.txt", strings.Repeat("a line of some length, again and again\n", 1<<17), "Long")
	c, err := w.collect()
	if err != nil || len(c.Patch) > maxPatch+100 || !strings.HasSuffix(c.Patch, "it was cut here\n") || c.Files[0].Added != 1<<17 {
		t.Errorf("%v", err)
	}
}
