package session

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"Screenshot 2026.png": "Screenshot 2026.png", "../../etc/passwd": "_.._etc_passwd", `C:\x.txt`: "C__x.txt", "": "file", "...": "file",
		"-rf": "rf", "a\nb\x00.png": "a b .png", ".env": "env",
	} {
		if got := FileName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A name of 80 characters outside the basic plane was longer than file systems take, and its prompt could not run.
func TestFileNameBytesRegression(t *testing.T) {
	for _, c := range []string{"🎉", "漢", "a", "\xff🎉"} {
		got := FileName(strings.Repeat(c, 300) + ".png")
		if len(got) > maxFileName || len(got) < 50 || !utf8.ValidString(got) {
			t.Errorf("%q: %q of %d bytes", c, got, len(got))
		}
	}
}
