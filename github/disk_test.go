package github

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"

	"openinspect/session"
)

// TestGitOnAFullDisk: what does not fit is no fault of the commits, and is tried again.
func TestGitOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=400k"); err != nil {
		if os.Getenv("TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	g, repo := newGit(dir), filepath.Join(dir, "r.git")
	if err := g.init(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 600<<10)
	_, _ = rand.Read(noise) // never fails
	_, err := g.run(t.Context(), command{repo: repo, in: bytes.NewReader(noise)}, "hash-object", "-w", "--stdin")
	if session.CodeOf(err) != session.Unavailable || session.Sentence(err) != session.DiskFull {
		t.Errorf("git on a full disk: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), noise, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := g.init(t.Context(), filepath.Join(dir, "other.git")); session.CodeOf(err) != session.Unavailable {
		t.Errorf("another repository on a full disk: %v", err)
	}
}

// TestTokensOutliveAFullDisk: a token that replaces one that is dead is stored as soon as there is room.
func TestTokensOutliveAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &GitHub{c: Config{Clock: session.SystemClock{}}, ctx: t.Context()}
		tries := 0
		err := g.persist(func(context.Context) error {
			if tries++; tries < 3 {
				return session.Wrap("test", session.ErrStorage)
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Errorf("after %d tries: %v", tries, err)
		}
	})
}
