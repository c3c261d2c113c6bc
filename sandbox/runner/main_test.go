package runner_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/sandbox/runner/agenttest"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

// TestMain makes the test binary the executable that sandboxes have: started with "runner" it is one of the runner's commands.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "runner" {
		if err := command(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, session.Sentence(err))
			os.Exit(1)
		}
		os.Exit(0)
	}
	// What a test leaves running must not keep open what whoever runs the tests has open, such as a lock.
	for fd := 3; fd < 64; fd++ {
		syscall.CloseOnExec(fd)
	}
	os.Exit(m.Run())
}

func command(args []string) error {
	ctx := context.Background()
	switch {
	case len(args) == 3 && args[0] == "mcp":
		return runner.MCP(ctx, args[2], os.Stdin, os.Stdout)
	case len(args) == 4 && args[0] == "git-credential":
		return runner.GitCredential(ctx, args[2], args[3], os.Stdin, os.Stdout)
	}
	boot, err := runner.ReadBoot(os.Stdin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the end of the second line of standard input is the order to end
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		cancel()
	}()
	return runner.Run(ctx, runner.Config{Boot: boot, Agent: &agenttest.Agent{}, Reap: true})
}

const token = "a link's token"

var (
	bot = session.Author{Name: "inspect[bot]", Email: "7+inspect[bot]@users.noreply.github.com"}
	ana = session.Author{Name: "Ana", Email: "1+ana@users.noreply.github.com"}
	ben = session.Author{Name: "Ben", Email: "2+ben@users.noreply.github.com"}
)

// box is a runner in this process, and the bot's end of its link.
type box struct {
	t      *testing.T
	boot   link.Boot
	clock  session.Clock
	agent  *agenttest.Agent
	models func() int // under way
	change func(*runner.Config)
	link   *link.Link
	lines  chan link.Line
	events []session.Event // read so far
	end    context.CancelFunc
	done   chan error

	mu    sync.Mutex
	calls []string // of the runner to the bot: path and body
	serve http.HandlerFunc
}

// newBox is a sandbox that has not started. remote is a path of a repository, "" for none.
func newBox(t *testing.T, mode session.BootMode, remote string) *box {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20), "box") // no unix socket's address holds this path
	b := &box{t: t, agent: &agenttest.Agent{}, done: make(chan error, 1)}
	b.boot = link.Boot{
		Session: "abcdefghij", Start: "start1", TokenHash: link.HashToken(token), Socket: filepath.Join(dir, "run", "link.sock"), Dir: dir, Mode: mode,
		Base: "main", Bot: bot, Agent: "script",
	}
	if remote != "" {
		b.boot.Repo, b.boot.CloneURL = session.Repo{Owner: "acme", Name: "web"}, "file://"+remote
	}
	return b
}

// start starts the runner, dials it and follows its journal.
func (b *box) start() *box {
	b.t.Helper()
	program, err := os.Executable()
	check(b.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	b.end = cancel
	check(b.t, os.MkdirAll(filepath.Join(b.boot.Dir, "run"), 0o700))
	c := runner.Config{Boot: b.boot, Agent: b.agent, Program: program, Clock: b.clock, InFlight: b.models}
	if b.change != nil {
		b.change(&c)
	}
	go func() { b.done <- runner.Run(ctx, c) }()
	b.t.Cleanup(b.stop)
	b.dial()
	b.lines = b.follow("", 0)
	return b
}

// stop ends the runner and waits for it.
func (b *box) stop() {
	if b.end == nil {
		return
	}
	b.end()
	b.end = nil
	if err := <-b.done; err != nil {
		b.t.Errorf("the runner ended with %v", err)
	}
}

// dial connects as the bot does: again, until the runner listens.
func (b *box) dial() {
	b.t.Helper()
	for {
		l, err := link.Dial(context.Background(), link.DialOptions{URL: "http://runner/link", Token: token, Handler: http.HandlerFunc(b.called), Dial: func(ctx context.Context) (net.Conn, error) {
			// The path is too long for an address, so it is dialled as local.Dial does it: through the directory.
			dir, err := os.Open(filepath.Dir(b.boot.Socket))
			if err != nil {
				return nil, err
			}
			defer dir.Close()
			return link.DialUnix(ctx, fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(b.boot.Socket)), os.Getuid())
		}})
		if err == nil {
			b.link = l
			b.t.Cleanup(func() { _ = l.Close() })
			return
		}
		if session.CodeOf(err) != session.Unavailable {
			b.t.Fatal(err)
		}
		select {
		case err := <-b.done:
			b.t.Fatalf("the runner ended: %v", err)
		case <-time.After(time.Millisecond): // the runner needs the computer, too
		}
	}
}

// called serves the runner's calls.
func (b *box) called(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(400)
		return
	}
	b.mu.Lock()
	b.calls = append(b.calls, r.URL.Path+" "+string(body))
	serve := b.serve
	b.mu.Unlock()
	if serve != nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		serve(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(link.ToolAnswer{Text: "heard " + r.URL.Path})
}

// follow reads GET /events until the stream ends; heartbeats are left out.
func (b *box) follow(journal string, after int64) chan link.Line {
	b.t.Helper()
	return b.followed(journal, after, nil)
}

// live follows all of the journal, and returns when it has caught up, so that deltas are shown: a heartbeat comes then, and not before.
func (b *box) live(clock *sessiontest.Clock) chan link.Line {
	b.t.Helper()
	beats := make(chan bool, 1)
	lines := b.followed("", 0, beats)
	for {
		select {
		case <-beats:
			return lines
		case <-time.After(5 * time.Millisecond):
			clock.Advance(link.Heartbeat)
		}
	}
}

// followed is follow, and tells of a heartbeat.
func (b *box) followed(journal string, after int64, beats chan<- bool) chan link.Line {
	b.t.Helper()
	resp := b.get(fmt.Sprintf("/events?journal=%s&after=%d", journal, after))
	lines := make(chan link.Line, 10_000)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		for d := json.NewDecoder(resp.Body); ; {
			var l link.Line
			if d.Decode(&l) != nil {
				return
			}
			if l.Event != nil || l.Delta != nil {
				lines <- l
				continue
			}
			select {
			case beats <- true:
			default:
			}
		}
	}()
	return lines
}

// until reads events up to the first that is wanted, and returns it.
func (b *box) until(wanted func(session.Event) bool) session.Event {
	b.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case l, ok := <-b.lines:
			if !ok {
				b.t.Fatalf("the journal ended after %s", dump(b.events))
			}
			if l.Event == nil {
				continue
			}
			b.events = append(b.events, *l.Event)
			if wanted(*l.Event) {
				return *l.Event
			}
		case <-late:
			b.t.Fatalf("it did not come; the journal so far: %s", dump(b.events))
		}
	}
}

// ready reads until the boot is over.
func (b *box) ready() *box {
	b.t.Helper()
	e := b.until(func(e session.Event) bool {
		return e.Boot != nil && (e.Boot.Phase == session.PhaseReady || e.Boot.State == session.StepFailed)
	})
	if e.Boot.State == session.StepFailed {
		b.t.Fatalf("the boot failed: %s", dump(b.events))
	}
	return b
}

// phases tells how the boot's phases ended, such as "sync:done setup:skipped".
func (b *box) phases() string {
	var words []string
	for _, e := range b.events {
		if e.Boot != nil && e.Boot.State != session.StepRunning {
			words = append(words, string(e.Boot.Phase)+":"+string(e.Boot.State))
		}
	}
	return strings.Join(words, " ")
}

// prompt delivers a prompt and returns the status.
func (b *box) prompt(d session.Delivery) int {
	b.t.Helper()
	return b.post("/prompts", d)
}

// turn delivers a prompt, waits for the answer and returns it.
func (b *box) turn(d session.Delivery) session.TurnChange {
	b.t.Helper()
	if status := b.prompt(d); status != http.StatusAccepted {
		b.t.Fatalf("prompt %s: status %d", d.ID, status)
	}
	return *b.until(func(e session.Event) bool { return e.Turn != nil && e.PromptID == d.ID }).Turn
}

func (b *box) post(path string, body any) int {
	b.t.Helper()
	raw, err := json.Marshal(body)
	check(b.t, err)
	resp, err := b.link.Client().Post("http://runner"+path, "application/json", bytes.NewReader(raw))
	check(b.t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	check(b.t, err)
	return resp.StatusCode
}

func (b *box) get(path string) *http.Response {
	b.t.Helper()
	resp, err := b.link.Client().Get("http://runner" + path)
	check(b.t, err)
	return resp
}

func (b *box) status() link.Status {
	b.t.Helper()
	resp := b.get("/status")
	defer resp.Body.Close()
	var st link.Status
	check(b.t, json.NewDecoder(resp.Body).Decode(&st))
	return st
}

func (b *box) checkout() string { return filepath.Join(b.boot.Dir, "checkout") }
func (b *box) home() string     { return filepath.Join(b.boot.Dir, "home") }

// git runs git in the checkout.
func (b *box) git(args ...string) string {
	b.t.Helper()
	return git(b.t, b.checkout(), args...)
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_EDITOR=true",
		"GIT_AUTHOR_NAME=Dev", "GIT_AUTHOR_EMAIL=dev@example.com", "GIT_COMMITTER_NAME=Dev", "GIT_COMMITTER_EMAIL=dev@example.com"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newRemote makes a repository with one commit of the files, name and content in turn.
func newRemote(t *testing.T, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "remote.git")
	check(t, os.MkdirAll(dir, 0o755))
	git(t, dir, "init", "--quiet", "--bare", "-b", "main")
	pushed(t, dir, append([]string{"README.md", "# web\n"}, files...)...)
	return dir
}

// pushed adds a commit with the files to a remote's main and returns it.
func pushed(t *testing.T, remote string, files ...string) string {
	t.Helper()
	work := t.TempDir()
	git(t, work, "init", "--quiet", "-b", "main")
	git(t, work, "remote", "add", "origin", remote)
	if git(t, work, "ls-remote", "origin", "main") != "" {
		git(t, work, "pull", "--quiet", "origin", "main")
	}
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(work, files[i])
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(files[i+1]), 0o644))
	}
	git(t, work, "add", "--all")
	git(t, work, "commit", "--quiet", "--allow-empty", "-m", "Remote change of "+files[0])
	git(t, work, "push", "--quiet", "origin", "main")
	return git(t, work, "rev-parse", "HEAD")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dump(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// found finds an event among those that were read.
func (b *box) found(wanted func(session.Event) bool) session.Event {
	b.t.Helper()
	for _, e := range b.events {
		if wanted(e) {
			return e
		}
	}
	b.t.Fatalf("it is not there: %s", dump(b.events))
	return session.Event{}
}
