package githubtest_test

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

func parseForm(body []byte, err error) (url.Values, error) {
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(body))
}

func contents(level string) github.InstallationPermissions {
	return github.InstallationPermissions{Contents: github.String(level)}
}

func TestCloneWithScopedToken(t *testing.T) {
	w := newWorld(t)
	token := w.scoped(contents("read"))
	dir := w.clone(token, "inspect/a", "a.txt", "a\n")
	if info, err := os.Stat(filepath.Join(dir, "setup.sh")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("setup.sh: %v %v, want an executable file", info, err)
	}
	out, err := w.git(dir, token, "push", "origin", "HEAD")
	if err == nil || !strings.Contains(out, "Write access to repository not granted") || !strings.Contains(out, "403") {
		t.Errorf("push with a read token: %v\n%s", err, out)
	}
	out, err = w.git(t.TempDir(), token, "clone", w.CloneURL("acme/secret"))
	if err == nil || !strings.Contains(out, "not found") {
		t.Errorf("clone of another repository: %v\n%s", err, out)
	}
	out, err = w.git(t.TempDir(), "", "clone", w.CloneURL("acme/web"))
	if err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("clone without a token: %v\n%s", err, out)
	}
	out, err = w.git(t.TempDir(), "ghs_made_up", "clone", w.CloneURL("acme/web"))
	if err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("clone with a made-up token: %v\n%s", err, out)
	}
}

func TestShallowAndPartialClones(t *testing.T) {
	w := newWorld(t)
	w.branch("b")
	token := w.scoped(contents("read"))
	dir := filepath.Join(t.TempDir(), "blobless")
	w.mustGit(t.TempDir(), token, "clone", "--quiet", "--bare", "--filter=blob:none", w.CloneURL("acme/web"), dir)
	dir = filepath.Join(t.TempDir(), "one")
	sha := w.CommitSHA("acme/web", "b")
	w.mustGit(t.TempDir(), "", "init", "--quiet", dir)
	w.mustGit(dir, token, "fetch", "--quiet", "--depth=1", w.CloneURL("acme/web"), sha)
	equal(t, "commits fetched", w.mustGit(dir, "", "rev-list", "--count", "FETCH_HEAD"), "1")
}

func TestPush(t *testing.T) {
	w := newWorld(t)
	token := w.scoped(contents("write"))
	dir := w.clone(token, "inspect/a", "a.txt", "a\n")
	w.mustGit(dir, token, "push", "--quiet", "origin", "HEAD")
	equal(t, "remote head", w.Refs("acme/web")["refs/heads/inspect/a"], w.mustGit(dir, "", "rev-parse", "HEAD"))
	log := must(w.Log("acme/web", "main..inspect/a"))
	equal(t, "new commits", len(log), 1)
	equal(t, "author", log[0].Author, githubtest.Signature{Name: "Ada Lovelace", Email: "101+ada@users.noreply.github.com"})
	equal(t, "message", log[0].Message, "Change a.txt")

	p := w.open(w.as("ada"), "inspect/a")
	big := make([]byte, 3<<20) // more than http.postBuffer, so that git sends it in chunks
	_, _ = rand.Read(big)
	w.write(dir, "big.bin", string(big))
	w.mustGit(dir, token, "push", "--quiet", "origin", "HEAD")
	head := w.mustGit(dir, "", "rev-parse", "HEAD")
	equal(t, "pull request's head", w.Pulls("acme/web")[0].HeadSHA, head)
	w.mustGit(dir, token, "fetch", "--quiet", "origin", "refs/pull/1/head")
	equal(t, "refs/pull/1/head", w.mustGit(dir, "", "rev-parse", "FETCH_HEAD"), head)
	if out, err := w.git(dir, token, "push", "origin", "HEAD:refs/pull/1/head"); err == nil || !strings.Contains(out, "hidden ref") {
		t.Errorf("push to refs/pull/%d/head: %v\n%s", p.GetNumber(), err, out)
	}
	if out, err := w.git(dir, token, "push", "--force-with-lease=inspect/a:"+log[0].SHA, "origin", "HEAD~1:inspect/a"); err == nil {
		t.Errorf("push with a wrong lease succeeded\n%s", out)
	}
	w.mustGit(dir, token, "push", "--quiet", "origin", ":inspect/a")
	equal(t, "state after its branch is gone", w.Pulls("acme/web")[0].State, "closed")
}

func TestPushByPeople(t *testing.T) {
	w := newWorld(t)
	ada, ron := must(w.Authorize("ada")).AccessToken, must(w.Authorize("ron")).AccessToken
	dir := w.clone(ada, "topic", "a.txt", "a\n")
	out, err := w.git(dir, ron, "push", "origin", "HEAD")
	if err == nil || !strings.Contains(out, "Permission to acme/web.git denied to ron.") {
		t.Errorf("push by a reader: %v\n%s", err, out)
	}
	w.mustGit(dir, ada, "push", "--quiet", "origin", "HEAD")
	if err := w.SetArchived("acme/web", true); err != nil {
		t.Fatal(err)
	}
	out, err = w.git(dir, ada, "push", "origin", "HEAD:other")
	if err == nil || !strings.Contains(out, "archived so it is read-only") {
		t.Errorf("push to an archived repository: %v\n%s", err, out)
	}
}

func TestPushOfWorkflowFiles(t *testing.T) {
	w := newWorld(t)
	token := w.scoped(contents("write"))
	dir := w.clone(token, "inspect/ci", ".github/workflows/ci.yml", "on: push\n")
	out, err := w.git(dir, token, "push", "origin", "HEAD", "HEAD~1:refs/heads/other")
	const want = "! [remote rejected] HEAD -> inspect/ci (refusing to allow a GitHub App to create or update workflow " +
		"`.github/workflows/ci.yml` without `workflows` permission)"
	if err == nil || !strings.Contains(out, want) || strings.Contains(out, "hook") {
		t.Errorf("push: %v\n%s\nwant %s", err, out, want)
	}
	equal(t, "branches", strings.Join(w.Branches("acme/web"), " "), "main other")

	w = newWorld(t, func(c *githubtest.Config) {
		c.App.Permissions = map[string]string{"contents": "write", "workflows": "write"}
	})
	token = w.scoped(github.InstallationPermissions{Contents: github.String("write"), Workflows: github.String("write")})
	dir = w.clone(token, "inspect/ci", ".github/workflows/ci.yml", "on: push\n")
	w.mustGit(dir, token, "push", "--quiet", "origin", "HEAD")
	// What another branch already holds may travel on.
	plain := w.scoped(contents("write"))
	w.write(dir, "b.txt", "b\n")
	w.mustGit(dir, plain, "push", "--quiet", "origin", "HEAD:refs/heads/inspect/next")
}

func TestPushToProtectedBranch(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.Repositories[0].RequiredApprovals = 1 })
	token := w.scoped(contents("write"))
	dir := w.clone(token, "inspect/a", "a.txt", "a\n")
	out, err := w.git(dir, token, "push", "origin", "HEAD:main")
	if err == nil || !strings.Contains(out, "(protected branch hook declined)") {
		t.Errorf("push: %v\n%s", err, out)
	}
}

// The RPC itself must be refused too: a client need not ask for the refs first.
func TestReceivePackChecksAccessItself(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/git-receive-pack", "/info/refs?service=git-receive-pack"} {
		for token, want := range map[string]int{"": 401, w.scoped(contents("read")): 403} {
			method := http.MethodPost
			if strings.Contains(path, "?") {
				method = http.MethodGet
			}
			req := must(http.NewRequestWithContext(t.Context(), method, w.CloneURL("acme/web")+path, nil))
			if token != "" {
				req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("x-access-token:"+token)))
			}
			resp := must(http.DefaultClient.Do(req))
			resp.Body.Close()
			equal(t, path+" status", resp.StatusCode, want)
			equal(t, path+" challenge", resp.Header.Get("WWW-Authenticate") != "", want == 401)
		}
	}
}
