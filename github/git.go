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
	"strings"
	"time"

	"openinspect/session"
)

// git runs git on repositories of ours, below dir. Nothing of the machine's or of anybody's configuration has a say.
type git struct{ dir string }

// gitTimeout is how long one git command may run; a mirror's first fetch may take most of it.
const gitTimeout = 10 * time.Minute

// command says how to run git once.
type command struct {
	repo  string // its --git-dir
	token string // for the remote; "" for commands that stay at home
	url   string // whose token it is: it is sent nowhere else
	in    io.Reader
	lazy  bool // let git fetch blobs that the mirror does not have; wants token and url
	cut   int  // bytes of output that are enough: git is ended there; 0: more than maxOutput is an error
}

// maxOutput is how much git may print, in bytes. What it prints of a sandbox's commits is the sandbox's to choose: a message or a diff of
// gigabytes fits into a small pack.
const maxOutput = 64 << 20

// run runs git and returns what it printed. Its errors have git's own words, without the token.
func (g git) run(ctx context.Context, c command, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	fixed := []string{
		"--git-dir=" + c.repo, "-c", "core.hooksPath=/dev/null", "-c", "core.attributesFile=/dev/null", "-c", "core.fsmonitor=false",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "protocol.allow=never", "-c", "protocol.https.allow=always", "-c", "protocol.http.allow=always",
		"-c", "http.followRedirects=false", "-c", "credential.helper=", "-c", "core.packedGitLimit=256m", "-c", "pack.windowMemory=128m", "-c", "core.bigFileThreshold=16m",
	}
	if c.lazy {
		fixed = append(fixed, "-c", "remote.origin.url="+c.url, "-c", "remote.origin.promisor=true", "-c", "remote.origin.partialclonefilter=blob:none")
	}
	cmd := exec.CommandContext(ctx, "git", append(fixed, args...)...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "LANG=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_ATTR_NOSYSTEM=1", "GIT_ASKPASS=/bin/false", "GIT_NO_REPLACE_OBJECTS=1",
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
	return out.kept.String(), &gitError{op: args[0], words: said, err: err}
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

// mirror returns the bot's one mirror of a repository: bare, never shallow, without blobs.
func (g *GitHub) mirror(ctx context.Context, r session.Repo, token string) (string, error) {
	dir := filepath.Join(g.git.dir, "mirrors", strings.ToLower(r.Owner), strings.ToLower(r.Name)+".git")
	if err := g.git.init(ctx, dir); err != nil {
		return "", err
	}
	c := command{repo: dir, token: token, url: g.CloneURL(r), lazy: true}
	_, err := g.git.run(ctx, c, "fetch", "--quiet", "--prune", "--no-tags", "--no-auto-gc", "--filter=blob:none", "origin", "+refs/heads/*:refs/remotes/origin/*")
	if err != nil {
		return "", &session.Error{Code: session.Unavailable, Op: "github.mirror", Message: "The branches of " + r.String() + " could not be fetched from GitHub. Please try again in a few minutes.", Err: err}
	}
	return dir, nil
}

// quarantine returns the repository where a session's commits are unpacked. It sees the mirror's objects; the mirror does not see its.
func (g *GitHub) quarantine(ctx context.Context, id session.ID, mirror string) (string, error) {
	dir := filepath.Join(g.git.dir, "quarantine", string(id)+".git")
	if err := g.git.init(ctx, dir); err != nil {
		return "", err
	}
	alternates := filepath.Join(dir, "objects", "info", "alternates")
	if err := os.WriteFile(alternates, []byte(filepath.Join(mirror, "objects")+"\n"), 0o600); err != nil {
		return "", session.Wrap("github.quarantine", err)
	}
	return dir, nil
}

// init makes a bare repository, complete before it has its name.
func (g git) init(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return session.Wrap("github.init", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-*")
	if err != nil {
		return session.Wrap("github.init", err)
	}
	defer os.RemoveAll(tmp)
	if _, err := g.run(ctx, command{repo: tmp}, "init", "--quiet", "--bare", "--template="); err != nil {
		return session.Wrap("github.init", err)
	}
	if err := os.MkdirAll(filepath.Join(tmp, "objects", "info"), 0o700); err != nil {
		return session.Wrap("github.init", err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, e := os.Stat(dir); e != nil {
			return session.Wrap("github.init", err)
		}
	}
	return nil
}
