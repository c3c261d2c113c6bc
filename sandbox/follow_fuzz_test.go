package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"openinspect/session"
)

// listener is a session whose turn 1.1 is under way, and checks whatever it is told.
type listener struct {
	t       *testing.T
	machine *session.Machine
	created time.Time
	now     time.Time
	at      session.Cursor
	seq     int64
}

func newListener(t *testing.T) *listener {
	l := &listener{t: t, machine: session.NewMachine(session.State{}), created: time.Unix(1_800_000_000, 0), now: time.Unix(1_800_000_000, 0)}
	ada := session.Person{Slack: "UADA", Name: "Ada"}
	l.step(session.Opened{Opening: session.Opening{ID: "abcdefghij", Requester: ada, Model: "m"}})
	l.step(session.Prompted{Prompt: session.Prompt{ID: "1.1", Author: ada, Text: "go"}})
	l.step(session.Started{Effect: "e1", Start: "abcdefghij-1", Begun: session.Begun{Handle: session.Handle{Name: "n"}, Start: "abcdefghij-1"}})
	l.step(session.Journaled{Start: "abcdefghij-1", Events: []session.Event{{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone}}}})
	l.step(session.Delivered{Effect: "e3", PromptID: "1.1"})
	if turn := l.machine.State().Session.Turn; turn == nil || turn.State != session.TurnWorking {
		t.Fatalf("the turn is not under way: %+v", turn)
	}
	l.now = l.now.Add(time.Hour)
	return l
}

// step takes an input and checks what comes of it.
func (l *listener) step(in session.Input) {
	r, err := l.machine.Step(l.now, in)
	if err != nil {
		l.t.Fatalf("%T: %v", in, err)
	}
	for _, e := range r.Events {
		if l.seq++; e.Seq != l.seq {
			l.t.Fatalf("event %d has number %d", l.seq, e.Seq)
		}
		if e.At.Before(l.created) || e.At.After(l.now) {
			l.t.Errorf("event %d was at %v", e.Seq, e.At)
		}
		b, err := json.Marshal(e)
		if err != nil || len(b) > 8<<20 {
			l.t.Errorf("event %d takes %d bytes, %v", e.Seq, len(b), err)
		}
		if tool := e.Tool; tool != nil && (strings.IndexFunc(tool.Name+tool.Title+tool.Call, unicode.IsControl) >= 0 || tool.Millis < 0 ||
			!slices.Contains([]session.StepState{session.StepRunning, session.StepDone, session.StepWarning, session.StepSkipped, session.StepFailed}, tool.State)) {
			l.t.Errorf("a tool as it cannot be: %+v", tool)
		}
	}
}

func (l *listener) send(_ context.Context, in session.Input) error {
	j, ok := in.(session.Journaled)
	if !ok {
		l.t.Fatalf("a journal made a %T", in)
	}
	if j.Cursor.Journal != l.at.Journal || j.Cursor.N != l.at.N+int64(len(j.Events)) || len(j.Events) == 0 || len(j.Events) > batchEvents {
		l.t.Fatalf("the cursor went from %v to %v with %d events", l.at, j.Cursor, len(j.Events))
	}
	l.at = j.Cursor
	for _, e := range j.Events {
		if e.Seq != 0 {
			l.t.Errorf("the runner's number %d was believed", e.Seq)
		}
	}
	l.step(j)
	return nil
}

// Whatever bytes a runner sends as its journal, the cursor goes up by what was taken and by nothing else, the session's log has no gap, and what is in it is sane.
func FuzzJournal(f *testing.F) {
	line := func(n int, event string) string { return fmt.Sprintf(`{"n":%d,"event":%s}`, n, event) }
	answer := `{"kind":"turn","prompt_id":"1.1","turn":{"state":"answered","outcome":"done"}}`
	text := `{"kind":"text","prompt_id":"1.1","text":{"part":"p","text":"words"}}`
	for _, lines := range [][]string{
		{line(1, text), line(2, text), line(3, answer), line(4, text)},
		{line(1, answer), line(2, answer), line(3, text)},
		{"", "{}", line(1, text), "{}", line(3, text)},
		{line(1, `{"kind":"tool","prompt_id":"1.1","at":"9999-12-31T23:59:59Z","tool":{"call":"c\u0000","name":"\u001b[1m","state":"flying","title":"a\nb","ms":-5,"input":{"a":[[[[1]]]]}}}`)},
		{line(1, `{"kind":"tool","prompt_id":"1.1","at":"0001-01-01T00:00:00Z","tool":{"input":`+strings.Repeat("[", 300)+strings.Repeat("]", 300)+`}}`)},
		{line(1, `{"kind":"tool","prompt_id":"1.1","tool":{"input":`+strings.Repeat(`{"a":`, 20_000)+`1`+strings.Repeat("}", 20_000)+`}}`)},
		{line(1, `{"seq":77,"kind":"card","prompt_id":"1.1","card":{"id":"c1"}}`), line(2, `{"kind":"note","prompt_id":"1.1","note":{"kind":"notice","text":"x"}}`)},
		{line(1, `{"kind":"boot","boot":{"phase":"ready","state":"failed"}}`), line(2, `{"kind":"sandbox","sandbox":{"state":"lost"}}`)},
		{line(1, `{"kind":"todo","prompt_id":"1.1","todo":[{"text":"a\u0007","state":"x"},{}]}`), line(2, `{"kind":"retry","prompt_id":"1.1","retry":{"attempt":-9,"next":"2999-01-01T00:00:00Z"}}`)},
		{line(1, `{"kind":"error","prompt_id":"1.1","error":{"code":"mine","message":"m"}}`), line(2, `{"kind":"text","prompt_id":"9.9","text":{}}`), line(3, `{"kind":"text"}`)},
		{`{"delta":{"prompt_id":"1.1","kind":"text","part":"p","text":"d"}}`, `{"delta":{"prompt_id":"9.9","kind":"text","part":"p","offset":-4,"text":"d"}}`, line(1, text), `{"over":true}`},
		{`{"n":1,"n":2,"event":` + text + `}`}, {`{"n":1,"event":null}`}, {"\x00\xff"}, {`{"n":1e400}`}, {`[`}, {strings.Repeat("x", 3<<20)},
	} {
		f.Add([]byte(strings.Join(lines, "\n")+"\n"), false)
		f.Add([]byte(strings.Join(lines, "\n")), true)
	}
	redactor := session.NewRedactor("hunter22")
	f.Fuzz(func(t *testing.T, journal []byte, earlier bool) {
		l := newListener(t)
		a := &attachment{
			m:   &Manager{c: Config{Redactor: redactor, Clock: session.SystemClock{}, Live: func(session.ID, session.Delta) {}}},
			req: session.AttachRequest{Session: "abcdefghij", Start: "abcdefghij-1"}, send: l.send, done: make(chan struct{}), changed: make(chan struct{}),
		}
		l.at = session.Cursor{Journal: "abcdefghij-1-boot"}
		over, err := a.consume(t.Context(), io.NopCloser(bytes.NewReader(journal)), l.at, earlier)
		if over && !earlier || !over && err == nil {
			t.Errorf("it ended with %v, %v", over, err)
		}
		if whole := int64(bytes.Count(journal, []byte("\n"))); l.at.N > whole {
			t.Errorf("%d events of %d lines", l.at.N, whole)
		}
		if a.position().N != l.at.N {
			t.Errorf("the attachment is at %v, the session at %v", a.position(), l.at)
		}
	})
}
