package local

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A log that is written to while it is cut begins with the words that say so.
func TestTrimWhilePrinting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "one.log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long := bytes.Repeat([]byte("a long line\n"), maxLog/12+1)
	for range 20 {
		if _, err := f.Write(long); err != nil {
			t.Fatal(err)
		}
		cut := make(chan struct{})
		printed := make(chan error, 1)
		go func() {
			for range 100_000 { // less than it takes to cut the log again: who cut it may be held up before saying so
				select {
				case <-cut:
					printed <- nil
					return
				default:
				}
				if _, err := f.WriteString("printed meanwhile\n"); err != nil {
					printed <- err
					return
				}
			}
			printed <- nil
		}()
		err := trim(path)
		close(cut)
		if err := <-printed; err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, []byte("(what came before was cut off)\n")) || len(b) > maxLog {
			t.Fatalf("%d bytes, which begin %.60q", len(b), b)
		}
	}
}

// A log that is forgotten is left alone from then on, also by who has just read that it was written to.
func TestForgottenLogIsLeft(t *testing.T) {
	for name, forget := range map[string]func(l *logs, path string){"forgotten": (*logs).forget, "closed": func(l *logs, _ string) { l.close() }} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "one.log")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			l := &logs{report: func(_ string, err error) { t.Error(err) }}
			if err := l.watch(path); err != nil {
				t.Fatal(err)
			}
			watch := l.watches[path]
			forget(l, path)
			if err := os.Truncate(path, maxLog+1); err != nil {
				t.Fatal(err)
			}
			if _, err := l.cut(watch); err != nil {
				t.Error(err)
			}
			if info, err := os.Stat(path); err != nil || info.Size() != maxLog+1 {
				t.Errorf("it was cut: %v, %v", info, err)
			}
		})
	}
}

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
		write := func(script string) { // as a process of the agent's that writes where the runner does
			t.Helper()
			if out := h.sh(`exec 3>>/proc/$PPID/fd/2; ` + script); out != "" {
				t.Fatal(out)
			}
		}
		end := func(words string) { t.Helper(); write(`echo "` + words + `" >&3`) }
		flood := func(words string) {
			t.Helper()
			write(`yes "a line of a program that has lost its mind" | head -n 300000 >&3; echo "` + words + `" >&3`)
		}
		bounded := func(words string) {
			t.Helper()
			until(t, "the log is cut to its newest part", func() bool {
				b := log()
				cut := len(b) <= maxLog && bytes.HasPrefix(b, []byte("(what came before"))
				if !cut || bytes.HasSuffix(b, []byte("\n"+words+"\n")) {
					return cut
				}
				end(words) // what is printed while the log is being cut may be lost
				return false
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
