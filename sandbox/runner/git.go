package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"openinspect/sandbox/runner/capture"
	"openinspect/session"
)

// How long git may take.
const (
	fetchTimeout = 2 * time.Minute // for a question to the remote, or what is little
	gitTimeout   = time.Minute     // for what touches no network

	// for what git says of a transfer to be read after its end, while something that it started keeps the pipe open
	keptOpen = 10 * time.Second
)

// gitFlags go before every command of ours. The checkout belongs to the agent, its configuration too: these keep git from
// running its hooks and from waiting for a person. What it may still do is lie to us, and the bot checks what it collects.
var gitFlags = []string{
	"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "core.editor=true",
	"-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", "-c", "log.showSignature=false", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
	"-c", "submodule.recurse=false", "-c", "fetch.recurseSubmodules=false", "-c", "color.ui=false", "-c", "protocol.ext.allow=never",
	"-c", "core.quotePath=false", "-c", "rebase.autoStash=false",
}

// git runs our git commands in a checkout.
type git struct {
	dir   string
	env   []string
	clock session.Clock
}

// newGit takes the environment of the agent and takes everything interactive out of it.
func newGit(dir string, env []string, clock session.Clock) git {
	env = append(append([]string(nil), env...),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_SSH_COMMAND=ssh -oBatchMode=yes",
		"GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true", "GIT_PAGER=cat", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "LC_ALL=C.UTF-8")
	return git{dir: dir, env: env, clock: clock}
}

// gitCall is one command; the zero values of all but args are good.
type gitCall struct {
	args    []string
	env     []string // added
	in      string
	out     io.Writer // instead of the returned output
	timeout time.Duration

	transfer bool // much may come from the remote: see transferLimit
}

// errSilent ends a transfer of which nothing comes.
var errSilent = errors.New("nothing came")

// gitError is a git command that failed. Its text is git's own, on one line.
type gitError struct {
	command string
	exit    int
	stderr  string
	err     error
}

func (e *gitError) Error() string {
	if e.stderr == "" {
		return "git " + e.command + ": " + e.err.Error()
	}
	return "git " + e.command + ": " + e.stderr
}

func (e *gitError) Unwrap() error { return e.err }

// exitOf returns the exit code of a failed command, -1 if it had none.
func exitOf(err error) int {
	if e, ok := errors.AsType[*gitError](err); ok {
		return e.exit
	}
	return -1
}

// run runs a command and returns its output without the last newline; none if it failed.
func (g git) run(ctx context.Context, args ...string) (string, error) {
	return g.call(ctx, gitCall{args: args})
}

func (g git) call(ctx context.Context, c gitCall) (string, error) {
	args := slices.Concat(gitFlags, c.args)
	switch {
	case c.transfer:
		c.timeout, args = transferLimit, slices.Insert(args, len(gitFlags)+1, "--progress")
	case c.timeout == 0:
		c.timeout = gitTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer g.clock.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) })()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = g.dir
	cmd.Env = append(append([]string(nil), g.env...), c.env...)
	cmd.Stdin = strings.NewReader(c.in)
	// A group of its own, so that a filter or a credential helper that hangs ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = keptOpen
	var out, said capture.Output // a file each, where nobody reads along
	var err error
	if c.out != nil {
		cmd.Stdout, cmd.WaitDelay = c.out, c.timeout // who takes it may be slow, and half of it is not to look like all
	} else {
		if out, err = capture.New(); err != nil {
			return "", session.Wrap("runner.git", err)
		}
		defer out.Close()
		cmd.Stdout = out.File()
	}
	var heard tail // the end of what it says
	if c.transfer {
		p := newPulse(g.clock, cancel)
		defer p.close()
		cmd.Stderr = io.MultiWriter(&heard, p)
	} else {
		if said, err = capture.New(); err != nil {
			return "", session.Wrap("runner.git", err)
		}
		defer said.Close()
		cmd.Stderr = said.File()
	}
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) && c.out == nil {
		err = nil // git itself ended well; something it started keeps the pipe of a transfer
	}
	var answer []byte
	if err == nil && c.out == nil {
		answer, err = out.Bytes()
	}
	if err == nil {
		return strings.TrimSuffix(string(answer), "\n"), nil
	}
	if !c.transfer {
		heard, _ = said.Tail(tailSize) // what can be had of it
	}
	return "", c.failure(ctx, cmd, err, string(heard))
}

// failure is the error of a command that failed.
func (c gitCall) failure(ctx context.Context, cmd *exec.Cmd, err error, said string) error {
	e := &gitError{command: c.args[0], exit: cmd.ProcessState.ExitCode(), err: err, stderr: plainWords(said)}
	switch cause := context.Cause(ctx); {
	case cause == nil && errors.Is(err, capture.ErrLimit):
		e.stderr = err.Error()
	case cause == nil:
	case errors.Is(cause, errSilent):
		e.err, e.stderr = cause, fmt.Sprintf("nothing came from the remote for %g s", transferSilence.Seconds())
	case errors.Is(cause, context.Canceled):
		e.err, e.stderr = cause, ""
	default:
		e.err, e.stderr = cause, fmt.Sprintf("it did not end within %g s", c.timeout.Seconds())
	}
	return e
}

// plainWords is the end of what git said, on one line, without its progress.
func plainWords(said string) string {
	said = strings.TrimRight(progressLine.ReplaceAllString(said, ""), "\r\n")
	return strings.Join(strings.Fields(strings.ToValidUTF8(lastLines(said, 5), "\uFFFD")), " ")
}

// tailSize is how many bytes of what git says are looked at when it has failed.
const tailSize = 16 << 10

// tail keeps the last bytes that are written to it, at least half of tailSize.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if len(*t) > tailSize {
		*t = append(tail(nil), (*t)[len(*t)-tailSize/2:]...)
	}
	return len(p), nil
}

// resolve returns the commit that a name stands for, "" if none.
func (g git) resolve(ctx context.Context, name string) string {
	hash, err := g.run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return ""
	}
	return hash
}

// gitDir returns the absolute path of the repository's directory, "" if there is none.
func (g git) gitDir(ctx context.Context) string {
	dir, err := g.run(ctx, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return ""
	}
	return dir
}

// identity is how git takes an author, or a committer, from the environment.
func identity(role string, a session.Author, date string) []string {
	env := []string{"GIT_" + role + "_NAME=" + a.Name, "GIT_" + role + "_EMAIL=" + a.Email}
	if date != "" {
		env = append(env, "GIT_"+role+"_DATE="+date)
	}
	return env
}

// writeFile writes a small file of ours whole or not at all.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".new", content, mode); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
