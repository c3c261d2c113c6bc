package bot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"openinspect/session"
)

// show writes a message down for a golden file.
func show(m session.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "== %s %s", m.Op, m.Key)
	if m.User != "" {
		b.WriteString(" to " + m.User)
	}
	if m.Subject != (session.Subject{}) {
		fmt.Fprintf(&b, " (%s)", strings.TrimSpace(strings.Join([]string{m.Subject.Kind, m.Subject.PromptID, m.Subject.Card}, " ")))
	}
	if m.Urgent {
		b.WriteString(" urgent")
	}
	b.WriteString("\n")
	var parts []struct {
		Type     string
		Text     json.RawMessage
		Elements []struct {
			Text  json.RawMessage
			ID    string `json:"action_id"`
			Value string
		}
		Accessory struct {
			Text  struct{ Text string }
			ID    string `json:"action_id"`
			Value string
		}
	}
	if err := json.Unmarshal(m.Blocks, &parts); err != nil {
		return b.String() + m.Text + "\n"
	}
	for _, p := range parts {
		text := string(p.Text)
		var object struct{ Type, Text string }
		switch {
		case json.Unmarshal(p.Text, &object) == nil:
			text = object.Type + ": " + object.Text
		case json.Unmarshal(p.Text, &text) == nil:
		case p.Type == "actions":
			text = ""
			for _, e := range p.Elements {
				_ = json.Unmarshal(e.Text, &object)
				text += fmt.Sprintf("(%s: %s %s) ", object.Text, e.ID, e.Value)
			}
			text = strings.TrimSpace(text)
		case len(p.Elements) > 0:
			_ = json.Unmarshal(p.Elements[0].Text, &text)
		}
		if a := p.Accessory; a.ID != "" {
			text += fmt.Sprintf(" (%s: %s %s)", a.Text.Text, a.ID, a.Value)
		}
		fmt.Fprintf(&b, "[%s] %s\n", p.Type, strings.ReplaceAll(text, "\n", "\n    "))
	}
	return b.String()
}

// TestDigest plays logs, testdata/digest/*.jsonl: one event a line, and after an empty line what the thread shows is compared.
// Numbers and times are given by the test: a second for each event.
func TestDigest(t *testing.T) {
	logs, err := filepath.Glob("testdata/digest/*.jsonl")
	if err != nil || len(logs) == 0 {
		t.Fatal("no logs", err)
	}
	for _, path := range logs {
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			d, at, seq := newDigest(), newLeap().Now(), int64(0)
			v := view{id: "abcdefghij", thread: session.Thread{Team: "T", Channel: "C", TS: "1.0"}, rooted: true, repo: "`acme/web` `main`", approve: "white_check_mark", stop: "octagonal_sign"}
			if strings.Contains(name, "link") {
				v.logURL, v.rooted = escape("https://log.test/s/abcdefghij?e=1&s=2"), false
			}
			messages := newBatch()
			flush := func() {
				if d.turn != nil {
					messages.add(v.status(d), v.pulse(d))
				}
				for _, m := range messages.list() {
					out.WriteString(show(m))
				}
				out.WriteString("\n")
				messages = newBatch()
			}
			for l := range bytes.Lines(raw) {
				if len(bytes.TrimSpace(l)) == 0 {
					flush()
					continue
				}
				var e session.Event
				decoder := json.NewDecoder(bytes.NewReader(l))
				decoder.DisallowUnknownFields()
				if err := decoder.Decode(&e); err != nil {
					t.Fatalf("%s: %v", l, err)
				}
				seq++
				at = at.Add(time.Second)
				e.Seq, e.At = seq, at
				messages.add(render(v, d, e, d.apply(e))...)
			}
			flush()
			golden(t, filepath.Join("digest", name+".golden"), out.String())
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	d := newDigest()
	d.apply(session.Event{Kind: session.KindPrompt, PromptID: "1", Prompt: &session.PromptChange{State: session.PromptQueued}})
	d.apply(session.Event{Kind: session.KindTurn, PromptID: "1", Turn: &session.TurnChange{State: session.TurnStarted}})
	v := view{id: "abcdefghij"}
	tool := session.Event{Kind: session.KindTool, PromptID: "1", Tool: &session.Tool{Call: "1", Name: "bash", State: session.StepDone, Input: json.RawMessage(`{"command":"go test ./..."}`)}}
	for b.Loop() {
		d.apply(tool)
		v.status(d)
	}
}
