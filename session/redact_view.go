package session

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// view is a text as it reads without disguise: escapes stand for what they mean, control characters and line breaks are gone.
type view struct {
	raw   string
	text  []byte
	start []int32 // where in raw each byte of text comes from
}

var views = sync.Pool{New: func() any { return &view{} }}

func (v *view) release() {
	v.raw = ""
	views.Put(v)
}

// look returns s without disguise; nil when it has none.
func look(s string) *view {
	i := 0
	for i < len(s) && !telling[s[i]] {
		i++
	}
	if i == len(s) {
		return nil
	}
	v := views.Get().(*view)
	v.raw, v.text, v.start = s, v.text[:0], v.start[:0]
	changed := false
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && !telling[s[i]] {
			i++
		}
		v.text = append(v.text, s[from:i]...)
		for ; from < i; from++ {
			v.start = append(v.start, int32(from))
		}
		if i == len(s) {
			break
		}
		c, size := unit(s, i)
		switch {
		case c < 0:
			changed = true
		case size == 1:
			v.text, v.start = append(v.text, s[i]), append(v.start, int32(i))
		default:
			changed = true
			before := len(v.text)
			if v.text = utf8.AppendRune(v.text, c); size <= 4 || c < utf8.RuneSelf { // %c3 and \xc3 are bytes, \u00c3 is a character
				v.text = append(v.text[:before], byte(c))
			}
			for range len(v.text) - before {
				v.start = append(v.start, int32(i))
			}
		}
		i += size
	}
	if !changed {
		v.release()
		return nil
	}
	return v
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
	_, size := unit(v.raw, int(v.start[i-1]))
	return int(v.start[i-1]) != int(v.start[i]) && int(v.start[i-1])+size != int(v.start[i])
}

// place returns where in the raw text a span of the view's text stands.
func (v *view) place(p span) span {
	last := int(v.start[p.to-1])
	_, size := unit(v.raw, last)
	return span{int(v.start[p.from]), last + size}
}
