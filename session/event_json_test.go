package session

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// often are events of the kinds that are written and read by hand, with every field and without, and with all that JSON has to escape.
func often() []Event {
	one, minus := 1, -1
	const odd = "a\"\\/\b\f\n\r\t\x00\x1f\x7f<b>&amp;\u2028\u2029\u00e9\u20ac\U0001F600\ufffd"
	at := time.Date(2026, 11, 27, 1, 2, 3, 456_789_000, time.UTC)
	return []Event{
		{At: at, Kind: KindText, PromptID: "1.1", Text: &Text{Part: "p", Text: odd}},
		{Seq: 7, At: at, Kind: KindReasoning, Text: &Text{}},
		{Seq: 1 << 40, Kind: KindTool, Tool: &Tool{}},
		{At: at, Kind: KindTool, PromptID: odd, Tool: &Tool{Call: "c", Name: "bash", State: StepDone, Title: odd, Output: odd, Error: odd, Exit: &one,
			Millis: 1234, Diff: odd, Child: true, Input: json.RawMessage(`{"a":[1,-2.5e+3,0,true,false,null,"\u003c\u00e9\ud83d\ude00\\"],"b":{},"c":[]}`)}},
		{At: at, Kind: KindTool, Tool: &Tool{Exit: &minus, Millis: -5, Input: json.RawMessage(`"x"`)}},
		{At: at, Kind: KindTool, Tool: &Tool{Input: json.RawMessage(` {"a" : 1, "a": "<"} `)}},
		{At: at.In(time.FixedZone("", 3600)), Kind: KindText, Text: &Text{Text: "elsewhere"}},
		{At: at, Kind: "strange", Text: &Text{Text: "x"}},
		{At: at, Kind: KindTool, Text: &Text{Text: "x"}, Tool: &Tool{}},
		{At: at, Kind: KindText, Text: &Text{Text: "not UTF-8: \xff\xc3("}},
	}
}

// sameJSON checks that an event is written as encoding/json writes it.
func sameJSON(t *testing.T, e Event) {
	t.Helper()
	want, err := json.Marshal(e)
	if err != nil {
		if _, err := e.AppendJSON(nil); err == nil {
			t.Errorf("%+v can be written, which encoding/json cannot: %v", e, err)
		}
		return
	}
	got, err := e.AppendJSON([]byte("x"))
	if err != nil || string(got[1:]) != string(want) {
		t.Errorf("written as %s, %v\nwant       %s", got[1:], err, want)
	}
}

func TestEventJSON(t *testing.T) {
	for _, e := range often() {
		sameJSON(t, e)
	}
	// Whatever field there is, alone or beside another payload: none is left out.
	for _, tool := range []*Tool{nil, {Call: "c", Exit: new(int)}} {
		for i := range reflect.TypeFor[Event]().NumField() {
			e := Event{Kind: KindTool, Tool: tool}
			if f := reflect.ValueOf(&e).Elem().Field(i); f.Kind() == reflect.Pointer && f.IsNil() {
				f.Set(reflect.New(f.Type().Elem()))
			} else if f.Kind() == reflect.Slice {
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			}
			sameJSON(t, e)
		}
	}
	for i := range reflect.TypeFor[Tool]().NumField() {
		var tool Tool
		set(reflect.ValueOf(&tool).Elem().Field(i))
		sameJSON(t, Event{Kind: KindTool, Tool: &tool})
	}
	for i := range reflect.TypeFor[Text]().NumField() {
		var text Text
		set(reflect.ValueOf(&text).Elem().Field(i))
		sameJSON(t, Event{Kind: KindText, Text: &text})
	}
}

// set puts something into a field.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("words")
	case reflect.Int64, reflect.Int:
		v.SetInt(3)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.SetBytes([]byte(`{"a":1}`))
	default:
		panic("a field of another kind: " + v.Kind().String())
	}
}

// What a log is full of is read by hand, and nothing else is.
func TestScanEvent(t *testing.T) {
	for i, e := range often()[:4] {
		e.Seq = int64(i)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if e.Tool != nil {
			b = []byte(strings.ReplaceAll(string(b), `\ud83d\ude00`, "")) // pairs of surrogates are left to the decoder
		}
		if got, n := ScanEvent(append(b, "}\n"...)); n != len(b) {
			t.Errorf("%s\nis not read: %d, %+v", b, n, got)
		}
	}
	b, err := json.Marshal(often()[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, got := ScanEvent(b[:n]); got != 0 {
			t.Errorf("%s is read", b[:n])
		}
	}
}

// FuzzEvent: what is read by hand is what encoding/json reads, and is written as encoding/json writes it.
func FuzzEvent(f *testing.F) {
	for _, e := range often() {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n := ScanEvent(b)
		var want Event
		err := json.Unmarshal(b[:max(n, 0)], &want)
		if n > 0 && (err != nil || !reflect.DeepEqual(*e, want)) {
			t.Errorf("%q\nis read as %+v %+v %+v\nwant       %+v %+v %+v %v", b[:n], *e, e.Tool, e.Text, want, want.Tool, want.Text, err)
		}
		if n == 0 && json.Unmarshal(b, &want) != nil {
			return
		}
		sameJSON(t, want)
	})
}

func BenchmarkEventJSON(b *testing.B) {
	e := often()[3]
	e.PromptID, e.Tool = "1.1", &Tool{Call: "call_00000001", Name: "bash", State: StepDone, Title: "Run the tests", Millis: 1234,
		Input:  json.RawMessage(`{"command":"go test ./internal/checkout/... -run TestDiscount -count=1","description":"Run the tests"}`),
		Output: strings.Repeat("ok  \tacme/shop/internal/checkout\t0.412s coverage: 81.3% of statements\n", 10)}
	body, err := e.AppendJSON(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		buffer := make([]byte, 0, 2*len(body))
		for b.Loop() {
			_, _ = e.AppendJSON(buffer)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, n := ScanEvent(body); n == 0 {
				b.Fatal("not read")
			}
		}
	})
}
