package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// image makes an image of what a script leaves, whose sandbox is still there until end.
func image(t *testing.T, script string) (h *home, image string, end func()) {
	t.Helper()
	h = started(t, config(t, None))
	if out := h.sh(script); out != "" {
		t.Fatal(out)
	}
	image, err := h.Snapshot(t.Context(), h.h)
	if err != nil {
		t.Fatal(err)
	}
	return h, image, func() {
		t.Helper()
		if err := h.Destroy(t.Context(), h.h); err != nil {
			t.Fatal(err)
		}
	}
}

func from(image string) sandbox.Spec {
	return sandbox.Spec{Name: "two", Image: image, Boot: link.Boot{Start: "t1", TokenHash: link.HashToken(token), Mode: session.BootImage}}
}

// Whatever a repository's script leaves in an image is copied as what it is: nothing is opened that is no file, and no link leads out of it.
func TestImageIsCopiedAsItIs(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("not the sandbox's"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, image, end := image(t, `
		ln -s `+outside+` ../link; mkdir tree; ln -s / tree/root; mkfifo pipe; truncate -s 1T sparse
		echo one >a; ln a b; chmod 4711 a; mkdir -m 500 shut; touch -- '--remove-destination' ../-t`)
	end()
	if err := h.copy(t.Context(), image, "two"); err != nil {
		t.Fatal(err)
	}
	to := h.path(filepath.Join(copiesDir, "two"))
	stat := func(name string) (fs.FileMode, *syscall.Stat_t) {
		t.Helper()
		info, err := os.Lstat(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode(), info.Sys().(*syscall.Stat_t)
	}
	for name, want := range map[string]fs.FileMode{
		"link": fs.ModeSymlink | 0o777, "checkout/tree/root": fs.ModeSymlink | 0o777, "checkout/a": fs.ModeSetuid | 0o711, "checkout/shut": fs.ModeDir | 0o500,
	} {
		if mode, _ := stat(name); mode != want {
			t.Errorf("%s is %s, not %s", name, mode, want)
		}
	}
	if mode, _ := stat("checkout/pipe"); mode.Type() != fs.ModeNamedPipe {
		t.Errorf("a pipe became %s", mode)
	}
	if _, s := stat("checkout/sparse"); s.Size != 1<<40 || s.Blocks > 1<<10 {
		t.Errorf("a file full of nothing has %d blocks for %d bytes", s.Blocks, s.Size)
	}
	if _, s := stat("checkout/b"); s.Nlink != 2 {
		t.Errorf("a file of two names has %d", s.Nlink)
	}
	stat("checkout/--remove-destination")
	stat("-t")
	if _, err := os.Lstat(filepath.Join(to, "run")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what belonged to the runner is copied: %v", err)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "not the sandbox's" {
		t.Errorf("outside is %q, %v", b, err)
	}
}

// While somebody may still change an image it is not copied: a directory that becomes a link at the right moment would be followed.
func TestImageInUseIsNotCopied(t *testing.T) {
	h, image, end := image(t, "echo one >a")
	if _, err := h.Create(t.Context(), from(image)); session.CodeOf(err) != session.Conflict {
		t.Errorf("got %v", err)
	}
	end()
	two, err := h.Create(t.Context(), from(image))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Destroy(t.Context(), two); err != nil {
		t.Fatal(err)
	}
}

// What cp says of an image that it cannot copy, a line for each file, does not fill the bot's memory; and nothing is left of the copy.
func TestImageThatCannotBeCopied(t *testing.T) {
	h, image, end := image(t, "echo one >a")
	end()
	path := t.TempDir()
	cp := "#!/bin/sh\nmkdir -m 500 " + h.path(filepath.Join(copiesDir, "two", "half")) + "\nhead -c 67108864 /dev/zero | tr '\\0' 'x' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(path, "cp"), []byte(cp), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path+":"+os.Getenv("PATH"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := h.Create(t.Context(), from(image))
	runtime.ReadMemStats(&after)
	if session.CodeOf(err) != session.Internal {
		t.Errorf("got %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	if left, err := os.ReadDir(h.path(copiesDir)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
