package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/session"
)

func importStream(t *testing.T, repo, stream string) {
	t.Helper()
	in, err := os.Open(stream)
	check(t, err)
	defer in.Close()
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Stdin = repo, in
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// gitServer serves a repository as /acme/web.git by git's own smart HTTP, to those who have the password.
func gitServer(t *testing.T, remote, password string) string {
	t.Helper()
	root := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(root, "acme"), 0o755))
	check(t, os.Symlink(remote, filepath.Join(root, "acme", "web.git")))
	exe, err := exec.Command("git", "--exec-path").Output()
	check(t, err)
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(exe)), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, got, _ := r.BasicAuth(); got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(401)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// pushRefused is what git push says.
const pushRefused = "fatal: 'Nothing is pushed from a sandbox. Commit your work; commits are collected at the end of the turn, and pushed when a person approves. " +
	"To propose the pull request, call the tool inspect_propose_pull_request. acme/web.git' does not appear to be a git repository"

// A clone by the credential helper: git asks it, it asks the runner, the runner the bot. The token is nowhere afterwards.
func TestCloneWithCredential(t *testing.T) {
	const secret = "ghs_readtoken"
	b := newBox(t, session.BootFresh, newRemote(t))
	host := gitServer(t, filepath.Clean(newRemote(t)), secret)
	b.boot.Repo, b.boot.CloneURL = session.Repo{Owner: "acme", Name: "web"}, host+"/acme/web.git"
	b.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/git/credential" {
			w.WriteHeader(404)
			return
		}
		if asked, _ := io.ReadAll(r.Body); !strings.Contains(strings.ToLower(string(asked)), `"path":"acme/web`) {
			w.WriteHeader(403)
			_ = json.NewEncoder(w).Encode(link.Problem{Code: session.Forbidden, Message: "This sandbox may read acme/web alone."})
			return
		}
		_ = json.NewEncoder(w).Encode(link.Credential{Username: "x-access-token", Password: secret, Expires: time.Unix(2_000_000_000, 0)})
	}
	b.start().ready()
	asked := `/git/credential {"protocol":"http","host":"` + strings.TrimPrefix(host, "http://") + `","path":"acme/web.git"}`
	b.mu.Lock()
	equal(t, "asked", b.calls[0], asked)
	b.mu.Unlock()
	check(t, filepath.WalkDir(b.boot.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("the token is in %s", path)
		}
		return err
	}))

	// The agent can fetch; its push is refused in words.
	b.turn(session.Delivery{ID: "1", Author: ana, Text: "!write a.txt a ;; !run git add . && git commit -qm a && git fetch -q && echo fetched && git push origin main"})
	e := b.found(func(e session.Event) bool {
		return e.Tool != nil && e.Tool.Name == "bash" && e.Tool.State == session.StepDone
	})
	if !strings.HasPrefix(e.Tool.Output, "fetched\n") || !strings.Contains(e.Tool.Output, pushRefused) || *e.Tool.Exit == 0 {
		t.Errorf("the push: %s", dump(e.Tool))
	}
	// So is one to the address for ssh, which is read by HTTP.
	b.turn(session.Delivery{ID: "ssh", Author: ana, Text: "!run git ls-remote -q --heads git@127.0.0.1:acme/web.git main | cut -f2 && git push git@127.0.0.1:acme/web.git main 2>&1; " +
		"git push ssh://git@127.0.0.1/acme/web.git main 2>&1 | grep -c 'Nothing is pushed'"})
	e = b.found(func(e session.Event) bool {
		return e.PromptID == "ssh" && e.Tool != nil && e.Tool.State == session.StepDone
	})
	if !strings.HasPrefix(e.Tool.Output, "refs/heads/main\n") || !strings.Contains(e.Tool.Output, pushRefused) || !strings.HasSuffix(strings.TrimSpace(e.Tool.Output), "\n1") {
		t.Errorf("by ssh: %s", dump(e.Tool))
	}
	b.turn(session.Delivery{ID: "2", Author: ana, Text: "!run git ls-remote " + host + "/acme/other.git"})
	other := b.found(func(e session.Event) bool {
		return e.PromptID == "2" && e.Tool != nil && e.Tool.State == session.StepDone
	})
	if !strings.Contains(other.Tool.Output, "This sandbox may read acme/web alone.") || *other.Tool.Exit == 0 {
		t.Errorf("another repository: %s", dump(other.Tool))
	}

	// The helper's protocol.
	socket := filepath.Join(b.boot.Dir, "run", "inside.sock")
	name := strings.TrimPrefix(host, "http://")
	for _, c := range []struct{ operation, in, out, refusal string }{
		{"get", "protocol=http\nhost=" + name + "\npath=acme/web.git\n\n", "username=x-access-token\npassword=" + secret + "\n", ""},
		{"get", "protocol=http\nhost=" + name + "\nwwwauth[]=Basic\n", "username=x-access-token\npassword=" + secret + "\n", ""},
		{"get", "protocol=http\nhost=" + name + "\npath=ACME/Web\n", "username=x-access-token\npassword=" + secret + "\n", ""},
		{"get", "protocol=https\nhost=" + name + "\npath=acme/web.git\n", "", "There is no credential for https://" + name + " in this sandbox."},
		{"get", "protocol=http\nhost=elsewhere.example\n", "", "There is no credential for http://elsewhere.example in this sandbox."},
		{"get", "host=x\n", "", "git did not say what it needs a credential for."},
		{"store", "protocol=http\nhost=" + name + "\nusername=u\npassword=p\n", "", ""},
		{"erase", "protocol=http\nhost=" + name + "\n", "", ""},
	} {
		in := strings.NewReader(c.in)
		var out strings.Builder
		err := runner.GitCredential(context.Background(), socket, c.operation, in, &out)
		equal(t, c.operation+" "+c.in, out.String(), c.out)
		equal(t, "left unread", in.Len(), 0)
		if refusal := ""; err != nil || c.refusal != "" {
			if err != nil {
				refusal = session.Sentence(err)
			}
			equal(t, "refusal", refusal, c.refusal)
		}
	}
}

func TestMCPHandshake(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	command := b.agent.Config().Tools
	ctx := context.Background()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	server, err := client.Connect(ctx, &mcp.CommandTransport{Command: exec.Command(command[0], command[1:]...)}, nil)
	check(t, err)
	defer server.Close()
	tools, err := server.ListTools(ctx, nil)
	check(t, err)
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
		if len(tool.Description) < 80 {
			t.Errorf("%s is hardly described: %q", tool.Name, tool.Description)
		}
	}
	equal(t, "tools", strings.Join(names, " "), "ask post_update propose_pull_request upload_image")
	answer, err := server.CallTool(ctx, &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{"question": "Which?"}})
	check(t, err)
	equal(t, "answer", answer.Content[0].(*mcp.TextContent).Text, "heard /tools/ask")
	wrong, err := server.CallTool(ctx, &mcp.CallToolParams{Name: "ask", Arguments: map[string]any{"q": 1}})
	if err == nil && !wrong.IsError {
		t.Error("arguments that do not fit were taken")
	}
	resp, err := http.NewRequest(http.MethodPost, "http://runner/tools/anything", nil)
	check(t, err)
	if r, err := b.link.RoundTrip(resp); err != nil || r.StatusCode != 404 {
		t.Errorf("the bot reached the inside of the sandbox: %v %v", r, err)
	}
}
