package runner

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"openinspect/sandbox/link"
	"openinspect/session"
)

func note(text string) session.Event {
	return session.Event{Kind: session.KindText, PromptID: "p1", Text: &session.Text{Part: "1", Text: text}}
}

func opened(t *testing.T, path string) *journal {
	t.Helper()
	j, err := openJournal(path, "start-boot", session.SystemClock{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func told(t *testing.T, j *journal, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if err := j.append(note(s)); err != nil {
			t.Fatal(err)
		}
	}
}

// read follows j after a number until n lines have come, and returns them: number and text, or ~ and the text of a delta.
func read(t *testing.T, j *journal, after int64, n int) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- j.follow(ctx, after, w, func() {}) }()
	s := bufio.NewScanner(r)
	s.Buffer(nil, link.MaxLine)
	var words []string
	for len(words) < n && s.Scan() {
		words = append(words, word(t, s.Bytes()))
	}
	cancel()
	_ = r.Close()
	<-ended
	return strings.Join(words, " ")
}

func word(t *testing.T, line []byte) string {
	t.Helper()
	var l link.Line
	if err := json.Unmarshal(line, &l); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	switch {
	case l.Event != nil:
		return fmt.Sprintf("%d:%s", l.N, l.Event.Text.Text)
	case l.Delta != nil:
		return "~" + l.Delta.Text
	}
	return "heartbeat"
}

func TestJournalResumes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := opened(t, path)
	told(t, j, "a", "b", "c")
	for after, want := range []string{"1:a 2:b 3:c", "2:b 3:c", "3:c"} {
		if got := read(t, j, int64(after), 3-after); got != want {
			t.Errorf("after %d: got %q, want %q", after, got, want)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	j = opened(t, path)
	told(t, j, "d")
	if got := read(t, j, 2, 2); got != "3:c 4:d" {
		t.Errorf("after opening again: %q", got)
	}
	if !j.seen["p1"] {
		t.Error("the prompt of the journal is not known any more")
	}
}

func TestJournalDropsATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := opened(t, path)
	told(t, j, "a", "b")
	_ = j.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := opened(t, path)
		lines := strings.Count(string(whole[:cut]), "\n")
		told(t, j, "next")
		if got, want := read(t, j, int64(lines), 1), fmt.Sprintf("%d:next", lines+1); got != want {
			t.Fatalf("cut at %d: got %q, want %q", cut, got, want)
		}
		_ = j.close()
	}
}

// A reader that does not read misses deltas, and no event.
func TestJournalSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := opened(t, filepath.Join(t.TempDir(), "journal"))
		defer j.close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, w := io.Pipe()
		go func() { w.CloseWithError(j.follow(ctx, 0, w, func() {})) }()
		synctest.Wait() // it is live
		big := strings.Repeat("x", 100<<10)
		for i := range 30 {
			told(t, j, fmt.Sprint(i, big))
			j.delta(session.Delta{Kind: session.KindText, Text: "late"})
		}
		s := bufio.NewScanner(r)
		s.Buffer(nil, link.MaxLine)
		for n := 1; n <= 30; {
			if !s.Scan() {
				t.Fatalf("the stream ended: %v", s.Err())
			}
			got := word(t, s.Bytes())
			if got == "~late" {
				continue
			}
			if want := fmt.Sprintf("%d:%d%s", n, n-1, big); got != want {
				t.Fatalf("got %.20s, want %.20s", got, want)
			}
			n++
		}
		synctest.Wait() // it has caught up and is live again
		j.delta(session.Delta{Kind: session.KindText, Text: "now"})
		for s.Scan() {
			if got := word(t, s.Bytes()); got != "~late" {
				if got != "~now" {
					t.Errorf("got %.20s", got)
				}
				break
			}
		}
	})
}

func TestJournalHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := opened(t, filepath.Join(t.TempDir(), "journal"))
		defer j.close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, w := io.Pipe()
		go func() { w.CloseWithError(j.follow(ctx, 0, w, func() {})) }()
		begin := time.Now()
		s := bufio.NewScanner(r)
		for i := range 3 {
			if !s.Scan() || word(t, s.Bytes()) != "heartbeat" {
				t.Fatalf("got %q", s.Text())
			}
			if got, want := time.Since(begin), time.Duration(i+1)*link.Heartbeat; got != want {
				t.Errorf("heartbeat %d after %s", i, got)
			}
		}
	})
}

func TestLinesAreBounded(t *testing.T) {
	nasty := strings.Repeat("\x00", 2<<20) // six bytes each in JSON
	events := []session.Event{
		note(nasty),
		note(strings.Repeat("ü", 1<<20)),
		{Kind: session.KindTool, Tool: &session.Tool{Call: nasty, Name: nasty, Title: nasty, Output: nasty, Error: nasty, Diff: nasty, Input: json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)}},
		{Kind: session.KindTool, Tool: &session.Tool{Input: json.RawMessage(`{"half":`), Output: "\xff\xfe"}},
		{Kind: session.KindTodo, Todo: make([]session.TodoItem, 100_000)},
		{Kind: session.KindRetry, Retry: &session.Retry{Reason: nasty}},
		{Kind: session.KindError, Error: &session.Failure{Message: nasty}},
	}
	for i, e := range events {
		line, err := encodeLine(1, e)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		var l link.Line
		if len(line) >= link.MaxLine || json.Unmarshal(line, &l) != nil {
			t.Errorf("event %d: a line of %d bytes", i, len(line))
		}
	}
	if len(events[0].Text.Text) != 2<<20 {
		t.Error("the event itself was changed")
	}
	line, err := encodeLine(1, session.Event{Kind: session.KindTool, Tool: &session.Tool{Output: strings.Repeat("o", 100<<10)}})
	if err != nil || len(line) > 33<<10 {
		t.Errorf("a tool's output of 100 KiB makes %d bytes (%v)", len(line), err)
	}
}

func TestSubject(t *testing.T) {
	for text, want := range map[string]string{
		"Message from Ana (U1):\n\nFix the test\nplease":                                                            "Fix the test",
		"Quoted from the Slack thread, for information.\n> old: words\n\nMessage from Ana (U1):\n\nDo this:\n\n- x": "Do this:",
		"Answer to your question \"Which?\" from Ana (U1):\n\nThe first":                                            "The first",
		"":                          "Changes of this turn",
		strings.Repeat("long ", 40): strings.Repeat("long ", 14) + "l…",
	} {
		if got := subject(text); got != want {
			t.Errorf("subject(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestJournalOnAFullDisk: the journal tells that the disk is full, then waits for room, in order, and loses nothing.
func TestJournalOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path, filler := filepath.Join(dir, "journal"), filepath.Join(dir, "filler")
	synctest.Test(t, func(t *testing.T) {
		j := opened(t, path)
		told(t, j, "before")
		full := func(name string) {
			if err := os.WriteFile(name, make([]byte, 64<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		full(filler)
		big := strings.Repeat("x", 10_000)          // more than the page has room for, so the line is torn
		if err := j.append(note(big)); err != nil { // in what was reserved
			t.Fatal(err)
		}
		full(filler + "2")
		done := make(chan error)
		go func() { done <- j.append(note(big)) }()
		time.Sleep(10 * roomEvery)
		select {
		case err := <-done:
			t.Fatalf("on a full disk: %v", err)
		default:
		}
		if n := j.newest(); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		told(t, j, "after")
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if err != nil || len(lines) != 5 {
			t.Fatalf("the journal has %d lines, %v", len(lines), err)
		}
		for i, want := range []string{"before", "disk is full", big, big, "after"} {
			if !strings.Contains(lines[i], want) {
				t.Errorf("line %d: %s, want %s", i+1, lines[i], want)
			}
		}
		if _, err := os.Stat(path + ".reserve"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the reserve of a closed journal: %v", err)
		}
		j = opened(t, path)
		if err := errors.Join(j.close(), os.Remove(path)); err != nil || j.n != 5 {
			t.Errorf("opened again it has %d lines, %v", j.n, err)
		}
		if err := j.append(note("late")); !errors.Is(err, errClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}
