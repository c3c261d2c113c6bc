package opencode

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openinspect/session"
)

// player is a server of OpenCode's that says what a transcript has.
type player struct {
	t *testing.T
	*server

	mu       sync.Mutex
	prompt   map[string]any // as it was posted
	posted   chan struct{}
	streams  []string // transcript lines for each stream that is opened; the last one stays open
	opened   int
	messages string // answer to GET /session/ses_main/message
	busy     string // answer to GET /session/status
	aborted  chan struct{}
}

func newPlayer(t *testing.T, streams ...string) *player {
	t.Helper()
	p := &player{t: t, streams: streams, posted: make(chan struct{}), aborted: make(chan struct{}), messages: "[]", busy: "{}"}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.server = &server{base: s.URL, dir: "/sandbox/checkout", client: s.Client(), exited: make(chan struct{})}
	return p
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("directory") != "/sandbox/checkout" {
		p.t.Errorf("%s names no checkout", r.URL)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /event":
		p.play(w, r)
	case "POST /session/ses_main/prompt_async":
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := json.NewDecoder(r.Body).Decode(&p.prompt); err != nil {
			p.t.Error(err)
		}
		close(p.posted)
		w.WriteHeader(http.StatusNoContent)
	case "POST /session/ses_main/abort":
		close(p.aborted)
		fmt.Fprintln(w, "true")
	case "GET /session/status":
		io.WriteString(w, p.marked(p.busy))
	case "GET /session/ses_main/message":
		io.WriteString(w, p.marked(p.messages))
	default:
		p.t.Errorf("%s %s", r.Method, r.URL)
	}
}

func (p *player) marked(text string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, _ := p.prompt["messageID"].(string)
	return strings.ReplaceAll(text, promptMark, id)
}

// play sends the next transcript once there is a prompt.
func (p *player) play(w http.ResponseWriter, r *http.Request) {
	flush := func(text string) {
		io.WriteString(w, text)
		http.NewResponseController(w).Flush()
	}
	flush("data: {\"type\":\"server.connected\",\"properties\":{}}\n\n")
	select {
	case <-p.posted:
	case <-r.Context().Done():
		return
	}
	p.mu.Lock()
	text, last := p.streams[p.opened], p.opened == len(p.streams)-1
	p.opened++
	p.mu.Unlock()
	for line := range strings.Lines(p.marked(text)) {
		flush("data: " + strings.TrimSpace(line) + "\n\n")
	}
	if last {
		<-r.Context().Done()
	}
}

func (p *player) run(ctx context.Context, c Config) (*recorder, error) {
	out := newRecorder()
	return out, p.runTo(ctx, c, out)
}

func (p *player) runTo(ctx context.Context, c Config, out *recorder) error {
	if c.Clock == nil {
		c.Clock = session.SystemClock{}
	}
	return newTurn(c, p.server, "ses_main", session.Delivery{ID: "1.1", Text: "go", Model: sonnet, Effort: "high"}, out).run(ctx)
}

func transcript(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a log gets of each transcript of the real agent. TestTurns records them; both are written anew with -record.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) < 8 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) {
			p := newPlayer(t, transcript(t, name))
			out, err := p.run(t.Context(), Config{})
			lines := append(out.lines, "answered")
			if err != nil {
				lines[len(lines)-1] = fmt.Sprintf("failed: %s: %s", session.CodeOf(err), session.Sentence(err))
			}
			got := []byte(strings.Join(lines, "\n") + "\n")
			golden := strings.TrimSuffix(file, ".jsonl") + ".golden"
			if *record {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestPrompt(t *testing.T) {
	p := newPlayer(t, transcript(t, "retry"))
	if _, err := p.run(t.Context(), Config{}); err != nil {
		t.Fatal(err)
	}
	if m, _ := json.Marshal(p.prompt["model"]); string(m) != `{"modelID":"claude-sonnet-5","providerID":"anthropic"}` || p.prompt["variant"] != "high" || p.prompt["system"] != instructions {
		t.Errorf("%v", p.prompt)
	}
}

// A turn that ended says so twice; the second time may come when the next turn has begun.
func TestLateWordsOfTheTurnBefore(t *testing.T) {
	p := newPlayer(t, `{"type":"session.error","properties":{"sessionID":"ses_main","error":{"name":"MessageAbortedError","data":{"message":"Aborted"}}}}
{"type":"session.idle","properties":{"sessionID":"ses_main"}}
`+transcript(t, "plan"))
	out, err := p.run(t.Context(), Config{})
	words, _ := out.words()
	if err != nil || strings.Join(words, "") != "text There it is." {
		t.Errorf("%q %v", words, err)
	}
}

// cutAt splits a transcript before the first line that holds mark.
func cutAt(t *testing.T, text, mark string) (before, after string) {
	t.Helper()
	i := strings.Index(text, mark)
	if i < 0 {
		t.Fatalf("no %q", mark)
	}
	i = strings.LastIndex(text[:i], "\n") + 1
	return text[:i], text[i:]
}

// asMessages makes of a transcript what the conversation is at its end.
func asMessages(t *testing.T, text string) string {
	t.Helper()
	infos, parts, order := map[string]json.RawMessage{}, map[string][]json.RawMessage{}, []string(nil)
	ended := map[string]int{}
	for line := range strings.Lines(text) {
		var e struct {
			Properties struct{ Info, Part json.RawMessage }
		}
		var of struct {
			Properties struct {
				Info, Part struct{ ID, MessageID string }
			}
		}
		if json.Unmarshal([]byte(line), &e) != nil || json.Unmarshal([]byte(line), &of) != nil {
			t.Fatal(line)
		}
		switch id := of.Properties.Info.ID; {
		case strings.HasPrefix(id, "msg_"):
			if infos[id] == nil {
				order = append(order, id)
			}
			infos[id] = e.Properties.Info
		case of.Properties.Part.ID != "":
			m, part := of.Properties.Part.MessageID, of.Properties.Part.ID
			if at, ok := ended[part]; ok {
				parts[m][at] = e.Properties.Part
				continue
			}
			ended[part] = len(parts[m])
			parts[m] = append(parts[m], e.Properties.Part)
		}
	}
	var all []map[string]any
	for _, id := range order {
		all = append(all, map[string]any{"info": infos[id], "parts": parts[id]})
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The event stream breaks while a text is being written; the rest is read from the conversation.
func TestLostStream(t *testing.T) {
	whole := transcript(t, "edit")
	first, rest := cutAt(t, whole, "Let me see.")
	t.Run("the turn goes on", func(t *testing.T) {
		// In between a thought and a text became whole, and a tool ran; the stream goes on in the second step.
		between, after := cutAt(t, rest, `"tool":"edit"`)
		p := newPlayer(t, first, after)
		p.messages, p.busy = asMessages(t, first+between), `{"ses_main":{"type":"busy"}}`
		out, err := p.run(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		p.check(t, out)
	})
	t.Run("the turn has ended meanwhile", func(t *testing.T) {
		p := newPlayer(t, first, "")
		p.messages = asMessages(t, whole)
		out, err := p.run(t.Context(), Config{})
		if err != nil {
			t.Fatal(err)
		}
		p.check(t, out)
	})
}

// check holds that nothing of the edit was told twice or not at all.
func (p *player) check(t *testing.T, out *recorder) {
	t.Helper()
	words, calls := out.words()
	if got := strings.Join(words, "\n"); got != "reasoning I should look first.\ntext Let me see.\ntext It says hello now." {
		t.Errorf("said:\n%s", got)
	}
	done := 0
	for _, c := range calls {
		if strings.HasSuffix(c, " done") {
			done++
		}
	}
	if done != 3 {
		t.Errorf("called: %q", calls)
	}
	shown(t, out)
}

func TestCut(t *testing.T) {
	for _, s := range []string{"short", strings.Repeat("é", maxOutput), strings.Repeat("日本", maxOutput)} {
		got := cut(s)
		if len(got) > maxOutput || len(s) <= maxOutput && got != s || strings.ContainsRune(got, '\uFFFD') || len(s) > maxOutput && len(got) < maxOutput-16 {
			t.Errorf("%d bytes became %d", len(s), len(got))
		}
	}
}
