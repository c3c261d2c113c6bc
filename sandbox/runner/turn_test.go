package runner_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session"
	"openinspect/session/sessiontest"
)

func TestTurnTellsAndCommits(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t, ".gitignore", "ignored\n")).start().ready()
	d := session.Delivery{ID: "1.1", Author: ana, Identities: []session.Author{ana}, Text: `Message from Ana (U1):

Please add the greeting
!think what now
!todo x read | > write
!write hello.txt hello
!write ignored no
!run cat hello.txt; exit 3
!say It is there.`}
	answer := b.turn(d)
	equal(t, "answer", answer, session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptDone})
	var kinds []string
	for _, e := range b.events {
		if e.PromptID == d.ID {
			kinds = append(kinds, string(e.Kind))
		}
		if e.Tool != nil && e.Tool.Name == "bash" && e.Tool.State == session.StepDone {
			equal(t, "output", e.Tool.Output, "hello\n")
			equal(t, "exit", *e.Tool.Exit, 3)
		}
	}
	equal(t, "events", strings.Join(kinds, " "), "reasoning todo tool tool tool tool tool tool text turn")
	equal(t, "commit", b.git("log", "-1", "--format=%an <%ae> | %cn <%ce> | %s"), "Ana <"+ana.Email+"> | inspect[bot] <"+bot.Email+"> | Please add the greeting")
	equal(t, "trailers", b.git("log", "-1", "--format=%(trailers)"), "Inspect-Session: abcdefghij")
	equal(t, "files", b.git("show", "--format=", "--name-only"), "hello.txt")
	equal(t, "status", b.git("status", "--short"), "")

	head := b.git("rev-parse", "HEAD")
	b.turn(session.Delivery{ID: "1.2", Author: ben, Text: "!say nothing to do"})
	equal(t, "HEAD after a turn without changes", b.git("rev-parse", "HEAD"), head)
}

func TestDeltasAreLiveAndNotInTheJournal(t *testing.T) {
	b := newBox(t, session.BootFresh, "")
	clock := &sessiontest.Clock{}
	b.clock = clock
	b.start().ready()
	live := b.live(clock)
	b.turn(session.Delivery{ID: "1", Text: "!say hello world"})
	var text string
	for l := range live {
		if l.Delta != nil {
			equal(t, "offset", l.Delta.Offset, len(text))
			equal(t, "prompt", l.Delta.PromptID, "1")
			text += l.Delta.Text
		}
		if l.Event != nil && l.Event.Turn != nil {
			break
		}
	}
	equal(t, "deltas", text, "hello world")
	st := b.status()
	again := b.follow("", 0)
	for n := int64(1); n <= st.N; n++ {
		l := <-again
		if l.N != n || l.Event == nil {
			t.Fatalf("line %d is %s", n, dump(l))
		}
	}
	rest := b.follow(st.Journal, st.N-1)
	equal(t, "resumed at", (<-rest).N, st.N)
	other := b.follow("another", st.N)
	equal(t, "another journal begins at", (<-other).N, 1)
	resp := b.get("/events?journal=" + st.Journal + "&after=100000")
	defer resp.Body.Close()
	equal(t, "a number that is not there", resp.StatusCode, 400)
}

func TestPromptsAreAcceptedOnce(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	first := session.Delivery{ID: "1", Text: "!run echo ran >> log ;; !wait go"}
	equal(t, "first", b.prompt(first), 202)
	equal(t, "the same again", b.prompt(first), 202)
	equal(t, "another meanwhile", b.prompt(session.Delivery{ID: "2", Text: "!say two"}), 409)
	equal(t, "who runs", b.status().PromptID, "1")
	check(t, os.WriteFile(filepath.Join(b.home(), "go"), nil, 0o644))
	b.until(func(e session.Event) bool { return e.Turn != nil })
	equal(t, "the same after its end", b.prompt(first), 202)
	equal(t, "the next at once", b.turn(session.Delivery{ID: "2", Text: "!say two"}).Outcome, session.PromptDone)
	log, err := os.ReadFile(filepath.Join(b.checkout(), "log"))
	check(t, err)
	equal(t, "runs", string(log), "ran\n")
	equal(t, "no id", b.prompt(session.Delivery{Text: "x"}), 400)

	// The same start, as after a crash of the process alone: its journal knows the prompt.
	b.stop()
	b.boot.Mode = session.BootSnapshot
	b.start().ready()
	equal(t, "after a restart of the same start", b.prompt(first), 202)
	equal(t, "nothing runs", b.status().PromptID, "")
}

func TestStop(t *testing.T) {
	b := newBox(t, session.BootFresh, newRemote(t)).start().ready()
	fifo := filepath.Join(b.home(), "fifo")
	mkfifo(t, fifo)
	equal(t, "prompt", b.prompt(session.Delivery{ID: "1", Author: ana, Text: "!write half.txt half ;; !run echo $$ > ~/fifo; sleep 1000 ;; !write never.txt x"}), 202)
	pid, err := os.ReadFile(fifo)
	check(t, err)
	equal(t, "stop of another", b.post("/stop", link.Stop{PromptID: "0"}), 202)
	alive(t, strings.TrimSpace(string(pid)))
	equal(t, "stop", b.post("/stop", link.Stop{PromptID: "1"}), 202)
	e := b.until(func(e session.Event) bool { return e.Turn != nil })
	equal(t, "answer", *e.Turn, session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptStopped, Reason: "It was stopped."})
	gone(t, strings.TrimSpace(string(pid)))
	equal(t, "what was done is committed", b.git("show", "--format=%an", "--name-only"), "Ana\n\nhalf.txt")
	equal(t, "next", b.turn(session.Delivery{ID: "2", Text: "!say hi"}).Outcome, session.PromptDone)
}

func TestFailedTurn(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	equal(t, "answer", b.turn(session.Delivery{ID: "1", Text: "!fail The model refuses the key."}),
		session.TurnChange{State: session.TurnAnswered, Outcome: session.PromptFailed, Reason: "The model refuses the key."})
	answer := b.turn(session.Delivery{ID: "2", Text: "!run rm -rf .git"})
	equal(t, "without a repository", answer.Outcome, session.PromptFailed)
	if !strings.Contains(answer.Reason, "no git repository") {
		t.Errorf("reason: %s", answer.Reason)
	}
}

// A runner that ends in mid-turn leaves the turn without an answer: the bot decides what becomes of it.
func TestEndInMidTurn(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	b.prompt(session.Delivery{ID: "1", Text: "!write a.txt one ;; !say working ;; !wait never"})
	b.until(func(e session.Event) bool { return e.Kind == session.KindText })
	b.stop()
	for l := range b.lines {
		if l.Event != nil && l.Event.Turn != nil {
			t.Errorf("it answered: %s", dump(l))
		}
	}
	if _, err := os.Stat(filepath.Join(b.checkout(), "a.txt")); err != nil {
		t.Error("what the agent had done is gone")
	}
}

func TestLinkIsGuardedAndReplaced(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	first := b.link
	b.dial()
	<-first.Done()
	equal(t, "status over the new link", b.status().Version, link.Version)
	resp, err := http.NewRequest(http.MethodGet, "http://runner/status", nil)
	check(t, err)
	if _, err := first.RoundTrip(resp); err == nil {
		t.Error("the old link still answers")
	}
	st, err := os.Stat(b.boot.Socket)
	check(t, err)
	equal(t, "socket's mode", st.Mode().Perm(), 0o600)
}

// What an agent shows is read within the checkout and the directory for temporary files, and is an image.
func TestUploadImage(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	var shot bytes.Buffer
	check(t, png.Encode(&shot, image.NewGray(image.Rect(0, 0, 2, 2))))
	checkout := filepath.Join(b.boot.Dir, "checkout")
	outside := filepath.Join(b.boot.Dir, "elsewhere.png")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	check(t, os.WriteFile(filepath.Join(tmp, "shot.png"), shot.Bytes(), 0o600))
	check(t, os.WriteFile(outside, shot.Bytes(), 0o600))
	check(t, os.WriteFile(filepath.Join(checkout, "chart.png"), shot.Bytes(), 0o600))
	check(t, os.WriteFile(filepath.Join(checkout, "page.png"), []byte("<svg/>"), 0o600))
	check(t, os.WriteFile(filepath.Join(checkout, "large.png"), append(shot.Bytes(), make([]byte, link.MaxUpload)...), 0o600))
	check(t, os.Symlink(outside, filepath.Join(checkout, "link.png")))
	check(t, syscall.Mkfifo(filepath.Join(checkout, "pipe.png"), 0o600))
	var orders []string
	for _, path := range []string{"chart.png", filepath.Join(tmp, "shot.png"), "link.png", outside, "../elsewhere.png", "page.png", "large.png", "pipe.png", "none.png", "."} {
		orders = append(orders, "!show "+path+" a chart")
	}
	b.turn(session.Delivery{ID: "1", Text: strings.Join(orders, " ;; ")})
	b.mu.Lock()
	content := base64.StdEncoding.EncodeToString(shot.Bytes())
	want := `/tools/upload {"name":"chart.png","alt":"a chart","content":"` + content + `"}`
	equal(t, "calls", strings.Join(b.calls, "\n"), want+"\n"+strings.Replace(want, "chart", "shot", 1))
	b.mu.Unlock()
	var refusals []string
	for _, e := range b.events {
		if e.Tool != nil && e.Tool.State != session.StepRunning && e.Tool.Error != "" {
			refusals = append(refusals, e.Tool.Error)
		}
	}
	if len(refusals) != 8 {
		t.Errorf("%d were refused:\n%s", len(refusals), strings.Join(refusals, "\n"))
	}
	for i, part := range []string{"no link may lead out", "Only images in the checkout", "Only images in the checkout", "no PNG", "more than 10 MiB", "That is no file", "no file none.png", "no file"} {
		if i < len(refusals) && !strings.Contains(refusals[i], part) {
			t.Errorf("refusal %d: %s, want %s", i, refusals[i], part)
		}
	}
}

func TestTools(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	b.turn(session.Delivery{ID: "1", Text: "!update half way ;; !propose A title | First\\nSecond ;; !ask Which? | one | two"})
	want := []string{
		`/tools/post_update {"text":"half way"}`,
		`/tools/propose_pull_request {"title":"A title","body":"First\nSecond"}`,
		`/tools/ask {"question":"Which?","options":["one","two"]}`,
	}
	b.mu.Lock()
	equal(t, "calls", strings.Join(b.calls, "\n"), strings.Join(want, "\n"))
	b.mu.Unlock()
	var answers []string
	for _, e := range b.events {
		if e.Tool != nil && e.Tool.State != session.StepRunning {
			answers = append(answers, e.Tool.Output+e.Tool.Error)
		}
	}
	equal(t, "answers", strings.Join(answers, "\n"), "heard /tools/post_update\nheard /tools/propose_pull_request\nheard /tools/ask")

	b.mu.Lock()
	b.serve = func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_ = json.NewEncoder(w).Encode(link.Problem{Code: session.Invalid, Message: "A pull request needs a title."})
	}
	b.mu.Unlock()
	b.turn(session.Delivery{ID: "2", Text: "!propose  "})
	refused := b.found(func(e session.Event) bool { return e.Tool != nil && e.Tool.State == session.StepFailed })
	equal(t, "refusal", refused.Tool.Error, "A pull request needs a title.")
}
