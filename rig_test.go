//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"openinspect/bot/slacktest"
	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/sandbox/sandboxtest"
	"openinspect/session"
	"openinspect/session/boltdb"
	"openinspect/session/sessiontest"
)

// What a served bot in a test is told beside its configuration.
const (
	envAgent    = "OPENINSPECT_TEST_AGENT"    // local.ScriptAgent
	envClock    = "OPENINSPECT_TEST_CLOCK"    // "pipe": time is stepped through file descriptors 3 and 4; "quick START SKIPPED": see quickClock; "fast START": see fastClock
	envProvider = "OPENINSPECT_TEST_PROVIDER" // sandboxes are those of the sandboxtest.Handler on this socket
	envStarts   = "OPENINSPECT_TEST_STARTS"   // how often a session's sandbox may start in an hour
	envPatient  = "OPENINSPECT_TEST_PATIENT"  // how long warm sandboxes may take to answer
	envKill     = "OPENINSPECT_TEST_KILL"     // "N": SIGKILL once the Nth commit is durable; "N-": right before it is; "0": never, but commits are counted
	envForge    = "OPENINSPECT_TEST_FORGE"    // "changed": see changedForge
)

// tuneFromEnvironment makes a bot of the test binary what the environment says.
func tuneFromEnvironment(o *Options) {
	o.Agent = os.Getenv(envAgent)
	o.Starts, _ = strconv.Atoi(os.Getenv(envStarts)) // the default otherwise
	o.Patient, _ = time.ParseDuration(os.Getenv(envPatient))
	switch kind, times, _ := strings.Cut(os.Getenv(envClock), " "); kind {
	case "pipe":
		clock := &sessiontest.Clock{}
		go stepped(clock.Advance)
		o.Clock = clock
	case "quick":
		o.Clock = quickClock(times)
	case "fast":
		n, err := strconv.ParseInt(times, 10, 64)
		if err != nil {
			panic(err) // the test's own
		}
		o.Clock = fastClock{time.Unix(0, n)}
	}
	if os.Getenv(envForge) != "" {
		o.Forge = func(f session.Forge) session.Forge { return changedForge{f} }
	}
	if socket := os.Getenv(envProvider); socket != "" {
		o.Provider = sandboxtest.NewRemote(socket)
	}
	if vault := os.Getenv(envSecrets); vault != "" {
		o.Secrets = vaultFile(vault)
	}
	if os.Getenv(envListen) != "" {
		o.Listen = freeListen
	}
	if where := os.Getenv(envWorld); where != "" {
		o.World = reachWorld(where)
	}
	if at := os.Getenv(envKill); at != "" {
		o.Witness = killAt(at)
	}
}

// stepped takes steps of time from the pipe, a duration a line, and answers when every timer that was due has fired.
func stepped(advance func(time.Duration)) {
	in, out := os.NewFile(3, "clock"), os.NewFile(4, "answers")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if by, err := time.ParseDuration(lines.Text()); err == nil {
			advance(by)
		}
		fmt.Fprintln(out, "done")
	}
	fmt.Fprintln(os.Stderr, "The test that stepped the clock has ended without ending this bot.")
	os.Exit(1)
}

// quick is how many times faster than ours the time of a quick clock is.
const quick = 10

// tick is how often a quick clock moves, in our time.
const tick = 5 * time.Millisecond

// quickClock is a clock on which pauses are short, for what has to come by itself: it runs quick times as fast as ours since START (Unix
// nanoseconds), whichever process looks at it, and was stepped by SKIPPED (nanoseconds) before this one.
func quickClock(times string) *sessiontest.Clock {
	var start, before int64
	if _, err := fmt.Sscan(times, &start, &before); err != nil {
		panic(err) // the test's own
	}
	t := &quickTime{clock: &sessiontest.Clock{}, began: time.Unix(0, start)}
	t.skipped.Store(before)
	t.clock.Advance(t.due().Sub(t.clock.Now()))
	go stepped(t.step)
	go func() {
		for range time.Tick(tick) {
			t.catchUp()
		}
	}()
	return t.clock
}

// quickTime moves a clock to where it has to be.
type quickTime struct {
	mu      sync.Mutex // held meanwhile: two who move it by what each of them found missing would move it too far, and then it stood still
	clock   *sessiontest.Clock
	began   time.Time
	skipped atomic.Int64
}

// due is what the clock has to show.
func (t *quickTime) due() time.Time {
	return t.began.Add(time.Since(t.began)*quick + time.Duration(t.skipped.Load()))
}

// catchUp takes the clock a little nearer to what it has to show. On a busy machine it stays behind: what has a minute to do something has only
// seconds of ours, and must not lose them while nobody runs.
func (t *quickTime) catchUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.Advance(min(t.due().Sub(t.clock.Now()), 2*quick*tick))
}

// step moves the time, and returns when every timer that was due has fired.
func (t *quickTime) step(by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped.Add(int64(by))
	t.clock.Advance(by)
}

// TestQuickClock holds the clock to its time when two move it at once: one that is ahead stands still, and with it whatever waits for it.
func TestQuickClock(t *testing.T) {
	q := &quickTime{clock: &sessiontest.Clock{}, began: time.Now()}
	q.clock.Advance(q.due().Sub(q.clock.Now()))
	var wg sync.WaitGroup
	var ahead atomic.Int64
	for range 4 {
		wg.Go(func() {
			for range 50_000 {
				q.step(time.Millisecond)
				q.catchUp()
				if now := q.clock.Now(); now.After(q.due()) {
					ahead.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := ahead.Load(); n > 0 {
		t.Errorf("the clock was ahead of its time %d times", n)
	}
}

// commitsFile, in the bot's working directory, has a byte for each commit.
const commitsFile = "commits"

// killAt returns a boltdb.Options.Witness that counts commits and ends this process as kill -9 does.
func killAt(at string) func(n uint64, durable bool) {
	number, before := strings.CutSuffix(at, "-")
	want, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		panic(err) // the test's own
	}
	count, err := os.OpenFile(commitsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return func(n uint64, durable bool) {
		if durable {
			_, _ = count.Write([]byte{'.'}) // a number for a report
		}
		if n == want && durable != before {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it does not return
		}
	}
}

// rig is a bot in a process of its own that can be killed at every commit and started again, and everything that outlives it: the stage,
// the data directory, and sandboxes, which live in the test's process and are its own to end. Its time is quick.
type rig struct {
	stage     *stage
	dir       string
	program   string // the test binary, under the program's name
	sandboxes *sandboxtest.Provider
	provider  *http.Server
	settings  map[string]string                   // beside the stage's
	done      atomic.Pointer[func(method string)] // told when the provider has done what a bot asked, before it answers

	mu      sync.Mutex
	began   time.Time // with skipped: see quickClock
	skipped time.Duration
	bot     *botProcess // the newest
}

// newRig makes a rig whose sandboxes have these runners; nil: the real one with the scripted agent. People of the stage in linked have
// linked their accounts.
func newRig(run func(context.Context, link.Boot) error, linked ...string) (*rig, error) {
	s, err := newStage(nil)
	if err != nil {
		return nil, err
	}
	return newRigOn(s, run, linked...)
}

// newRigOn makes a rig on a stage, which it closes in the end.
func newRigOn(s *stage, run func(context.Context, link.Boot) error, linked ...string) (_ *rig, err error) {
	program, err := exec.LookPath("openinspect")
	if err != nil {
		return nil, err
	}
	if run == nil {
		run = func(ctx context.Context, b link.Boot) error {
			return runner.Run(ctx, runner.Config{Boot: b, Agent: &agenttest.Agent{}, Program: program})
		}
	}
	r := &rig{stage: s, program: program, sandboxes: &sandboxtest.Provider{Runner: run}, began: time.Now(), settings: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dir, err = os.MkdirTemp("", "rig"); err != nil {
		return nil, err
	}
	socket, err := net.Listen("unix", filepath.Join(r.dir, "provider.sock"))
	if err != nil {
		return nil, err
	}
	provider := sandboxtest.Handler(r.sandboxes)
	r.provider = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		provider.ServeHTTP(w, q) // a small answer stays in the server's buffer until this returns
		if done := r.done.Load(); done != nil {
			(*done)(strings.TrimPrefix(q.URL.Path, "/"))
		}
	})}
	go func() { _ = r.provider.Serve(socket) }() // ends with close
	return r, r.link(linked...)
}

// link stores links of accounts as the device flow does.
func (r *rig) link(people ...string) error {
	return r.store(func(db *boltdb.DB) error {
		for _, who := range people {
			u, _ := r.stage.slack.Snapshot().User(who)
			id := session.Identity{ID: r.stage.github.UserID(login(who)), Login: login(who)}
			t, err := r.stage.github.Authorize(login(who))
			if err != nil {
				return err
			}
			token, err := json.Marshal(map[string]any{"identity": id, "access": t.AccessToken, "refresh": t.RefreshToken, "expires": t.Expires})
			if err != nil {
				return err
			}
			if err := errors.Join(db.LinkUser(context.Background(), u.ID, id), db.PutSecret(context.Background(), "github/user/"+u.ID, token)); err != nil {
				return err
			}
		}
		return nil
	})
}

// store opens the bot's store, which must not run.
func (r *rig) store(f func(*boltdb.DB) error) error {
	db, err := boltdb.Open(filepath.Join(r.dir, "data", "openinspect.db"), boltdb.Options{MasterKey: make([]byte, 32)})
	if err != nil {
		return err
	}
	return errors.Join(f(db), db.Close())
}

// start starts the bot. kill is as envKill has it, or empty.
func (r *rig) start(kill string) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	env := r.stage.environ(r.dir)
	env["INSPECT_HTTP_ADDR"], env["INSPECT_LOG_LEVEL"], env["PATH"] = "127.0.0.1:0", "debug", os.Getenv("PATH")
	env[envProvider], env[envKill] = filepath.Join(r.dir, "provider.sock"), kill
	env[envClock] = fmt.Sprintf("quick %d %d", r.began.UnixNano(), r.skipped)
	for k, v := range r.settings {
		env[k] = v
	}
	r.bot, err = startBot(r.dir, env)
	return err
}

// running returns the newest bot.
func (r *rig) running() *botProcess {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bot
}

// connected waits until the bot has a socket, or has ended.
func (r *rig) connected(ctx context.Context) error {
	return r.stage.slack.Wait(ctx, func(n *slacktest.Snapshot) bool { return n.Sockets() > 0 || r.running().ended() })
}

// advance steps the time of the bot and of those after it.
func (r *rig) advance(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped += by
	_ = r.bot.advance(by.String()) // one that was killed does not answer
}

// commits returns how many transactions the bots have committed.
func (r *rig) commits() (int64, error) {
	info, err := os.Stat(filepath.Join(r.dir, commitsFile))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// close ends everything and removes it. The error says what of the world could not be ended.
func (r *rig) close() error {
	if b := r.running(); b != nil {
		b.kill()
	}
	if r.provider != nil {
		_ = r.provider.Close()
	}
	r.stage.close()
	return errors.Join(r.sandboxes.Close(), os.RemoveAll(r.dir))
}

// TestKilledAtACommit shows what the rig is for: the bot is killed when its 10th commit is durable, in the middle of a turn's beginning, and
// the next one brings the turn to its end.
func TestKilledAtACommit(t *testing.T) {
	r, err := newRig(nil, "ada", "bob")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	if err := errors.Join(r.start("10"), r.connected(ctx)); err != nil {
		t.Fatal(err)
	}
	m, err := r.stage.slack.As("ada").Mention(stageChannel, "write it !write a.txt a ;; !say Written.")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.running().done:
	case <-ctx.Done():
		t.Fatal("the bot was not killed")
	}
	if err := r.start(""); err != nil {
		t.Fatal(err)
	}
	_, err = r.stage.message(ctx, m.Channel, m.TS, func(_ slacktest.Message, text string) bool { return strings.Contains(text, "Changes ready") })
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(r.dir, "bot.log"))
		t.Fatalf("%v\n%s", err, log)
	}
}
