package opencode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"openinspect/sandbox/runner/bound"
	"openinspect/sandbox/runner/proc"
	"openinspect/session"
)

const (
	startLimit   = 90 * time.Second // until the server is healthy; 1 s on a quiet machine
	requestLimit = 30 * time.Second
	killGrace    = 3 * time.Second
	haltLimit    = time.Second
	logLines     = 20
)

// server is a running OpenCode server.
type server struct {
	cmd      *exec.Cmd
	base     string
	version  string
	password string
	dir      string // the checkout, which every call names
	client   *http.Client
	log      tail
	exited   chan struct{} // closed when the process has ended
}

// start runs the server and returns when it is healthy.
func start(ctx context.Context, binary, workdir, checkout, password string, env []string, processes int) (*server, error) {
	s := &server{password: password, dir: checkout, client: &http.Client{Transport: &http.Transport{Proxy: nil}}, exited: make(chan struct{})}
	s.cmd = exec.Command(binary, "serve", "--port", "0", "--hostname", "127.0.0.1", "--print-logs", "--log-level", "WARN")
	s.cmd.Dir, s.cmd.Env = workdir, env
	bound.Command(s.cmd, processes)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, session.Wrap("opencode.start", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "opencode.start", Message: "the agent's binary cannot be run", Err: err}
	}
	listening := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, at, ok := strings.Cut(lines.Text(), "listening on "); ok {
				select {
				case listening <- strings.TrimSpace(at):
				default:
				}
			}
			fmt.Fprintln(&s.log, lines.Text())
		}
		_, _ = io.Copy(io.Discard, out) // a line too long for the scanner must not block the server
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case s.base = <-listening:
	case <-s.exited:
		return nil, s.died()
	case <-ctx.Done():
		s.stop(shells{})
		return nil, &session.Error{Code: session.Unavailable, Op: "opencode.start", Message: "the agent's server did not start in time", Err: ctx.Err()}
	}
	if err := s.healthy(ctx); err != nil {
		s.stop(shells{})
		return nil, err
	}
	return s, nil
}

// healthy waits until the server answers: its port listens a while before it does.
func (s *server) healthy(ctx context.Context) error {
	for {
		var h struct {
			Healthy bool
			Version string
		}
		if err := s.call(ctx, "GET", "/global/health", nil, &h); err == nil && h.Healthy {
			s.version = h.Version
			return nil
		}
		select {
		case <-ctx.Done():
			return &session.Error{Code: session.Unavailable, Op: "opencode.start", Message: "the agent's server did not become healthy in time", Err: ctx.Err()}
		case <-s.exited:
			return s.died()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// died says that the server's process has ended, with its last words.
func (s *server) died() error {
	return &session.Error{Code: session.Unavailable, Op: "opencode", Message: "The agent's process ended unexpectedly. " + s.log.words(), Err: errors.New("exited")}
}

// request makes a request to the server. The checkout is named in the query, but for what concerns none: a directory that is asked about before
// it is cloned is remembered as it was.
func (s *server) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	if !strings.HasPrefix(path, "/global/") {
		path += "?directory=" + url.QueryEscape(s.dir)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, in)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("opencode", s.password)
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// statusError is an answer that is not a success.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.body) }

// call makes a call and decodes its answer into out, if out is not nil.
func (s *server) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	r, err := s.request(ctx, method, path, body)
	if err != nil {
		return session.Wrap("opencode.call", err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return &session.Error{Code: session.Unavailable, Op: "opencode " + path, Message: "The agent's server does not answer.", Err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 2<<10)) // what there is of it
		return &session.Error{Code: session.Internal, Op: "opencode " + path, Message: "The agent's server refused a call.", Err: &statusError{resp.StatusCode, string(b)}}
	}
	if out == nil {
		return nil
	}
	return session.Wrap("opencode "+path, json.NewDecoder(resp.Body).Decode(out))
}

// stop ends the process, and the commands that it runs: they would outlive it. Of those that were asked to end before, it may know nothing any more; they
// are given.
func (s *server) stop(commands shells) {
	limit, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	select {
	case <-s.exited:
	default:
		s.halt() // it could begin another while they are looked for
		commands.look(s)
	}
	commands.end(limit, 0)
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) // best effort, like the next: it may have ended
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGCONT)
	select {
	case <-s.exited:
	case <-time.After(killGrace):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
	}
}

// halt has the server stand still, and returns when it does, or after haltLimit.
func (s *server) halt() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGSTOP) // it may have ended
	limit := time.After(haltLimit)
	for {
		if p := proc.Read(s.cmd.Process.Pid); p.State == 'T' || p.Ended() {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			return
		}
	}
}

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
	rest  string
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest += string(p)
	for {
		line, rest, ok := strings.Cut(t.rest, "\n")
		if !ok {
			t.rest = bounded(t.rest)
			return len(p), nil
		}
		t.lines, t.rest = append(t.lines, line), rest
		if len(t.lines) > logLines {
			t.lines = t.lines[1:]
		}
	}
}

// bounded cuts a line without an end.
func bounded(s string) string { return s[max(0, len(s)-4096):] }

// words are the last lines, for a message.
func (t *tail) words() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return ""
	}
	return "Its last words: " + session.OneLine(strings.Join(t.lines[max(0, len(t.lines)-3):], " / "), 400)
}

// makeDir makes a directory of ours in the agent's home.
func makeDir(dir string) error { return session.Wrap("opencode", os.MkdirAll(dir, 0o700)) }
