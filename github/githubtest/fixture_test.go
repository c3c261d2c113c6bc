package githubtest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
	"openinspect/github/githubtest/openapi"
)

// world is a server with two private repositories, and people of every kind.
type world struct {
	*githubtest.Server
	t     *testing.T
	clock *clock
}

// clock is the server's, moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t *testing.T, change ...func(*githubtest.Config)) *world {
	t.Helper()
	// An hour of real time cannot pass in a test, so clients that compare expiry with their own clock are content.
	clk := &clock{now: time.Now()}
	cfg := githubtest.Config{
		Now: clk.Now, Validate: openapi.Hook(t),
		Users: []githubtest.User{
			{Login: "ada", Name: "Ada Lovelace", ID: 101, Access: map[string]string{"acme/web": "write"}},
			{Login: "bob", Name: "Bob", ID: 102, Access: map[string]string{"*": "write"}},
			{Login: "ron", Name: "Ron", ID: 103, Access: map[string]string{"acme/web": "read"}},
			{Login: "eve", ID: 104},
		},
		Repositories: []githubtest.Repository{
			{Name: "acme/web", Private: true, Description: "The shop", Topics: []string{"shop"}, Files: map[string]string{
				"README.md": "# web\n", "cart/cart.go": "package cart\n", "setup.sh": "#!/bin/sh\n",
			}},
			{Name: "acme/secret", Private: true, Files: map[string]string{"key.txt": "k\n"}},
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	s := githubtest.New(cfg)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{Server: s, t: t, clock: clk}
}

// must returns v, or ends the test.
func must[V any](v V, err error) V {
	if err != nil {
		panic(fmt.Sprintf("unexpected error: %v", err))
	}
	return v
}

func (w *world) app() *ghinstallation.AppsTransport {
	app := must(ghinstallation.NewAppsTransport(http.DefaultTransport, w.App().ID, w.PrivateKeyPEM()))
	app.BaseURL = w.URL() + "/api/v3"
	return app
}

func (w *world) client(tr http.RoundTripper) *github.Client {
	return must(github.NewClient(&http.Client{Transport: tr}).WithEnterpriseURLs(w.URL(), w.URL()))
}

// as is a client with somebody's user token.
func (w *world) as(login string) *github.Client {
	return w.with(must(w.Authorize(login)).AccessToken)
}

func (w *world) with(token string) *github.Client {
	return must(github.NewClient(nil).WithAuthToken(token).WithEnterpriseURLs(w.URL(), w.URL()))
}

func (w *world) installation(owner, repo string) int64 {
	i, _, err := w.client(w.app()).Apps.FindRepositoryInstallation(w.t.Context(), owner, repo)
	if err != nil {
		w.t.Fatal(err)
	}
	return i.GetID()
}

// scoped mints a token for acme/web with the permissions.
func (w *world) scoped(p github.InstallationPermissions) string {
	itr := ghinstallation.NewFromAppsTransport(w.app(), w.installation("acme", "web"))
	itr.InstallationTokenOptions = &github.InstallationTokenOptions{Repositories: []string{"web"}, Permissions: &p}
	return must(itr.Token(w.t.Context()))
}

// git runs the real git with a token in a header that comes by environment, as the product does it.
func (w *world) git(dir, token string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	who := "101+ada@users.noreply.github.com"
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "GIT_AUTHOR_NAME=Ada Lovelace", "GIT_AUTHOR_EMAIL=" + who,
		"GIT_COMMITTER_NAME=Ada Lovelace", "GIT_COMMITTER_EMAIL=" + who,
	}
	if token != "" {
		secret := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
		cmd.Env = append(cmd.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader",
			"GIT_CONFIG_VALUE_0=Authorization: Basic "+secret)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) mustGit(dir, token string, args ...string) string {
	w.t.Helper()
	out, err := w.git(dir, token, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// clone clones acme/web and makes a commit on a new branch there.
func (w *world) clone(token, branch, file, content string) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "web")
	w.mustGit(w.t.TempDir(), token, "clone", "--quiet", w.CloneURL("acme/web"), dir)
	w.mustGit(dir, "", "checkout", "--quiet", "-b", branch)
	w.write(dir, file, content)
	return dir
}

func (w *world) write(dir, file, content string) {
	w.t.Helper()
	path := filepath.Join(dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		w.t.Fatal(err)
	}
	w.mustGit(dir, "", "add", "--all")
	w.mustGit(dir, "", "commit", "--quiet", "--message", "Change "+file)
}

// branch commits one file to a new branch on the server.
func (w *world) branch(name string) string {
	w.t.Helper()
	sha, err := w.Commit("acme/web", githubtest.Change{
		Branch: name, Message: "Add " + name, Files: map[string]string{name + ".txt": name + "\n"},
		Author: githubtest.Signature{Name: "Ada Lovelace", Email: "101+ada@users.noreply.github.com"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sha
}

// open has somebody open a pull request for a branch.
func (w *world) open(c *github.Client, branch string) *github.PullRequest {
	w.t.Helper()
	p, _, err := c.PullRequests.Create(w.t.Context(), "acme", "web", newPull(branch))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func newPull(branch string) *github.NewPullRequest {
	return &github.NewPullRequest{Title: github.String("T"), Head: github.String(branch), Base: github.String("main"), Body: github.String("b")}
}

// refused checks an error's status and that its message, or one of its details, says want.
func refused(t *testing.T, err error, status int, want string) {
	t.Helper()
	e, ok := errors.AsType[*github.ErrorResponse](err)
	if !ok {
		t.Fatalf("error %v (%T), want a GitHub error", err, err)
	}
	said := e.Message
	for _, detail := range e.Errors {
		said += "\n" + detail.Message + " " + detail.Field + " " + detail.Code
	}
	if e.Response.StatusCode != status || !strings.Contains(said, want) {
		t.Errorf("refused with %d %q, want %d %q", e.Response.StatusCode, said, status, want)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// post sends a form and returns the answer's parameters.
func (w *world) post(path string, form map[string]string) map[string]string {
	w.t.Helper()
	var pairs []string
	for name, value := range form {
		pairs = append(pairs, name+"="+value)
	}
	req := must(http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL()+path, strings.NewReader(strings.Join(pairs, "&"))))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	equal(w.t, "status", resp.StatusCode, http.StatusOK)
	answer := map[string]string{}
	for name, values := range must(parseForm(io.ReadAll(resp.Body))) {
		answer[name] = values[0]
	}
	return answer
}

// soon bounds what should come at once.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
