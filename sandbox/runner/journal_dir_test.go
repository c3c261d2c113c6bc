package runner_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openinspect/sandbox/link"
	"openinspect/session"
)

// again starts the next runner in the same directory, as after the death of the last.
func (b *box) again(start string) {
	b.t.Helper()
	b.stop()
	b.boot.Start, b.boot.Mode, b.events = start, session.BootSnapshot, nil
	b.start().ready()
}

// rest asks for what follows a cursor and says what came: journal, number it begins after, events until it was over, newest text.
func (b *box) rest(at session.Cursor) string {
	b.t.Helper()
	events, newest := 0, ""
	resp := b.get(fmt.Sprintf("/events?journal=%s&after=%d", at.Journal, at.N))
	journal, after := resp.Header.Get(link.HeaderJournal), resp.Header.Get(link.HeaderAfter)
	resp.Body.Close()
	n := at.N
	if journal != at.Journal {
		n = 0
	}
	for l := range b.follow(at.Journal, at.N) {
		if l.N != n+1 {
			b.t.Fatalf("line %d follows %d", l.N, n)
		}
		n = l.N
		events++
		if l.Event.Text != nil {
			newest = l.Event.Text.Text
		}
	}
	return fmt.Sprintln(journal, after, events, newest)
}

// What earlier runners told and nobody read is handed out by the next, in order, and kept until a later journal is asked for.
func TestEarlierJournals(t *testing.T) {
	b := newBox(t, session.BootFresh, "").start().ready()
	read := session.Cursor{Journal: b.status().Journal, N: b.status().N}
	b.turn(session.Delivery{ID: "1", Text: "!say first"})
	first := b.status()

	b.again("start2")
	b.turn(session.Delivery{ID: "2", Text: "!say second"})
	second := b.status()
	torn, err := os.OpenFile(b.journals()[1], os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = torn.WriteString(`{"n":99,"ev`)
	check(t, err)
	check(t, torn.Close())

	b.again("start3")
	third := b.status()
	equal(t, "journals kept", len(b.journals()), 3)
	equal(t, "the rest of the first", b.rest(read), fmt.Sprintln(first.Journal, read.N, first.N-read.N, "first"))
	equal(t, "then the second", b.rest(session.Cursor{Journal: first.Journal, N: first.N}), fmt.Sprintln(second.Journal, 0, second.N, "second"))
	equal(t, "its last line", b.rest(session.Cursor{Journal: second.Journal, N: second.N - 1}), fmt.Sprintln(second.Journal, second.N-1, 1, ""))
	equal(t, "the first is gone", len(b.journals()), 2)
	equal(t, "then the own", (<-b.follow(second.Journal, second.N)).N, 1)
	equal(t, "it is live", len(b.journals()), 2)
	equal(t, "one that nobody knows", (<-b.follow("nobody", 7)).N, 1)
	<-b.follow(third.Journal, third.N-1)
	equal(t, "the second is gone too", len(b.journals()), 1)
	resp := b.get("/events?journal=" + second.Journal + "&after=-1")
	resp.Body.Close()
	equal(t, "an impossible number", resp.StatusCode, 400)
}

// Whatever an agent puts among the journals, the runner starts, and hands out only what are journals.
func TestForgedJournals(t *testing.T) {
	b := newBox(t, session.BootFresh, "")
	dir := filepath.Join(b.boot.Dir, "run", "journals")
	check(t, os.MkdirAll(filepath.Join(dir, "0001-directory.jsonl"), 0o700))
	mkfifo(t, filepath.Join(dir, "0002-fifo.jsonl"))
	check(t, os.Symlink("/etc/passwd", filepath.Join(dir, "0003-link.jsonl")))
	check(t, os.WriteFile(filepath.Join(dir, "0004-empty.jsonl"), nil, 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "0005-endless.jsonl"), []byte(strings.Repeat("x", 100_000)), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "99999999999-far.jsonl"), []byte("x\n"), 0o600))
	b.start().ready()
	for _, id := range []string{"directory", "fifo", "link", "empty", "endless", "far", "../../../etc/passwd"} {
		equal(t, id, (<-b.follow(id, 0)).Event.Kind, session.KindBoot)
	}
}

func (b *box) journals() []string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.boot.Dir, "run", "journals", "*.jsonl"))
	check(b.t, err)
	return found
}

// Commits cannot be collected before the checkout is there: an answer of "nothing new" would lose them.
func TestBundleWaitsForCheckout(t *testing.T) {
	asked, release := make(chan bool), make(chan bool)
	var once sync.Once
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(asked) })
		<-release
		w.WriteHeader(http.StatusNotFound)
	}))
	defer srv.Close()
	b := newBox(t, session.BootFresh, "")
	b.boot.Repo, b.boot.CloneURL = session.Repo{Owner: "acme", Name: "web"}, srv.URL+"/acme/web.git"
	b.start()
	<-asked
	resp := b.get("/bundle?have=")
	resp.Body.Close()
	close(release)
	equal(t, "while it is cloned", resp.StatusCode, http.StatusTooEarly)
}
