package session

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// The tokens are put together here so that no scanner takes this file for a leak.
var tokenShapes = map[string]string{
	"github":        "ghp" + "_0123456789abcdefghijABCDEFGHIJ012345",
	"github dull":   "ghp" + "_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"slack dull":    "xoxb" + "-aaaaaaaaaaaaaaaaaaaaaaaa",
	"github server": "ghs" + "_abcdefghij0123456789",
	"github fine":   "github" + "_pat_11ABCDE0123456789_abcdefghijk",
	"slack bot":     "xoxb" + "-1234567890-abcdefghijkl",
	"slack refresh": "xoxe" + ".xoxp-1-abcdefghijklmn",
	"slack app":     "xapp" + "-1-A0123456789-abcdef",
	"anthropic":     "sk" + "-ant-api03-abcdefgh_ijkl-mnop",
	"openai":        "sk" + "-proj-abcdefgh1234_-xyz",
	"openai old":    "sk" + "-abcdefghij0123456789abcdefghij",
	"aws":           "AKIA" + "IOSFODNN7EXAMPLE",
	"web token":     "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
	"private key":   "-----BEGIN RSA " + "PRIVATE KEY-----\n" + pemLine + "\nIBAAKC\n-----END RSA PRIVATE KEY-----",
	"cut key":       "-----BEGIN " + "PRIVATE KEY-----\n" + pemLine + "\nIBAAKC",
}

const pemLine = "MIIEowIBAAKCAQEAx0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJK"

func TestRedactShapes(t *testing.T) {
	var r Redactor
	for name, token := range tokenShapes {
		for _, around := range [][2]string{{"", ""}, {"a ", " b"}, {`x="`, ""}, {"(", ")"}, {"user:", "@host"}} {
			if name == "cut key" && around[1] != "" {
				continue // it goes on to the end
			}
			got := r.String(around[0] + token + around[1])
			if want := around[0] + redacted + around[1]; got != want {
				t.Errorf("%s: %q became %q, want %q", name, around[0]+token+around[1], got, want)
			}
		}
	}
}

func TestRedactAuthorization(t *testing.T) {
	var r Redactor
	for in, want := range map[string]string{
		"Authorization: Bearer abc.def\nHost: x":         "Authorization: Bearer [redacted]\nHost: x",
		`curl -H 'authorization: token s3cret' url`:      `curl -H 'authorization: token [redacted]' url`,
		`{"Authorization":"Basic dXNlcjpwYXNz","a":1}`:   `{"Authorization":"Basic [redacted]","a":1}`,
		`{\"Authorization\": \"Bearer hidden\"}`:         `{\"Authorization\": \"Bearer [redacted]\"}`,
		"Authorization is needed for the bearer of this": "Authorization is needed for the bearer of this",
		"Authorization: Bearer [redacted]":               "Authorization: Bearer [redacted]",
		`Authorization: Bearer $TOKEN or ${TOKEN}`:       `Authorization: Bearer $TOKEN or ${TOKEN}`,
		`Sprintf("Authorization: Bearer %s", t)`:         `Sprintf("Authorization: Bearer %s", t)`,
		"The Authorization basic settings":               "The Authorization basic settings",
		`set_header Authorization "Bearer abcdefg";`:     `set_header Authorization "Bearer [redacted]";`,
	} {
		if got := r.String(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestRedactLeavesWords(t *testing.T) {
	r := NewRedactor("", "abc", "hunter22")
	for _, s := range []string{
		"", "task-management-system-2024-for-everybody", "risk-adjusted", "the highest_priority thing", "ghp_short", "sk-learn and sk-image",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "eyJust.kidding", "AKIARA", "abc", "hunter2", "commit 3f786850e387550fdab836ed7e6dc881de23001b",
		"gha_cache_key_prefix: x", "ghc_version_options", "func gho_handler_for_all()", "ghp_your_token_here", "files:\nghx_\nsome_long_file_name", "xoxb-your-token-here",
		"xapp-your-app-token", "xoxo-hugs-and-kisses",
		"if strings.HasPrefix(s, \"-----BEGIN RSA " + "PRIVATE KEY-----\") {\n\treturn parse(s)\n}\n" + strings.Repeat("more of the program\n", 20) + pemLine,
		"-----BEGIN " + "PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n" + pemLine,
		"550e8400-e29b-41d4-a716-446655440000", "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "a=1&b=2 &amp; <b>", "C:\\users\\new\\test",
		"![x](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)",
	} {
		if got := r.String(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
		if at := FindToken(s); at >= 0 {
			t.Errorf("%q would be refused in a commit", s)
		}
	}
}

func TestRedactValues(t *testing.T) {
	r := NewRedactor("hunter22", "hunter22-long\nsecond line", " padded-secret \n")
	for in, want := range map[string]string{
		"pw=hunter22;":                        "pw=[redacted];",
		"hunter22hunter22":                    "[redacted][redacted]",
		"x hunter22-long\nsecond line y":      "x [redacted] y",
		"padded-secret":                       "[redacted]",
		"hunter22" + tokenShapes["anthropic"]: "[redacted][redacted]",
	} {
		if got := r.String(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestRedactJSON(t *testing.T) {
	r := NewRedactor("hunter22", "12345678", "a<b>c&d")
	for in, want := range map[string]string{
		`{"x":"a\u003cb\u003ec\u0026d 2\u003e\u00261"}`:    `{"x":"[redacted] 2>&1"}`,
		`{"x":"a\u0026lt;b\u0026gt;c\u0026amp;d"}`:         `{"x":"[redacted]"}`,
		`{"x":"ls 2\u003e\u00261 \u0026\u0026 a \u003cb"}`: `{"x":"ls 2\u003e\u00261 \u0026\u0026 a \u003cb"}`,
		`{"b":"x","a":[1,2.50]}`:                           `{"b":"x","a":[1,2.50]}`,
		`{"cmd":"echo hunter22","n":1.0}`:                  `{"cmd":"echo [redacted]","n":1.0}`,
		`{"cmd":"\u0068unter22 <b>"}`:                      `{"cmd":"[redacted] <b>"}`,
		`{"hunter22":"x"}`:                                 `{"[redacted]":"x"}`,
		`{"n":12345678}`:                                   `{"n":"[redacted]"}`,
		`{"a\n":"kept \\ as it is"}`:                       `{"a\n":"kept \\ as it is"}`,
		`{broken hunter22`:                                 `"{broken [redacted]"`,
		`["` + tokenShapes["github"] + `",[[{}]]]`:         `["[redacted]",[[{}]]]`,
	} {
		if got := string(r.JSON(json.RawMessage(in))); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

// Every string of every payload is looked at, also of those that are added later.
func TestRedactEventWhole(t *testing.T) {
	const secret = "hunter22"
	var e, tool, text Event
	for _, v := range []any{&e, &tool.Kind, &tool.PromptID, &tool.Tool, &text.Kind, &text.PromptID, &text.Text} {
		fill(t, reflect.ValueOf(v).Elem(), "a "+secret+" b")
	}
	whole(t, e, secret, 40)
	whole(t, tool, secret, 10)
	whole(t, text, secret, 4)
}

// A value that is also a word of ours, or part of one or of a prompt's number, takes nothing away but texts: a turn would never end.
func TestRedactLeavesOurWords(t *testing.T) {
	r := NewRedactor("answered", "available", "reasoning", "17642300")
	const id = "1764230000.000100"
	for _, c := range []struct{ e, want Event }{
		{Event{Kind: KindTurn, PromptID: id, Turn: &TurnChange{State: TurnAnswered, Reason: "not answered"}},
			Event{Kind: KindTurn, PromptID: id, Turn: &TurnChange{State: TurnAnswered, Reason: "not [redacted]"}}},
		{Event{Kind: KindReasoning, PromptID: id, Text: &Text{Part: "p1", Text: "reasoning at " + id}},
			Event{Kind: KindReasoning, PromptID: id, Text: &Text{Part: "p1", Text: "[redacted] at [redacted]00.000100"}}},
		{Event{Kind: KindError, Error: &Failure{Code: Unavailable, Message: "It is available."}}, Event{Kind: KindError, Error: &Failure{Code: Unavailable, Message: "It is [redacted]."}}},
		{Event{Kind: "is reasoning", PromptID: "17642300x"}, Event{Kind: "is [redacted]", PromptID: "[redacted]x"}},
	} {
		if r.Event(&c.e); !reflect.DeepEqual(c.e, c.want) {
			t.Errorf("got %+v, want %+v", c.e, c.want)
		}
	}
	d, ok := r.Live().Delta(Delta{Kind: KindText, PromptID: id, Part: "p", Text: "It is available.\n"})
	if want := (Delta{Kind: KindText, PromptID: id, Part: "p", Text: "It is [redacted].\n"}); !ok || d != want {
		t.Errorf("live %+v, want %+v", d, want)
	}
}

// whole checks that every string of e is looked at, which are at least so many.
func whole(t *testing.T, e Event, secret string, least int) {
	t.Helper()
	before, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(before), secret); n < least {
		t.Fatalf("only %d strings were filled: %s", n, before)
	}
	NewRedactor(secret).Event(&e)
	after, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(after), secret) {
		t.Errorf("left: %s", after)
	}
	if want := strings.ReplaceAll(string(before), secret, redacted); string(after) != want {
		t.Errorf("got  %s\nwant %s", after, want)
	}
}

// fill sets every string that can be reached from v, and fails on a kind that walk would pass over.
func fill(t *testing.T, v reflect.Value, s string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), s)
	case reflect.Slice:
		if v.Type() == rawType {
			v.SetBytes([]byte(`{"k":["` + s + `"]}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), s)
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), s)
		}
	case reflect.Map, reflect.Interface, reflect.Array:
		t.Errorf("an event has a %s, which is not redacted", v.Type())
	default: // holds no text
	}
}

func TestRedactLive(t *testing.T) {
	secrets := []string{"hunter22", "two words here"}
	for name, s := range tokenShapes {
		secrets = append(secrets, s)
		for _, text := range []string{"see " + s + " there\n", "wörter " + s + " \nend. "} {
			if name == "cut key" {
				continue
			}
			for step := 1; step < 9; step++ {
				got, _ := live(t, NewRedactor("hunter22", "two words here"), text, step)
				if whole := (&Redactor{}).String(text); got != whole {
					t.Errorf("%s in steps of %d: %q, want %q", name, step, got, whole)
				}
			}
		}
	}
	text := "a hunter22 b two words her two words here c Authorization: Bearer abcdef d\ne "
	for step := 1; step < len(text); step++ {
		got, _ := live(t, NewRedactor(secrets[:2]...), text, step)
		if want := "a [redacted] b two words her [redacted] c Authorization: Bearer [redacted] d\ne "; got != want {
			t.Errorf("steps of %d: %q", step, got)
		}
	}
}

// live sends text in pieces and puts together what is shown, checking the offsets.
func live(t *testing.T, r *Redactor, text string, step int) (shown string, deltas int) {
	t.Helper()
	l := r.Live()
	for at := 0; at < len(text); at += step {
		end := min(at+step, len(text))
		d, ok := l.Delta(Delta{PromptID: "1.2", Kind: KindText, Part: "p", Offset: at, Text: text[at:end]})
		if !ok {
			continue
		}
		deltas++
		if d.Offset != len(shown) {
			t.Fatalf("offset %d after %q", d.Offset, shown)
		}
		shown += d.Text
	}
	return shown, deltas
}

func TestRedactLiveHoldsLittle(t *testing.T) {
	l := NewRedactor().Live()
	delta := func(offset int, text string) string {
		d, ok := l.Delta(Delta{Kind: KindText, Part: "p", Offset: offset, Text: text})
		if !ok {
			return "nothing"
		}
		return d.Text
	}
	if got := delta(0, "Hello wor"); got != "Hello " {
		t.Errorf("got %q", got)
	}
	if got := delta(9, "ld. 你好"); got != "world. 你好" {
		t.Errorf("got %q", got)
	}
	if got := delta(0, "Again"); got != "" { // the part starts anew: what was shown goes away at once
		t.Errorf("got %q", got)
	}
	if got := delta(5, " "); got != "Again " {
		t.Errorf("got %q", got)
	}
	if got := delta(99, "after a gap "); got != "nothing" {
		t.Errorf("got %q", got)
	}
	if got := delta(0, strings.Repeat("x", maxHeld+1)); got != "nothing" {
		t.Errorf("got %d bytes", len(got))
	}
	if got := delta(maxHeld+1, " more "); got != "nothing" {
		t.Errorf("got %q", got)
	}
	if got := delta(0, "new "); got != "new " {
		t.Errorf("got %q", got)
	}
}

func BenchmarkRedactClean(b *testing.B) {
	r := NewRedactor(append(planted, "hunter22", "another-secret-value", "and-a-third-one")...)
	s := strings.Repeat("ok  \topeninspect/session\t0.012s through the highest eye-level risk assessment\n", 14)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if r.String(s) != s {
			b.Fatal("changed")
		}
	}
}

// Text that is nothing but beginnings of tokens must not take the square of its length.
func BenchmarkRedactHostile(b *testing.B) {
	r := NewRedactor(planted...)
	for _, piece := range []string{"sk-", "eyJ-", "ghp_", "xoxb-", "xapp-", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "authorization", "\\u0073k-", "\x1b[", "AKIA\n", planted[0][:20]} {
		s := strings.Repeat(piece, (256<<10)/len(piece))
		b.Run(strings.Trim(strconv.QuoteToASCII(piece), `"`), func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				r.String(s)
			}
		})
	}
}

// An event of a kilobyte as the journal has them, redacted whole.
func BenchmarkRedactEvent(b *testing.B) {
	r := NewRedactor(planted...)
	output := strings.Repeat("ok  \topeninspect/session\t0.012s through the highest eye-level risk assessment\n", 11)
	input := json.RawMessage(`{"command":"go test ./... 2\u003e\u00261 | tail -50\n","description":"Run the tests"}`)
	e := Event{Kind: KindTool, PromptID: "1732612345.000100", Tool: &Tool{Call: "call_1", Name: "bash", State: StepDone, Title: "Run the tests", Input: input, Output: output}}
	b.SetBytes(1 << 10)
	b.ReportAllocs()
	for b.Loop() {
		r.Event(&e)
	}
}
