package session

import (
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends e as encoding/json writes it. What a log is full of, calls of tools and the agent's words, is written here at a fifth
// of the cost; the rest is encoding/json's.
func (e *Event) AppendJSON(b []byte) ([]byte, error) {
	if out, ok := e.appendOften(b); ok {
		return out, nil
	}
	body, err := json.Marshal(e)
	return append(b, body...), err
}

// often reports whether e has the payload of a tool's call or of words, and no other.
func (e *Event) often() bool {
	return (e.Tool != nil) != (e.Text != nil) && e.Prompt == nil && e.Boot == nil && e.Turn == nil && e.Todo == nil && e.Model == nil &&
		e.Retry == nil && e.Commits == nil && e.Card == nil && e.Approval == nil && e.PullRequest == nil && e.Sandbox == nil &&
		e.Note == nil && e.Error == nil && e.Budget == nil && e.Repository == nil
}

func (e *Event) appendOften(b []byte) (out []byte, ok bool) {
	if !e.often() || e.Tool != nil && len(e.Tool.Input) > 0 && !canonical(e.Tool.Input) {
		return b, false
	}
	out = append(b, '{')
	if e.Seq != 0 {
		out = strconv.AppendInt(append(out, `"seq":`...), e.Seq, 10)
		out = append(out, ',')
	}
	out, err := e.At.AppendText(append(out, `"at":"`...))
	if err != nil {
		return b, false // encoding/json has the words for it
	}
	out = appendString(append(out, `","kind":`...), string(e.Kind))
	out = appendFilled(out, `,"prompt_id":`, e.PromptID)
	if e.Text != nil {
		out = appendString(append(out, `,"text":{"part":`...), e.Text.Part)
		out = appendString(append(out, `,"text":`...), e.Text.Text)
	} else {
		out = e.Tool.appendFields(append(out, `,"tool":{`...))
	}
	return append(out, '}', '}'), true
}

func (t *Tool) appendFields(b []byte) []byte {
	b = appendString(append(b, `"call":`...), t.Call)
	b = appendString(append(b, `,"name":`...), t.Name)
	b = appendString(append(b, `,"state":`...), string(t.State))
	b = appendFilled(b, `,"title":`, t.Title)
	if len(t.Input) > 0 {
		b = append(append(b, `,"input":`...), t.Input...)
	}
	b = appendFilled(b, `,"output":`, t.Output)
	b = appendFilled(b, `,"error":`, t.Error)
	if t.Exit != nil {
		b = strconv.AppendInt(append(b, `,"exit":`...), int64(*t.Exit), 10)
	}
	if t.Millis != 0 {
		b = strconv.AppendInt(append(b, `,"ms":`...), t.Millis, 10)
	}
	b = appendFilled(b, `,"diff":`, t.Diff)
	if t.Child {
		b = append(b, `,"child":true`...)
	}
	return b
}

// appendFilled appends a field that is left out when it is empty.
func appendFilled(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

// asIs returns the end of the bytes from i on that encoding/json writes as they are: ASCII that means nothing to JSON or HTML. It looks at eight at a
// time, as run8 does; < and > differ in one bit, and so do & and the quote.
func asIs[S string | json.RawMessage](s S, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s)-i >= 8; i += 8 {
		w := word8(s, i)
		angle, quote, backslash := (w|ones*('<'^'>'))^ones*'>', (w|ones*('&'^'"'))^ones*'&', w^ones*'\\'
		found := (w | (w-ones*' ')&^w | (angle-ones)&^angle | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && s[i] < utf8.RuneSelf && escaped[s[i]] == 0 {
		i++
	}
	return i
}

// word8 is eight bytes of s from i on, the first of them lowest.
func word8[S string | ~[]byte](s S, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; ; {
		end := asIs(s, i)
		b = append(b, s[i:end]...)
		if end == len(s) {
			return append(b, '"')
		}
		c := s[end]
		i = end + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		default:
			const hex = "0123456789abcdef"
			if c < utf8.RuneSelf {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
				continue
			}
			r, size := utf8.DecodeRuneInString(s[end:])
			i = end + size
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028', r == '\u2029': // line ends to JavaScript
				b = append(b, '\\', 'u', '2', '0', '2', hex[r&0xf])
			default:
				b = append(b, s[end:i]...)
			}
		}
	}
}
