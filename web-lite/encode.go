package weblite

import (
	"bytes"
	"encoding/json"
	"sync"

	"openinspect/session"
)

// maxFrame is how much of a message one WebSocket frame holds, and how many bytes of events are put into one message unless a
// single event is larger.
const maxFrame = 256 << 10

// encoder writes messages; its buffer is used again for each.
type encoder struct{ buf bytes.Buffer }

// encoders are those that no socket uses just now: of a thousand open pages nearly all wait.
var encoders = sync.Pool{New: func() any { return new(encoder) }}

// events calls send with messages {"events":[…]} for all events, in order. What send is given is good until it returns.
func (e *encoder) events(events []session.Event, send func([]byte) error) error {
	const opening, closing = `{"events":[`, `]}`
	e.buf.Reset()
	e.buf.WriteString(opening)
	n := 0
	flush := func(end int) error {
		rest := bytes.Clone(e.buf.Bytes()[end:])
		e.buf.Truncate(end)
		e.buf.WriteString(closing)
		err := send(e.buf.Bytes())
		e.buf.Reset()
		e.buf.WriteString(opening)
		e.buf.Write(bytes.TrimPrefix(rest, []byte(",")))
		return err
	}
	for i := range events {
		before := e.buf.Len()
		if n > 0 {
			e.buf.WriteByte(',')
		}
		if err := e.event(&events[i]); err != nil {
			return err
		}
		if n > 0 && e.buf.Len()+len(closing) > maxFrame {
			if err := flush(before); err != nil {
				return err
			}
			n = 0
		}
		n++
	}
	if n == 0 {
		return nil
	}
	return flush(e.buf.Len())
}

// event appends one event. A tool's input that is not JSON is sent as the text it is.
func (e *encoder) event(ev *session.Event) error {
	shown := public(*ev)
	if t := shown.Tool; t != nil && len(t.Input) > 0 && !json.Valid(t.Input) {
		told := *t
		told.Input, _ = json.Marshal(string(t.Input))
		shown.Tool = &told
	}
	return e.append(shown)
}

// message returns {"name":v}. It is good until the next call.
func (e *encoder) message(name string, v any) ([]byte, error) {
	e.buf.Reset()
	e.buf.WriteString(`{"` + name + `":`)
	if err := e.append(v); err != nil {
		return nil, err
	}
	e.buf.WriteByte('}')
	return e.buf.Bytes(), nil
}

func (e *encoder) append(v any) error {
	j := json.NewEncoder(&e.buf)
	j.SetEscapeHTML(false) // it never stands in HTML
	if err := j.Encode(v); err != nil {
		return err
	}
	e.buf.Truncate(e.buf.Len() - 1) // the line break
	return nil
}

// public returns an event as everybody who has the link may see it: without what is for one person alone.
func public(e session.Event) session.Event {
	if e.Note != nil && e.Note.To != "" {
		e.Note = &session.Note{Kind: e.Note.Kind, To: e.Note.To}
	}
	if e.Approval != nil && e.Approval.Reason != "" {
		a := *e.Approval
		a.Reason = ""
		e.Approval = &a
	}
	return e
}
