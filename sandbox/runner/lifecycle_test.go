package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

// How a lifecycle script may go.
const (
	good = "succeeds"
	bad  = "fails"
	late = "is too late"
	none = "is missing"
)

// The scripts' limits in these tests, by which their timers are known.
const (
	setupLimit = 77 * time.Second
	startLimit = 33 * time.Second
)

// lifecycle is what becomes of a boot, by mode and by how a script goes; "fatal" ends it. A dash: the script is not run, however it would go.
//
//	setup.sh                                   start.sh
//	succeeds  fails    is too late  is missing succeeds fails  is too late is missing
const lifecycle = `
	build                       done      fatal    fatal        skipped    -        -      -           -
	fresh                       done      warning  warning      skipped    done     fatal  fatal       skipped
	repo_image                  -         -        -            -          done     fatal  fatal       skipped
	repo_image+another-setup    done      warning  warning      skipped    done     fatal  fatal       skipped
	snapshot_restore            -         -        -            -          done     fatal  fatal       skipped`

var outcomes = []string{good, bad, late, none}

// TestLifecycleScripts runs every line of the table, with every way in which both scripts can go, on a real checkout.
func TestLifecycleScripts(t *testing.T) {
	for line := range strings.Lines(strings.TrimSpace(lifecycle)) {
		w := strings.Fields(line)
		for i, setupGoes := range outcomes {
			for j, startGoes := range outcomes {
				if w[1] == "-" && i > 0 && j > 0 { // it is not run: once each is enough
					continue
				}
				if w[5] == "-" && j > 0 && i > 0 {
					continue
				}
				t.Run(fmt.Sprintf("%s, setup %s, start %s", w[0], setupGoes, startGoes), func(t *testing.T) {
					t.Parallel()
					testLifecycle(t, w[0], setupGoes, startGoes, w[1+i], w[5+j])
				})
			}
		}
	}
}

func testLifecycle(t *testing.T, how, setupGoes, startGoes, setupState, startState string) {
	var files []string
	for _, s := range []struct{ path, name, goes string }{{setup, "setup", setupGoes}, {start, "start", startGoes}} {
		body := map[string]string{good: "exit 0", bad: "echo " + s.name + " broke >&2; exit 3", late: "sleep 1000"}[s.goes]
		if s.goes != none {
			files = append(files, s.path, fmt.Sprintf("echo %s in $OPENINSPECT_BOOT_MODE >> \"$HOME/ran\"\n%s\n", s.name, body))
		}
	}
	remote := newRemote(t, files...)
	mode, other, _ := strings.Cut(how, "+")
	b := newBox(t, session.BootMode(mode), remote)
	b.boot.SetupTimeout, b.boot.StartTimeout = setupLimit, startLimit
	ran := filepath.Join(b.home(), "ran")
	b.clock = lateClock{ran, map[time.Duration]string{setupLimit: setupGoes, startLimit: startGoes}}
	if mode == string(session.BootImage) || mode == string(session.BootSnapshot) { // their checkout is there
		check(t, os.MkdirAll(b.boot.Dir, 0o755))
		git(t, b.boot.Dir, "clone", "--quiet", remote, "checkout")
		b.git("config", "inspect.cloned", "true")
		if b.boot.Setup = "another"; other == "" && setupGoes != none {
			b.boot.Setup = b.git("rev-parse", "HEAD:"+setup)
		} else if other == "" {
			b.boot.Setup = ""
		}
	}
	b.start()
	b.until(func(e session.Event) bool {
		return e.Kind == session.KindError || e.Boot != nil && e.Boot.Phase == session.PhaseReady
	})

	// What the table says.
	phases, runs, said, prompt := []string{"sync:done"}, []string(nil), "", 202
	phase := func(name, goes, state string) (goesOn bool) {
		shown := map[string]string{"-": "skipped", "fatal": "failed"}[state]
		if shown == "" {
			shown = state
		}
		phases = append(phases, name+":"+shown)
		if state != "-" && goes != none {
			runs = append(runs, name+" in "+mode)
		}
		if state == "fatal" {
			why := map[string]string{bad: "ended with exit code 3", late: "did not end within " + map[string]string{"setup": "77 s", "start": "33 s"}[name] + " and was killed"}[goes]
			said, prompt = fmt.Sprintf("The sandbox did not start: .openinspect/%s.sh %s. Mend the script in the repository and try again.", name, why), 425
		}
		return state != "fatal"
	}
	if phase("setup", setupGoes, setupState) && phase("start", startGoes, startState) {
		if mode == string(session.BootBuild) {
			phases, prompt = append(phases, "agent:skipped", "ready:done"), 409 // an image's, which takes none
		} else {
			phases = append(phases, "agent:done", "ready:done")
		}
	}
	equal(t, "phases", b.phases(), strings.Join(phases, " "))
	got, err := os.ReadFile(ran)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	equal(t, "scripts that ran", strings.TrimSpace(string(got)), strings.Join(runs, "\n"))
	last := b.events[len(b.events)-1]
	if said != "" {
		equal(t, "what is said", last.Error.Message, said)
	}
	equal(t, "status of a prompt", b.prompt(session.Delivery{ID: "1", Text: "!say hello", Author: ana}), prompt)
	for _, e := range b.events {
		if e.Boot != nil && (e.Boot.State == session.StepFailed || e.Boot.State == session.StepWarning) {
			if want := string(e.Boot.Phase) + " broke"; strings.Contains(e.Boot.Detail, "exit code") && e.Boot.Output != want {
				t.Errorf("of the script's output %q is kept, not %q", e.Boot.Output, want)
			}
		}
	}
}

// lateClock is the computer's, but a script that is to be too late is so as soon as it has begun.
type lateClock struct {
	ran  string // the file in which scripts say that they run
	goes map[time.Duration]string
}

func (lateClock) Now() time.Time { return time.Now() }

func (c lateClock) AfterFunc(d time.Duration, f func()) func() bool {
	if c.goes[d] != late {
		return session.SystemClock{}.AfterFunc(d, f)
	}
	script := map[time.Duration]string{setupLimit: "setup", startLimit: "start"}[d]
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			b, _ := os.ReadFile(c.ran) // it may not be there yet
			if slices.ContainsFunc(strings.Split(string(b), "\n"), func(line string) bool { return strings.HasPrefix(line, script+" in ") }) {
				f()
				return
			}
		}
	}()
	return func() bool { return true }
}
