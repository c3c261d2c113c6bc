package boltdb

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// newSession returns the n-th session of a test.
func newSession(n int) session.Session {
	id := session.ID(fmt.Sprintf("session%03d", n))
	return session.Session{ID: id, Thread: session.Thread{Team: "T", Channel: "C", TS: string(id)}, Updated: sessiontest.Epoch}
}

// step returns a Ready with n events, a card for each, and one effect in the place of the one before.
func step(ss *session.Session, n int) session.Ready {
	var r session.Ready
	for range n {
		ss.Seq++
		ss.Cards++
		r.Events = append(r.Events, session.Event{
			Seq: ss.Seq, At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Part: "p", Text: strings.Repeat("word ", 100)},
		})
		r.Record.Cards = append(r.Record.Cards, session.Card{ID: fmt.Sprint("c", ss.Cards)})
	}
	r.Done = []string{fmt.Sprint("e", ss.Effects)}
	ss.Effects++
	r.Effects = []session.Effect{{ID: fmt.Sprint("e", ss.Effects), Kind: session.EffectStop}}
	r.Record.Session = *ss
	return r
}

// whole checks that a session written by step is as some commit left it, with at least so many events, and returns how many it has.
func whole(t *testing.T, db *DB, id session.ID, atLeast int64) int64 {
	t.Helper()
	st, err := db.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	n := st.Session.Seq
	if n < atLeast {
		t.Errorf("session %s has %d events; %d were acknowledged", id, n, atLeast)
	}
	var events []session.Event
	for {
		page, err := db.Events(t.Context(), id, int64(len(events)), int(n)+10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		events = append(events, page...)
	}
	if int64(len(events)) != n {
		t.Errorf("session %s counts %d events and has %d", id, n, len(events))
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("session %s: event %d in place %d", id, e.Seq, i+1)
		}
		if e.Kind != session.KindText {
			t.Errorf("session %s: event %d is %s: %+v", id, e.Seq, e.Kind, e.Note)
		}
	}
	if int64(len(st.Cards)) != n || len(st.Effects) != 1 || st.Effects[0].ID != fmt.Sprint("e", st.Session.Effects) {
		t.Errorf("session %s: %d cards and effects %+v do not fit %d events", id, len(st.Cards), st.Effects, n)
	}
	if ids, err := db.Open(t.Context()); err != nil || !strings.Contains(fmt.Sprint(ids), string(id)) {
		t.Errorf("open is %v, %v; it lacks %s", ids, err, id)
	}
	return n
}

// TestTornCommit opens files as a computer leaves them that loses power inside a commit: pages written, the meta page that makes them
// true not, or only a part of it. They are as the commit before left them.
func TestTornCommit(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	ss := newSession(1)
	image := func() []byte {
		t.Helper()
		if err := db.Commit(t.Context(), step(&ss, 5)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for range 20 {
		image()
	}
	before, after := image(), image()
	page := db.bolt.Info().PageSize
	meta := 0
	if !bytes.Equal(before[page:2*page], after[page:2*page]) {
		meta = 1
	}
	at := meta * page
	lost := bytes.Clone(after)
	copy(lost[at:at+page], before[at:at+page])
	torn := bytes.Clone(after)
	copy(torn[at+32:at+page], before[at+32:at+page])
	for name, c := range map[string]struct {
		image []byte
		want  int64
	}{"meta page lost": {lost, 105}, "meta page torn": {torn, 105}, "commit complete": {after, 110}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "inspect.db")
			if err := os.WriteFile(path, c.image, 0o600); err != nil {
				t.Fatal(err)
			}
			db := open(t, path, nil)
			if n := whole(t, db, ss.ID, 1); n != c.want {
				t.Errorf("%d events are there, want %d", n, c.want)
			}
			next := newSession(1)
			st, err := db.Load(t.Context(), next.ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Commit(t.Context(), step(&st.Session, 5)); err != nil {
				t.Fatal(err)
			}
			whole(t, db, ss.ID, c.want+5)
		})
	}
}

// writerEnv tells the test binary to be the process that TestKilled kills: it writes to the store named, and tells of each commit.
const writerEnv = "BOLTDB_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeForever(path)
	}
	os.Exit(m.Run())
}

func writeForever(path string) {
	db, err := Open(path, Options{MasterKey: testKey})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out sync.Mutex
	for n := range 3 {
		go func() {
			ss := newSession(n)
			if st, err := db.Load(context.Background(), ss.ID); err == nil {
				ss = st.Session
			}
			for i := 0; ; i++ {
				r := step(&ss, 4)
				if i%3 == n { // a blob, which two of the writers share
					r.Events[3].Text.Text = strings.Repeat("word ", maxInline/4)
				}
				if err := db.Commit(context.Background(), r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println(n, ss.Seq)
				out.Unlock()
			}
		}()
	}
	select {}
}

// TestKilled kills a process that writes, at random, and lets another go on: what was acknowledged is there, nothing is there by half, and no
// blob is left that nothing refers to. TEST_LONG=1 kills more often.
func TestKilled(t *testing.T) {
	path, acked, kills := file(t), map[int]int64{}, 4
	if os.Getenv("TEST_LONG") != "" {
		kills = 60
	}
	for range kills {
		killed(t, path, acked, 1+rand.IntN(120))
		db := open(t, path, nil)
		for n, seq := range acked {
			whole(t, db, newSession(n).ID, seq)
		}
		referred := map[string]bool{}
		err := db.view(t.Context(), func(tx *bbolt.Tx) error {
			return tx.Bucket(bBlobs).ForEach(func(k, _ []byte) error { referred[hash(k).String()] = true; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files(t, db) {
			if !referred[filepath.Base(f)] {
				t.Errorf("nothing refers to %s", f)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs a process that writes, kills it after so many commits, and notes what it was told is stored.
func killed(t *testing.T, path string, acked map[int]int64, after int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for i := 1; ; i++ {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n, seq, _ := strings.Cut(strings.TrimSpace(line), " ")
		session, _ := strconv.Atoi(n)
		if acked[session], err = strconv.ParseInt(seq, 10, 64); err != nil {
			t.Fatal(err)
		}
		if i == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the writer ended by itself")
	}
}
