package opencode

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openinspect/session"
)

// fakeNPM puts an npm on PATH that installs a small package, or fails.
func fakeNPM(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
}

// installs is an npm that lays out what npm would, with a given hash.
func installs(hash string) string {
	return `echo called >> "$(dirname "$0")/calls"
while [ "$1" != --prefix ]; do shift; done
name=` + packageName() + `
mkdir -p "$2/node_modules/$name/bin"
printf '#!/bin/sh\necho 1.18.33\n' > "$2/node_modules/$name/bin/opencode"
chmod +x "$2/node_modules/$name/bin/opencode"
printf '{"packages":{"node_modules/%s":{"integrity":"` + hash + `"}}}' "$name" > "$2/package-lock.json"
`
}

func TestFetchOnce(t *testing.T) {
	fakeNPM(t, installs(integrity[packageName()]))
	cache := filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var progress bytes.Buffer
			path, err := fetch(t.Context(), cache, &progress)
			if err != nil {
				t.Error(err)
				return
			}
			if st, err := os.Stat(path); err != nil || st.Mode()&0o100 == 0 {
				t.Errorf("%v %v", st, err)
			}
		})
	}
	wg.Wait()
	calls, err := os.ReadFile(filepath.Join(strings.Split(os.Getenv("PATH"), ":")[0], "calls"))
	if err != nil || strings.Count(string(calls), "called") != 1 {
		t.Errorf("npm was called %q %v", calls, err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, ".fetch-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchRefusesAnotherBinary(t *testing.T) {
	if integrity[packageName()] == "" {
		t.Logf("no hash is pinned for %s", packageName())
		return
	}
	fakeNPM(t, installs("sha512-other"))
	cache := t.TempDir()
	_, err := fetch(t.Context(), cache, &bytes.Buffer{})
	if session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "is not the one that is expected") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(cache, Version)); err == nil {
		t.Error("it was kept")
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := Find(t.Context(), "", &bytes.Buffer{}); !strings.Contains(session.Sentence(err), "Install Node.js with npm") {
		t.Errorf("%v", err)
	}
	if _, err := Find(t.Context(), "/nowhere/opencode", &bytes.Buffer{}); !strings.Contains(session.Sentence(err), "INSPECT_OPENCODE names /nowhere/opencode") {
		t.Errorf("%v", err)
	}
	fakeNPM(t, "echo 'npm warn whatever' >&2; echo 'npm error code E404' >&2; exit 1")
	if _, err := Find(t.Context(), "", &bytes.Buffer{}); !strings.Contains(session.Sentence(err), "npm error code E404") || strings.Contains(session.Sentence(err), "npm warn") {
		t.Errorf("%v", err)
	}
}

func TestWaitingForAnotherProcessEndsWithItsContext(t *testing.T) {
	cache := t.TempDir()
	unlock, err := lockFile(t.Context(), filepath.Join(cache, "lock"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = fetch(ctx, cache, writer(func(line string) {
		if strings.HasPrefix(line, "Another process fetches") {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// A directory of the version without its binary in it is no hindrance.
func TestFetchMendsTheCache(t *testing.T) {
	fakeNPM(t, installs(integrity[packageName()]))
	cache := t.TempDir()
	for _, dir := range []string{filepath.Join(cache, Version, "node_modules"), filepath.Join(cache, ".fetch-1")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path, err := fetch(t.Context(), cache, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(cache, ".fetch-1")); err == nil {
		t.Error("what a killed fetch left is still there")
	}
}

type writer func(string)

func (w writer) Write(p []byte) (int, error) { w(string(p)); return len(p), nil }
