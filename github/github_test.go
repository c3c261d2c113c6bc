package github

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"openinspect/github/githubtest"
	"openinspect/github/githubtest/openapi"
	"openinspect/session"
	"openinspect/session/boltdb"
)

var (
	ada = session.Person{Slack: "UADA", Name: "Ada", GitHub: &session.Identity{ID: 101, Login: "ada"}}
	bob = session.Person{Slack: "UBOB", Name: "Bob", GitHub: &session.Identity{ID: 102, Login: "bob"}}
	web = session.Repo{Owner: "acme", Name: "web"}
	id  = session.ID("abcdefghij")
)

// world is a GitHub with a repository, and a checkout of it as a sandbox would have one.
type world struct {
	t      testing.TB
	server *githubtest.Server
	github *GitHub
	linked chan linked
	dir    string
	bot    session.Author

	branch   string // what open pushes to
	branches int
}

type linked struct {
	slack string
	flow  string
	id    *session.Identity
	err   error
}

func newWorld(t testing.TB, change ...func(*githubtest.Config)) *world {
	t.Helper()
	w := &world{t: t, linked: make(chan linked, 4), dir: filepath.Join(t.TempDir(), "checkout"), branch: "inspect/abcdefghij-fix"}
	c := githubtest.Config{
		DeviceInterval: time.Second, Validate: openapi.Hook(t),
		Users: []githubtest.User{
			{Login: "ada", ID: 101, Access: map[string]string{"*": "write"}}, {Login: "bob", ID: 102, Access: map[string]string{"*": "write"}},
			{Login: "cyd", ID: 104, Access: map[string]string{"*": "write"}}, {Login: "eve", ID: 103},
		},
		Repositories: []githubtest.Repository{
			{Name: "acme/web", Description: "The shop", Private: true, Files: map[string]string{"README.md": "# web\n", "cart.go": "package cart\n", "lib/a.txt": strings.Repeat("line\n", 400)}},
			{Name: "acme/empty", Private: true},
			{Name: "acme/hidden", Private: true, Uninstalled: true, Files: map[string]string{"a": "a"}},
		},
	}
	for _, f := range change {
		f(&c)
	}
	w.server = githubtest.New(c)
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.server.Close() })
	db, err := boltdb.Open(filepath.Join(t.TempDir(), "data", "inspect.db"), boltdb.Options{MasterKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	app := w.server.App()
	at := &starting{Store: db, last: make(chan struct{})}
	w.github, err = New(Config{
		URL: w.server.URL(), AppID: app.ID, ClientID: app.ClientID, PrivateKey: w.server.PrivateKeyPEM(), Dir: t.TempDir(), Store: at,
		Linked: func(_ context.Context, slack, flow string, id *session.Identity, err error) error {
			w.linked <- linked{slack, flow, id, err}
			return nil
		},
		LogURL: func(id session.ID) string { return "https://inspect.test/s/" + string(id) },
		Report: func(op string, err error) { w.t.Errorf("%s: %v", op, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.github.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	<-at.last
	w.github.c.Store = db // nothing reads the configuration any more but what a test does, which may change it
	if w.bot, err = w.github.Bot(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

// starting tells when Run has asked the last that it asks of a store.
type starting struct {
	Store
	last chan struct{}
}

func (s *starting) Secrets(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.Store.Secrets(ctx, prefix)
	if prefix == mintedPrefix {
		close(s.last)
	}
	return keys, err
}

// link links a person the way they would, but for the seconds that GitHub has people wait: link_test.go has the whole of it.
func (w *world) link(p session.Person) {
	w.t.Helper()
	granted, err := w.server.Authorize(p.GitHub.Login)
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := json.Marshal(userToken{Identity: *p.GitHub, Access: granted.AccessToken, Refresh: granted.RefreshToken, Expires: granted.Expires})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.github.c.Store.LinkUser(context.Background(), p.Slack, *p.GitHub, session.SecretChange{Key: userKey(p.Slack), Value: token}); err != nil {
		w.t.Fatal(err)
	}
}

// clone makes the checkout, with a token as a sandbox would get it.
func (w *world) clone() {
	w.t.Helper()
	user, password, _, err := w.github.Clone(context.Background(), web)
	if err != nil {
		w.t.Fatal(err)
	}
	url := strings.Replace(w.github.CloneURL(web), "://", "://"+user+":"+password+"@", 1)
	w.run("", "git", "clone", "-q", url, w.dir)
}

func (w *world) run(env string, name string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(name, args...)
	if name == "git" && args[0] != "clone" {
		cmd.Dir = w.dir
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	cmd.Env = append(cmd.Env, strings.Fields(env)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// as is the environment of a commit by an author, committed by the bot.
func (w *world) as(a session.Author) string {
	return fmt.Sprintf("GIT_AUTHOR_NAME=%s GIT_AUTHOR_EMAIL=%s GIT_COMMITTER_NAME=%s GIT_COMMITTER_EMAIL=%s", a.Name, a.Email, w.bot.Name, w.bot.Email)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) commit(p session.Person, name, text, message string) {
	w.t.Helper()
	a, _ := p.Author()
	w.write(name, text)
	w.run("", "git", "add", "-A")
	w.run(w.as(a), "git", "commit", "-q", "-m", message)
}

// amend gives HEAD another message, to the byte.
func (w *world) amend(p session.Person, message string) {
	w.t.Helper()
	a, _ := p.Author()
	w.write(".git/message", message)
	w.run(w.as(a), "git", "commit", "-q", "--amend", "--cleanup=verbatim", "-F", ".git/message")
}

// bundler bundles HEAD as a runner does.
func (w *world) bundler(ctx context.Context, have []string) (io.ReadCloser, error) {
	args := []string{"bundle", "create", "-q", "-", "refs/inspect/head"}
	w.run("", "git", "update-ref", "refs/inspect/head", "HEAD")
	for _, h := range have {
		if exec.Command("git", "-C", w.dir, "cat-file", "-e", h).Run() == nil {
			args = append(args, "^"+h)
		}
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = w.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, nil // nothing new
	}
	return io.NopCloser(bytes.NewReader(out)), nil
}

func (w *world) request() session.CollectRequest {
	a, _ := ada.Author()
	b, _ := bob.Author()
	return session.CollectRequest{Session: id, Repo: web, Base: "main", Identities: []session.Author{a, b}}
}

func (w *world) collect() (*session.Changes, error) {
	return w.github.Collect(context.Background(), w.request(), w.bundler)
}

func TestFromCommitsToPullRequest(t *testing.T) {
	w := newWorld(t)
	w.link(bob)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	w.commit(ada, "lib/a.txt", strings.Repeat("line\n", 400)+"more\n", "Add more")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	head := w.run("", "git", "rev-parse", "HEAD")
	if c.Head != head || c.Commits != 2 || c.Subject != "Add more" || len(c.Files) != 2 || c.Files[0] != (session.FileChange{Path: "cart.go", Added: 2}) || !strings.Contains(c.Patch, "+var fixed = true") {
		t.Errorf("%+v", c)
	}
	for range 2 { // the second time is a crash before the first was recorded
		pr, err := w.open(c.Head, bob)
		if err != nil {
			t.Fatal(err)
		}
		if pr.Number != 1 || pr.Commit != head || pr.OpenedBy.Slack != "UBOB" || pr.Adopted {
			t.Errorf("%+v", pr)
		}
	}
	pulls := w.server.Pulls("acme/web")
	if len(pulls) != 1 || pulls[0].Author != "bob" || pulls[0].HeadSHA != head {
		t.Fatalf("%+v", pulls)
	}
	for _, want := range []string{"It was broken. cc @\u200beveryone", "**Ada (@ada)**: fix the cart", "Co-authored-by: Ada <101+ada@users.noreply.github.com>", "https://inspect.test/s/abcdefghij", "Inspect-Session: abcdefghij", "\nInspect-Audit: " + auditHead.String() + "\n"} {
		if !strings.Contains(pulls[0].Body, want) {
			t.Errorf("the body lacks %q:\n%s", want, pulls[0].Body)
		}
	}
	if strings.Contains(pulls[0].Body, "CEO") { // who squashes may take it for the message
		t.Errorf("the agent named somebody in the body:\n%s", pulls[0].Body)
	}
	for _, token := range w.server.Tokens() {
		if token.Login == "" && len(token.Permissions) > 0 && token.Permissions["contents"] == "write" && (token.Revoked.IsZero() || !slices.Equal(token.Repositories, []string{"acme/web"})) {
			t.Errorf("a token that may write was left: %+v", token)
		}
	}
	// Nothing new: no bundle, no change.
	r := w.request()
	r.Collected = c.Head
	if c, err := w.github.Collect(context.Background(), r, w.bundler); c != nil || err != nil {
		t.Errorf("%+v %v", c, err)
	}
}

func TestRebaseAndMergeOfMain(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.commit(ada, "cart.go", "package cart\n\nvar fixed = true\n", "Fix the cart")
	if _, err := w.server.Commit("acme/web", githubtest.Change{Message: "Elsewhere", Files: map[string]string{"other.txt": "x\n"}}); err != nil {
		t.Fatal(err)
	}
	user, password, _, err := w.github.Clone(context.Background(), web)
	if err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(w.github.CloneURL(web), "://", "://"+user+":"+password+"@", 1)
	w.run("", "git", "fetch", "-q", url, "main")
	a, _ := ada.Author()
	w.run(w.as(a), "git", "merge", "-q", "--no-edit", "FETCH_HEAD")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	if c.Commits != 2 || len(c.Files) != 1 || c.Files[0].Path != "cart.go" {
		t.Errorf("after a merge of main: %+v", c)
	}
	w.run("", "git", "reset", "-q", "--hard", "HEAD^1")
	w.run(w.as(a), "git", "rebase", "-q", "FETCH_HEAD")
	if c, err = w.collect(); err != nil || c.Commits != 1 || len(c.Files) != 1 {
		t.Errorf("after a rebase: %+v %v", c, err)
	}
}

// What is refused, and in which words.
func TestGate(t *testing.T) {
	token := "ghp_" + strings.Repeat("a1B2", 9)
	for _, c := range []struct {
		name string
		do   func(w *world)
		want string
	}{
		{"stranger", func(w *world) {
			w.commit(session.Person{Slack: "UEVE", Name: "Eve", GitHub: &session.Identity{ID: 103, Login: "eve"}}, "a.txt", "a\n", "a")
		}, "names an author who did not prompt in this session (Eve, 103+eve@"},
		{"committer", func(w *world) {
			w.write("a.txt", "a\n")
			w.run("", "git", "add", "-A")
			w.run("GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=101+ada@users.noreply.github.com GIT_COMMITTER_NAME=x GIT_COMMITTER_EMAIL=x@x", "git", "commit", "-q", "-m", "a")
		}, "was committed by x, x@x instead of the bot"},
		{"secret", func(w *world) { w.commit(ada, "prod.env", "A=1\nB=2\nKEY="+token+"\n", "a") }, "`prod.env` line 3 in commit"},
		{"secret added and removed", func(w *world) {
			w.commit(ada, "prod.env", "KEY="+token+"\n", "a")
			w.commit(ada, "prod.env", "KEY=\n", "b")
		}, "`prod.env` line 1 in commit"},
		{"large file", func(w *world) { w.commit(ada, "big.bin", strings.Repeat("x", maxFile+1), "a") }, "`big.bin` in commit"},
		{"no common history", func(w *world) {
			w.run("", "git", "checkout", "-q", "--orphan", "new")
			w.commit(ada, "a.txt", "a\n", "a")
		}, "no history in common"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.clone()
			c.do(w)
			got, err := w.collect()
			if got != nil || session.CodeOf(err) != session.Invalid || !strings.Contains(session.Sentence(err), c.want) {
				t.Errorf("%+v %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Error("the secret is in the error")
			}
		})
	}
}

func TestAttention(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.commit(ada, ".github/workflows/ci.yml", "on: push\n", "a")
	w.commit(ada, "ordinary.txt", "x\n", "b")
	c, err := w.collect()
	if err != nil || !slices.Equal(c.Attention, []string{".github/workflows/ci.yml"}) || !slices.Equal(c.Named, c.Attention) {
		t.Fatalf("%+v %v", c, err)
	}
	w.link(ada)
	_, err = w.open(c.Head, ada)
	if session.CodeOf(err) != session.Forbidden || !strings.Contains(session.Sentence(err), ".github/workflows") {
		t.Errorf("%v", err)
	}
}

func TestBundleHeaders(t *testing.T) {
	hash := strings.Repeat("a", 40)
	for _, bundle := range []string{
		"", "PACK", "# v3 git bundle\n" + hash + " refs/inspect/head\n\n",
		"# v2 git bundle\n\n", "# v2 git bundle\n" + hash + " HEAD\n\n",
		"# v2 git bundle\n" + hash + " refs/inspect/head\n" + hash + " refs/heads/main\n\n",
		"# v2 git bundle\n" + hash + " refs/inspect/head\n-" + hash + " x\n\n",
		"# v2 git bundle\n-zz\n" + hash + " refs/inspect/head\n\n",
		"# v2 git bundle\n-" + hash + " x\n" + hash + " refs/inspect/head\n\nPACK",
		"# v2 git bundle\n" + hash + " refs/inspect/head\n\nPACK\x00\x00\x00\x02garbage",
		"# v2 git bundle\n" + strings.Repeat("x", 100_000),
	} {
		w := newWorld(t)
		_, err := w.github.Collect(context.Background(), w.request(), func(context.Context, []string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(bundle)), nil
		})
		if session.CodeOf(err) != session.Invalid {
			t.Errorf("%.60q: %v", bundle, err)
		}
	}
}

func TestWhoMayOpen(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.commit(ada, "cart.go", "package cart // better\n", "Better")
	c, err := w.collect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(c.Head, bob); session.CodeOf(err) != session.Forbidden || !strings.Contains(session.Sentence(err), "/inspect link") {
		t.Errorf("unlinked: %v", err)
	}
	eve := session.Person{Slack: "UEVE", Name: "Eve", GitHub: &session.Identity{ID: 103, Login: "eve"}}
	w.link(eve)
	if _, err := w.open(c.Head, eve); session.CodeOf(err) != session.NotFound || !strings.Contains(session.Sentence(err), "eve cannot see acme/web") {
		t.Errorf("no access: %v", err)
	}
	w.link(bob)
	w.server.RevokeAuthorization("bob")
	if _, err := w.open(c.Head, bob); session.CodeOf(err) != session.Forbidden || !strings.Contains(session.Sentence(err), "not linked any more") {
		t.Errorf("revoked: %v", err)
	}
	if _, err := w.open(strings.Repeat("0", 40), eve); err == nil {
		t.Error("a commit that was never checked was pushed")
	}
	if refs := w.server.Branches("acme/web"); len(refs) != 1 {
		t.Errorf("branches: %v", refs)
	}
}
