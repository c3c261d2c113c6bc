package opencode

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/session"
)

// Version is the one that is driven: what it says on the wire was read from it.
const Version = "1.18.33"

// integrity are the packages' hashes as their registry gives them (npm view PACKAGE@VERSION dist.integrity). A platform that is not here, which
// is arm64 and musl, relies on npm: it checks what it fetched against the hash that the registry named.
var integrity = map[string]string{
	"opencode-linux-x64":          "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==",
	"opencode-linux-x64-baseline": "sha512-1KQGBiiDDeL/VHHbHkOvvFo8Jr97WT5+C1tear+p7IcDTnXgVHXqIjU4O4jM4mHQzykTP2i884FCnW5LDa+zCA==",
}

// Pinned is the package for Linux on amd64, and its hash, which images for sandboxes elsewhere are made with.
func Pinned() (name, version, hash string) {
	const ordinary = "opencode-linux-x64"
	return ordinary, Version, integrity[ordinary]
}

// Find returns the path of OpenCode's binary: the one that is given, else the one on PATH, else one that npm fetches into the user's cache,
// once. progress takes a line when that takes a while.
func Find(ctx context.Context, given string, progress io.Writer) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", &session.Error{Code: session.Invalid, Op: "opencode.Find", Message: "INSPECT_OPENCODE names " + given + ", which cannot be run. Give the path of OpenCode's binary, or leave it out.", Err: err}
		}
		return filepath.Abs(path)
	}
	if path, err := exec.LookPath("opencode"); err == nil {
		return filepath.Abs(path)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", session.Wrap("opencode.Find", err)
	}
	return fetch(ctx, filepath.Join(cache, "openinspect", "opencode"), progress)
}

// packageName is the platform's package: the binary alone, without the launcher that would fetch two of them.
func packageName() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	name := "opencode-linux-" + arch
	if runtime.GOARCH == "amd64" && !hasAVX2() {
		name += "-baseline"
	}
	// A system that has both loaders runs the ordinary build.
	glibc, _ := filepath.Glob("/lib*/ld-linux*.so.*") // the patterns are well formed
	musl, _ := filepath.Glob("/lib/ld-musl-*.so.1")
	if len(musl) > 0 && len(glibc) == 0 {
		name += "-musl"
	}
	return name
}

// hasAVX2 reports whether the processor runs the ordinary build.
func hasAVX2() bool {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return true
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "flags") {
			return strings.Contains(lines.Text()+" ", " avx2 ")
		}
	}
	return true
}

// fetch returns the binary in the cache, after npm has put it there. Several processes may call it at once: one fetches.
func fetch(ctx context.Context, cache string, progress io.Writer) (string, error) {
	name := packageName()
	dir := filepath.Join(cache, Version)
	binary := filepath.Join(dir, "node_modules", name, "bin", "opencode")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", session.Wrap("opencode.fetch", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "lock"), progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil // another process was faster
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", session.Errorf(session.Invalid, "The agent (OpenCode %s) is not here, and there is no npm to fetch it with. Install Node.js with npm, or install OpenCode and set INSPECT_OPENCODE to its binary.", Version)
	}
	if left, err := filepath.Glob(filepath.Join(cache, ".fetch-*")); err == nil {
		for _, dir := range left { // of a fetch that was killed
			_ = os.RemoveAll(dir) // best effort: it only takes room
		}
	}
	fmt.Fprintf(progress, "Fetching the agent (OpenCode %s, about 60 MB) with npm, once, into %s …\n", Version, cache)
	tmp, err := os.MkdirTemp(cache, ".fetch-*")
	if err != nil {
		return "", session.Wrap("opencode.fetch", err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", tmp, name+"@"+Version)
	cmd.Dir = tmp
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", &session.Error{Code: session.Unavailable, Op: "opencode.fetch", Message: "npm could not fetch the agent (" + name + "@" + Version + "): " + session.OneLine(lastLines(said.String()), 400) + ". Try again, or install OpenCode and set INSPECT_OPENCODE to its binary.", Err: err}
	}
	if err := checkIntegrity(filepath.Join(tmp, "package-lock.json"), name); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(tmp, "node_modules", name, "bin", "opencode")); err != nil {
		return "", &session.Error{Code: session.Internal, Op: "opencode.fetch", Message: "The package " + name + " has no binary where it should be.", Err: err}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", session.Wrap("opencode.fetch", err)
	}
	if err := os.RemoveAll(dir); err != nil { // without a binary it is of no use
		return "", session.Wrap("opencode.fetch", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", session.Wrap("opencode.fetch", err)
	}
	fmt.Fprintln(progress, "The agent is here.")
	return binary, nil
}

// lastLines drops npm's warnings about its own configuration, which say nothing about the failure.
func lastLines(s string) string {
	var keep []string
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "npm warn") {
			keep = append(keep, strings.TrimSpace(line))
		}
	}
	return strings.Join(keep[max(0, len(keep)-5):], " ")
}

// checkIntegrity compares what npm fetched, and checked against the hash in its lock file, with the hash that is pinned here.
func checkIntegrity(lock, name string) error {
	want, ok := integrity[name]
	if !ok {
		return nil
	}
	b, err := os.ReadFile(lock)
	if err != nil {
		return session.Wrap("opencode.fetch", err)
	}
	var l struct {
		Packages map[string]struct{ Integrity string }
	}
	if err := json.Unmarshal(b, &l); err != nil {
		return session.Wrap("opencode.fetch", err)
	}
	if got := l.Packages["node_modules/"+name].Integrity; got != want {
		return session.Errorf(session.Invalid, "The agent that npm fetched (%s@%s) is not the one that is expected: its hash is %q. It was not kept. Check the registry that npm is set up for.", name, Version, got)
	}
	return nil
}

// lockPoll is how often a lock that another process has is tried.
const lockPoll = 200 * time.Millisecond

// lockFile waits for an exclusive lock on a file, as long as ctx lasts; the lock ends with the process at the latest.
func lockFile(ctx context.Context, path string, progress io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, session.Wrap("opencode.lockFile", err)
	}
	for told := false; ; told = true {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // which ends the lock
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close() // the error to tell is err
			return nil, session.Wrap("opencode.lockFile", err)
		}
		if !told {
			fmt.Fprintln(progress, "Another process fetches the agent; waiting for it …")
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			_ = f.Close() // the error to tell is ctx's
			return nil, session.Wrap("opencode.lockFile", ctx.Err())
		}
	}
}
