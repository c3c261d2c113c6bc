package sandbox

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// TestBatcherBounds: reading runs ahead by one batch and no further, counted in events and in bytes; one thing always fits.
func TestBatcherBounds(t *testing.T) {
	for _, test := range []struct {
		name       string
		size, fits int
	}{
		{"events", 1, batchEvents},
		{"bytes", batchBytes / 4, 4},
		{"one large line", link.MaxLine, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				var batches []int
				in := newBatcher(func(batch []received) error {
					<-gate
					batches = append(batches, len(batch))
					return nil
				}, func() { t.Error("stopped") })
				put := 0
				more := func(n int) {
					for range n {
						if err := in.put(received{n: int64(put + 1)}, test.size); err != nil {
							t.Error(err)
						}
						put++
					}
				}
				more(1)
				in.flush()
				synctest.Wait() // it is being passed on
				go more(test.fits + 1)
				synctest.Wait()
				if put != 1+test.fits {
					t.Fatalf("%d were put ahead, want %d", put-1, test.fits)
				}
				close(gate)
				synctest.Wait()
				if err := in.wait(); err != nil || put != 1+test.fits+1 || !slices.Equal(batches, []int{1, test.fits, 1}) {
					t.Fatalf("passed on %v, %v", batches, err)
				}
			})
		})
	}
}

// TestBatcherFlush: what is put is passed on together once it is said that nothing more follows, and at the latest when reading ends.
func TestBatcherFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches []int
		in := newBatcher(func(batch []received) error { batches = append(batches, len(batch)); return nil }, func() {})
		put := func() {
			if err := in.put(received{}, 1); err != nil {
				t.Error(err)
			}
		}
		put()
		put()
		synctest.Wait()
		if len(batches) > 0 {
			t.Fatalf("passed on before the flush: %v", batches)
		}
		in.flush()
		synctest.Wait()
		put()
		if err := in.wait(); err != nil || !slices.Equal(batches, []int{2, 1}) {
			t.Fatalf("passed on %v, %v", batches, err)
		}
	})
}

// TestBatcherRefused: a batch that is refused ends the reading, and nothing after it is passed on.
func TestBatcherRefused(t *testing.T) {
	no := errors.New("no")
	gate, stopped, passed := make(chan struct{}), 0, 0
	in := newBatcher(func(batch []received) error { <-gate; passed += len(batch); return no }, func() { stopped++ })
	for range 3 {
		if err := in.put(received{}, 1); err != nil {
			t.Fatal(err)
		}
		in.flush()
	}
	close(gate)
	if err := in.wait(); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if err := in.put(received{}, 1); !errors.Is(err, no) || stopped != 1 || passed > 3 {
		t.Fatalf("%v; stopped %d times, passed on %d", err, stopped, passed)
	}
}

// FuzzLine: whatever the decoder of lines takes can be stored, and reads the same from there.
func FuzzLine(f *testing.F) {
	exit := 1
	for i, e := range []session.Event{
		{Kind: session.KindText, At: time.Unix(1_800_000_000, 123).UTC(), PromptID: "1.1", Text: &session.Text{Part: "p", Text: "a \u2028 <b> \x00"}},
		{Kind: session.KindTool, Tool: &session.Tool{Call: "c", Name: "bash", Input: json.RawMessage(`{"command":"ls","n":[1,2.5e3,null]}`), Exit: &exit, Child: true}},
		{Kind: session.KindTodo, Todo: []session.TodoItem{{Text: "t", State: "pending"}}},
		{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone, Millis: 12}},
		{Kind: session.KindTurn, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}},
		{Kind: session.KindRetry, Retry: &session.Retry{Attempt: 2, Reason: "busy", Next: time.Unix(1, 0).UTC()}},
		{Kind: session.KindError, Error: &session.Failure{Code: session.Invalid, Message: "no"}},
	} {
		line, err := json.Marshal(link.Line{N: int64(i + 1), Event: &e})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"delta":{"prompt_id":"1.1","kind":"text","part":"p","offset":3,"text":"abc"}}`))
	f.Add([]byte(`{"n":1,"event":{"kind":"text","text":null}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := link.ParseLine(line)
		if err != nil || got.Event == nil {
			return
		}
		session.NewRedactor("hunter22").Event(got.Event)
		stored, err := got.Event.AppendJSON(nil)
		if err != nil {
			t.Fatalf("%s\ncannot be stored: %v", line, err)
		}
		back, err := session.ParseEvent(stored)
		if err != nil {
			t.Fatalf("%s\ncannot be read back: %v", stored, err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(stored) {
			t.Errorf("%s\nbecame %s, %v", stored, again, err)
		}
	})
}
