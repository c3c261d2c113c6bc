package runner

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// Limits in bytes on the parts of an event; session.Tool gives the one for a tool's output.
const (
	maxToolOutput = 32 << 10
	maxText       = 256 << 10
	maxInput      = 128 << 10
	maxWord       = 8 << 10 // titles, reasons, todo items
	maxTodo       = 200     // items
)

// encodeLine returns a journal line, newline included, below link.MaxLine. Escaping can make text six times as long, so the
// limits are halved until the line fits.
func encodeLine(n int64, e session.Event) ([]byte, error) {
	for scale := 1; scale <= 1<<12; scale *= 2 {
		small := trim(e, scale)
		line, err := json.Marshal(link.Line{N: n, Event: &small})
		if err != nil {
			return nil, err
		}
		if len(line)+1 < link.MaxLine {
			return append(line, '\n'), nil
		}
	}
	return nil, fmt.Errorf("an event of kind %s does not fit into a line", e.Kind)
}

// trim returns e with its big parts cut to the limits divided by scale. What e points to is not changed.
func trim(e session.Event, scale int) session.Event {
	if e.Text != nil {
		t := *e.Text
		t.Text = cut(t.Text, maxText/scale)
		t.Part = cut(t.Part, maxWord/scale)
		e.Text = &t
	}
	if e.Tool != nil {
		t := *e.Tool
		t.Call, t.Name = cut(t.Call, maxWord/scale), cut(t.Name, maxWord/scale)
		t.Title = cut(t.Title, maxWord/scale)
		t.Output = cut(t.Output, maxToolOutput/scale)
		t.Error = cut(t.Error, maxToolOutput/scale)
		t.Diff = cut(t.Diff, maxText/scale)
		if len(t.Input) > maxInput/scale {
			t.Input = fmt.Appendf(nil, `{"omitted_bytes":%d}`, len(t.Input))
		} else if !json.Valid(t.Input) {
			t.Input = nil
		}
		e.Tool = &t
	}
	if e.Boot != nil {
		b := *e.Boot
		b.Detail, b.Output = cut(b.Detail, maxWord/scale), cut(b.Output, maxToolOutput/scale)
		e.Boot = &b
	}
	if len(e.Todo) > 0 {
		items := e.Todo[:min(len(e.Todo), maxTodo)]
		e.Todo = make([]session.TodoItem, len(items))
		for i, item := range items {
			e.Todo[i] = session.TodoItem{Text: cut(item.Text, maxWord/scale), State: cut(item.State, 100)}
		}
	}
	if e.Retry != nil {
		r := *e.Retry
		r.Reason = cut(r.Reason, maxWord/scale)
		e.Retry = &r
	}
	if e.Turn != nil {
		t := *e.Turn
		t.Reason = cut(t.Reason, maxWord/scale)
		e.Turn = &t
	}
	if e.Error != nil {
		f := *e.Error
		f.Message = cut(f.Message, maxWord/scale)
		e.Error = &f
	}
	return e
}

// cut returns at most limit bytes of s as valid UTF-8, and says so when it left something out.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	const mark = "\n… (cut)"
	end := max(0, limit-len(mark))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// lastLines returns the last n lines of s.
func lastLines(s string, n int) string {
	s = strings.TrimRight(s, "\n")
	end := len(s)
	for range n {
		end = strings.LastIndexByte(s[:end], '\n')
		if end < 0 {
			return s
		}
	}
	return s[end+1:]
}
