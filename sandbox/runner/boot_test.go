package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
)

const (
	setup = ".openinspect/setup.sh"
	start = ".openinspect/start.sh"
)

func TestFailedStartScriptIsToldAndRefusesPrompts(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t, start, "for i in $(seq 60); do echo line $i; done; echo oh no >&2; exit 7")).start()
	failure := b.until(func(e session.Event) bool { return e.Kind == session.KindError })
	equal(t, "sentence", failure.Error.Message, "The sandbox did not start: .openinspect/start.sh ended with exit code 7. Mend the script in the repository and try again.")
	step := b.events[len(b.events)-2].Boot
	lines := strings.Split(step.Output, "\n")
	equal(t, "kept lines", len(lines), 50)
	equal(t, "first", lines[0], "line 12")
	equal(t, "last", lines[49], "oh no")
	equal(t, "status of a prompt", b.prompt(session.Delivery{ID: "1", Text: "!say hello"}), 425)
	equal(t, "phase", b.status().Phase, session.PhaseStart)
}

func TestScriptsEnvironment(t *testing.T) {
	t.Setenv("SLACK_BOT_TOKEN", "xoxb-secret")
	script := `env > "$HOME/seen"; pwd >> "$HOME/seen"`
	b := newBox(t, session.BootFresh, newRemote(t, setup, script)).start().ready()
	seen, err := os.ReadFile(filepath.Join(b.home(), "seen"))
	check(t, err)
	for _, want := range []string{"OPENINSPECT_BOOT_MODE=fresh\n", "HOME=" + b.home() + "\n", "\n" + b.checkout() + "\n"} {
		if !strings.Contains(string(seen), want) {
			t.Errorf("%q is not in\n%s", want, seen)
		}
	}
	if strings.Contains(string(seen), "secret") {
		t.Errorf("the runner's own environment was passed on:\n%s", seen)
	}
}

// handClock fires when told to.
type handClock struct {
	mu    sync.Mutex
	calls map[time.Duration]chan func() // by when they are due
}

func (c *handClock) Now() time.Time { return time.Unix(1_700_000_000, 0) }

func (c *handClock) AfterFunc(d time.Duration, f func()) func() bool {
	select {
	case c.at(d) <- f:
	default: // nobody asks for it
	}
	return func() bool { return true }
}

func (c *handClock) at(d time.Duration) chan func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[time.Duration]chan func(){}
	}
	if c.calls[d] == nil {
		c.calls[d] = make(chan func(), 1)
	}
	return c.calls[d]
}

// fire does what is due after d, once somebody has asked for it.
func (c *handClock) fire(d time.Duration) { (<-c.at(d))() }

// A script that is too late is killed with what it started, also with what left its group, what holds its output, and what nobody is the parent of any more.
func TestScriptTimeout(t *testing.T) {
	script := `echo before; setsid sleep 1000 & a=$!; (setsid sh -c 'echo $$ > "$HOME/daemon"; exec sleep 1000' > "$HOME/daemon.log" 2>&1 &)
until [ -s "$HOME/daemon" ]; do sleep 0.01; done
sleep 1000 & echo $$ $a $! $(cat "$HOME/daemon") > "$HOME/fifo"; wait`
	b := newBox(t, session.BootFresh, newRemote(t, setup, script))
	clock := &handClock{}
	b.clock, b.boot.SetupTimeout = clock, 77*time.Second
	check(t, os.MkdirAll(b.home(), 0o755))
	fifo := filepath.Join(b.home(), "fifo")
	mkfifo(t, fifo)
	b.start()
	pids, err := os.ReadFile(fifo) // ends when the script has written
	check(t, err)
	clock.fire(77 * time.Second)
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:warning start:skipped agent:done ready:done")
	for _, e := range b.events {
		if e.Boot != nil && e.Boot.State == session.StepWarning {
			equal(t, "detail", e.Boot.Detail, ".openinspect/setup.sh did not end within 77 s and was killed")
			equal(t, "output", e.Boot.Output, "before")
		}
	}
	for _, pid := range strings.Fields(string(pids)) {
		gone(t, pid)
	}
}

// What start.sh leaves running lives on and holds nobody up.
func TestServiceOfStartScript(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t, start, `sleep 1000 & echo $! > "$HOME/pid"`)).start().ready()
	pid, err := os.ReadFile(filepath.Join(b.home(), "pid"))
	check(t, err)
	alive(t, strings.TrimSpace(string(pid)))
	kill(t, strings.TrimSpace(string(pid)))
}

func TestSync(t *testing.T) {
	t.Run("no repository", func(t *testing.T) {
		b := newBox(t, session.BootFresh, "").start().ready()
		equal(t, "detail", b.events[1].Boot.Detail, "no repository: an empty checkout")
		equal(t, "turn", b.turn(session.Delivery{ID: "1", Text: "!write a.txt one", Author: ana}).Outcome, session.PromptDone)
		equal(t, "author", b.git("log", "--format=%an"), "Ana")
	})
	t.Run("empty repository", func(t *testing.T) {
		remote := filepath.Join(t.TempDir(), "empty.git")
		check(t, os.MkdirAll(remote, 0o755))
		git(t, remote, "init", "--quiet", "--bare", "-b", "main")
		b := newBox(t, session.BootFresh, remote).start().ready()
		equal(t, "detail", b.events[1].Boot.Detail, "acme/web is empty: no branch, no commit")
		equal(t, "remote", b.git("remote", "get-url", "origin"), "file://"+remote)
	})
	t.Run("missing branch", func(t *testing.T) {
		b := newBox(t, session.BootFresh, newRemote(t))
		b.boot.Base = "develop"
		b.start()
		e := b.until(func(e session.Event) bool { return e.Kind == session.KindError })
		equal(t, "sentence", e.Error.Message, "The repository acme/web has no branch develop.")
	})
	t.Run("snapshot keeps work", func(t *testing.T) {
		remote := newRemote(t)
		b := newBox(t, session.BootFresh, remote).start().ready()
		check(t, os.WriteFile(filepath.Join(b.checkout(), "wip.txt"), []byte("half"), 0o644))
		head := b.git("rev-parse", "HEAD")
		b.stop()
		tip := pushed(t, remote, "b.txt", "b")
		b.boot.Mode, b.boot.Start = session.BootSnapshot, "start2"
		b.start().ready()
		equal(t, "HEAD", b.git("rev-parse", "HEAD"), head)
		equal(t, "remote branch", b.git("rev-parse", "origin/main"), tip)
		equal(t, "status", b.git("status", "--short"), "?? wip.txt")
	})
	t.Run("anew after a merge", func(t *testing.T) {
		remote := newRemote(t)
		b := newBox(t, session.BootFresh, remote).start().ready()
		check(t, os.WriteFile(filepath.Join(b.checkout(), "done.txt"), []byte("done"), 0o644))
		b.git("add", "-A")
		b.git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", "done")
		b.git("update-ref", "refs/inspect/collected", "HEAD")
		check(t, os.WriteFile(filepath.Join(b.checkout(), "wip.txt"), []byte("half"), 0o644))
		b.stop()
		tip := pushed(t, remote, "b.txt", "b")
		b.boot.Mode, b.boot.Anew = session.BootSnapshot, true
		for _, start := range []string{"start2", "start3"} { // the second time is a crash before the first was told
			b.boot.Start = start
			b.start().ready()
			equal(t, "HEAD", b.git("rev-parse", "HEAD"), tip)
			equal(t, "branch", b.git("symbolic-ref", "--short", "HEAD"), "main")
			equal(t, "status", b.git("status", "--short"), "")
			equal(t, "kept aside", b.git("stash", "list", "--format=%s"), "On main: left when the pull request was merged")
			equal(t, "refs of the session", b.git("for-each-ref", "refs/inspect/collected"), "")
			b.stop()
		}
	})
	t.Run("remote gone", func(t *testing.T) {
		remote := newRemote(t)
		b := newBox(t, session.BootFresh, remote).start().ready()
		b.stop()
		check(t, os.Rename(remote, remote+".away"))
		b.boot.Mode, b.boot.Start, b.events = session.BootSnapshot, "start2", nil
		b.start().ready()
		equal(t, "phases", b.phases(), "sync:warning setup:skipped start:skipped agent:done ready:done")
	})
	t.Run("half a clone", func(t *testing.T) {
		remote := newRemote(t)
		b := newBox(t, session.BootFresh, remote)
		check(t, os.MkdirAll(b.checkout(), 0o755))
		b.git("init", "--quiet")
		check(t, os.WriteFile(filepath.Join(b.checkout(), "rest"), nil, 0o644))
		b.start().ready()
		equal(t, "status", b.git("status", "--short"), "")
	})
}

// A setup.sh that was cut off with its runner is run again, once, also where the sandbox's files are kept: half of what it installs is no place to work in.
func TestSetupThatWasCutOffIsRunAgain(t *testing.T) {
	script := `echo run >> "$HOME/ran"; [ -e "$HOME/again" ] || { touch "$HOME/again"; echo > "$HOME/fifo"; sleep 1000; }`
	b := newBox(t, session.BootFresh, newRemote(t, setup, script))
	check(t, os.MkdirAll(b.home(), 0o755))
	fifo := filepath.Join(b.home(), "fifo")
	mkfifo(t, fifo)
	b.start()
	_, err := os.ReadFile(fifo) // ends when the script has written
	check(t, err)
	b.stop()
	for _, again := range []struct{ start, phases string }{
		{"start2", "sync:done setup:done start:skipped agent:done ready:done"},
		{"start3", "sync:done setup:skipped start:skipped agent:done ready:done"},
	} {
		b.boot.Mode, b.boot.Start, b.events = session.BootSnapshot, again.start, nil
		b.start().ready()
		equal(t, "phases of "+again.start, b.phases(), again.phases)
		b.stop()
	}
	ran, err := os.ReadFile(filepath.Join(b.home(), "ran"))
	check(t, err)
	equal(t, "runs", string(ran), "run\nrun\n")
}
