package link

import (
	stdjson "encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"openinspect/session"
)

func often(t testing.TB) [][]byte {
	var all [][]byte
	at := time.Unix(1_800_000_000, 123).UTC()
	for i, e := range []session.Event{
		{At: at, Kind: session.KindText, PromptID: "1.1", Text: &session.Text{Part: "p", Text: "a \u2028 <b> \x00 \U0001F600"}},
		{At: at, Kind: session.KindTool, PromptID: "1.1", Tool: &session.Tool{Call: "c", Name: "bash", State: session.StepDone, Output: "x\ty\n",
			Input: stdjson.RawMessage(`{"command":"ls","n":[1,2.5e3,null,{"a":"b","c":false}]}`), Exit: new(int), Millis: 3, Child: true}},
		{At: at, Kind: session.KindReasoning, Text: &session.Text{}},
		{At: at, Kind: session.KindTodo, Todo: []session.TodoItem{{Text: "t", State: "pending"}}},
	} {
		b, err := stdjson.Marshal(Line{N: int64(i + 1), Event: &e})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestScanLine(t *testing.T) {
	for i, b := range often(t) {
		if _, ok := scanLine(b); ok != (i < 3) {
			t.Errorf("line %d read by hand: %v\n%s", i, ok, b)
		}
		if _, err := ParseLine(append(b, '\n')); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// FuzzParseLine: a line that is read by hand is what the decoder reads, which takes nothing twice and nothing that is not UTF-8.
func FuzzParseLine(f *testing.F) {
	for _, b := range often(f) {
		f.Add(b)
	}
	f.Add([]byte(`{"n":1,"event":{"at":"2026-11-27T00:00:00Z","kind":"tool","tool":{"call":"","name":"","state":"","input":{"a":1,"a":2}}}}`))
	f.Add([]byte(`{"n":1,"event":{"at":"2026-11-27T00:00:00Z","kind":"tool","tool":{"call":"","name":"","state":"","input":{"a":"\ud800"}}}}`))
	f.Add([]byte(`{"n":1,"event":{"at":"2026-11-27T00:00:00.0Z","kind":"text","prompt_id":"","text":{"part":"\ud83d\ude00","text":"\/"}}}`))
	f.Add([]byte(`{"n":-0,"event":{"at":"2026-02-30T24:00:60Z","kind":"tool","tool":{"call":"","name":"","state":"","ms":-0,"exit":01}}}`))
	f.Add([]byte(`{"n":1,"event":{"at":"2026-11-27T8:00:00.3Z","kind":"text","prompt_id":"","text":{"part":"","text":""}}}`))
	f.Add([]byte(`{"n":1,"event":{"at":"2026-11-27T08:00:00,3Z","kind":"text","prompt_id":"","text":{"part":"","text":""}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := scanLine(b)
		if !ok {
			return
		}
		var want Line
		if err := json.Unmarshal(b, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q\nis read as %+v\nwant       %+v, %v", b, got.Event, want.Event, err)
		}
	})
}
