package weblite

import (
	"fmt"
	"regexp"
	"strings"
)

// plain returns text that shows all it holds: what would hide, move or reorder other text (control characters, directional
// overrides, unusual line breaks) is made visible. The page's script does the same.
func plain(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !strings.ContainsFunc(s, unseen) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unseen(r) {
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unseen(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', 0x7f <= r && r < 0xa0:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, 0x2028 <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return true
	}
	return false
}

// escapes are the control sequences of terminals: colours and cursor movements (ECMA-48), and window titles and links (OSC).
var escapes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\))")

// terminal is plain for what a program wrote to a terminal: colours are dropped, a progress bar's steps are lines. It is not for
// code: what a sequence may hide there must be seen.
func terminal(s string) string {
	s = strings.ReplaceAll(escapes.ReplaceAllString(s, ""), "\r\n", "\n")
	return plain(strings.ReplaceAll(s, "\r", "\n"))
}

// line returns s as one line.
func line(s string) string {
	return strings.Join(strings.Fields(plain(s)), " ")
}
