package runner_test

import (
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

const taker = session.ID("zyxwvutsrq")

// newWarm is a sandbox that is nobody's.
func newWarm(t *testing.T, files ...string) (b *box, remote string) {
	remote = newRemote(t, files...)
	b = newBox(t, session.BootFresh, remote)
	b.boot.Warm = true
	return b, remote
}

// agentRuns reads until the agent has started.
func (b *box) agentRuns() *box {
	b.t.Helper()
	b.until(func(e session.Event) bool {
		return e.Boot != nil && e.Boot.Phase == session.PhaseAgent && e.Boot.State == session.StepDone
	})
	for !b.status().Warm { // it is told an instant before it waits
	}
	return b
}

func (b *box) claim(id session.ID) int {
	b.t.Helper()
	return b.post("/claim", link.Claim{Session: id})
}

func TestWarmSandboxIsReadyOnceItIsClaimed(t *testing.T) {
	counted := `echo ran >> "$HOME/$(basename "$0")"; echo $OPENINSPECT_SESSION >> "$HOME/for"`
	b, remote := newWarm(t, setup, counted, start, counted)
	b.start().agentRuns()
	equal(t, "phases of nobody's", b.phases(), "sync:done setup:done start:done agent:done")
	equal(t, "phase", b.status().Phase, session.PhaseAgent)
	equal(t, "a prompt before the claim", b.prompt(session.Delivery{ID: "early", Text: "!say hello"}), http.StatusTooEarly)

	newest := pushed(t, remote, "new.txt", "new")
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:done start:done agent:done sync:done ready:done")
	equal(t, "commit", b.git("rev-parse", "HEAD"), newest)
	equal(t, "the same again", b.claim(taker), http.StatusAccepted)
	equal(t, "another's", b.claim("aaaaaaaaaa"), http.StatusConflict)
	equal(t, "whose it is", b.status().Claimed, taker)

	equal(t, "turn", b.turn(session.Delivery{ID: "1", Text: "!run echo $OPENINSPECT_SESSION > who ;; !run git add who && git commit -qm Who", Author: ana}).Outcome, session.PromptDone)
	equal(t, "whom the agent's commands work for", b.git("show", "HEAD:who"), string(taker))
	if message := b.git("log", "-1", "--format=%B"); !strings.Contains(message, "Inspect-Session: "+string(taker)) {
		t.Errorf("the commit does not name its session:\n%s", message)
	}
	for name, want := range map[string]string{"setup.sh": "ran\n", "start.sh": "ran\n", "for": "abcdefghij\nabcdefghij\n"} {
		got, err := os.ReadFile(filepath.Join(b.home(), name))
		check(t, err)
		equal(t, name, string(got), want)
	}
}

func TestOnlyWarmSandboxesAreClaimed(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	equal(t, "of a session", b.claim(taker), http.StatusConflict)
	equal(t, "by no session", b.claim("no id"), http.StatusBadRequest)
}

// One that is claimed while its scripts run goes on with its boot, and has the newest commit after it.
func TestClaimInTheMiddleOfTheBoot(t *testing.T) {
	b, remote := newWarm(t, setup, `echo > "$HOME/fifo"; read < "$HOME/go"`)
	check(t, os.MkdirAll(b.home(), 0o755))
	for _, name := range []string{"fifo", "go"} {
		mkfifo(t, filepath.Join(b.home(), name))
	}
	b.start()
	_, err := os.ReadFile(filepath.Join(b.home(), "fifo")) // ends when the script has written
	check(t, err)
	newest := pushed(t, remote, "new.txt", "new")
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	check(t, os.WriteFile(filepath.Join(b.home(), "go"), []byte("\n"), 0))
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:done start:skipped agent:done sync:done ready:done")
	equal(t, "commit", b.git("rev-parse", "HEAD"), newest)
}

// One that is claimed before it has cloned has the newest commit from the start.
func TestClaimBeforeTheClone(t *testing.T) {
	b, remote := newWarm(t)
	var open atomic.Bool
	backend := &cgi.Handler{Path: filepath.Join(git(t, remote, "--exec-path"), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(remote), "GIT_HTTP_EXPORT_ALL=1"}}
	asked := make(chan bool, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			asked <- true
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.boot.CloneURL = server.URL + "/remote.git"
	b.start()
	<-asked
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	open.Store(true)
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:skipped start:skipped agent:done ready:done")
}

func TestClaimWithAnotherSetupScript(t *testing.T) {
	b, remote := newWarm(t, setup, `echo one >> "$HOME/ran"`, start, `echo start >> "$HOME/ran"`)
	b.start().agentRuns()
	pushed(t, remote, setup, `echo two >> "$HOME/ran"; exit 3`)
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:done start:done agent:done sync:done setup:warning ready:done")
	ran, err := os.ReadFile(filepath.Join(b.home(), "ran"))
	check(t, err)
	equal(t, "scripts", string(ran), "one\nstart\ntwo\n")
}

func TestClaimWhileTheRepositoryIsAway(t *testing.T) {
	b, remote := newWarm(t, "kept.txt", "kept")
	b.start().agentRuns()
	check(t, os.Rename(remote, remote+".away"))
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	b.ready()
	equal(t, "phases", b.phases(), "sync:done setup:skipped start:skipped agent:done sync:warning ready:done")
	equal(t, "turn", b.turn(session.Delivery{ID: "1", Text: "!run cat kept.txt", Author: ana}).Outcome, session.PromptDone)
}

// What start.sh changed is not thrown away where nothing is new, and the time that the boot is said to have taken is what somebody waited.
func TestClaimOfAnUnmovedBranch(t *testing.T) {
	b, _ := newWarm(t, "tracked.txt", "as committed\n", start, "echo changed > tracked.txt")
	clock := &steppedClock{}
	b.clock = clock
	b.start().agentRuns()
	clock.step(time.Hour)
	equal(t, "claim", b.claim(taker), http.StatusAccepted)
	b.ready()
	tracked, err := os.ReadFile(filepath.Join(b.checkout(), "tracked.txt"))
	check(t, err)
	equal(t, "what start.sh changed", string(tracked), "changed\n")
	if took := b.events[len(b.events)-1].Boot.Millis; took > 60_000 {
		t.Errorf("the boot is said to have taken %d ms: the hour in which it was nobody's is counted", took)
	}
}

// steppedClock tells a time that goes on by steps alone. Its timers are the computer's: git is bounded by them.
type steppedClock struct{ after atomic.Int64 }

func (c *steppedClock) Now() time.Time       { return time.Unix(1_700_000_000, c.after.Load()) }
func (c *steppedClock) step(d time.Duration) { c.after.Add(int64(d)) }
func (c *steppedClock) AfterFunc(d time.Duration, f func()) func() bool {
	return session.SystemClock{}.AfterFunc(d, f)
}
