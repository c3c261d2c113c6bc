package modeltest

import (
	"encoding/json"
	"fmt"
	"net/http"

	"openinspect/session/model"
)

// answer is what one request gets, before it is put into a format.
type answer struct {
	id     string // unique; part of the ids of what it holds
	model  string
	step   Step
	usage  model.Usage
	finish Finish
}

func (a answer) call(i int) string { return fmt.Sprintf("%s_%d", a.id, i) }

// event is one event of a stream, and what a test may want to happen before it.
type event struct {
	name  string // "" for formats that do not name their events
	data  any    // a string is sent as it is, all else as JSON
	gates []Gate
	calls bool // completes a tool call
}

// send sends an answer as the request asked for it, and reports whether all of it was sent. If not, the connection is to be cut.
func (p *Provider) send(w http.ResponseWriter, r *http.Request, wire wire, c conversation, a answer, fault Fault) bool {
	for _, g := range a.step.Gates {
		if (g.Place == AtStart || !c.Stream) && !p.pass(r, g.Name) {
			return false
		}
	}
	stall := func() {
		select {
		case <-r.Context().Done():
		case <-p.closed.Done():
		}
	}
	w.Header().Set("Request-Id", "req_"+a.id)
	if !c.Stream {
		if fault.Stall {
			stall()
			return false
		}
		answerJSON(w, http.StatusOK, wire.whole(a))
		return true
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	rc := http.NewResponseController(w)
	if rc.Flush() != nil {
		return false
	}
	if fault.Stall {
		stall()
		return false
	}
	if fault.CutAtStart {
		return false
	}
	for i, e := range wire.events(a) {
		if fault.CutAfterEvents > 0 && i == fault.CutAfterEvents {
			return false
		}
		if fault.ErrorAfterEvents > 0 && i == fault.ErrorAfterEvents {
			_ = write(w, wire.broken) // it is the last in any case
			return true
		}
		for _, g := range e.gates {
			if !p.pass(r, g.Name) {
				return false
			}
		}
		if write(w, e) != nil || rc.Flush() != nil {
			return false
		}
		if e.calls && fault.CutAfterTool {
			return false
		}
	}
	return true
}

func write(w http.ResponseWriter, e event) error {
	data, isText := e.data.(string)
	if !isText {
		b, err := json.Marshal(e.data)
		if err != nil {
			return err
		}
		data = string(b)
	}
	name := ""
	if e.name != "" {
		name = "event: " + e.name + "\n"
	}
	_, err := fmt.Fprintf(w, "%sdata: %s\n\n", name, data)
	return err
}

// chunk is how many bytes of text an event carries: small, so that a short text streams in several.
const chunk = 16

// piece is a part of a text, and the gates that stand before it.
type piece struct {
	text  string
	gates []Gate
}

// pieces cuts the text of a step into chunks, and at its gates. Characters stay whole. The gates at the text's end are returned apart.
func (s Step) pieces() (all []piece, end []Gate) {
	var p piece
	at := 0
	for at < len(s.Text) {
		p.gates = append(p.gates, s.gates(AtText, at)...)
		n := at + 1
		for n < len(s.Text) && (n-at < chunk || s.Text[n]&0xC0 == 0x80) && len(s.gates(AtText, n)) == 0 {
			n++
		}
		p.text = s.Text[at:n]
		all = append(all, p)
		p, at = piece{}, n
	}
	return all, s.gates(AtText, at)
}

func (s Step) gates(place Place, n int) (g []Gate) {
	for _, each := range s.Gates {
		if each.Place == place && each.N == n {
			g = append(g, each)
		}
	}
	return g
}

// split cuts a text that has no gates into chunks.
func split(text string) []string {
	all, _ := Step{Text: text}.pieces()
	var s []string
	for _, p := range all {
		s = append(s, p.text)
	}
	return s
}

// input returns a tool call's input as JSON.
func (t ToolCall) input() string {
	if t.Input == nil {
		return "{}"
	}
	b, err := json.Marshal(t.Input)
	if err != nil {
		panic(fmt.Sprintf("modeltest: the input of %s: %v", t.Name, err))
	}
	return string(b)
}
