package runner_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

const deployKey = "dk/live+4f7b9c21=="

// variables makes the bot answer POST /environment so, and returns how often it was asked.
func (b *box) variables(status int, body any) *atomic.Int32 {
	n := new(atomic.Int32)
	b.boot.Environment = true
	b.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/environment" {
			n.Add(1)
			w.WriteHeader(status)
		}
		_ = json.NewEncoder(w).Encode(body)
	}
	return n
}

// holds lists the files below a directory that have a text in them.
func holds(t *testing.T, dir, text string) (all []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), text) {
			all = append(all, path)
		}
		return err
	}))
	return all
}

// The repository's variables reach scripts and agent, and nothing else: not git, no file, not the journal. What prints them is told without them.
func TestVariables(t *testing.T) {
	// Each git that is started writes down its environment.
	real, err := exec.LookPath("git")
	check(t, err)
	bin, gits := t.TempDir(), filepath.Join(t.TempDir(), "gits")
	check(t, os.WriteFile(filepath.Join(bin, "git"), []byte("#!/bin/sh\nenv >> "+gits+"\nexec "+real+" \"$@\"\n"), 0o755))
	right := fmt.Sprintf(`test "$(printf %%s "$DEPLOY_KEY" | sha256sum)" = '%x  -' && test "$SHORT" = true && `, sha256.Sum256([]byte(deployKey)))
	remote := newRemote(t,
		setup, right+`echo "using $DEPLOY_KEY" && exit 3`,
		start, right+`(sleep 1000 & echo $! >> "$HOME/pids"; echo "serving with $DEPLOY_KEY")`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	b := newBox(t, session.BootFresh, remote)
	asked := b.variables(http.StatusOK, link.Environment{Variables: map[string]string{"DEPLOY_KEY": deployKey, "SHORT": "true"}})
	t.Cleanup(func() { // nobody else ends what start.sh leaves, here where the runner is in this process
		pids, err := os.ReadFile(filepath.Join(b.home(), "pids"))
		check(t, err)
		for _, pid := range strings.Fields(string(pids)) {
			kill(t, pid)
		}
	})
	b.start().ready()
	equal(t, "phases", b.phases(), "sync:done secrets:done setup:warning start:done agent:done ready:done")
	failed := b.found(func(e session.Event) bool { return e.Boot != nil && e.Boot.State == session.StepWarning }).Boot
	equal(t, "setup's output", failed.Output, "using [redacted]")
	equal(t, "setup's end", failed.Detail, ".openinspect/setup.sh ended with exit code 3") // the values are what they should be
	answer := b.turn(session.Delivery{ID: "1", Author: ana, Text: `!run echo "${#DEPLOY_KEY} $DEPLOY_KEY $SHORT" ;; !write a.txt one ;; !say done`})
	equal(t, "outcome", answer.Outcome, session.PromptDone)
	tool := b.found(func(e session.Event) bool { return e.Tool != nil && e.Tool.Name == "bash" && e.Tool.Output != "" }).Tool
	equal(t, "output", strings.TrimSpace(tool.Output), "18 [redacted] true")
	equal(t, "asked", int(asked.Load()), 1)
	equal(t, "files", strings.Join(holds(t, b.boot.Dir, deployKey), " "), "")
	env, err := os.ReadFile(gits)
	check(t, err)
	if !strings.Contains(string(env), "GIT_CONFIG_NOSYSTEM=1") || strings.Contains(string(env), "DEPLOY_KEY") {
		t.Errorf("git was started with\n%s", env)
	}
	// A runner that is started anew asks anew: the values may be others by now.
	b.stop()
	b.boot.Mode, b.boot.Start, b.events = session.BootSnapshot, "start2", nil
	b.start().ready()
	equal(t, "phases", b.phases(), "sync:done secrets:done setup:skipped start:done agent:done ready:done")
	equal(t, "asked", int(asked.Load()), 2)
}

// Without the secrets that it should have the sandbox does not start, in any mode, and says why without a value.
func TestVariablesCannotBeHad(t *testing.T) {
	const begin = "The sandbox did not start: it could not get the secrets of acme/web. "
	for _, c := range []struct {
		name   string
		status int
		body   any
		want   string
	}{
		{"refused", http.StatusInternalServerError, link.Problem{Code: session.Internal, Message: "The bot cannot read them."}, begin + "The bot cannot read them."},
		{"a name that is the sandbox's", http.StatusOK, link.Environment{Variables: map[string]string{"LD_PRELOAD": deployKey}},
			begin + "The variable LD_PRELOAD cannot be set in a sandbox: the sandbox itself depends on it. Give it another name."},
		{"no answer of ours", http.StatusOK, []string{deployKey}, begin + "The bot's answer cannot be read."},
		{"no words", http.StatusTeapot, nil, begin + "The bot refused with status 418."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, session.BootFresh, newRemote(t, start, "exit 0"))
			b.variables(c.status, c.body)
			b.start()
			e := b.until(func(e session.Event) bool { return e.Kind == session.KindError })
			equal(t, "sentence", e.Error.Message, c.want)
			equal(t, "phases", b.phases(), "sync:done secrets:failed")
			equal(t, "status of a prompt", b.prompt(session.Delivery{ID: "1", Text: "!say hello"}), 425)
			equal(t, "files", strings.Join(holds(t, b.boot.Dir, deployKey), " "), "")
		})
	}
}

// hastyClock stands, and goes on by the pauses between two times that the bot is asked. Other timers are the computer's.
type hastyClock struct{ after atomic.Int64 }

func (c *hastyClock) Now() time.Time { return time.Unix(1_700_000_000, c.after.Load()) }

func (c *hastyClock) AfterFunc(d time.Duration, f func()) func() bool {
	if d != 2*time.Second {
		return session.SystemClock{}.AfterFunc(d, f)
	}
	c.after.Add(int64(d))
	go f()
	return func() bool { return false }
}

// A bot that cannot read them just now is asked again, for two minutes.
func TestVariablesCannotBeHadJustNow(t *testing.T) {
	for _, c := range []struct {
		name     string
		refusals int32
		phases   string
	}{
		{"for a while", 3, "sync:done secrets:skipped setup:skipped start:skipped agent:done ready:done"},
		{"for long", 1 << 20, "sync:done secrets:failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, session.BootFresh, newRemote(t))
			b.boot.Environment = true
			b.clock = &hastyClock{}
			var asked atomic.Int32
			b.serve = func(w http.ResponseWriter, r *http.Request) {
				if n := asked.Add(1); n <= c.refusals {
					w.WriteHeader(http.StatusServiceUnavailable)
					_ = json.NewEncoder(w).Encode(link.Problem{Code: session.Unavailable, Message: "Not now."})
					return
				}
				_ = json.NewEncoder(w).Encode(link.Environment{})
			}
			b.start()
			b.until(func(e session.Event) bool {
				return e.Boot != nil && (e.Boot.Phase == session.PhaseReady || e.Boot.State == session.StepFailed)
			})
			equal(t, "phases", b.phases(), c.phases)
			if n := asked.Load(); n != min(c.refusals+1, 61) {
				t.Errorf("the bot was asked %d times", n)
			}
		})
	}
}
