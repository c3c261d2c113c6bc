package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/proxy"
	"openinspect/sandbox/runner/proc"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
)

// Started as "runner", the test binary is the runner: a script, with a second listener that runs shell commands for the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "runner" {
		if err := beRunner(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 3 && (os.Args[1] == "dial" || os.Args[1] == "listen") {
		if err := beDialler(os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func beRunner() error {
	var b link.Boot
	if err := json.NewDecoder(os.Stdin).Decode(&b); err != nil {
		return fmt.Errorf("read the boot: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if b.Session == realSession {
		return realRunner(ctx, b)
	}
	shell := b
	shell.Socket = filepath.Join(b.Dir, "run", "shell.sock")
	go func() {
		err := sandboxtest.Serve(ctx, shell, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			script, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			cmd := exec.CommandContext(ctx, "sh", "-c", string(script))
			cmd.Dir = filepath.Join(b.Dir, "checkout")
			out, err := cmd.CombinedOutput()
			if err != nil {
				out = append(out, "\n"+err.Error()...)
			}
			_, _ = w.Write(out)
		}))
		fmt.Fprintln(os.Stderr, "shell:", err)
	}()
	return new(sandboxtest.Script).Run(ctx, b)
}

// each runs a test with and without isolation.
func each(t *testing.T, f func(t *testing.T, c Config)) {
	for _, isolation := range []Isolation{Bubblewrap, None} {
		t.Run(string(isolation), func(t *testing.T) {
			c := config(t, isolation)
			f(t, c)
		})
	}
}

func config(t *testing.T, isolation Isolation) Config {
	t.Helper()
	network, err := proxy.New(proxy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: filepath.Join(t.TempDir(), "sandboxes"), Isolation: isolation, Agent: ScriptAgent, CacheDir: t.TempDir(), Network: network}
	if isolation == Bubblewrap {
		isolated(t, c)
	}
	return c
}

// isolated leaves a test of isolation out where isolation cannot be had, unless everything is to be tested.
func isolated(t *testing.T, c Config) {
	t.Helper()
	p := provider(t, c)
	err := p.Available(t.Context())
	switch {
	case err == nil:
	case os.Getenv("TEST_ALL") == "1":
		t.Fatal(err)
	default:
		t.Skip("isolation is not tested: " + session.Sentence(err))
	}
}

func provider(t *testing.T, c Config) *Provider {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConformance(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		sandboxtest.Conformance(t, func(t *testing.T) sandbox.Provider {
			c.Dir = filepath.Join(t.TempDir(), "s")
			return provider(t, c)
		})
	})
}

const token = "token"

// home is a provider with one sandbox.
type home struct {
	t *testing.T
	*Provider
	h session.Handle
}

func started(t *testing.T, c Config) *home {
	t.Helper()
	p := provider(t, c)
	h, err := p.Create(t.Context(), sandbox.Spec{Name: "one", Boot: link.Boot{Start: "s1", TokenHash: link.HashToken(token), Mode: session.BootFresh}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Destroy(context.Background(), h); err != nil {
			t.Error(err)
		}
	})
	return &home{t, p, h}
}

// sh runs a script in the sandbox and returns what it printed.
func (h *home) sh(script string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	path := filepath.Join(h.path(h.h.ID), "run", "shell.sock")
	for {
		conn, err := link.DialUnix(ctx, path, os.Getuid())
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			h.t.Fatalf("no shell: %v; log: %s", err, logTail(h.path(h.h.ID)+".log"))
		}
	}
	resp, err := sandboxtest.Client(path).Post("http://runner/", "text/plain", strings.NewReader(script))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}

// A new provider, as after a restart of the bot, finds the runner, and ends it.
func TestFoundAgain(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		h := started(t, c)
		h.sh("true")
		r, err := h.handled(h.h)
		if err != nil || r == nil {
			t.Fatal(r, err)
		}
		again := provider(t, c)
		f, err := again.Find(t.Context(), "one")
		if err != nil || f.Handle != h.h || f.Start != "s1" {
			t.Fatalf("found %+v, %v", f, err)
		}
		if err := again.Destroy(t.Context(), f.Handle); err != nil {
			t.Fatal(err)
		}
		if r.alive() {
			t.Error("its process lives")
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("left on disk: %v, %v", left, err)
		}
	})
}

// What an agent puts in the place of its sandbox's directories keeps no runner from starting there, and leads the bot nowhere.
func TestDirectoriesReplaced(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		h := started(t, c)
		away := t.TempDir()
		h.sh(`cd .. && mv run was && touch run && mv home gone && ln -s ` + away + `/made home`)
		s := sandbox.Spec{Name: "one", Boot: link.Boot{Start: "s2", TokenHash: link.HashToken(token), Mode: session.BootSnapshot}}
		if _, err := h.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(away); err != nil || len(left) > 0 {
			t.Errorf("made elsewhere: %v, %v", left, err)
		}
		if out := h.sh("ls -d ../home/."); out != "../home/." {
			t.Errorf("the new runner's home: %q", out)
		}
	})
}

// A tree of processes that detach themselves in every usual way does not outlive its sandbox.
func TestDestroyLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		h := started(t, c)
		mark := strconv.Itoa(100_000_000 + os.Getpid())
		h.sh(`sleep ` + mark + `1 >/dev/null 2>&1 & setsid sleep ` + mark + `2 >/dev/null 2>&1 &
			(setsid sh -c 'sleep ` + mark + `3 >/dev/null 2>&1 &' &) ; setsid sh -c 'trap "" TERM HUP; sleep ` + mark + `4; true' >/dev/null 2>&1 &`)
		until(t, "the tree stands", func() bool { return count(mark) >= 5 }) // the shell of the fourth has its number too
		if err := h.Destroy(t.Context(), h.h); err != nil {
			t.Fatal(err)
		}
		if n := count(mark); n != 0 {
			t.Errorf("%d processes live on", n)
		}
	})
}

// count returns how many living processes have mark in their arguments.
func count(mark string) int {
	n := 0
	for _, pid := range proc.IDs() {
		args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err == nil && bytes.Contains(args, []byte("sleep")) && bytes.Contains(args, []byte(mark)) && !proc.Read(pid).Ended() {
			n++
		}
	}
	return n
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never came true: %s", what)
		}
	}
}

// A bot that is killed before it has told the runner what to do leaves a runner that reads the end of its input and ends.
func TestRunnerWithoutBootEnds(t *testing.T) {
	c := config(t, None)
	p := provider(t, c)
	if err := os.MkdirAll(p.path("one"), 0o700); err != nil {
		t.Fatal(err)
	}
	runner, err := p.keepRunner()
	if err != nil {
		t.Fatal(err)
	}
	out, err := plain(p.path("one"), runner).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "read the boot") {
		t.Errorf("it ended with %v: %s", err, out)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{{}, {Dir: "x", Isolation: "docker"}} {
		if _, err := New(c); session.CodeOf(err) != session.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	p := provider(t, Config{Dir: t.TempDir(), Isolation: None, CacheDir: t.TempDir(), Agent: "/no/such/agent"})
	for _, name := range []string{"", "..", "a/b", "-x", "a.json", strings.Repeat("x", 65)} {
		if _, err := p.Create(t.Context(), sandbox.Spec{Name: name, Boot: link.Boot{Start: "s"}}); session.CodeOf(err) != session.Invalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, err := p.Create(t.Context(), sandbox.Spec{Name: "one", Boot: link.Boot{Start: "s"}}); session.CodeOf(err) != session.Invalid {
		t.Errorf("no agent: %v", err)
	}
}
