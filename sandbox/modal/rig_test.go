package modal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/sandbox/modaltest"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// The test binary is also the runner in the sandboxes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "runner" {
		if err := beRunner(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	done := func() error { return nil }
	if os.Getenv("MODAL_LIVE") != "1" {
		var err error
		if done, err = modaltest.Trust(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	_ = done()
	os.Exit(code)
}

func beRunner() error {
	var b link.Boot
	if err := json.NewDecoder(os.Stdin).Decode(&b); err != nil {
		return fmt.Errorf("read the boot: %w", err)
	}
	if b.Start == "broken" {
		return fmt.Errorf("this runner does not start")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := new(sandboxtest.Script).Run(ctx, b)
	if ctx.Err() == nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.Dir, "ended-"+b.Start), nil, 0o600) // it was asked to, and had the time
}

// agent is what the base image has in tests: nothing of it is fetched.
var agent = Package{Name: "opencode-linux-x64", Version: "1.2.3", Integrity: "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw=="}

const token = "the-token-of-every-start"

// patience ends failing tests; nothing else depends on it.
const patience = 3 * time.Minute

// rig is a Modal on loopback and a provider that uses it.
type rig struct {
	*modaltest.Server
	*Provider
	t     *testing.T
	ctx   context.Context
	clock *sessiontest.Clock
	apps  map[string]bool // of its providers
}

// newRig makes one whose sandboxes have the runner already, unless bare: it need not be sent.
func newRig(t *testing.T, bare bool, change ...func(*Config)) *rig {
	t.Helper()
	if err := modaltest.Available(); err != nil {
		if os.Getenv("TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no sandbox can be made here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &rig{t: t, ctx: ctx, clock: &sessiontest.Clock{}, apps: map[string]bool{}}
	c := modaltest.Config{Dir: t.TempDir(), Clock: r.clock, Page: 2}
	if !bare {
		c.Files = map[string]string{runnerPath(ownHash()): ownPath()}
	}
	r.Server = modaltest.New(c)
	if err := r.Server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		images, _ := r.Images() // are left to whoever had them made
		if err := errors.Join(r.endAll(), r.Server.Close(images...)); err != nil {
			t.Error(err)
		}
	})
	r.Provider = r.provider(change...)
	return r
}

// endAll ends what a test has left, as a sweep does that knows none of it: whatever runs is found by its list, and what that does not find is an orphan.
func (r *rig) endAll() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r.MendAll()
	for app := range r.apps {
		p := r.provider(func(c *Config) { c.App = app })
		list, e := p.List(ctx)
		err = errors.Join(err, e)
		for _, h := range list {
			err = errors.Join(err, p.Destroy(ctx, h))
		}
	}
	return err
}

// provider makes one more provider for the same Modal, as a bot that was started anew has.
func (r *rig) provider(change ...func(*Config)) *Provider {
	r.t.Helper()
	c := Config{
		TokenID: modaltest.TokenID, TokenSecret: modaltest.TokenSecret, ServerURL: r.URL(), App: "inspect-test", Agent: agent, AgentPath: "script",
		Listen: func() (string, error) {
			port, err := modaltest.FreePort()
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
		},
	}
	for _, f := range change {
		f(&c)
	}
	p, err := New(c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.apps[c.App] = true
	r.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return p
}

func ownPath() string {
	path, err := os.Executable()
	if err != nil {
		panic(err) // nothing works without
	}
	return path
}

var ownHash = sync.OnceValue(func() string {
	f, err := os.Open(ownPath())
	if err != nil {
		panic(err) // as above
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		panic(err) // as above
	}
	return hex.EncodeToString(h.Sum(nil))
})

func spec(name, start, image string, mode session.BootMode) sandbox.Spec {
	return sandbox.Spec{Name: name, Image: image, Boot: link.Boot{Session: "abcdefghij", Start: start, TokenHash: link.HashToken(token), Mode: mode}}
}

func (r *rig) create(name, start string) session.Handle {
	r.t.Helper()
	h, err := r.Create(r.ctx, spec(name, start, "", session.BootFresh))
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// reach dials a sandbox's runner and asks how it is.
func (r *rig) reach(p *Provider, h session.Handle) link.Status {
	r.t.Helper()
	l := r.link(p, h)
	defer l.Close()
	resp, err := l.Client().Get("http://runner/status")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var st link.Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *rig) link(p *Provider, h session.Handle) *link.Link {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		to, err := p.Dial(r.ctx, h)
		if err != nil {
			r.t.Fatal(err)
		}
		l, err := link.Dial(r.ctx, link.DialOptions{URL: to.URL, Token: token, Dial: to.Dial, Handler: http.NotFoundHandler()})
		if err == nil {
			return l
		}
		select {
		case <-tick.C: // it does not listen yet
		case <-r.ctx.Done():
			r.t.Fatalf("the runner cannot be reached: %v", err)
		}
	}
}

func (r *rig) live(want ...string) {
	r.t.Helper()
	if got := strings.Join(r.Live(), " "); got != strings.Join(want, " ") {
		r.t.Errorf("live: %s, want %s", got, strings.Join(want, " "))
	}
}

func code(t *testing.T, what string, err error, want session.Code) {
	t.Helper()
	if session.CodeOf(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// liveApp is the App of a run against the real Modal.
var liveApp = "openinspect-conformance-" + strings.ToLower(rand.Text()[:8])

// Against the real Modal with MODAL_LIVE=1 and its token in MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; it makes some twenty small sandboxes, one after another.
func TestConformance(t *testing.T) {
	sandboxtest.Conformance(t, func(t *testing.T) sandbox.Provider {
		if os.Getenv("MODAL_LIVE") != "1" {
			return newRig(t, false).Provider
		}
		p, err := New(Config{
			TokenID: os.Getenv("MODAL_TOKEN_ID"), TokenSecret: os.Getenv("MODAL_TOKEN_SECRET"), Environment: os.Getenv("MODAL_ENVIRONMENT"),
			App: liveApp, BaseImage: "debian:bookworm-slim", AgentPath: "script", CPU: 0.25, MemoryMiB: 512, Lifetime: 10 * time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })            // the test is over
		if err := p.Prepare(t.Context()); err != nil { // the suite does not wait for a build
			t.Fatal(err)
		}
		return p
	})
}
