package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// built is a sandbox as a build has left it: what begins from its image begins in its directory.
func built(t *testing.T, files ...string) (b *box, remote string) {
	t.Helper()
	remote = newRemote(t, files...)
	b = newBox(t, session.BootBuild, remote).start().ready()
	equal(t, "prompt in a build", b.prompt(session.Delivery{ID: "1", Text: "x"}), 409)
	st := b.status()
	for st.Head == "" { // it did not come to look
		st = b.status()
	}
	b.boot.Setup = st.Setup
	b.stop()
	b.boot.Mode, b.boot.Start, b.events = session.BootImage, "start2", nil
	return b, remote
}

// bootEnds waits until a boot is ready or has failed.
func (b *box) bootEnds() *box {
	b.t.Helper()
	b.until(func(e session.Event) bool {
		return e.Kind == session.KindError || e.Boot != nil && e.Boot.Phase == session.PhaseReady
	})
	return b
}

func TestImageMovesToTheNewestCommit(t *testing.T) {
	t.Run("some commits later", func(t *testing.T) {
		t.Parallel()
		b, remote := built(t, setup, `echo left > ignored.txt; echo changed > readme`, ".gitignore", "ignored.txt", "readme", "as committed")
		for range 3 {
			pushed(t, remote, "b.txt", "b")
		}
		tip := pushed(t, remote, "c.txt", "c")
		b.start().ready()
		equal(t, "phases", b.phases(), "sync:done setup:skipped start:skipped agent:done ready:done")
		equal(t, "HEAD", b.git("rev-parse", "HEAD"), tip)
		equal(t, "commits", b.git("rev-list", "--count", "HEAD"), "5")
		equal(t, "status", b.git("status", "--short"), "")
		if _, err := os.Stat(filepath.Join(b.checkout(), "ignored.txt")); err != nil {
			t.Errorf("what setup.sh made is gone: %v", err)
		}
	})
	t.Run("more commits than a clone has", func(t *testing.T) {
		t.Parallel()
		b, remote := built(t)
		// As many at once as are quick: the clone behind the image has a hundred.
		var stream strings.Builder
		stream.WriteString("reset refs/heads/main\nfrom refs/heads/main^0\n\n")
		for range 150 {
			stream.WriteString("commit refs/heads/main\ncommitter A <a@example.com> 1800000000 +0000\ndata 1\nx\n\n")
		}
		fastImport(t, remote, stream.String())
		b.start().ready()
		equal(t, "commits", b.git("rev-list", "--count", "HEAD"), "151")
	})
	t.Run("another history", func(t *testing.T) {
		t.Parallel()
		b, remote := built(t, "old.txt", "old")
		fastImport(t, remote, "reset refs/heads/main\n\ncommit refs/heads/main\ncommitter A <a@example.com> 1800000000 +0000\ndata 1\nx\nM 100644 inline new.txt\ndata 3\nnew\n")
		b.start().ready()
		equal(t, "phases", b.phases(), "sync:done setup:skipped start:skipped agent:done ready:done")
		equal(t, "commits", b.git("rev-list", "--count", "HEAD"), "1")
		equal(t, "files", b.git("ls-files"), "new.txt")
		equal(t, "status", b.git("status", "--short"), "")
	})
}

// What setup.sh installs is in the image; another setup.sh than the image's runs, as in a fresh sandbox.
func TestImageRunsAnotherSetupScript(t *testing.T) {
	for _, c := range []struct{ name, image, now, phases, ran string }{
		{"changed", "echo one >> ~/ran", "echo two >> ~/ran", "sync:done setup:done start:skipped agent:done ready:done", "one\ntwo\n"},
		{"changed, and fails", "echo one >> ~/ran", "echo two >> ~/ran; exit 3", "sync:done setup:warning start:skipped agent:done ready:done", "one\ntwo\n"},
		{"new", "", "echo two >> ~/ran", "sync:done setup:done start:skipped agent:done ready:done", "two\n"},
		{"same", "echo one >> ~/ran", "echo one >> ~/ran", "sync:done setup:skipped start:skipped agent:done ready:done", "one\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var files []string
			if c.image != "" {
				files = []string{setup, c.image}
			}
			b, remote := built(t, files...)
			pushed(t, remote, "other.txt", "x")
			if c.now != c.image {
				pushed(t, remote, setup, c.now)
			}
			b.start().ready()
			equal(t, "phases", b.phases(), c.phases)
			ran, err := os.ReadFile(filepath.Join(b.home(), "ran"))
			check(t, err)
			equal(t, "ran", string(ran), c.ran)
		})
	}
}

// An image that is of no use fails the boot at once; that the repository is away does not.
func TestImageOfNoUse(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(t *testing.T, b *box, remote string)
		phases string
	}{
		{"no checkout", func(t *testing.T, b *box, _ string) {
			check(t, os.RemoveAll(filepath.Join(b.checkout(), ".git")))
		}, "sync:failed"},
		{"damaged", func(t *testing.T, b *box, _ string) {
			check(t, os.RemoveAll(filepath.Join(b.checkout(), ".git", "objects")))
			check(t, os.MkdirAll(filepath.Join(b.checkout(), ".git", "objects"), 0o755))
			check(t, os.WriteFile(filepath.Join(b.checkout(), ".git", "refs", "remotes", "origin", "main"), []byte("damaged"), 0o644))
		}, "sync:failed"},
		{"repository away", func(t *testing.T, _ *box, remote string) {
			check(t, os.Rename(remote, remote+".away"))
		}, "sync:warning setup:skipped start:skipped agent:done ready:done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, remote := built(t, setup, "exit 0")
			c.spoil(t, b, remote)
			b.start().bootEnds()
			equal(t, "phases", b.phases(), c.phases)
		})
	}
}

// fastImport rewrites a remote's history.
func fastImport(t *testing.T, remote, stream string) {
	t.Helper()
	cmd := exec.Command("git", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Stdin = remote, strings.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

// A session whose files are gone goes on from what the bot holds of it in a sandbox from an image, too, whether or not the newest commits can be had.
func TestImageGoesOn(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(map[bool]string{false: "at the newest commit", true: "with the repository away"}[away], func(t *testing.T) {
			t.Parallel()
			image, remote := built(t, setup, "exit 0")
			b := newBox(t, session.BootFresh, remote).start().ready()
			b.turn(session.Delivery{ID: "1", Text: "!write a.txt one", Author: ana})
			held := b.git("rev-parse", "HEAD")
			b.stop()
			image.hand(b.checkout(), held)
			phases := "sync:done setup:skipped start:skipped agent:done ready:done"
			if away {
				check(t, os.Rename(remote, remote+".away"))
				phases = "sync:warning setup:skipped start:skipped agent:done ready:done"
			}
			image.start().ready()
			equal(t, "phases", image.phases(), phases)
			equal(t, "HEAD", image.git("rev-parse", "HEAD"), held)
			equal(t, "status", image.git("status", "--short"), "")
		})
	}
}
