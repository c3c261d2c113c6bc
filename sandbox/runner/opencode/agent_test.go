package opencode

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openinspect/sandbox/runner"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
)

// recorder is what an agent told.
type recorder struct {
	mu     sync.Mutex
	events []session.Event
	deltas []session.Delta
	told   chan struct{} // gets one for each event
}

func (r *recorder) Event(e session.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	select {
	case r.told <- struct{}{}:
	default:
	}
}

func (r *recorder) Delta(d session.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deltas = append(r.deltas, d)
}

func (r *recorder) all() ([]session.Event, []session.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events, r.deltas
}

// rig is the real agent in a checkout, with a scripted model.
type rig struct {
	t      *testing.T
	models *modeltest.Provider
	agent  *Agent
	config runner.AgentConfig
}

func newRig(t *testing.T, script string) *rig {
	t.Helper()
	scripts, err := modeltest.Parse("test", script)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t}
	if r.models, err = modeltest.New(modeltest.Config{Scripts: scripts}); err != nil {
		t.Fatal(err)
	}
	if err := r.models.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.models.Close() })
	dir := t.TempDir()
	catalogue := filepath.Join(dir, "models.json")
	if err := os.WriteFile(catalogue, model.OpenCode(model.All()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.config = runner.AgentConfig{
		Session: "abcdefghij", Start: "s1", Dir: filepath.Join(dir, "checkout"), Home: filepath.Join(dir, "home"), Model: "anthropic/claude-sonnet-5",
		Env:       []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "LANG=C.UTF-8", "TMPDIR=" + dir},
		Providers: []string{model.Anthropic}, Token: modeltest.AnthropicKey, Catalogue: catalogue,
	}
	// The scripted provider serves /v1; the port in a sandbox serves /anthropic/v1.
	target, err := url.Parse(r.models.URL())
	if err != nil {
		t.Fatal(err)
	}
	port := httptest.NewServer(http.StripPrefix("/anthropic", httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(port.Close)
	r.config.Gateway = port.URL
	for _, d := range []string{r.config.Dir, r.config.Home} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(r.config.Dir, "hello.txt"), []byte("helo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	binary, err := Find(r.t.Context(), os.Getenv("INSPECT_OPENCODE"), os.Stderr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.agent = New(Config{Binary: binary})
	if err := r.agent.Start(r.t.Context(), r.config); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.agent.Close() })
}

func (r *rig) run(ctx context.Context, text string) (*recorder, error) {
	out := &recorder{told: make(chan struct{}, 1000)}
	err := r.agent.Run(ctx, session.Delivery{ID: "1.1", Text: text, Model: "anthropic/claude-sonnet-5"}, out)
	return out, err
}

const greeting = `
script greeting
match fix the greeting
think I should look first.
say Let me see.
tool read {"filePath":"hello.txt"}
step
tool edit {"filePath":"hello.txt","oldString":"helo","newString":"hello"}
step
tool bash {"command":"cat hello.txt; env | grep -c SECRET; exit 3","description":"Show the file"}
step
say It says hello now.

script what
match what did I ask before
say You asked me about the greeting.

script slow
match wait for it
tool bash {"command":"sleep 300 & echo $! > pid; wait","description":"Wait"}
step
say Never said.
`

func TestTurns(t *testing.T) {
	r := newRig(t, greeting)
	if v := r.agent.Version(); v != "opencode "+Version {
		t.Errorf("the version is %q; what this package knows was read from %s", v, Version)
	}
	t.Run("edit", func(t *testing.T) {
		out, err := r.run(t.Context(), "fix the greeting")
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(filepath.Join(r.config.Dir, "hello.txt")); string(b) != "hello\n" {
			t.Errorf("the file says %q", b)
		}
		events, deltas := out.all()
		var words, calls []string // each in its order; which of two parallel parts ends first is the agent's business
		for _, e := range events {
			switch {
			case e.Text != nil:
				words = append(words, string(e.Kind)+" "+e.Text.Text)
			case e.Tool != nil:
				calls = append(calls, e.Tool.Name+" "+string(e.Tool.State))
				if e.Tool.Name == "bash" && e.Tool.State == session.StepDone && (e.Tool.Exit == nil || *e.Tool.Exit != 3 || !strings.Contains(e.Tool.Output, "hello\n0")) {
					t.Errorf("bash: %+v", e.Tool)
				}
				if e.Tool.Name == "edit" && e.Tool.State == session.StepDone && !strings.Contains(e.Tool.Diff, "+hello") {
					t.Errorf("edit: %+v", e.Tool)
				}
			}
		}
		if got := strings.Join(words, "\n"); got != "reasoning I should look first.\ntext Let me see.\ntext It says hello now." {
			t.Errorf("said:\n%s", got)
		}
		if got := strings.Join(calls, ", "); got != "read running, read done, edit running, edit done, bash running, bash done" {
			t.Errorf("called: %s", got)
		}
		if entries, err := os.ReadDir(filepath.Join(r.config.Home, ".config", "opencode", "node_modules")); err != nil || len(entries) != 1 {
			t.Errorf("packages were fetched into the home: %v %v", entries, err)
		}
		live := map[string]string{}
		for _, d := range deltas {
			if d.Offset != len(live[d.Part]) {
				t.Errorf("a delta at %d after %d bytes", d.Offset, len(live[d.Part]))
			}
			live[d.Part] += d.Text
		}
		for _, e := range events {
			if e.Text != nil && live[e.Text.Part] != e.Text.Text {
				t.Errorf("shown live: %q; told: %q", live[e.Text.Part], e.Text.Text)
			}
		}
	})
	t.Run("stop", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &recorder{told: make(chan struct{}, 1000)}
		done := make(chan error, 1)
		go func() {
			done <- r.agent.Run(ctx, session.Delivery{ID: "1.2", Text: "wait for it", Model: "anthropic/claude-sonnet-5"}, out)
		}()
		<-out.told // the command runs
		cancel()
		if err := <-done; err != context.Canceled {
			t.Errorf("%v", err)
		}
	})
	t.Run("the conversation goes on in a new server", func(t *testing.T) {
		if err := r.agent.Close(); err != nil {
			t.Fatal(err)
		}
		r.start()
		if _, err := r.run(t.Context(), "what did I ask before?"); err != nil {
			t.Fatal(err)
		}
		all := r.models.Requests()
		if last := string(all[len(all)-1].Body); !strings.Contains(last, "fix the greeting") {
			t.Error("the agent has forgotten the first prompt")
		}
	})
	t.Run("refused key", func(t *testing.T) {
		r.models.Fail(modeltest.Refused())
		_, err := r.run(t.Context(), "what did I ask before?")
		if session.CodeOf(err) != session.Forbidden || !strings.Contains(session.Sentence(err), "refused the bot's key") {
			t.Errorf("%v", err)
		}
	})
	t.Run("retry", func(t *testing.T) {
		r.models.Fail(modeltest.RateLimited(1))
		out, err := r.run(t.Context(), "what did I ask before?")
		if err != nil {
			t.Fatal(err)
		}
		events, _ := out.all()
		if len(events) < 2 || events[0].Retry == nil || events[0].Retry.Attempt != 1 {
			t.Errorf("%+v", events)
		}
	})
}
