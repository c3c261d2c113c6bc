package modal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/modaltest"
	"openinspect/session"
)

// The runner is sent once, in pieces, and is in every image that is made afterwards.
func TestTheRunnerIsSentOnce(t *testing.T) {
	r := newRig(t, true)
	r.Break("TaskExecStdinWrite", modaltest.LostAnswer, 3) // what was written twice is taken once
	h := r.create("one", "s1")
	if st := r.reach(r.Provider, h); st.Start != "s1" {
		t.Errorf("the runner says %+v", st)
	}
	info, err := os.Stat(filepath.Join(r.Root("one"), runnerPath(ownHash())))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Fatalf("the program: %v, %v", info, err)
	}
	sent := r.Calls("TaskExecStdinWrite")
	image, err := r.Snapshot(r.ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	again := r.provider()
	two, err := again.Create(r.ctx, spec("two", "s2", image, session.BootSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	if st := r.reach(again, two); st.Start != "s2" {
		t.Errorf("the second runner says %+v", st)
	}
	if n := r.Calls("TaskExecStdinWrite") - sent; n > 3 {
		t.Errorf("%d pieces were sent to a sandbox that has the program", n)
	}

	sb, err := r.byName(r.ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer detach(sb)
	wrong := strings.Repeat("0", 64)
	code(t, "what comes is not what was sent", r.push(r.ctx, sb, wrong), session.Unavailable)
	left, err := os.ReadDir(filepath.Dir(filepath.Join(r.Root("one"), runnerPath(wrong))))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAnotherPlatform(t *testing.T) {
	file := filepath.Join(t.TempDir(), "runner")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, true, func(c *Config) { c.Runner = file })
	_, err := r.Create(r.ctx, spec("one", "s1", "", session.BootFresh))
	code(t, "a runner that is a script", err, session.Invalid)
	code(t, "looked at before", r.Check(r.ctx), session.Invalid)
	if !strings.Contains(session.Sentence(err), "INSPECT_RUNNER") {
		t.Errorf("it says %q", session.Sentence(err))
	}
	r = newRig(t, true, func(c *Config) { c.Runner = file + "-that-is-not-there" })
	if err := r.Check(r.ctx); session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), "cannot be read. Set INSPECT_RUNNER") {
		t.Errorf("a runner that is not there: %v", err)
	}
}

// A runner that ends at once is told of by Create or, if it was there for a moment, by Find; either way with the end of its log.
func TestARunnerThatDoesNotStart(t *testing.T) {
	r := newRig(t, false)
	_, err := r.Create(r.ctx, spec("one", "broken", "", session.BootFresh))
	for err == nil && r.ctx.Err() == nil {
		_, err = r.Find(r.ctx, "one")
	}
	if c := session.CodeOf(err); c != session.Internal && c != session.NotFound || !strings.Contains(fmt.Sprint(err), "this runner does not start") {
		t.Errorf("the operator reads %v", err)
	}
	if st := r.reach(r.Provider, r.create("one", "s2")); st.Start != "s2" { // in the sandbox that is there
		t.Errorf("the next runner says %+v", st)
	}
	r.live("one")
	if n := r.Calls("SandboxCreate"); n != 2 {
		t.Errorf("%d sandboxes were asked for", n)
	}
}

// Whatever goes wrong on the way to a sandbox, the same request is good once it does not, and there is one sandbox then.
func TestCreateGoesWrong(t *testing.T) {
	for _, c := range []struct {
		method string
		fault  modaltest.Fault
		times  int
		want   session.Code // "": it succeeds all the same
		says   string
	}{
		{"AppGetOrCreate", modaltest.Throttled, 1, session.Unavailable, "no room"},
		{"AppGetOrCreate", modaltest.Denied, 1, session.Forbidden, "MODAL_TOKEN_ID"},
		{"ImageGetOrCreate", modaltest.Unavailable, modaltest.Always, session.Unavailable, "does not answer"},
		{"ImageJoinStreaming", modaltest.Failed, 1, session.Internal, "could not build the image"},
		{"SandboxCreate", modaltest.Unavailable, 2, "", ""},
		{"SandboxCreate", modaltest.Unavailable, modaltest.Always, session.Unavailable, "does not answer"},
		{"SandboxCreate", modaltest.LostAnswer, 1, "", ""},
		{"SandboxCreate", modaltest.LostAnswer, modaltest.Always, "", ""},
		{"SandboxCreate", modaltest.Throttled, 1, session.Unavailable, "no room"},
		{"SandboxCreate", modaltest.Refused, 1, session.Internal, "does not take"},
		{"SandboxGetTunnels", modaltest.Throttled, 1, session.Unavailable, "no room"},
		{"SandboxGetTaskId", modaltest.Throttled, 1, session.Unavailable, "no room"},
		{"TaskGetCommandRouterAccess", modaltest.Refused, 1, session.Internal, "does not take"},
		{"TaskExecStart", modaltest.LostAnswer, 2, "", ""},
		{"TaskExecStdinWrite", modaltest.LostAnswer, 1, "", ""},
		{"TaskExecStdinWrite", modaltest.Refused, 1, session.Internal, "does not take"},
		{"TaskExecStdioRead", modaltest.Unavailable, 2, "", ""},
		{"TaskExecWait", modaltest.LostAnswer, 1, "", ""},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.method, c.fault, c.times), func(t *testing.T) {
			t.Parallel() // most of it is the SDK's waiting before it tries again
			r := newRig(t, false)
			r.Break(c.method, c.fault, c.times)
			_, err := r.Create(r.ctx, spec("one", "s1", "", session.BootFresh))
			code(t, "the first try", err, c.want)
			if full := c.method == "SandboxCreate" && c.fault == modaltest.Throttled; errors.Is(err, sandbox.ErrFull) != full {
				t.Errorf("is it full? %v", err)
			}
			if err != nil && !strings.Contains(session.Sentence(err), c.says) {
				t.Errorf("it says %q, and not %q", session.Sentence(err), c.says)
			}
			r.Mend(c.method)
			h := r.create("one", "s1")
			if st := r.reach(r.Provider, h); st.Start != "s1" {
				t.Errorf("the runner says %+v", st)
			}
			r.live("one")
			if f, err := r.Find(r.ctx, "one"); err != nil || f.Handle != h || f.Start != "s1" {
				t.Errorf("found %+v, %v", f, err)
			}
		})
	}
}

// Every method ends with its context, also where the SDK knows none.
func TestNothingWaitsForEver(t *testing.T) {
	r := newRig(t, false)
	h := r.create("one", "s1")
	for _, c := range []struct {
		method string
		call   func(ctx context.Context, p *Provider) error
	}{
		{"AuthTokenGet", func(ctx context.Context, p *Provider) error { _, err := p.List(ctx); return err }},
		{"SandboxList", func(ctx context.Context, p *Provider) error { _, err := p.List(ctx); return err }},
		{"SandboxGetFromName", func(ctx context.Context, p *Provider) error { _, err := p.Find(ctx, "one"); return err }},
		{"SandboxWait", func(ctx context.Context, p *Provider) error { _, err := p.Dial(ctx, h); return err }},
		{"SandboxSnapshotFs", func(ctx context.Context, p *Provider) error { _, err := p.Snapshot(ctx, h); return err }},
		{"SandboxTerminate", func(ctx context.Context, p *Provider) error { return p.Destroy(ctx, h) }},
		{"SandboxCreate", nil}, {"ImageGetOrCreate", nil}, {"SandboxGetTunnels", nil}, {"SandboxGetTaskId", nil}, {"TaskGetCommandRouterAccess", nil},
		{"TaskExecStart", nil}, {"TaskExecStdinWrite", nil}, {"TaskExecStdioRead", nil}, {"TaskExecWait", nil},
	} {
		t.Run(c.method, func(t *testing.T) {
			p := r.provider()
			if c.call == nil {
				c.call = func(ctx context.Context, p *Provider) error {
					_, err := p.Create(ctx, spec("one", "s1", "", session.BootFresh))
					return err
				}
			}
			r.Break(c.method, modaltest.Held, modaltest.Always)
			defer r.Mend(c.method)
			n := r.Calls(c.method)
			ctx, cancel := context.WithCancel(r.ctx)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- c.call(ctx, p) }()
			if err := r.Wait(r.ctx, c.method, n+1); err != nil {
				t.Fatal(err, <-ended)
			}
			cancel()
			select {
			case err := <-ended:
				code(t, "broken off", err, session.Unavailable)
			case <-r.ctx.Done():
				t.Fatal("it waits on")
			}
		})
	}
}

func TestDeaths(t *testing.T) {
	r := newRig(t, false)
	for _, c := range []struct {
		name string
		die  func()
	}{
		{"vanished", func() {
			if err := r.Vanish("vanished"); err != nil {
				t.Fatal(err)
			}
		}},
		{"old", func() { r.clock.Advance(maxLifetime) }},
	} {
		h := r.create(c.name, "s1")
		l := r.link(r.Provider, h)
		c.die()
		select {
		case <-l.Done():
		case <-r.ctx.Done():
			t.Fatal("its link stands")
		}
		r.live()
		_, err := r.Find(r.ctx, c.name)
		code(t, "Find", err, session.NotFound)
		_, err = r.Snapshot(r.ctx, h)
		code(t, "Snapshot", err, session.NotFound)
		_, err = r.provider().Dial(r.ctx, h)
		code(t, "Dial of a bot that was started anew", err, session.NotFound)
		r.Provider.sightings[h.ID] = sighting{at: time.Now().Add(-time.Minute)}
		_, err = r.Dial(r.ctx, h)
		code(t, "Dial after a while", err, session.NotFound)
		if err := r.Destroy(r.ctx, h); err != nil {
			t.Error(err)
		}
		if st := r.reach(r.Provider, r.create(c.name, "s2")); st.Start != "s2" { // the name is free
			t.Errorf("the next one says %+v", st)
		}
		if err := r.Vanish(c.name); err != nil {
			t.Fatal(err)
		}
	}
}

// A bot that was started anew reaches what the last one left, by what is stored, without a word to the sandbox.
func TestRedial(t *testing.T) {
	r := newRig(t, false)
	h := r.create("one", "s1")
	journal := r.reach(r.Provider, h).Journal
	again, execs := r.provider(), r.Calls("TaskExecStart")
	if st := r.reach(again, h); st.Journal != journal {
		t.Errorf("another runner: %+v", st)
	}
	r.CutTunnels("one")
	if st := r.reach(again, h); st.Journal != journal {
		t.Errorf("after a cut: %+v", st)
	}
	if n := r.Calls("TaskExecStart"); n != execs {
		t.Errorf("%d programs were run to dial", n-execs)
	}
	h.Address = ""
	if st := r.reach(again, h); st.Journal != journal {
		t.Errorf("without an address: %+v", st)
	}
	to, err := again.Dial(r.ctx, h)
	if err != nil || !strings.HasPrefix(to.URL, "https://") {
		t.Errorf("it is dialled at %q, %v", to.URL, err)
	}
}

func TestSnapshotsGoWrong(t *testing.T) {
	r := newRig(t, false)
	h := r.create("one", "s1")
	for _, f := range []modaltest.Fault{modaltest.Failed, modaltest.Throttled} {
		r.Break("SandboxSnapshotFs", f, 1)
		_, err := r.Snapshot(r.ctx, h)
		code(t, string(f), err, session.Unavailable)
		if st := r.reach(r.Provider, h); st.Start != "s1" {
			t.Errorf("the sandbox of a snapshot that failed says %+v", st)
		}
	}
	r.Break("SandboxSnapshotFs", modaltest.LostAnswer, 1)
	image, err := r.Snapshot(r.ctx, h)
	if err != nil || image == "" {
		t.Errorf("a lost answer: %q, %v", image, err)
	}
	r.Break("SandboxSnapshotFs", modaltest.Held, 1)
	n := r.Calls("SandboxSnapshotFs")
	made := make(chan error, 1)
	go func() { _, err := r.Snapshot(r.ctx, h); made <- err }()
	if err := r.Wait(r.ctx, "SandboxSnapshotFs", n+1); err != nil {
		t.Fatal(err)
	}
	if err := r.Vanish("one"); err != nil {
		t.Fatal(err)
	}
	r.Mend("SandboxSnapshotFs")
	code(t, "it vanished during a snapshot", <-made, session.NotFound)
	r.ForgetImages()
	_, err = r.Create(r.ctx, spec("two", "s2", image, session.BootSnapshot))
	code(t, "a snapshot that is lost", err, session.NotFound)
	r.live()
}

// A start that was cut off before it had a runner is taken up again: without files there is nothing to restore, whatever was asked for.
func TestAStartIsTakenUp(t *testing.T) {
	r := newRig(t, false)
	r.Break("TaskExecStart", modaltest.Refused, 1)
	_, err := r.Create(r.ctx, spec("one", "s1", "", session.BootSnapshot))
	code(t, "no runner", err, session.Internal)
	for _, want := range []session.BootMode{session.BootFresh, session.BootSnapshot} { // a runner has worked there by the second time
		h, err := r.Create(r.ctx, spec("one", string("s-"+want), "", session.BootSnapshot))
		if err != nil {
			t.Fatal(err)
		}
		if st := r.reach(r.Provider, h); st.Branch != string(want) {
			t.Errorf("booted as %s, not %s", st.Branch, want)
		}
	}
	r.live("one")
}

// A runner whose place is taken is asked to end, and waited for: it has a journal to close and an agent to stop. What it leaves running is ended without asking.
func TestAReplacedRunnerEndsInGoodOrder(t *testing.T) {
	r := newRig(t, false)
	r.reach(r.Provider, r.create("one", "s1")) // it listens to signals by now
	inside := filepath.Join(r.Root("one"), insideDir)
	sb, err := r.byName(r.ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer detach(sb)
	// It ignores SIGTERM, and is nobody's child any more.
	leave := "OPENINSPECT_SANDBOX=" + insideDir + " setsid sh -c 'trap \"\" TERM; sleep 1000 & echo $$ $! > " + insideDir + "/left; wait' </dev/null >/dev/null 2>&1 &"
	if out, code, err := r.run(r.ctx, sb, launchLimit, leave+" until [ -s "+insideDir+"/left ]; do sleep 0.02; done", strings.NewReader("")); err != nil || code != 0 {
		t.Fatalf("%s %d %v", out, code, err)
	}
	h := r.create("one", "s2")
	if st := r.reach(r.Provider, h); st.Start != "s2" {
		t.Errorf("%s works there", st.Start)
	}
	if _, err := os.Stat(filepath.Join(inside, "ended-s1")); err != nil {
		t.Errorf("the first runner was not asked: %v", err)
	}
	// One that is dead may not have been collected yet.
	look := "for p in $(cat " + insideDir + "/left); do case $(sed -n 's/^State:.//p' /proc/$p/status 2>/dev/null) in '' | [ZX]*) ;; *) echo $p ;; esac; done"
	if out, code, err := r.run(r.ctx, sb, launchLimit, look, strings.NewReader("")); out != "" || code != 0 || err != nil {
		t.Errorf("what it left runs: %s, %d, %v", out, code, err)
	}
	r.live("one")
}

func TestListIsOfThisAppAlone(t *testing.T) {
	r := newRig(t, false)
	other := r.provider(func(c *Config) { c.App = "inspect-other" })
	for _, name := range []string{"one", "two", "three"} { // more than a page has
		r.create(name, "s1")
	}
	if _, err := other.Create(r.ctx, spec("one", "s1", "", session.BootFresh)); err != nil { // the name is free there
		t.Fatal(err)
	}
	list, err := r.List(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range list {
		got = append(got, h.Name)
		if err := r.Destroy(r.ctx, h); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"one", "three", "two"}) {
		t.Errorf("listed %v", got)
	}
	r.live("one")
	if _, err := other.Find(r.ctx, "one"); err != nil {
		t.Error(err)
	}
}

func TestBaseImage(t *testing.T) {
	r := newRig(t, false)
	if err := r.Prepare(r.ctx); err != nil {
		t.Fatal(err)
	}
	built := r.Calls("ImageJoinStreaming")
	_, all, err := layers(agent)
	if err != nil || built != len(all)+1 {
		t.Errorf("%d layers were built, of %d: %v", built, len(all)+1, err)
	}
	r.create("one", "s1")
	if err := r.provider().Prepare(r.ctx); err != nil {
		t.Fatal(err)
	}
	if n := r.Calls("ImageJoinStreaming"); n != built {
		t.Errorf("%d layers were built again", n-built)
	}
	r.ForgetImages()
	r.create("two", "s1")
	if n := r.Calls("ImageJoinStreaming"); n != 2*built {
		t.Errorf("lost, it was built of %d layers", n-built)
	}
	r.ForgetApps()
	r.create("three", "s1")
	r.live("three")
	own := r.provider(func(c *Config) { c.BaseImage = "registry.example.com/acme/base:7" })
	if err := own.Prepare(r.ctx); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Built(), func(c []string) bool { return slices.Equal(c, []string{"FROM registry.example.com/acme/base:7"}) }) {
		t.Errorf("built: %q", r.Built())
	}
}

// The base image has what sandboxes need, and the agent is checked by its hash.
func TestBaseDockerfile(t *testing.T) {
	from, all, err := layers(agent)
	if err != nil || from != "node:22-bookworm-slim" {
		t.Fatalf("from %q, %v", from, err)
	}
	text := fmt.Sprint(all)
	for _, word := range []string{" git ", " curl ", "build-essential", " ripgrep ", " jq ", " python3 ", "/uv ", "/usr/local/go", "install-deps chromium", "opencode-linux-x64@1.2.3",
		"abfb7fde9d824f1393f72da4be37ac6ff2d969bdbed5eaa5861580d3605eea68d3b6662d341701b2b239c83a38170ed948f056da8c8c20630d46a88a4238805b", "sha512sum -c"} {
		if !strings.Contains(text, word) {
			t.Errorf("nothing of %q", word)
		}
	}
	for _, layer := range all {
		for _, command := range layer {
			if word, _, _ := strings.Cut(command, " "); !slices.Contains([]string{"RUN", "ENV", "WORKDIR", "COPY"}, word) || strings.ContainsAny(command, "@\n") && strings.Contains(command, "@package") {
				t.Errorf("not a command: %q", command)
			}
		}
	}
	if _, _, err := layers(Package{Name: "opencode", Version: "1", Integrity: "sha1-abc"}); session.CodeOf(err) != session.Invalid {
		t.Errorf("without a hash: %v", err)
	}
}

func TestTokens(t *testing.T) {
	if _, err := New(Config{App: "a", Agent: agent}); session.CodeOf(err) != session.Invalid || !strings.Contains(err.Error(), "MODAL_TOKEN_ID") {
		t.Errorf("no token: %v", err)
	}
	r := newRig(t, false)
	wrong := r.provider(func(c *Config) { c.TokenSecret = "as-wrong" })
	err := wrong.Check(r.ctx)
	code(t, "a wrong token", err, session.Forbidden)
	if !strings.Contains(session.Sentence(err), "MODAL_TOKEN_SECRET") || strings.Contains(err.Error(), "as-wrong") {
		t.Errorf("it says %v", err)
	}
}

// What an SDK's error means is decided by its type or status; a new kind is not a sentence of its own.
func TestJudge(t *testing.T) {
	if sessionError(nil) != nil {
		t.Error("nothing is something")
	}
	own := session.Errorf(session.Conflict, "ours")
	if err := sessionError(fmt.Errorf("in a chain: %w", own)); session.CodeOf(err) != session.Conflict || session.Sentence(err) != "ours" {
		t.Errorf("ours: %v", err)
	}
	for want, err := range map[session.Code]error{
		session.Unavailable: errors.New("something new"),
		session.NotFound:    errors.New("Sandbox sb-1 has already completed with result: status:GENERIC_STATUS_TIMEOUT"),
		session.Forbidden:   errors.New("missing token_id or token_secret, please set in .modal.toml"),
	} {
		code(t, err.Error(), sessionError(err), want)
	}
}

// A sandbox that ends while a runner is started in it does not pass for an image that is gone: the files in that are all that a session has.
func TestASandboxThatEndsAsItStarts(t *testing.T) {
	r := newRig(t, false)
	image, err := r.Snapshot(r.ctx, r.create("one", "s1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"SandboxGetTunnels", "TaskExecStart"} {
		r.Break(method, modaltest.Held, 1)
		n := r.Calls(method)
		started := make(chan error, 1)
		go func() {
			_, err := r.Create(r.ctx, spec("two", "s2", image, session.BootSnapshot))
			started <- err
		}()
		if err := r.Wait(r.ctx, method, n+1); err != nil {
			t.Fatal(err)
		}
		if err := r.Vanish("two"); err != nil {
			t.Fatal(err)
		}
		r.Mend(method)
		code(t, method, <-started, session.Unavailable)
	}
	h, err := r.Create(r.ctx, spec("two", "s2", image, session.BootSnapshot))
	if err != nil {
		t.Fatal(err)
	}
	if st := r.reach(r.Provider, h); st.Start != "s2" {
		t.Errorf("the runner says %+v", st)
	}
}
