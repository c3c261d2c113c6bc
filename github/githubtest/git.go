package githubtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// gitEnv is the environment of every git process: nothing of the caller's but PATH, and no configuration but the
// repository's own.
func (s *Server) gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.home,
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_TEMPLATE_DIR=",
		"LC_ALL=C",
	}
}

// command is one run of git in a bare repository.
type command struct {
	env   []string
	stdin string
	dir   string // a work tree to run in instead of the repository
}

// git runs git in the repository and returns what it printed, without the last newline. The error holds git's own
// words and wraps *exec.ExitError.
func (s *Server) git(r *repository, args ...string) (string, error) {
	return s.gitWith(r, command{}, args...)
}

func (s *Server) gitWith(r *repository, c command, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	if c.dir != "" {
		cmd.Dir = c.dir
	}
	cmd.Env = append(s.gitEnv(), c.env...)
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := strings.TrimSuffix(stdout.String(), "\n")
	if err != nil {
		return out, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// exitCode is the status git ended with, or -1 if it did not run.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// identity sets who authors and who commits; when is in git's own form, "" meaning now.
func identity(author, committer Signature, when string) []string {
	env := []string{
		"GIT_AUTHOR_NAME=" + author.Name, "GIT_AUTHOR_EMAIL=" + author.Email,
		"GIT_COMMITTER_NAME=" + committer.Name, "GIT_COMMITTER_EMAIL=" + committer.Email,
	}
	if when != "" {
		env = append(env, "GIT_AUTHOR_DATE="+when, "GIT_COMMITTER_DATE="+when)
	}
	return env
}

// gitDate is the server's time in git's own form.
func (s *Server) gitDate() string { return fmt.Sprintf("%d +0000", s.now().Unix()) }

// Signature is a git identity.
type Signature struct {
	Name, Email string
}

// webFlow is who commits what GitHub itself makes, such as a merge.
var webFlow = Signature{Name: "GitHub", Email: "noreply@github.com"}
