package bot

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"

	"openinspect/session"
)

func TestParts(t *testing.T) {
	var code, rows, items strings.Builder
	for n := range 12 {
		fmt.Fprintf(&code, "line %d of the code\n", n)
		fmt.Fprintf(&rows, "| %d | what row %d says |\n", n, n)
		fmt.Fprintf(&items, "%d. item %d, which says a bit\n   and goes on\n\n", n, n)
	}
	for name, c := range map[string]struct {
		in    string
		limit int
		want  []string
	}{
		"short":      {"One.\n\nTwo.\n", 100, []string{"One.\n\nTwo."}},
		"paragraphs": {strings.Repeat("word ", 15) + "\n\n" + strings.Repeat("more ", 15), 100, []string{strings.Repeat("word ", 15), strings.Repeat("more ", 15)}},
		"code": {"Look:\n\n```go\n" + code.String() + "```\n\nThat is it.", 125, []string{
			"Look:",
			"```go\nline 0 of the code\nline 1 of the code\nline 2 of the code\nline 3 of the code\nline 4 of the code\nline 5 of the code\n```",
			"```go\nline 6 of the code\nline 7 of the code\nline 8 of the code\nline 9 of the code\nline 10 of the code\n```",
			"```go\nline 11 of the code\n```\n\nThat is it.",
		}},
		"code at its end": {"~~~~\n" + strings.Repeat("x\n", 80), 100, []string{"~~~~\n" + strings.Repeat("x\n", 45) + "~~~~", "~~~~\n" + strings.Repeat("x\n", 35) + "~~~~"}},
		"table": {"| n | says |\n|---|---|\n" + rows.String() + "\nAfter.", 160, []string{
			"| n | says |\n|---|---|\n| 0 | what row 0 says |\n| 1 | what row 1 says |\n| 2 | what row 2 says |\n| 3 | what row 3 says |\n| 4 | what row 4 says |",
			"| n | says |\n|---|---|\n| 5 | what row 5 says |\n| 6 | what row 6 says |\n| 7 | what row 7 says |\n| 8 | what row 8 says |\n| 9 | what row 9 says |",
			"| n | says |\n|---|---|\n| 10 | what row 10 says |\n| 11 | what row 11 says |\n\nAfter.",
		}},
		"one word": {strings.Repeat("ü", 250), 100, []string{strings.Repeat("ü", 100), strings.Repeat("ü", 100), strings.Repeat("ü", 50)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := parts(c.in, c.limit)
			if strings.Join(got, "\n=====\n") != strings.Join(c.want, "\n=====\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n=====\n"), strings.Join(c.want, "\n=====\n"))
			}
		})
	}
	for _, part := range parts(items.String(), 120) {
		if !unicode.IsDigit(rune(part[0])) || !strings.HasSuffix(part, "goes on") {
			t.Errorf("an item came apart: %q", part)
		}
	}
}

// squeezed is what is left of text without space.
func squeezed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// within reports whether all of a is in b, in its order.
func within(a, b string) bool {
	rest := []rune(b)
	for _, r := range a {
		i := 0
		for i < len(rest) && rest[i] != r {
			i++
		}
		if i == len(rest) {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// No part is too long, nothing is lost, and what was a block of code at the top is nothing else afterwards.
func FuzzParts(f *testing.F) {
	for _, s := range []string{
		"# A\n\ntext\n\n```go\nfunc main() {}\n```\n- a\n- b\n  ```\n  x\n  ```\n\n> quote\n> ```js\n> y\n> ```\n",
		"| a | b |\n|---|---|\n| 1 | 2 |\n\n~~~\n~~~\n\n    indented\n\n[a]: http://x\n", "```\n```\n```\n", "1. x\n\n   y\n2. z", "a\n===\n\n***\n<div>\nx\n</div>\n", "```" + strings.Repeat("l", 200) + "\nx\n```",
	} {
		f.Add(s, uint8(0))
		f.Add(strings.Repeat(s, 20), uint8(30))
	}
	f.Fuzz(func(t *testing.T, s string, more uint8) {
		if !utf8.ValidString(s) || len(s) > 20_000 {
			return
		}
		s = neutral(s)
		limit := 100 + int(more)
		got := parts(s, limit)
		for _, p := range got {
			if n := utf8.RuneCountInString(p); n > limit {
				t.Errorf("a part of %d characters, at most %d:\n%s", n, limit, p)
			}
		}
		if !within(squeezed(s), squeezed(strings.Join(got, "\n"))) {
			t.Errorf("something is missing of %q: %q", s, got)
		}
	})
}

// A block of code stays one in every part: what it says is no markup, and what comes after it is not swallowed.
func TestPartsKeepCode(t *testing.T) {
	var b strings.Builder
	for n := range 30 {
		fmt.Fprintf(&b, "Paragraph %d.\n\n```go\n// %s\n```\n\n- item\n\n  ```sh\n  %s\n  ```\n\n", n, strings.Repeat(fmt.Sprintf("c%d ", n), n*5), strings.Repeat("echo ", n))
	}
	for limit := 100; limit < 900; limit += 37 {
		for _, part := range parts(b.String(), limit) {
			source := []byte(part)
			_ = ast.Walk(parser.Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
				if c, ok := n.(*ast.FencedCodeBlock); ok && entering {
					if said := string(c.Lines().Value(source)); strings.Contains(said, "Paragraph") || strings.Contains(said, "item") {
						t.Errorf("limit %d: code swallows text:\n%s", limit, part)
					}
				} else if p, ok := n.(*ast.Paragraph); ok && entering {
					if said := string(p.Lines().Value(source)); strings.Contains(said, "//") || strings.Contains(said, "echo") {
						t.Errorf("limit %d: code is text:\n%s", limit, part)
					}
				}
				return ast.WalkContinue, nil
			})
		}
	}
}

// What an agent says is hostile: no answer takes long to part, however it is made.
func TestPartsOfHostileTextRegression(t *testing.T) {
	began := processorTime(t)
	for name, said := range map[string]string{
		"quotations": strings.Repeat(">", 60_000) + " x", "lists": strings.Repeat("- ", 30_000) + "x", "numbers": strings.Repeat("1. ", 20_000) + "x",
		"brackets": strings.Repeat("[", 60_000), "stars": strings.Repeat("**a_", 15_000), "ticks": strings.Repeat("`a``b", 12_000),
		"paragraphs": strings.Repeat("words\n\n", 8_000), "items": strings.Repeat("- item\n", 8_000), "tables": strings.Repeat("|a|b|\n|---|---|\n|1|2|\n", 2_500),
		"a megabyte": strings.Repeat("some words\n\n", 100_000),
	} {
		r := &result{outcome: session.PromptDone, answer: said}
		pieces, whole := r.pieces(false)
		if whole || len(pieces) != 1 || utf8.RuneCountInString(pieces[0]) > maxAnswer || strings.TrimSpace(pieces[0]) == "" {
			t.Errorf("%s: %d pieces, whole: %v", name, len(pieces), whole)
		}
	}
	if took := processorTime(t) - began; took > 10*time.Second {
		t.Errorf("they took %s of the processor's time", took)
	}
}

// A link does not come out of code that is parted where it cannot be told that it is code.
func TestPartedCodeRegression(t *testing.T) {
	said := "```" + strings.Repeat("x", 4_000) + "\n" + strings.Repeat("a\n", 5_000) + "[safe](https://evil.test)\n```\n"
	pieces, _ := (&result{outcome: session.PromptDone, answer: said}).pieces(false)
	for _, p := range pieces {
		if strings.Contains(p, "](") {
			t.Errorf("a link came out of it: %q", p[max(0, len(p)-100):])
		}
	}
	if len(pieces) != 2 {
		t.Errorf("%d pieces", len(pieces))
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
