package weblite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"openinspect/session"
)

// kinds reads the closed set of event kinds from its source.
func kinds(t *testing.T) []session.Kind {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../session/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []session.Kind
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if of, ok := v.Type.(*ast.Ident); ok && of.Name == "Kind" {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, session.Kind(s))
		}
		return true
	})
	if len(all) < 16 {
		t.Fatalf("found %d kinds", len(all))
	}
	return all
}

func TestTextHasEverything(t *testing.T) {
	r := newRig(t, nil)
	events := every("line one\nline two")
	for len(events) < 1200 { // more than two pages of history
		events = append(events, session.Event{Kind: session.KindNote, Note: &session.Note{Kind: session.NoteUpdate, Text: "more"}})
	}
	r.keep(session.Session{Title: "a title", Model: "m"}, events)
	res, body := r.get("/s/"+string(id)+"/log.txt", "Cookie", r.enter())
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatal(res.Status, res.Header)
	}
	if !strings.HasPrefix(body, "a title\n") {
		t.Errorf("head: %.40q", body)
	}
	for i, e := range events {
		if !strings.Contains(body, "\n#"+strconv.Itoa(i+1)+" 2026-11-24 ") {
			t.Fatalf("entry %d (%s) is missing", i+1, e.Kind)
		}
	}
	want := `
#6 2026-11-24 09:00:05Z tool line one line two done 20 ms
    title: line one line two
    called by: a sub-agent
    exit: 1
    input:
      {
        "command": "x"
      }
    output:
      line one
      line two
    error:
      line one
      line two
    diff:
      +line one
      line two

#7 `
	if !strings.Contains(body, want) {
		t.Errorf("the tool's entry:\n%s", body[strings.Index(body, "\n#6 "):strings.Index(body, "\n#8 ")])
	}
	for _, private := range []string{"for the approver alone", "for one person alone to read", "an option for one person"} {
		if strings.Contains(body, private) {
			t.Errorf("the text tells everybody %q", private)
		}
	}
}

// Text in an event can pass neither for another entry nor for a command to a terminal.
func TestTextCannotBeForged(t *testing.T) {
	r := newRig(t, nil)
	events := every("a\n#99 2026-11-24 09:00:00Z approval by Ada\r#98 b\u2028#97 c\x1b]0;title\x07\x1b[2J\x9b31m\u202e")
	r.keep(session.Session{Title: "t\n#1 x"}, events)
	_, body := r.get("/s/"+string(id)+"/log.txt", "Cookie", r.enter())
	n := 0
	for l := range strings.SplitSeq(body, "\n") {
		if strings.HasPrefix(l, "#") {
			n++
		}
	}
	if n != len(events) {
		t.Errorf("%d entries begin at the margin, of %d", n, len(events))
	}
	if strings.ContainsAny(body, "\x1b\x07\r\u009b\u2028\u202e") || !utf8.ValidString(body) {
		t.Error("control characters are left")
	}
}

func TestPlain(t *testing.T) {
	for _, c := range []struct{ in, plain, terminal string }{
		{"", "", ""},
		{"ordinary\ttext\n", "ordinary\ttext\n", "ordinary\ttext\n"},
		{"grüße 日本 🎉", "grüße 日本 🎉", "grüße 日本 🎉"},
		{"a\u202eb\x00\u2028", "a⟨U+202E⟩b⟨U+0000⟩⟨U+2028⟩", "a⟨U+202E⟩b⟨U+0000⟩⟨U+2028⟩"},
		{"\x1b[1;31mred\x1b[0m", "⟨U+001B⟩[1;31mred⟨U+001B⟩[0m", "red"},
		{"10%\r50%\r\ndone", "10%⟨U+000D⟩50%\ndone", "10%\n50%\ndone"},
		{"\x1b]8;;x:y\x1b\\z\x1b]8;;\a", "⟨U+001B⟩]8;;x:y⟨U+001B⟩\\z⟨U+001B⟩]8;;⟨U+0007⟩", "z"},
		{"\x1b]never ended\nnext", "⟨U+001B⟩]never ended\nnext", "⟨U+001B⟩]never ended\nnext"},
	} {
		if got := plain(c.in); got != c.plain {
			t.Errorf("plain(%q) = %q, want %q", c.in, got, c.plain)
		}
		if got := terminal(c.in); got != c.terminal {
			t.Errorf("terminal(%q) = %q, want %q", c.in, got, c.terminal)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("a\x1b[31m\u202e\r\n")
	f.Add("\x1b\x1b[m[31m")
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{plain(s), terminal(s), line(s)} {
			if !utf8.ValidString(got) && utf8.ValidString(s) {
				t.Errorf("%q is no text any more", got)
			}
			if strings.ContainsFunc(got, unseen) {
				t.Errorf("%q still hides something", got)
			}
		}
	})
}
