package link

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json"

	"openinspect/session"
)

// ParseLine reads one line of GET /events, with or without its end.
func ParseLine(b []byte) (Line, error) {
	b = bytes.TrimSuffix(b, []byte("\n"))
	if l, ok := scanLine(b); ok {
		return l, nil
	}
	var l Line
	err := json.Unmarshal(b, &l)
	return l, err
}

// scanLine reads a line as nearly all are: a number, and an event that session.ScanEvent knows.
func scanLine(b []byte) (l Line, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"n":`))
	digits := bytes.IndexByte(rest[:min(len(rest), 20)], ',')
	if !ok || digits < 1 || rest[0] < '1' || rest[0] > '9' {
		return Line{}, false
	}
	n, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	if err != nil {
		return Line{}, false
	}
	if rest, ok = bytes.CutPrefix(rest[digits:], []byte(`,"event":`)); !ok {
		return Line{}, false
	}
	e, size := session.ScanEvent(rest)
	if e == nil || string(rest[size:]) != "}" {
		return Line{}, false
	}
	return Line{N: n, Event: e}, true
}
