package local

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// keptFor is how long an executable stays in the cache after its last use. A runner that works longer keeps the one it was started
// from, but could not start its helpers any more.
const keptFor = 30 * 24 * time.Hour

// keepRunner returns the path of a copy of our executable that does not change when we are replaced: bin/SHA256/openinspect in the
// cache directory. The caller holds the lock.
func (p *Provider) keepRunner() (string, error) {
	if p.kept != "" {
		now := time.Now()
		if os.Chtimes(filepath.Dir(p.kept), now, now) == nil {
			return p.kept, nil
		}
	}
	sum, err := hashFile(p.runner)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(p.cache, "bin")
	to := filepath.Join(bin, sum, "openinspect")
	if have, err := hashFile(to); err != nil || have != sum { // a copy that was cut short or changed is made anew
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return "", err
		}
		if err := copyFile(p.runner, to); err != nil {
			return "", err
		}
	}
	now := time.Now()
	if err := os.Chtimes(filepath.Dir(to), now, now); err != nil {
		return "", err
	}
	prune(bin, now.Add(-keptFor))
	p.kept = to
	return to, nil
}

// copyFile puts an executable copy at to, whole or not at all. It links where it can, which takes no room.
func copyFile(from, to string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, "file")
	if os.Link(from, file) != nil {
		if err := writeCopy(from, file); err != nil {
			return err
		}
	}
	return os.Rename(file, to)
}

func writeCopy(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// prune deletes executables that were last used before a time; best effort, the next start tries again.
func prune(bin string, before time.Time) {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Type()&fs.ModeDir != 0 && info.ModTime().Before(before) {
			_ = os.RemoveAll(filepath.Join(bin, e.Name()))
		}
	}
}
