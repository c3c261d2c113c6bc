package github

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openinspect/session"
)

// noise is text that does not compress, a kilobyte for each n.
func noise(seed, n int) string {
	r := rand.NewChaCha8([32]byte{byte(seed)})
	b := make([]byte, n<<10)
	_, _ = r.Read(b) // never fails
	for i := range b {
		b[i] = b[i]%64 + ' '
	}
	return string(b)
}

// TestSupersededCommitsMakeRoom: what a session threw away is let go when its room is full; what it needs stays, and can be pushed.
func TestSupersededCommitsMakeRoom(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.link(ada)
	w.github.room.one = 700 << 10
	base := w.run("", "git", "rev-parse", "HEAD")
	first := ""
	for n := range 6 { // each time anew, from the base
		w.run("", "git", "reset", "-q", "--hard", base)
		w.commit(ada, "noise", noise(n, 200), "try")
		c, err := w.collect()
		if err != nil || c == nil {
			t.Fatalf("after %d: %+v %v", n, c, err)
		}
		if first == "" {
			first = c.Head
		}
		if size, err := sizeOf(w.github.quarantineDir(id)); err != nil || size > 700<<10 {
			t.Errorf("after %d the quarantine has %d bytes, %v", n, size, err)
		}
	}
	newest := w.run("", "git", "rev-parse", "HEAD")
	if _, err := w.open(first, ada); session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), "does not hold commit") {
		t.Errorf("a commit that was let go is opened: %v", err)
	}
	if pr, err := w.open(newest, ada); err != nil || pr.Number == 0 {
		t.Errorf("the newest commit is not opened: %+v %v", pr, err)
	}
}

// TestRoomOfASession: commits for which there is no room are refused whole; what is held before stays as it is, and the pull request that is
// opened of it makes room.
func TestRoomOfASession(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.link(ada)
	w.github.room.one = 500 << 10
	collect := func(collected string) (*session.Changes, error) {
		r := w.request()
		r.Collected = collected
		return w.github.Collect(context.Background(), r, w.bundler)
	}
	w.commit(ada, "one", noise(1, 300), "one")
	one, err := collect("")
	if err != nil {
		t.Fatal(err)
	}
	w.commit(ada, "two", noise(2, 500), "two")
	before, err := sizeOf(w.github.quarantineDir(id))
	if err != nil {
		t.Fatal(err)
	}
	_, err = collect(one.Head)
	if session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), "of this thread's commits") || !strings.Contains(session.Sentence(err), "still in the sandbox") {
		t.Fatalf("commits without room: %v", err)
	}
	if after, err := sizeOf(w.github.quarantineDir(id)); err != nil || after > before+16<<10 {
		t.Errorf("they left %d bytes where %d were, %v", after, before, err)
	}
	held, err := w.github.Held(context.Background(), id, web, "main", one.Head)
	if err != nil || held == nil {
		t.Fatalf("what was held before: %v", err)
	}
	if _, err := io.Copy(io.Discard, held); err != nil {
		t.Error(err)
	}
	held.Close()
	if _, err := w.open(one.Head, ada); err != nil {
		t.Fatal(err)
	}
	two, err := collect(one.Head)
	if err != nil || two == nil {
		t.Fatalf("after it was opened: %+v %v", two, err)
	}
	w.branch = "inspect/abcdefghij-two"
	if _, err := w.open(two.Head, ada); err != nil {
		t.Error(err)
	}
}

// TestACommitThatIsBeingPushedStays: it was superseded meanwhile, and there is hardly room.
func TestACommitThatIsBeingPushedStays(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.link(ada)
	w.github.room.one = 400 << 10
	base := w.run("", "git", "rev-parse", "HEAD")
	var heads []string
	for n := range 4 {
		w.run("", "git", "reset", "-q", "--hard", base)
		w.commit(ada, "noise", noise(n, 150), "try")
		r := w.request()
		if n > 0 {
			r.Collected, r.Opening = heads[n-1], heads[:1]
		}
		c, err := w.github.Collect(context.Background(), r, w.bundler)
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, c.Head)
	}
	if _, err := w.open(heads[0], ada); err != nil {
		t.Error(err)
	}
	if _, err := w.open(heads[1], ada); session.CodeOf(err) != session.Conflict {
		t.Errorf("the one between was not let go: %v", err)
	}
}

// TestRoomOfAllSessions: it is counted anew after a start, and a session that is swept gives its room back.
func TestRoomOfAllSessions(t *testing.T) {
	w := newWorld(t)
	w.clone()
	w.github.room.all = 600 << 10
	of := func(id session.ID) error {
		r := w.request()
		r.Session = id
		_, err := w.github.Collect(context.Background(), r, w.bundler)
		return err
	}
	w.commit(ada, "noise", noise(1, 300), "noise")
	if err := of("aaaaaaaaaa"); err != nil {
		t.Fatal(err)
	}
	w.github.room.held = nil // as after a start
	if err := of("bbbbbbbbbb"); err != nil {
		t.Fatal(err)
	}
	if err := of("bbbbbbbbbb"); err != nil {
		t.Errorf("the same again: %v", err)
	}
	err := of("cccccccccc")
	if session.CodeOf(err) != session.Conflict || !strings.Contains(session.Sentence(err), "for all threads together") || !strings.Contains(session.Sentence(err), "INSPECT_RETENTION_DAYS") {
		t.Fatalf("a third session's: %v", err)
	}
	if packs, _ := filepath.Glob(filepath.Join(w.github.quarantineDir("cccccccccc"), "*", "pack", "*")); len(packs) > 0 {
		t.Errorf("it left %v", packs)
	}
	if err := w.github.Sweep(t.Context(), func(id session.ID) bool { return id != "aaaaaaaaaa" }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.github.quarantineDir("aaaaaaaaaa")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := of("cccccccccc"); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}
