package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits in bytes on what a sandbox's events may hold. A runner of ours keeps to smaller ones; these are for one that is not.
const (
	maxWords  = 8 << 10 // names, titles, reasons, todo items
	maxOutput = 64 << 10
	maxSpeech = 512 << 10 // text, a diff
	maxArgs   = 256 << 10 // a tool's input
	maxTodos  = 200
	maxTold   = 256 << 20 // of a session's log altogether, as it is stored
	perEvent  = 200       // what an event takes besides its words
	perTodo   = 23        // what an item takes besides its words and state
	maxDepth  = 100       // of a tool's input
	maxMillis = 7 * 24 * 3_600_000
)

// escaped is how much longer each byte is in JSON as Go writes it.
var escaped = func() (t [256]uint8) {
	for b := range byte(' ') {
		t[b] = 5
	}
	t['<'], t['>'], t['&'] = 5, 5, 5
	for _, b := range []byte("\"\\\b\f\n\r\t") {
		t[b] = 1
	}
	return t
}()

// stored returns how many bytes s takes in the store: a kilobyte of angle brackets is six there.
func stored[S string | json.RawMessage](s S) int {
	n := len(s)
	for i := asIs(s, 0); i < len(s); i = asIs(s, i+1) {
		n += int(escaped[s[i]])
	}
	return n
}

// size is how much of a log an event of the bot's own takes.
func (e *Event) size() int64 {
	b, err := json.Marshal(e)
	if err != nil {
		return perEvent // the store will say so
	}
	return int64(len(b))
}

// bound cuts everything in e that came out of a sandbox, and returns how much of the log it takes.
func (e *Event) bound() int64 {
	size := perEvent
	cut := func(s string, limit int) string {
		s = cutBytes(s, limit)
		size += stored(s)
		return s
	}
	line := func(s string) string { return cut(printable(s), maxWords) }
	if t := e.Text; t != nil {
		if c := (Text{Part: cut(t.Part, maxWords), Text: cut(t.Text, maxSpeech)}); c != *t {
			e.Text = &c
		}
	}
	if e.Tool != nil {
		was, t := e.Tool, *e.Tool
		t.Call, t.Name, t.State, t.Title = line(t.Call), line(t.Name), stepState(t.State), line(t.Title)
		t.Output, t.Error, t.Diff = cut(t.Output, maxOutput), cut(t.Error, maxOutput), cut(t.Diff, maxSpeech)
		if len(t.Input) > maxArgs || deep(t.Input) {
			was, t.Input = nil, json.RawMessage(fmt.Sprintf(`{"omitted_bytes":%d}`, len(t.Input)))
		}
		size += stored(t.Input)
		if was == nil || t.Call != was.Call || t.Name != was.Name || t.State != was.State || t.Title != was.Title ||
			t.Output != was.Output || t.Error != was.Error || t.Diff != was.Diff {
			changed := t // as a rule nothing has
			e.Tool = &changed
		}
	}
	if e.Todo != nil {
		todo := make([]TodoItem, min(len(e.Todo), maxTodos))
		for i := range todo {
			todo[i] = TodoItem{Text: line(e.Todo[i].Text), State: todoState(e.Todo[i].State)}
			size += perTodo + len(todo[i].State)
		}
		e.Todo = todo
	}
	if e.Retry != nil {
		r := *e.Retry
		r.Reason = cut(r.Reason, maxWords)
		e.Retry = &r
	}
	if f := e.Error; f != nil {
		e.Error = &Failure{Code: failureCode(f.Code), Message: cut(f.Message, maxWords)}
	}
	if n := e.Note; n != nil {
		e.Note = &Note{Kind: n.Kind, Text: cut(n.Text, maxWords)}
	}
	if e.Boot != nil {
		b := *e.Boot
		b.Phase, b.State, b.Detail, b.Output = Phase(cut(string(b.Phase), 100)), stepState(b.State), line(b.Detail), cut(b.Output, maxOutput)
		e.Boot = &b
	}
	return int64(size)
}

// printable returns s on one line, without control characters.
func printable(s string) string {
	if asIs(s, 0) == len(s) && strings.IndexByte(s, 0x7f) < 0 || strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
}

// deep reports whether JSON is nested deeper than whoever shows it should have to follow.
func deep(raw json.RawMessage) bool {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// todoState returns s if it is one that a todo list has.
func todoState(s string) string {
	switch s {
	case "pending", "in_progress", "completed", "cancelled":
		return s
	}
	return "pending"
}

// sane puts times and durations that cannot be into what can: nothing happened after now, or before what stands above it in the log, whatever the sandbox's
// clock says.
func (e *Event) sane(from, now time.Time) {
	if from.After(now) { // the bot's own clock was set back
		from = now
	}
	said := e.At
	if !said.IsZero() {
		e.At = within(said, from, now)
	}
	if e.Retry != nil {
		r := *e.Retry
		r.Attempt = min(max(r.Attempt, 0), 1000)
		switch {
		case r.Next.IsZero():
		case said.IsZero():
			r.Next = within(r.Next, from, now.Add(time.Hour))
		default: // by the same clock: how long it waits is what counts
			r.Next = e.At.Add(min(max(r.Next.Sub(said), 0), time.Hour))
		}
		e.Retry = &r
	}
	if e.Boot != nil {
		b := *e.Boot
		b.Millis = min(max(b.Millis, 0), maxMillis)
		e.Boot = &b
	}
	if ms := min(max(e.toolMillis(), 0), maxMillis); ms != e.toolMillis() {
		t := *e.Tool
		t.Millis = ms
		e.Tool = &t
	}
}

func (e *Event) toolMillis() int64 {
	if e.Tool == nil {
		return 0
	}
	return e.Tool.Millis
}

func within(t, from, to time.Time) time.Time {
	switch {
	case t.After(to):
		return to
	case t.Before(from):
		return from
	}
	return t
}

// cutBytes returns at most limit bytes of s, without half a character at the end.
func cutBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// stepState returns s if it is one of the known, else failed: a state that nobody knows would never end.
func stepState(s StepState) StepState {
	switch s {
	case StepRunning, StepDone, StepWarning, StepSkipped, StepFailed:
		return s
	}
	return StepFailed
}

func failureCode(c Code) Code {
	switch c {
	case Invalid, NotFound, Conflict, Forbidden, Unavailable, Internal:
		return c
	}
	return Internal
}

// record tells an event of the sandbox's, as long as the session's log has room for it. The first that does not fit is told as a notice. What
// people and the bot itself say is told in any case: it comes at the pace of people.
func (m *Machine) record(e Event) {
	if m.s.Full {
		return
	}
	size := e.bound()
	if m.s.Told+size >= maxTold {
		m.s.Full = true
		m.tell(Event{Kind: KindNote, Note: &Note{Kind: NoteNotice, Text: fmt.Sprintf("The log of this thread is full (%d MiB): what the agent says and does from here on is not recorded any more. Its commits and what it costs still are. Please start a new thread for what is left to do.", maxTold>>20)}})
		return
	}
	m.s.Told += size
	m.enter(e)
}
