package sandbox

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// TestIntakeBounds: reading runs ahead by one batch and no further, counted in events and in bytes; one thing always fits.
func TestIntakeBounds(t *testing.T) {
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
				in := newIntake()
				put := 0
				go func() {
					for range test.fits + 1 {
						if err := in.put(t.Context(), told{n: int64(put + 1)}, test.size); err != nil {
							t.Error(err)
						}
						put++
					}
					in.end(errors.New("over"))
				}()
				synctest.Wait()
				if put != test.fits {
					t.Fatalf("%d were put ahead, want %d", put, test.fits)
				}
				all, err := in.take()
				if err != nil || len(all) != test.fits {
					t.Fatalf("took %d, %v", len(all), err)
				}
				synctest.Wait()
				if all, err := in.take(); err != nil || len(all) != 1 || all[0].n != int64(test.fits+1) {
					t.Fatalf("took %v, %v", all, err)
				}
				if _, err := in.take(); err == nil || err.Error() != "over" {
					t.Fatalf("ended with %v", err)
				}
			})
		})
	}
}

// TestIntakeGivesUp: a reader that waits for room ends with its context.
func TestIntakeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake()
		ctx, cancel := context.WithCancel(t.Context())
		for range batchEvents {
			if err := in.put(ctx, told{}, 1); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error)
		go func() { ended <- in.put(ctx, told{}, 1) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	})
}

// FuzzLine: whatever the decoder of lines takes can be stored, and reads the same from there.
func FuzzLine(f *testing.F) {
	exit := 1
	for i, e := range []session.Event{
		{Kind: session.KindText, At: time.Unix(1_800_000_000, 123).UTC(), PromptID: "1.1", Text: &session.Text{Part: "p", Text: "a \u2028 <b> \x00"}},
		{Kind: session.KindTool, Tool: &session.Tool{Call: "c", Name: "bash", Input: stdjson.RawMessage(`{"command":"ls","n":[1,2.5e3,null]}`), Exit: &exit, Child: true}},
		{Kind: session.KindTodo, Todo: []session.TodoItem{{Text: "t", State: "pending"}}},
		{Kind: session.KindBoot, Boot: &session.Boot{Phase: session.PhaseReady, State: session.StepDone, Millis: 12}},
		{Kind: session.KindTurn, Turn: &session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone}},
		{Kind: session.KindRetry, Retry: &session.Retry{Attempt: 2, Reason: "busy", Next: time.Unix(1, 0).UTC()}},
		{Kind: session.KindError, Error: &session.Failure{Code: session.Invalid, Message: "no"}},
	} {
		line, err := stdjson.Marshal(link.Line{N: int64(i + 1), Event: &e})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"delta":{"prompt_id":"1.1","kind":"text","part":"p","offset":3,"text":"abc"}}`))
	f.Add([]byte(`{"n":1,"event":{"kind":"text","text":null}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var got link.Line
		if json.Unmarshal(line, &got) != nil || got.Event == nil {
			return
		}
		session.NewRedactor("hunter22").Event(got.Event)
		stored, err := stdjson.Marshal(got.Event)
		if err != nil {
			t.Fatalf("%s\ncannot be stored: %v", line, err)
		}
		var back session.Event
		if err := stdjson.Unmarshal(stored, &back); err != nil {
			t.Fatalf("%s\ncannot be read back: %v", stored, err)
		}
		again, err := stdjson.Marshal(back)
		if err != nil || string(again) != string(stored) {
			t.Errorf("%s\nbecame %s, %v", stored, again, err)
		}
	})
}
