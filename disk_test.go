//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// canMount reports whether scripts can have a small disk of their own: as root.
func canMount(t *testing.T) bool {
	if os.Getenv("TEST_ALL") == "1" {
		return true
	}
	dir := t.TempDir()
	if syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m") != nil {
		return false
	}
	return syscall.Unmount(dir, 0) == nil
}

// disk small SIZE: makes the data directory a file system of that size, before the bot is started. disk fill: takes all that is left of it.
// disk free: gives it back.
func (p *play) cmdDisk(_ context.Context, _ *testscript.TestScript, args []string) error {
	data := filepath.Join(p.dir, "data")
	switch {
	case len(args) == 2 && args[0] == "small":
		if err := os.Mkdir(data, 0o700); err != nil {
			return err
		}
		err := syscall.Mount("tmpfs", data, "tmpfs", 0, "mode=0700,size="+args[1])
		p.mounted = err == nil
		return err
	case len(args) == 1 && args[0] == "fill":
		return fill(data)
	case len(args) == 1 && args[0] == "free":
		return os.Remove(filepath.Join(data, filler))
	}
	return usage("disk small SIZE|fill|free")
}

const filler = "filler"

// fill takes all that is left of the small disk that a directory is on.
func fill(dir string) error {
	f, err := os.Create(filepath.Join(dir, filler))
	if err != nil {
		return err
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return nil
}

func (p *play) unmount() (err error) {
	if p.disk != "" {
		err = syscall.Unmount(p.disk, syscall.MNT_DETACH)
	}
	if p.mounted {
		err = errors.Join(err, syscall.Unmount(filepath.Join(p.dir, "data"), syscall.MNT_DETACH))
	}
	return err
}

// A data directory that cannot be one is a setting to mend, not a disk that may answer later.
func TestUnusableDataDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc/below"} {
		c, err := load(t, goodEnvironment(t))
		if err != nil {
			t.Fatal(err)
		}
		c.DataDir = dir
		a, err := NewApp(c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = a.Run(t.Context())
		if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.HasPrefix(err.Error(), "INSPECT_DATA_DIR is "+dir+", which cannot be used: ") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
