package session

import (
	"math/bits"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// view is a text as it reads without disguise: escapes stand for what they mean, control characters and line breaks are gone.
type view struct {
	raw  string
	text []byte
	runs []passage // in order; a byte of text comes from the last that begins at or before it
}

// passage says that the text goes on from a place in raw, byte by byte.
type passage struct{ text, raw int32 }

var views = sync.Pool{New: func() any { return &view{} }}

func (v *view) release() {
	v.raw = ""
	views.Put(v)
}

// look returns s without disguise; nil when it has none.
func look(s string) *view {
	var v *view
	from := 0 // what comes from here on is not in the text yet
	for i := quiet(s, 0); i < len(s); {
		c, size := rune(s[i]), 1
		if telling[s[i]] {
			c, size = unit(s, i)
		}
		if size > 1 || c < 0 {
			if v == nil {
				v = views.Get().(*view)
				v.raw, v.text, v.runs = s, v.text[:0], v.runs[:0]
			}
			v.goOn(from, i)
			before := len(v.text)
			if c >= 0 {
				if v.text = utf8.AppendRune(v.text, c); size <= 4 || c < utf8.RuneSelf { // %c3 and \xc3 are bytes, \u00c3 is a character
					v.text = append(v.text[:before], byte(c))
				}
				for ; before < len(v.text); before++ {
					v.runs = append(v.runs, passage{int32(before), int32(i)})
				}
			}
			from = i + size
		}
		i = quiet(s, i+size)
	}
	if v != nil {
		v.goOn(from, len(s))
	}
	return v
}

// goOn appends a part of raw as it is.
func (v *view) goOn(from, to int) {
	if from < to {
		v.runs = append(v.runs, passage{int32(len(v.text)), int32(from)})
		v.text = append(v.text, v.raw[from:to]...)
	}
}

// start returns where in raw byte i of the text comes from.
func (v *view) start(i int) int {
	n, exact := slices.BinarySearchFunc(v.runs, int32(i), func(p passage, i int32) int { return int(p.text) - int(i) })
	if !exact {
		n--
	}
	return int(v.runs[n].raw) + i - int(v.runs[n].text)
}

// quiet returns the end of the bytes from i on that stand for themselves and for nothing else. What it finds may do so too. It looks at eight at a
// time, as run8 does.
func quiet[S string | []byte](s S, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(s)-i >= 8; i += 8 {
		w := word8(s, i)
		marks, backslash, del := (w|ones*3)^ones*'\'', w^ones*'\\', w^ones*0x7f // % and & are marks
		found := ((w-ones*' ')&^w | (marks-ones)&^marks | (backslash-ones)&^backslash | (del-ones)&^del) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && !telling[s[i]] {
		i++
	}
	return i
}

// telling are the bytes that may stand for another, or for nothing.
var telling = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = c != '\t'
	}
	t[0x7f], t['\\'], t['%'], t['&'] = true, true, true, true
	return t
}()

// entities are how HTML and Slack write what is markup to them.
var entities = []struct {
	name  string
	means rune
}{{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#34;", '"'}, {"&#39;", '\''}}

// unit reads what stands at i: the character it means, or -1 for nothing, and how many bytes it takes.
func unit(s string, i int) (c rune, size int) {
	rest := s[i:]
	switch {
	case rest[0] == '\\' && len(rest) > 1:
		switch rest[1] {
		case 'n', 'r':
			return -1, 2
		case 't':
			return '\t', 2
		case '"', '\'', '\\', '/':
			return rune(rest[1]), 2
		case 'x':
			if c := hexed(rest, 2, 2); c >= 0 {
				return shown(c), 4
			}
		case 'u':
			if c := hexed(rest, 2, 4); c >= 0 {
				return shown(c), 6
			}
		}
	case rest[0] == '%':
		if c := hexed(rest, 1, 2); c >= 0 {
			return shown(c), 3
		}
	case rest[0] == '&':
		for _, e := range entities {
			if strings.HasPrefix(rest, e.name) {
				return e.means, len(e.name)
			}
		}
	case rest[0] == 0x1b && len(rest) > 1 && rest[1] == '[': // ECMA-48, 5.4: a control sequence
		end := runOf(rest, 2, "0123456789:;<=>?")
		if end < len(rest) && '@' <= rest[end] && rest[end] <= '~' {
			return -1, end + 1
		}
		return -1, 1
	case rest[0] < ' ' || rest[0] == 0x7f:
		return -1, 1
	}
	return rune(rest[0]), 1
}

// shown is c, or nothing for a control character.
func shown(c rune) rune {
	if c < ' ' && c != '\t' || c == 0x7f {
		return -1
	}
	return c
}

// hexed reads n hexadecimal digits of s from i on; -1 if they are not there.
func hexed(s string, i, n int) rune {
	if i+n > len(s) {
		return -1
	}
	var v rune
	for _, c := range []byte(s[i : i+n]) {
		switch {
		case digit.has(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		v = v<<4 | rune(c)
	}
	return v
}

// gap reports whether something was left out right before byte i of the text: what follows it begins anew.
func (v *view) gap(i int) bool {
	if i == 0 {
		return true
	}
	before, at := v.start(i-1), v.start(i)
	_, size := unit(v.raw, before)
	return before != at && before+size != at
}

// place returns where in the raw text a span of the view's text stands.
func (v *view) place(p span) span {
	last := v.start(p.to - 1)
	_, size := unit(v.raw, last)
	return span{v.start(p.from), last + size}
}
