package session

import "testing"

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
