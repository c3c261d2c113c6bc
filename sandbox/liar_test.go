package sandbox_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"openinspect/sandbox"
	"openinspect/sandbox/link"
	"openinspect/session"
)

// journalOf answers GET /events with a journal of some name, from some number, and these lines.
func journalOf(journal, after string, lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(link.HeaderJournal, journal)
		w.Header().Set(link.HeaderAfter, after)
		_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n") // the bot may have had enough
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// A runner that lies about itself, or about where in which journal it reads, is told apart from one that only cannot be reached: the session's log
// says so, and it is given up.
func TestRunnerThatLies(t *testing.T) {
	event := `{"n":1,"event":{"kind":"text","prompt_id":"1.1","text":{"part":"p","text":"forged"}}}`
	status := func(change func(*link.Status)) func(b *bench) {
		return func(b *bench) {
			b.runner.Answer("GET /status", func(w http.ResponseWriter, _ *http.Request) {
				st := b.runner.Status()
				change(&st)
				fmt.Fprintf(w, `{"version":%d,"start":%q,"journal":%q,"n":%d}`, st.Version, st.Start, st.Journal, st.N)
			})
		}
	}
	events := func(h http.HandlerFunc) func(b *bench) {
		return func(b *bench) { b.runner.Answer("GET /events", h) }
	}
	for name, c := range map[string]struct {
		lie    func(b *bench)
		reason string
	}{
		"another version":              {status(func(s *link.Status) { s.Version = 2 }), "runs version 2 of the runner"},
		"another start":                {status(func(s *link.Status) { s.Start = "s9" }), "Another runner works"},
		"no journal":                   {status(func(s *link.Status) { s.Journal = "" }), "which journal it keeps"},
		"another's journal":            {status(func(s *link.Status) { s.Journal = "s9-boot" }), "which journal it keeps"},
		"a journal like a URL":         {status(func(s *link.Status) { s.Journal = "s1-&after=7" }), "which journal it keeps"},
		"a journal's name without end": {status(func(s *link.Status) { s.Journal = "s1-" + strings.Repeat("x", 300) }), "which journal it keeps"},
		"events of no journal":         {events(journalOf("", "0", event)), "which journal it reads from"},
		"events of another journal":    {events(journalOf("s9-boot", "0", event)), "nobody asked for"},
		"events from a later number":   {events(journalOf("s1-x", "5", event)), "the wrong place"},
		"events from no number":        {events(journalOf("s1-x", "", event)), "which journal it reads from"},
		"events from before the first": {events(journalOf("s1-x", "-1", event)), "the wrong place"},
	} {
		t.Run(name, func(t *testing.T) {
			b := attached(t)
			c.lie(b)
			b.runner.Drop()
			for {
				var in session.Input
				select {
				case in = <-b.inputs:
				case <-b.ctx.Done():
					t.Fatal("it is not given up")
				}
				switch in := in.(type) {
				case session.Journaled:
					for _, e := range in.Events {
						if e.Error == nil {
							t.Errorf("believed: %+v", e)
						}
					}
					continue
				case session.Lost:
					if in.Start != "s1" || !strings.Contains(in.Reason, c.reason) {
						t.Errorf("lost: %+v", in)
					}
				default:
					t.Errorf("got %#v", in)
				}
				return
			}
		})
	}
}

// Numbers that are forged do not move the cursor, in whatever way they are wrong.
func TestForgedNumbers(t *testing.T) {
	for _, n := range []string{"0", "-1", "1", "3", "4", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "2.5", "2e0", `"2"`, "null", "[2]"} {
		t.Run(n, func(t *testing.T) {
			b := attached(t)
			b.runner.Tell(text("fine"))
			if _, at := b.texts(1); at.N != 1 {
				t.Fatal(at)
			}
			b.runner.Raw(`{"n":` + n + `,"event":{"kind":"text","prompt_id":"1.1","text":{"part":"p","text":"forged"}}}`)
			j := next[session.Journaled](b)
			if j.Cursor.N != 1 || len(j.Events) != 1 || j.Events[0].Error == nil {
				t.Errorf("got %+v", j)
			}
			next[session.Lost](b)
		})
	}
}

// A line may have a mebibyte, its end included, and not one byte more.
func TestLineOfExactlyAMebibyte(t *testing.T) {
	b := attached(t)
	const frame = `{"n":1,"event":{"kind":"text","prompt_id":"1.1","text":{"part":"p","text":""}}}` + "\n"
	fit := strings.Repeat("x", link.MaxLine-len(frame))
	line := strings.TrimSuffix(strings.Replace(frame, `"text":""`, `"text":"`+fit+`"`, 1), "\n")
	b.runner.Raw(line)
	if got, at := b.texts(1); at.N != 1 || len(got[0]) != len(fit) {
		t.Errorf("%d bytes at %v", len(got[0]), at)
	}
	b.runner.Raw(strings.Replace(strings.Replace(line, `{"n":1`, `{"n":2`, 1), "xx", "xxx", 1))
	if j := next[session.Journaled](b); j.Cursor.N != 1 || j.Events[0].Error == nil || !strings.Contains(j.Events[0].Error.Message, "a line of more than") {
		t.Errorf("got %.300v", j)
	}
}

// So may the body of a tool's call.
func TestToolBodyOfExactlyAMebibyte(t *testing.T) {
	b := attached(t)
	const frame = `{"text":""}`
	for extra, want := range []int{200, 400} {
		body := raw(strings.Replace(frame, `""`, `"`+strings.Repeat("x", link.MaxToolBody-len(frame)+extra)+`"`, 1))
		status, answer, err := b.runner.Call(b.ctx, "/tools/post_update", body)
		if err != nil || status != want {
			t.Errorf("%d bytes more: %d %s %v", extra, status, answer, err)
		}
	}
	if in := next[session.Updated](b); len(in.Text) > 1000 {
		t.Errorf("an update of %d bytes", len(in.Text))
	}
}

// raw is JSON as it is.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// An answer that never ends, or of whatever else, is not waited for and not kept.
func TestEndlessAnswers(t *testing.T) {
	b := attached(t)
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, `{"version":1,`+strings.Repeat(" ", 64<<10)); err != nil {
				return
			}
		}
	}
	b.runner.Answer("POST /prompts", endless)
	b.runner.Answer("POST /stop", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot); endless(w, r) })
	if err := b.Prompt(b.ctx, id, session.Delivery{ID: "1.1"}); err != nil { // its status said that it was taken
		t.Errorf("got %v", err)
	}
	if err := b.Stop(b.ctx, id, "1.1"); session.CodeOf(err) != session.Internal || session.Sentence(err) != "The sandbox answered with status 418." {
		t.Errorf("got %v", err)
	}
	b.runner.Answer("GET /status", endless)
	b.runner.Drop()
	eventually(b, "it is dialled again and again", func() bool { return b.runner.Dials() > 3 })
	b.runner.Answer("GET /status", nil)
	b.runner.Tell(text("still here"))
	if got, _ := b.texts(1); got[0] != "still here" {
		t.Errorf("got %v", got)
	}
}

// A bundle that stands still is given up, as one that cannot be had now.
func TestBundleThatStandsStill(t *testing.T) {
	b := attached(t)
	begun := make(chan bool)
	b.runner.Answer("GET /bundle", func(w http.ResponseWriter, r *http.Request) {
		select {
		case begun <- true: // before its answer begins
		case <-r.Context().Done():
			return
		}
		if r.FormValue("have") == "some" {
			_, _ = io.WriteString(w, "# v2 git bundle\n")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	failed := make(chan error, 1)
	go func() {
		_, err := b.Bundle(b.ctx, id, nil)
		failed <- err
	}()
	<-begun
	b.clock.advance(7 * time.Minute)
	if err := <-failed; session.CodeOf(err) != session.Unavailable {
		t.Errorf("one that does not begin: %v", err)
	}
	go func() { <-begun }()
	r, err := b.Bundle(b.ctx, id, []string{"some"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		_, err := io.Copy(io.Discard, r)
		failed <- err
	}()
	eventually(b, "it is given up", func() bool {
		b.clock.advance(2 * time.Minute)
		return len(failed) > 0
	})
	if err := <-failed; session.CodeOf(err) != session.Unavailable {
		t.Errorf("one that does not go on: %v", err)
	}
}

// Events go on while a bundle of 100 MiB is read, and neither is ever in memory as a whole.
func TestEventsBesideABundle(t *testing.T) {
	b := attached(t)
	b.runner.Hand(io.LimitReader(zeros{}, link.MaxBundle))
	r, err := b.Bundle(b.ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	chunk := make([]byte, 1<<20)
	heap := func() uint64 { // what is in use: how much else waits for the collector depends on the tests before this one
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	for i := range link.MaxBundle >> 20 {
		if _, err := io.ReadFull(r, chunk); err != nil {
			t.Fatal(err)
		}
		b.runner.Tell(text(fmt.Sprint(i)))
		if got, at := b.texts(1); got[0] != fmt.Sprint(i) || at.N != int64(i+1) { // while 99 mebibytes of the bundle wait
			t.Fatalf("%v at %v", got, at)
		}
		if i%10 == 0 {
			most = max(most, heap())
		}
	}
	if n, err := r.Read(chunk); n != 0 || err != io.EOF {
		t.Errorf("%d bytes more, %v", n, err)
	}
	if most > before+48<<20 {
		t.Errorf("%d MiB of memory for it", (most-before)>>20)
	}
}

// A session that takes its time slows its runner down: what was read and is not committed does not pile up.
func TestSlowSessionHoldsItsRunnerBack(t *testing.T) {
	b := attached(t)
	const lines = 10_000
	var written, committed, most atomic.Int64
	words := strings.Repeat("x", 900)
	release := make(chan bool)
	b.refusing(func(in session.Input) error {
		j, ok := in.(session.Journaled)
		if !ok {
			return nil
		}
		if committed.Load() == 0 {
			<-release // the disk takes its time, with the first batch
		}
		most.Store(max(most.Load(), written.Load()-committed.Load()))
		committed.Add(int64(len(j.Events)))
		return nil
	})
	b.runner.Answer("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(link.HeaderJournal, b.runner.Status().Journal)
		w.Header().Set(link.HeaderAfter, r.FormValue("after"))
		for n := int64(1); n <= lines; n++ {
			if _, err := fmt.Fprintf(w, `{"n":%d,"event":{"kind":"text","prompt_id":"1.1","text":{"part":"p","text":%q}}}`+"\n", n, words); err != nil {
				return
			}
			written.Store(n)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	b.runner.Drop()
	eventually(b, "the runner stands still", standing(&written))
	close(release)
	if _, at := b.texts(lines); at.N != lines {
		t.Errorf("at %v", at)
	}
	if n := most.Load() * 1000; n > 4<<20 {
		t.Errorf("%d KiB were under way between runner and commit", n>>10)
	}
}

// standing reports whether a counter did not move between many looks.
func standing(n *atomic.Int64) func() bool {
	last, same := int64(-1), 0
	return func() bool {
		now := n.Load()
		if now != last {
			last, same = now, 0
		} else {
			same++
		}
		return now > 0 && same > 20
	}
}

// held is sandbox.Commits; it answers when it may, with an error.
type held struct{ asked, may chan error }

func (h held) Held(ctx context.Context, _ session.ID, _ session.Repo, _, _ string) (io.ReadCloser, error) {
	select {
	case h.asked <- nil:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, <-h.may
}

// What is kept of a session is large, and costs questions at GitHub: a sandbox that asks for it many times, at once or over and over, does not get it as often.
func TestAskingForWhatIsKept(t *testing.T) {
	h := held{make(chan error), make(chan error)}
	b := newBench(t, func(c *sandbox.Config) { c.Commits = h })
	b.start("s1")
	r := b.request("s1", session.Cursor{})
	r.Collected, r.Patch = "aaaa", true
	if err := b.Attach(b.ctx, r, b.send); err != nil {
		t.Fatal(err)
	}
	call := func(what string) int {
		status, _, err := b.runner.Call(b.ctx, "/git/"+what, nil)
		if err != nil {
			t.Error(err)
		}
		return status
	}
	first := make(chan int)
	for _, c := range []struct {
		err    error
		status int
	}{
		{nil, http.StatusNoContent}, {session.Errorf(session.Unavailable, "GitHub does not answer."), http.StatusServiceUnavailable},
	} {
		go func() { first <- call("collected") }()
		<-h.asked
		for _, what := range []string{"collected", "patch"} {
			if status := call(what); status != http.StatusServiceUnavailable {
				t.Errorf("%s beside another: %d", what, status)
			}
		}
		h.may <- c.err
		if status := <-first; status != c.status {
			t.Errorf("the first: %d, not %d", status, c.status)
		}
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var err atomic.Pointer[session.Error]
	err.Store(&session.Error{Code: session.Unavailable})
	go func() {
		for ctx.Err() == nil {
			select {
			case <-h.asked:
				if e := err.Load(); e != nil {
					h.may <- e
				} else {
					h.may <- nil
				}
			case <-ctx.Done():
			}
		}
	}()
	for range 100 { // GitHub is away for long
		if status := call("collected"); status != http.StatusServiceUnavailable {
			t.Fatal(status)
		}
	}
	err.Store(nil)
	got := 0
	for ; got < 100 && call("collected") == http.StatusNoContent; got++ {
	}
	if got < 3 || got == 100 {
		t.Errorf("it was handed out %d times", got)
	}
	if status := call("patch"); status != http.StatusConflict {
		t.Errorf("then a patch: %d", status)
	}
}
