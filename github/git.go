package github

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"openinspect/session"
)

// git runs git on repositories of ours, below dir. Nothing of the machine's or of anybody's configuration has a say.
type git struct {
	dir           string
	stall         int // how long a remote may send nothing before git gives up, in seconds
	local, remote bounds
}

// bounds are what one git command may take.
type bounds struct {
	time   time.Duration // by the wall
	cpu    time.Duration // in whole seconds
	memory int           // of address space, in bytes
}

// newGit sets the bounds. A mirror's first fetch may take long and much, and comes from GitHub. Everything else looks at what a sandbox made: a pack
// of a few kilobytes can unfold into hours and gigabytes.
func newGit(dir string) git {
	return git{dir: dir, stall: 60, remote: bounds{10 * time.Minute, 10 * time.Minute, 4 << 30}, local: bounds{2 * time.Minute, time.Minute, 1 << 30}}
}

// bounded is a shell that sets limits on itself and becomes git. Where the bot itself was started with a lower limit, that one stays.
const bounded = `bound() { ulimit "$1" "$2" 2>/dev/null || [ "$(ulimit "$1")" -le "$2" ]; }
bound -v "$1" && bound -t "$2" && ulimit -c 0 && shift 2 && exec git "$@"`

// command says how to run git once.
type command struct {
	repo    string // its --git-dir
	objects string // where new objects go, if not into the repository's own: see incoming
	token   string // for the remote; "" for commands that stay at home
	url     string // whose token it is: it is sent nowhere else
	in      io.Reader
	lazy    bool // let git fetch blobs that the mirror does not have; wants token and url
	remote  bool // its work is with GitHub, not with what a sandbox made
	cut     int  // bytes of output that are enough: git is ended there; 0: more than maxOutput is an error
}

// maxOutput is how much git may print, in bytes. What it prints of a sandbox's commits is the sandbox's to choose: a message or a diff of
// gigabytes fits into a small pack.
const maxOutput = 64 << 20

// run runs git and returns what it printed. Its errors have git's own words, without the token.
func (g git) run(ctx context.Context, c command, args ...string) (string, error) {
	within := g.local
	if c.remote {
		within = g.remote
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, within.time)
	defer cancel()
	fixed := []string{
		"--git-dir=" + c.repo, "-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null", "-c", "core.fsmonitor=false",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "protocol.allow=never", "-c", "protocol.https.allow=always", "-c", "protocol.http.allow=always",
		"-c", "http.followRedirects=false", "-c", "credential.helper=", "-c", "core.packedGitLimit=256m", "-c", "pack.windowMemory=128m", "-c", "core.bigFileThreshold=16m",
		"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=" + strconv.Itoa(g.stall), "-c", "submodule.recurse=false", "-c", "fetch.recurseSubmodules=false",
		"-c", "push.recurseSubmodules=no", "-c", "push.gpgSign=false",
	}
	if c.lazy {
		fixed = append(fixed, "-c", "remote.origin.url="+c.url, "-c", "remote.origin.promisor=true", "-c", "remote.origin.partialclonefilter=blob:none")
	}
	limits := []string{"-c", bounded, "git", strconv.Itoa(within.memory >> 10), strconv.Itoa(int(within.cpu.Seconds()))}
	cmd := exec.CommandContext(ctx, "/bin/sh", slices.Concat(limits, fixed, args)...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "LANG=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_ATTR_NOSYSTEM=1", "GIT_ASKPASS=/bin/false", "GIT_NO_REPLACE_OBJECTS=1",
	}
	if c.objects != "" {
		cmd.Env = append(cmd.Env, "GIT_OBJECT_DIRECTORY="+c.objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(c.repo, "objects"))
	}
	if c.token != "" {
		// The environment of a child is not in the process list, and the header goes to this URL only.
		cmd.Env = append(cmd.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http."+c.url+".extraHeader", "GIT_CONFIG_VALUE_0="+basic(c.token))
	}
	cmd.Stdin = c.in
	cmd.WaitDelay = 5 * time.Second
	var words bytes.Buffer
	out := &output{left: maxOutput, end: cancel}
	if c.cut > 0 {
		out.left = c.cut
	}
	cmd.Stdout, cmd.Stderr = out, &limit{w: &words, n: 64 << 10}
	err := cmd.Run()
	if out.full && c.cut == 0 {
		return "", session.Errorf(session.Invalid, "The commits of this turn are too large to be looked through, so they were not taken. Ask the agent to make them smaller.")
	}
	if err == nil || out.full {
		return out.kept.String(), nil
	}
	said := strings.TrimSpace(words.String() + "\n" + out.kept.String()[:min(out.kept.Len(), 8<<10)]) // push --porcelain refuses on standard output
	if c.token != "" {
		said = strings.ReplaceAll(said, c.token, "[token]")
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	e := &gitError{op: args[0], words: said, err: err}
	if noRoom.MatchString(said) {
		return "", &session.Error{Code: session.Unavailable, Op: "github.git", Message: session.DiskFull, Err: e}
	}
	if c.remote || outer.Err() != nil {
		return out.kept.String(), e
	}
	// A command that fetches what the mirror lacks may have waited for GitHub.
	if late := ctx.Err() != nil; late && !c.lazy || !late && exhausted(cmd.ProcessState, said) {
		return "", &session.Error{Code: session.Invalid, Op: "github.git", Message: tooHard, Err: e}
	}
	return out.kept.String(), e
}

// noRoom is git's word that our disk is full; what a remote says of its own begins otherwise.
var noRoom = regexp.MustCompile(`(?m)^(fatal|error): .*(No space left on device|Disk quota exceeded)`)

// tooHard is said of commits that cannot be looked through within the bounds.
const tooHard = "The commits of this turn take too long or too much memory to be looked through, so they were not taken. Ask the agent to make them smaller."

// exhausted reports whether git ended because of its limits: killed when its time was up, by itself when it got no more memory, or by a stack
// that a very deep tree filled.
func exhausted(state *os.ProcessState, said string) bool {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return true
	}
	said = strings.ToLower(said)
	return strings.Contains(said, "out of memory") || strings.Contains(said, "cannot allocate memory") || strings.Contains(said, "unable to create thread")
}

// output keeps what git prints, and ends git when that is too much.
type output struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go past Write
	left int
	end  func()
	full bool
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.left {
		o.full = true
		_, _ = o.kept.Write(p[:o.left]) // never fails: bytes.Buffer
		o.left = 0
		o.end()
		return 0, io.ErrShortWrite
	}
	o.left -= len(p)
	return o.kept.Write(p)
}

// gitError is a git command that failed.
type gitError struct {
	op    string
	words string // what it said on standard error
	err   error
}

func (e *gitError) Error() string { return fmt.Sprintf("git %s: %v: %s", e.op, e.err, e.words) }
func (e *gitError) Unwrap() error { return e.err }

// said returns git's words for an error of run.
func said(err error) string {
	if e, ok := errors.AsType[*gitError](err); ok {
		return e.words
	}
	return ""
}

// limit is a writer that keeps the first n bytes and swallows the rest.
type limit struct {
	w io.Writer
	n int
}

func (l *limit) Write(p []byte) (int, error) {
	if keep := min(l.n, len(p)); keep > 0 {
		l.n -= keep
		if _, err := l.w.Write(p[:keep]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
