package githubtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-github/v66/github"

	"openinspect/github/githubtest"
)

func TestConditionalGet(t *testing.T) {
	w := newWorld(t)
	get := func(c *github.Client, tag string) *github.Response {
		t.Helper()
		req := must(c.NewRequest("GET", "repos/acme/web", nil))
		req.Header.Set("If-None-Match", tag)
		resp, err := c.Do(t.Context(), req, nil)
		if resp == nil {
			t.Fatal(err)
		}
		return resp
	}
	ada := w.as("ada")
	first := get(ada, "")
	tag := first.Header.Get("ETag")
	if first.StatusCode != 200 || !strings.HasPrefix(tag, `W/"`) {
		t.Fatalf("first answer %d with ETag %q", first.StatusCode, tag)
	}
	second := get(ada, tag)
	equal(t, "status", second.StatusCode, http.StatusNotModified)
	equal(t, "remaining", second.Rate.Remaining, first.Rate.Remaining)
	equal(t, "status with another token", get(w.as("ada"), tag).StatusCode, 200)
	w.branch("x")
	w.open(ada, "x") // changes open_issues
	equal(t, "status after a change", get(ada, tag).StatusCode, 200)
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, func(c *githubtest.Config) { c.RateLimit = 2 })
	token := must(w.Authorize("ada")).AccessToken
	for range 2 {
		_, _, err := w.with(token).Users.Get(t.Context(), "")
		equal(t, "error", err, nil)
	}
	_, _, err := w.with(token).Users.Get(t.Context(), "")
	limited, ok := errors.AsType[*github.RateLimitError](err)
	if !ok {
		t.Fatalf("error %v (%T), want a rate limit", err, err)
	}
	equal(t, "remaining", limited.Rate.Remaining, 0)
	w.clock.advance(time.Hour)
	_, _, err = w.with(token).Users.Get(t.Context(), "")
	equal(t, "error an hour later", err, nil)
}

func TestRepository(t *testing.T) {
	w := newWorld(t)
	sha := w.branch("inspect/topic")
	c, ctx := w.as("ada"), t.Context()
	r, _, err := c.Repositories.Get(ctx, "acme", "web")
	equal(t, "error", err, nil)
	equal(t, "description", r.GetDescription(), "The shop")
	equal(t, "topics", strings.Join(r.Topics, " "), "shop")
	equal(t, "clone url", r.GetCloneURL(), w.CloneURL("acme/web"))
	equal(t, "push", r.GetPermissions()["push"], true)
	branch, _, err := c.Repositories.GetBranch(ctx, "acme", "web", "inspect/topic", 1)
	equal(t, "error", err, nil)
	equal(t, "branch", branch.GetCommit().GetSHA(), sha)
	_, _, err = c.Repositories.GetBranch(ctx, "acme", "web", "nope", 1)
	if err == nil {
		t.Error("a branch that is not there was found")
	}
	branches, _, err := c.Repositories.ListBranches(ctx, "acme", "web", nil)
	equal(t, "error", err, nil)
	equal(t, "branches", len(branches), 2)
	commit, _, err := c.Repositories.GetCommit(ctx, "acme", "web", "inspect/topic", nil)
	equal(t, "error", err, nil)
	equal(t, "author", commit.GetAuthor().GetLogin(), "ada")
	equal(t, "added", commit.GetStats().GetAdditions(), 1)
	cmp, _, err := c.Repositories.CompareCommits(ctx, "acme", "web", "main", "inspect/topic", nil)
	equal(t, "error", err, nil)
	equal(t, "status", cmp.GetStatus(), "ahead")
	equal(t, "file", cmp.Files[0].GetFilename(), "inspect/topic.txt")
	equal(t, "patch", cmp.Files[0].GetPatch(), "@@ -0,0 +1 @@\n+inspect/topic")
	file, _, _, err := c.Repositories.GetContents(ctx, "acme", "web", "cart/cart.go", nil)
	equal(t, "error", err, nil)
	equal(t, "content", must(file.GetContent()), "package cart\n")
	_, dir, _, err := c.Repositories.GetContents(ctx, "acme", "web", "cart", nil)
	equal(t, "error", err, nil)
	equal(t, "directory", dir[0].GetPath(), "cart/cart.go")
	level, _, err := c.Repositories.GetPermissionLevel(ctx, "acme", "web", "ron")
	equal(t, "error", err, nil)
	equal(t, "permission", level.GetPermission(), "read")
}

func TestRefs(t *testing.T) {
	w := newWorld(t)
	c, ctx := w.as("ada"), t.Context()
	main := w.CommitSHA("acme/web", "main")
	ref := &github.Reference{Ref: github.String("refs/heads/new/one"), Object: &github.GitObject{SHA: &main}}
	_, _, err := c.Git.CreateRef(ctx, "acme", "web", ref)
	equal(t, "error", err, nil)
	_, _, err = c.Git.CreateRef(ctx, "acme", "web", ref)
	refused(t, err, 422, "Reference already exists")
	got, _, err := c.Git.GetRef(ctx, "acme", "web", "heads/new/one")
	equal(t, "error", err, nil)
	equal(t, "ref", got.GetObject().GetSHA(), main)
	topic := w.branch("topic")
	_, _, err = c.Git.UpdateRef(ctx, "acme", "web", &github.Reference{Ref: github.String("heads/topic"), Object: &github.GitObject{SHA: &main}}, false)
	refused(t, err, 422, "Update is not a fast forward")
	_, _, err = c.Git.UpdateRef(ctx, "acme", "web", &github.Reference{Ref: ref.Ref, Object: &github.GitObject{SHA: &topic}}, false)
	equal(t, "error", err, nil)
	_, err = c.Git.DeleteRef(ctx, "acme", "web", "heads/topic")
	equal(t, "error", err, nil)
	equal(t, "branches", strings.Join(w.Branches("acme/web"), " "), "main new/one")
	_, err = w.as("ron").Git.DeleteRef(ctx, "acme", "web", "heads/new/one")
	refused(t, err, 404, "Not Found")
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	w.branch("topic")
	ada := w.as("ada")
	const route = "POST /repos/{owner}/{repo}/pulls"
	var mu sync.Mutex
	var last githubtest.Call
	w.SetFault(func(c githubtest.Call) *githubtest.Response {
		mu.Lock()
		defer mu.Unlock()
		last = c
		switch {
		case c.Route == route && c.N == 1 && !c.After:
			return &githubtest.Response{Status: 502}
		case c.Route == route && c.N == 2 && c.After:
			return &githubtest.Response{Drop: true}
		}
		return nil
	})
	_, _, err := ada.PullRequests.Create(t.Context(), "acme", "web", newPull("topic"))
	refused(t, err, 502, "Bad Gateway")
	equal(t, "pull requests after a failure", len(w.Pulls("acme/web")), 0)
	_, _, err = ada.PullRequests.Create(t.Context(), "acme", "web", newPull("topic"))
	if !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want a connection that ended", err)
	}
	equal(t, "pull requests after a lost answer", len(w.Pulls("acme/web")), 1)
	mu.Lock()
	equal(t, "status of the lost answer", last.Status, 201)
	mu.Unlock()
	equal(t, "calls", w.Calls()[route], 2)
	w.SetFault(func(c githubtest.Call) *githubtest.Response {
		if strings.HasPrefix(c.Route, "git info/refs") && c.Repo == "acme/web" {
			return &githubtest.Response{Status: 503, Body: []byte("down\n")}
		}
		return nil
	})
	out, err := w.git(t.TempDir(), w.scoped(contents("read")), "clone", w.CloneURL("acme/web"))
	if err == nil || !strings.Contains(out, "503") {
		t.Errorf("clone: %v\n%s", err, out)
	}
}

func TestEventsAndWait(t *testing.T) {
	var mu sync.Mutex
	var kinds []githubtest.EventKind
	w := newWorld(t, func(c *githubtest.Config) {
		c.OnEvent = func(e githubtest.Event) {
			mu.Lock()
			defer mu.Unlock()
			kinds = append(kinds, e.Kind)
		}
	})
	waited := make(chan error, 1)
	go func() { waited <- w.Wait(soon(t), func() bool { return len(w.Pulls("acme/web")) == 1 }) }()
	w.branch("topic")
	w.open(w.as("ada"), "topic")
	equal(t, "waited", <-waited, nil)
	mu.Lock()
	defer mu.Unlock()
	last := kinds[len(kinds)-3:]
	equal(t, "first", last[0], githubtest.Pushed)
	equal(t, "second", last[1], githubtest.TokenMinted)
	equal(t, "third", last[2], githubtest.PullOpened)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	equal(t, "given up", w.Wait(ctx, func() bool { return false }), context.Canceled)
}

func TestValidateHook(t *testing.T) {
	var seen []string
	w := newWorld(t, func(c *githubtest.Config) {
		c.Validate = func(r *http.Request, body []byte, status int, header http.Header, answer []byte) {
			seen = append(seen, r.Method+" "+r.URL.Path+" "+header.Get("Content-Type")+" "+string(body)+http.StatusText(status)+string(answer[:1]))
		}
	})
	_, _, err := w.as("ada").Users.Get(t.Context(), "")
	equal(t, "error", err, nil)
	equal(t, "seen", strings.Join(seen, "\n"), "GET /api/v3/user application/json; charset=utf-8 OK{")
}

func TestZeroConfig(t *testing.T) {
	s := githubtest.New(githubtest.Config{})
	if err := s.AddRepository(githubtest.Repository{Name: "a/b"}); err == nil {
		t.Error("a repository was added to a server that is not started")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"a/b", ""}, {"A/B", "exists"}, {"a", "owner/name"}, {"a/..", "owner/name"}, {"../x", "owner/name"}, {"a/b.git", "owner/name"},
	} {
		name, want := c[0], c[1]
		err := s.AddRepository(githubtest.Repository{Name: name})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("add %q: %v, want %q", name, err, want)
		}
	}
	equal(t, "error", s.Close(), nil)
	equal(t, "error of a second Close", s.Close(), nil)
}

func TestCommit(t *testing.T) {
	w := newWorld(t)
	who := githubtest.Signature{Name: "Bob", Email: "bob@example.com"}
	sha, err := w.Commit("acme/web", githubtest.Change{
		Message: "Rework", Author: who, Login: "bob", Delete: []string{"cart"},
		FS:    fstest.MapFS{"new/run.sh": {Data: []byte("#!/bin/sh\n")}, ".gitignore": {Data: []byte("*.log\n")}, "x.log": {Data: []byte("x")}},
		Files: map[string]string{"kept.log": "k\n"},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := w.clone(w.scoped(contents("read")), "look", "look.txt", "look\n")
	equal(t, "files", strings.Join(strings.Fields(w.mustGit(dir, "", "ls-tree", "-r", "--name-only", sha)), " "),
		".gitignore README.md kept.log new/run.sh setup.sh")
	equal(t, "mode", w.mustGit(dir, "", "ls-tree", sha, "new/run.sh")[:6], "100755")
	tip := must(w.Log("acme/web", "main"))[0]
	equal(t, "tip", tip.SHA, sha)
	equal(t, "author", tip.Author, who)
	equal(t, "message", tip.Message, "Rework")
	for _, ch := range []githubtest.Change{{Files: map[string]string{"../x": ""}}, {Delete: []string{"not there"}}} {
		if _, err := w.Commit("acme/web", ch); err == nil {
			t.Errorf("commit %+v succeeded", ch)
		}
	}
}
