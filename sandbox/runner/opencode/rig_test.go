package opencode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/sandbox/runner"
	"openinspect/session"
	"openinspect/session/model"
	"openinspect/session/model/modeltest"
)

// record keeps what the real agent says while the tests run, as the transcripts that the other tests read.
var record = flag.Bool("record", false, "write testdata anew, from the real agent")

// TestMain also serves as the program that the agent starts for our tools.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "mcp" {
		if err := runner.MCP(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// recorder is what an agent told.
type recorder struct {
	mu     sync.Mutex
	events []session.Event
	deltas []session.Delta
	lines  []string       // both, in their order, for people to read
	names  map[string]int // parts are numbered
	told   chan struct{}  // gets one for each event and delta
}

func newRecorder() *recorder {
	return &recorder{names: map[string]int{}, told: make(chan struct{}, 1000)}
}

func (r *recorder) Event(e session.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	switch {
	case e.Text != nil:
		r.line("%s %d %q", e.Kind, r.name(e.Text.Part), e.Text.Text)
	case e.Tool != nil:
		t := e.Tool
		child, exit := "", ""
		if t.Child {
			child = "child "
		}
		if t.Exit != nil {
			exit = fmt.Sprintf(" exit=%d", *t.Exit)
		}
		r.line("%stool %s %s %q %s%s", child, t.Name, t.State, t.Title, t.Input, exit)
		for _, text := range []string{t.Output, t.Error, t.Diff} {
			for line := range strings.Lines(text) {
				r.line("\t%s", strings.TrimRight(line, "\n"))
			}
		}
	case e.Todo != nil:
		r.line("todo %v", e.Todo)
	case e.Retry != nil:
		r.line("retry %d %q", e.Retry.Attempt, e.Retry.Reason)
	}
	r.tell()
}

func (r *recorder) tell() {
	select {
	case r.told <- struct{}{}:
	default:
	}
}

func (r *recorder) line(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) name(part string) int {
	if r.names[part] == 0 {
		r.names[part] = len(r.names) + 1
	}
	return r.names[part]
}

func (r *recorder) Delta(d session.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deltas = append(r.deltas, d)
	r.line("~ %s %d at %d %q", d.Kind, r.name(d.Part), d.Offset, d.Text)
	r.tell()
}

func (r *recorder) all() ([]session.Event, []session.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events, r.deltas
}

// words are the texts and thoughts that were told, calls the tools: each in its order. Which of two parts that are written at once ends first
// is the agent's business.
func (r *recorder) words() (words, calls []string) {
	events, _ := r.all()
	for _, e := range events {
		switch {
		case e.Text != nil:
			words = append(words, string(e.Kind)+" "+e.Text.Text)
		case e.Tool != nil:
			calls = append(calls, e.Tool.Name+" "+string(e.Tool.State))
		}
	}
	return words, calls
}

// rig is the real agent in a checkout, with a scripted model.
type rig struct {
	t      *testing.T
	models *modeltest.Provider
	agent  *Agent
	config runner.AgentConfig
	tools  chan link.UpdateRequest // what the agent's tool post_update was called with
}

func newRig(t *testing.T, script string) *rig {
	t.Helper()
	scripts, err := modeltest.Parse("test", script)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, tools: make(chan link.UpdateRequest, 1)}
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
		Owner: func() session.ID { return "abcdefghij" }, Start: "s1", Dir: filepath.Join(dir, "checkout"), Home: filepath.Join(dir, "home"), Model: "anthropic/claude-sonnet-5",
		Env: func() []string {
			return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "LANG=C.UTF-8", "TMPDIR=" + dir, "OPENINSPECT_SESSION=nobodysyet"}
		},
		Providers: []string{model.Anthropic}, Token: modeltest.AnthropicKey, Catalogue: catalogue,
		Tools: []string{os.Args[0], "mcp", r.serveTools(dir)},
	}
	// The scripted provider serves /v1; the port in a sandbox serves /anthropic/v1.
	target, err := url.Parse(r.models.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval, proxy.ErrorLog = -1, log.New(io.Discard, "", 0) // cut answers are part of the tests
	port := httptest.NewServer(http.StripPrefix("/anthropic", proxy))
	t.Cleanup(port.Close)
	r.config.Gateway = port.URL
	for _, d := range []string{r.config.Dir, r.config.Home} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := exec.Command("git", "init", "--quiet", "--initial-branch=main", r.config.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, said)
	}
	for name, text := range map[string]string{"hello.txt": "helo\n", "AGENTS.md": "Greetings have a full stop.\n"} {
		if err := os.WriteFile(filepath.Join(r.config.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	return r
}

// serveTools stands for the runner's inside socket.
func (r *rig) serveTools(dir string) (socket string) {
	r.t.Helper()
	socket = filepath.Join(dir, "inside.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		r.t.Fatal(err)
	}
	inside := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var u link.UpdateRequest
		if err := json.NewDecoder(q.Body).Decode(&u); err != nil {
			r.t.Error(err)
		}
		r.tools <- u
		json.NewEncoder(w).Encode(link.ToolAnswer{Text: "Posted, thank you."})
	})}
	go inside.Serve(l) // ends with Close
	r.t.Cleanup(func() { inside.Close() })
	return socket
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

const sonnet = "anthropic/claude-sonnet-5"

// run gives the agent a prompt. name is that of the transcript that is recorded, if any is.
func (r *rig) run(ctx context.Context, name, text string) (*recorder, error) {
	r.t.Helper()
	return r.runOn(ctx, name, text, sonnet, newRecorder())
}

func (r *rig) runOn(ctx context.Context, name, text, model string, out *recorder) (*recorder, error) {
	r.t.Helper()
	save := r.transcript(name)
	err := r.agent.Run(ctx, session.Delivery{ID: "1.1", Text: text, Model: model}, out)
	save()
	return out, err
}

// transcript begins to record what the agent says; the function it returns writes that down.
func (r *rig) transcript(name string) (save func()) {
	r.t.Helper()
	if !*record || name == "" {
		return func() {}
	}
	id, err := r.agent.conversation(r.t.Context(), r.agent.server)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := r.agent.server.request(r.t.Context(), "GET", "/event", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.agent.server.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	lines.Scan() // server.connected
	var kept [][]byte
	done := make(chan struct{})
	prompt := "msg_none"
	go func() {
		defer close(done)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			var e event
			if !ok || json.Unmarshal(data, &e) != nil || !slices.Contains(readKinds, e.Type) {
				continue
			}
			if e.Properties.Info.Role == "user" && prompt == "msg_none" {
				prompt = e.Properties.Info.ID
			}
			kept = append(kept, withoutSystem(r.t, data))
			if e.Type == "session.idle" && e.Properties.SessionID == id {
				return
			}
		}
	}()
	return func() {
		<-done
		resp.Body.Close()
		text := string(bytes.Join(kept, []byte("\n"))) + "\n"
		text = strings.NewReplacer(prompt, promptMark, id, "ses_main", filepath.Dir(r.config.Dir), "/sandbox").Replace(text)
		if err := os.WriteFile(filepath.Join("testdata", name+".jsonl"), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// withoutSystem takes what we tell the agent beside each prompt out of an event: it is the same each time.
func withoutSystem(t *testing.T, data []byte) []byte {
	var e struct {
		Type       string         `json:"type"`
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Error(err)
	}
	if info, ok := e.Properties["info"].(map[string]any); ok {
		delete(info, "system")
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Error(err)
	}
	return b
}

// promptMark stands in a transcript for the prompt's id.
const promptMark = "msg_PROMPT"

// readKinds are the events that are read.
var readKinds = []string{
	"message.updated", "message.part.updated", "message.part.delta", "session.status", "session.idle", "session.error",
	"session.created", "session.compacted", "todo.updated",
}

// fifo makes a pipe with a name in the checkout; the function it returns waits for a process id that a command writes into it.
func (r *rig) fifo(name string) (read func() int) {
	r.t.Helper()
	path := filepath.Join(r.config.Dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return func() int {
		b, err := os.ReadFile(path)
		if err != nil {
			r.t.Error(err)
		}
		var pid int
		if _, err := fmt.Sscan(string(b), &pid); err != nil {
			r.t.Errorf("%q: %v", b, err)
		}
		return pid
	}
}
