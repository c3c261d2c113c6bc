package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseEvent reads an event as it is stored.
func ParseEvent(b []byte) (Event, error) {
	if e, n := ScanEvent(b); n == len(b) && n > 0 {
		return *e, nil
	}
	var e Event
	err := json.Unmarshal(b, &e)
	return e, err
}

// ScanEvent reads the event that b begins with, if it is one of those that a log is full of, calls of tools and the agent's words, and written as
// AppendJSON writes them; n is its length. For everything else, what is damaged included, n is 0, and a decoder of JSON has to look at it.
// What it reads is what such a decoder would have read, one that takes neither names twice nor what is not UTF-8.
func ScanEvent(b []byte) (e *Event, n int) {
	s := scan{b: b}
	if e, ok := s.event(); ok && utf8.Valid(b[:s.i]) {
		return e, s.i
	}
	return nil, 0
}

// scan reads JSON without white space, whose fields come in the order of their declaration.
type scan struct {
	b    []byte
	i    int
	text strings.Builder // holds all strings of an event
}

func (s *scan) event() (*Event, bool) {
	e := &Event{}
	if s.has(`{"seq":`) {
		n, ok := s.number()
		if !ok || n <= 0 || !s.has(`,"at":"`) {
			return nil, false
		}
		e.Seq = n
	} else if !s.has(`{"at":"`) {
		return nil, false
	}
	// A runner's clock, and ours, is UTC. UnmarshalText lets more pass than the decoder does: an hour of one digit, a comma before the fraction.
	end := bytes.IndexByte(s.b[s.i:min(len(s.b), s.i+40)], '"')
	if end < len("2006-01-02T15:04:05Z") {
		return nil, false
	}
	if at := s.b[s.i : s.i+end]; at[len("2006-01-02T15")] != ':' || at[len("2006-01-02T15:04:05")] == ',' || at[end-1] != 'Z' || e.At.UnmarshalText(at) != nil {
		return nil, false
	}
	s.i += end
	if !s.has(`","kind":"`) {
		return nil, false
	}
	for _, k := range []Kind{KindTool, KindText, KindReasoning} {
		if s.has(string(k)) {
			e.Kind = k
			break
		}
	}
	if e.Kind == "" || !s.has(`"`) {
		return nil, false
	}
	s.text.Grow(s.lineEnd())
	ok := s.filled(`,"prompt_id":`, &e.PromptID)
	switch {
	case !ok:
	case s.has(`,"tool":{`):
		e.Tool = &Tool{}
		ok = s.tool(e.Tool)
	case s.has(`,"text":{`):
		e.Text = &Text{}
		ok = s.field(`"part":`, &e.Text.Part) && s.field(`,"text":`, &e.Text.Text)
	default:
		ok = false
	}
	return e, ok && s.has(`}}`)
}

// lineEnd returns how many bytes of the line are left: no string of it is longer.
func (s *scan) lineEnd() int {
	if n := bytes.IndexByte(s.b[s.i:], '\n'); n >= 0 {
		return n
	}
	return len(s.b) - s.i
}

func (s *scan) tool(t *Tool) bool {
	var state string
	if !s.field(`"call":`, &t.Call) || !s.field(`,"name":`, &t.Name) || !s.field(`,"state":`, &state) || !s.filled(`,"title":`, &t.Title) {
		return false
	}
	t.State = StepState(state)
	if s.has(`,"input":`) {
		from := s.i
		if !s.value(0) {
			return false
		}
		t.Input = bytes.Clone(s.b[from:s.i])
	}
	if !s.filled(`,"output":`, &t.Output) || !s.filled(`,"error":`, &t.Error) {
		return false
	}
	if s.has(`,"exit":`) {
		n, ok := s.number()
		if !ok || int64(int(n)) != n {
			return false
		}
		exit := int(n)
		t.Exit = &exit
	}
	if s.has(`,"ms":`) {
		n, ok := s.number()
		if !ok {
			return false
		}
		t.Millis = n
	}
	if !s.filled(`,"diff":`, &t.Diff) {
		return false
	}
	t.Child = s.has(`,"child":true`)
	return true
}

// has goes past what stands next, if it is that.
func (s *scan) has(what string) bool {
	if len(s.b)-s.i < len(what) || string(s.b[s.i:s.i+len(what)]) != what {
		return false
	}
	s.i += len(what)
	return true
}

func (s *scan) field(name string, into *string) (ok bool) {
	if !s.has(name) {
		return false
	}
	*into, ok = s.string()
	return ok
}

// filled reads a field that may be missing.
func (s *scan) filled(name string, into *string) (ok bool) {
	if !s.has(name) {
		return true
	}
	*into, ok = s.string()
	return ok
}

// number reads a whole number of at most 18 digits.
func (s *scan) number() (n int64, ok bool) {
	from := s.i
	s.has("-")
	digits := s.i
	for s.i < len(s.b) && digit.has(s.b[s.i]) {
		s.i++
	}
	if count := s.i - digits; count < 1 || count > 18 || count > 1 && s.b[digits] == '0' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(s.b[from:s.i]), 10, 64)
	return n, err == nil
}

// string reads a string.
func (s *scan) string() (string, bool) {
	if !s.has(`"`) {
		return "", false
	}
	begin := s.text.Len()
	for {
		end := run8(s.b, s.i)
		s.text.Write(s.b[s.i:end])
		s.i = end
		if s.has(`"`) {
			return s.text.String()[begin:], true
		}
		c, ok := s.escape()
		if !ok {
			return "", false
		}
		s.text.WriteRune(c)
	}
}

// run8 returns the end of the bytes from i on that stand for themselves in a JSON string. It looks at eight at a time: of which one is below a space, or a
// quote, or a backslash, is its highest bit set in what comes out, by https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord.
func run8(b []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, backslash := w^ones*'"', w^ones*'\\'
		found := ((w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escape reads an escaped character. Of pairs of surrogates nothing is known here.
func (s *scan) escape() (rune, bool) {
	if len(s.b)-s.i < 2 || s.b[s.i] != '\\' {
		return 0, false
	}
	c := rune(s.b[s.i+1])
	s.i += 2
	switch c {
	case 'n':
		return '\n', true
	case 't':
		return '\t', true
	case 'r':
		return '\r', true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case '"', '\\', '/':
		return c, true
	case 'u':
		if len(s.b)-s.i < 4 {
			return 0, false
		}
		c := hexed(string(s.b[s.i:s.i+4]), 0, 4)
		s.i += 4
		return c, c >= 0 && !(0xd800 <= c && c < 0xe000)
	}
	return 0, false
}

// Bounds of a value that is read here: of its depth, and of how many names an object has.
const (
	maxScanDepth = 32
	maxScanNames = 32
)

// value goes past any value.
func (s *scan) value(depth int) bool {
	if s.i == len(s.b) || depth > maxScanDepth {
		return false
	}
	switch s.b[s.i] {
	case '"':
		return s.skipString()
	case '{':
		return s.object(depth)
	case '[':
		s.i++
		if s.has("]") {
			return true
		}
		for s.value(depth + 1) {
			if s.has("]") {
				return true
			}
			if !s.has(",") {
				return false
			}
		}
		return false
	case 't':
		return s.has("true")
	case 'f':
		return s.has("false")
	case 'n':
		return s.has("null")
	}
	return s.decimal()
}

// object goes past an object whose names are all different and have no escapes.
func (s *scan) object(depth int) bool {
	s.i++
	if s.has("}") {
		return true
	}
	var names [maxScanNames][]byte
	for n := range names {
		from := s.i
		if !s.skipString() {
			return false
		}
		names[n] = s.b[from:s.i]
		if bytes.IndexByte(names[n], '\\') >= 0 {
			return false
		}
		for _, other := range names[:n] {
			if bytes.Equal(other, names[n]) {
				return false
			}
		}
		if !s.has(":") || !s.value(depth+1) {
			return false
		}
		if s.has("}") {
			return true
		}
		if !s.has(",") {
			return false
		}
	}
	return false
}

// skipString goes past a string.
func (s *scan) skipString() bool {
	if !s.has(`"`) {
		return false
	}
	for {
		if s.i = run8(s.b, s.i); s.has(`"`) {
			return true
		}
		if _, ok := s.escape(); !ok {
			return false
		}
	}
}

// decimal goes past a number.
func (s *scan) decimal() bool {
	s.has("-")
	if !s.has("0") && s.digits() == 0 {
		return false
	}
	if s.has(".") && s.digits() == 0 {
		return false
	}
	if s.has("e") || s.has("E") {
		if !s.has("+") {
			s.has("-")
		}
		return s.digits() > 0
	}
	return true
}

func (s *scan) digits() int {
	from := s.i
	for s.i < len(s.b) && digit.has(s.b[s.i]) {
		s.i++
	}
	return s.i - from
}

// canonical reports whether raw is one JSON value exactly as encoding/json writes it: without white space, and safe to stand in HTML. Of others it
// may say that they are not.
func canonical(raw []byte) bool {
	for i, c := range raw {
		if c == '<' || c == '>' || c == '&' || c == 0xe2 && i+1 < len(raw) && raw[i+1] == 0x80 {
			return false
		}
	}
	s := scan{b: raw}
	return s.value(0) && s.i == len(raw) && utf8.Valid(raw)
}
