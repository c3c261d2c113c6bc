package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// crowd begins five hundred processes that stay. It is no bomb: without a limit it ends there.
const crowd = `i=0; while [ $i -lt 500 ]; do sleep 600 & i=$((i+1)); done; wait`

// An ordinary user's sandboxes are held to their limit by the kernel, those of root by the runner. Tests that run as root show both.
func TestCrowdedSandbox(t *testing.T) {
	if os.Getuid() == 0 {
		t.Run("ordinary", func(t *testing.T) { asOrdinary(t, "^TestCrowdedSandbox$") })
	}
	c := config(t, Bubblewrap)
	c.Processes = 200
	setup := filepath.Join(c.Dir, "one", "checkout", ".openinspect", "setup.sh")
	if err := os.MkdirAll(filepath.Dir(setup), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(setup, []byte("exec sh -c '"+crowd+"'"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p := provider(t, c)
	store := sessiontest.NewStore()
	m, err := sandbox.New(sandbox.Config{
		Provider: p, Store: store, Spares: store, Archive: store, Credentials: nothing{}, Models: nothing{}, Bot: session.Author{Name: "inspect", Email: "bot@example.com"},
		CloneURL: func(session.Repo) string { return "" }, Report: func(_ session.ID, op string, err error) { t.Log(op, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan session.Event, 1000)
	begun, err := m.Start(ctx, session.StartRequest{Session: realSession, Name: "one", Start: "s1", Mode: session.BootFresh})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Destroy(context.Background(), begun.Handle); err != nil {
			t.Error(err)
		}
	})
	inside := pidNamespace(t, p)
	err = m.Attach(ctx, session.AttachRequest{Session: realSession, Start: "s1", Handle: begun.Handle}, func(_ context.Context, in session.Input) error {
		if j, ok := in.(session.Journaled); ok {
			for _, e := range j.Events {
				events <- e
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(what string, ok func(session.Event) bool) session.Event {
		t.Helper()
		for {
			select {
			case e := <-events:
				if ok(e) {
					return e
				}
			case <-ctx.Done():
				t.Fatal("waited in vain for " + what)
			}
		}
	}
	answer := func(id, text string) (session.TurnChange, string) {
		t.Helper()
		if err := m.Prompt(ctx, realSession, session.Delivery{ID: id, Text: text, Author: session.Author{Name: "Ann", Email: "ann@example.com"}}); err != nil {
			t.Fatal(err)
		}
		said := ""
		e := wait("the answer", func(e session.Event) bool {
			if e.Tool != nil {
				said += e.Tool.Output
			}
			return e.Turn != nil && e.Turn.State == session.TurnAnswered
		})
		return *e.Turn, said
	}
	sleepers := func() (n int) {
		all, _ := filepath.Glob("/proc/[0-9]*/comm")
		for _, path := range all {
			if b, err := os.ReadFile(path); err == nil && string(b) == "sleep\n" { // also of one that ended, and counts until it is collected
				if ns, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns", "pid")); err == nil && ns == inside {
					n++
				}
			}
		}
		return n
	}

	e := wait("the end of setup.sh", func(e session.Event) bool {
		return e.Boot != nil && e.Boot.Phase == session.PhaseSetup && e.Boot.State != session.StepRunning
	})
	if e.Boot.State != session.StepWarning || !strings.HasSuffix(e.Boot.Detail, "setup.sh wanted more than the 200 processes that a sandbox may have at once") {
		t.Errorf("setup.sh ended as %+v", e.Boot)
	}
	wait("ready", func(e session.Event) bool { return e.Boot != nil && e.Boot.Phase == session.PhaseReady })
	if n := sleepers(); n > 0 {
		t.Errorf("setup.sh left %d processes", n)
	}
	end, _ := answer("1.1", "!run sh -c '"+crowd+"'")
	if end.Outcome != session.PromptFailed || !strings.Contains(end.Reason, "too many processes at once (there may be 200)") {
		t.Errorf("the turn ended as %+v", end)
	}
	if n := sleepers(); n > 0 {
		t.Errorf("the turn left %d processes", n)
	}
	// The sandbox works on. It gives way before the bot when memory is short.
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	var score int
	if _, err := fmt.Sscan(string(own), &score); err != nil {
		t.Fatal(err)
	}
	end, said := answer("1.2", "!run sleep 0 & wait; cat /proc/self/oom_score_adj")
	if want := fmt.Sprintln(min(score+oomScore, 1000)); end.Outcome != session.PromptDone || said != want {
		t.Errorf("the next turn ended as %+v and printed %q, want %q", end, said, want)
	}
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
}

// pidNamespace names the pid namespace of the sandbox one.
func pidNamespace(t *testing.T, p *Provider) string {
	t.Helper()
	r, err := p.read("one")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", r.PID))
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// asOrdinary runs a test of this package as a user who is not root.
func asOrdinary(t *testing.T, test string) {
	const uid = 12345
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "local.test")
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(dir, uid, uid), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run="+test, "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if said, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(said), "--- SKIP") {
		t.Errorf("as an ordinary user: %v\n%s", err, said)
	}
}
