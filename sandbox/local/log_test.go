package local

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// What a sandbox prints is bounded while it lives, whoever of it prints, also by a bot that was started anew.
func TestLogIsBounded(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		c.Report = func(name string, err error) { t.Errorf("%s: %v", name, err) }
		h := started(t, c)
		path := h.path("one") + ".log"
		log := func() []byte {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		flood := func(words string) {
			t.Helper()
			// a process of the agent's writes where the runner does
			if out := h.sh(`exec 3>>/proc/$PPID/fd/2; yes "a line of a program that has lost its mind" | head -n 300000 >&3; echo "` + words + `" >&3`); out != "" {
				t.Fatal(out)
			}
		}
		bounded := func(words string) {
			t.Helper()
			until(t, "the log is cut to its newest part", func() bool {
				b := log()
				return len(b) <= maxLog && strings.HasSuffix(string(b), "mind\n"+words+"\n")
			})
			if b := log(); !bytes.HasPrefix(b, []byte("(what came before was cut off)\na line of")) {
				t.Errorf("it begins %.60q", b)
			}
		}
		flood("the first end")
		bounded("the first end")

		h.Close() // the bot is gone
		flood("the second end")
		if n := len(log()); n < 12_000_000 {
			t.Fatalf("somebody cut it to %d bytes", n)
		}
		again := provider(t, c)
		if err := again.Open(); err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		bounded("the second end")
		flood("the third end")
		bounded("the third end")
		if err := again.Destroy(t.Context(), h.h); err != nil {
			t.Fatal(err)
		}
		if again.logs.file != nil || len(again.logs.watches)+len(again.logs.paths) > 0 {
			t.Errorf("it is watched still: %v", again.logs.watches)
		}
	})
}
