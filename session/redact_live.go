package session

import (
	"strings"
	"unicode/utf8"
)

// maxHeld is how much of a part's text is held back at most. A part that would need more is not shown live any more; its finished
// text is.
const maxHeld = 16 << 10

// maxParts bounds how many parts are followed at a time.
const maxParts = 64

// LiveRedactor redacts text that comes in pieces, where a secret may be split over several. It holds back what could still become one:
// as a rule the word that is being written. It belongs to one goroutine.
type LiveRedactor struct {
	r     *Redactor
	parts map[livePart]*liveText
}

type livePart struct {
	prompt, part string
	kind         Kind
}

type liveText struct {
	in, out int    // how far the text has come, and how far it was passed on
	held    string // not passed on yet
	shown   bool
	silent  bool
}

// Live returns a redactor for the deltas of one link.
func (r *Redactor) Live() *LiveRedactor {
	return &LiveRedactor{r: r, parts: map[livePart]*liveText{}}
}

// Delta takes the next piece of a part and returns what may be shown now; false when that is nothing. Offsets of what it returns count
// redacted bytes.
func (l *LiveRedactor) Delta(d Delta) (Delta, bool) {
	if d.Kind != KindText && d.Kind != KindReasoning {
		return Delta{}, false
	}
	key := livePart{d.PromptID, d.Part, d.Kind}
	t := l.parts[key]
	fresh := d.Offset == 0 && (t == nil || t.in > 0 || t.silent)
	if t == nil || fresh {
		if len(l.parts) >= maxParts {
			clear(l.parts)
		}
		again := t != nil && t.shown
		t = &liveText{shown: again}
		l.parts[key] = t
	}
	if d.Offset != t.in {
		t.silent = true // a piece is missing: what is held does not belong to what comes
	}
	if t.silent {
		return Delta{}, false
	}
	t.in += len(d.Text)
	t.held += d.Text
	cut := l.r.index().settled(t.held)
	if len(t.held)-cut > maxHeld {
		t.silent, t.held = true, ""
		return Delta{}, false
	}
	text := l.r.String(t.held[:cut])
	t.held = t.held[cut:]
	if text == "" && !(fresh && t.shown) {
		return Delta{}, false
	}
	l.r.replaceWord(&d.PromptID)
	l.r.replace(&d.Part)
	d.Offset, d.Text = t.out, text
	t.out += len(text)
	t.shown = true
	return d, true
}

// settled returns how many bytes of s can be judged now, whatever follows.
func (x *index) settled(s string) int {
	cut := len(s)
	for {
		c := x.whole(s, brokenOff(s, lastBreak(s, cut)))
		c -= x.begun(s[:c])
		if v := look(s[:c]); v != nil {
			if n := x.begun(string(v.text)); n > 0 {
				c = v.start(len(v.text) - n)
			}
			v.release()
		}
		if c == cut {
			return cut
		}
		cut = c
	}
}

// whole returns cut, or where the word before it begins if a token may begin in it that goes on behind a line break.
func (x *index) whole(s string, cut int) int {
	if cut == 0 || s[cut-1] != '\n' && s[cut-1] != '\r' {
		return cut
	}
	from := cut
	for from > 0 && s[from-1] != ' ' && s[from-1] != '\t' && s[from-1] < utf8.RuneSelf {
		from--
	}
	word, gap := s[from:cut], func(int) bool { return false }
	if v := look(word); v != nil {
		defer v.release()
		word, gap = string(v.text), v.gap
	}
	if mayBegin(word, gap) {
		return from
	}
	return cut
}

// lastBreak returns the end of the last byte or character of s[:cut] that no token has: tokens are made of visible ASCII, with control characters in between.
func lastBreak(s string, cut int) int {
	for i := cut; i > 0; {
		c, n := utf8.DecodeLastRuneInString(s[:i])
		switch {
		case c == utf8.RuneError && n == 1 && len(s)-i < utf8.UTFMax:
			// Perhaps the beginning of a character whose rest is to come.
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c >= utf8.RuneSelf:
			return i
		}
		i -= n
	}
	return 0
}

// brokenOff returns where in s[:cut] something with spaces in it begins that is not complete: a private key, an Authorization header.
func brokenOff(s string, cut int) int {
	for at := 0; at < cut; {
		i := strings.Index(s[at:cut], pemBegin)
		if i < 0 {
			break
		}
		i += at
		end, key, sure := pem(s[:cut], i)
		if !sure {
			cut = i
			break
		}
		if at = i + len(pemBegin); key {
			at = end
		}
	}
	for _, anchor := range []string{"uthorization", "UTHORIZATION"} {
		i := strings.LastIndex(s[:cut], anchor) - 1
		if i >= 0 && cut-i < 64 && !strings.Contains(s[i:cut], "\n") {
			cut = i
		}
	}
	return cut
}
