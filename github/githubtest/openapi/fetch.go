package openapi

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// The package that has the description, and its hash as npm view PACKAGE@VERSION dist.integrity gives it.
const (
	npmPackage = "@octokit/openapi"
	version    = "23.0.2"
	integrity  = "pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg=="
	member     = "package/generated/api.github.com.json"
)

// cached returns what make made under a name in the user's cache, now or before. Of several processes that want it one makes it.
func cached(name string, make func() ([]byte, error)) ([]byte, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(base, "openinspect", "openapi")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // which ends the lock
	for {
		if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if b, err := os.ReadFile(path); err == nil {
		return b, nil // another process was faster
	}
	b, err := make()
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return nil, err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(tmp.Name()))
	}
	return b, nil
}

// fetch lets npm fetch the package, and returns the description out of it.
func fetch(ctx context.Context) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "openapi-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	what := npmPackage + "@" + version
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", tmp, what)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm could not fetch GitHub's OpenAPI description (%s), which the tests of GitHub need once: %w: %s", what, err, strings.TrimSpace(string(out)))
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return nil, fmt.Errorf("npm pack %s left %d archives: %w", what, len(archives), err)
	}
	f, err := os.Open(archives[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hash := sha512.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, err
	}
	if got := base64.StdEncoding.EncodeToString(hash.Sum(nil)); got != integrity {
		return nil, fmt.Errorf("what npm fetched as %s is not what is expected: its hash is sha512-%s", what, got)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return extract(f, member)
}

// extract reads one file out of a package.
func extract(r io.Reader, name string) ([]byte, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	for entries := tar.NewReader(zip); ; {
		h, err := entries.Next()
		if err != nil {
			return nil, fmt.Errorf("find %s in the package: %w", name, err)
		}
		if h.Name == name {
			return io.ReadAll(entries)
		}
	}
}
