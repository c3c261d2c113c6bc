package boltdb

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// bigEvent is the next event of a session, with a body that is made of word and does not fit into the log.
func bigEvent(ss *session.Session, word string) session.Event {
	ss.Seq++
	return session.Event{Seq: ss.Seq, At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Part: "p", Text: strings.Repeat(word+" ", maxInline/len(word))}}
}

func commitBig(t *testing.T, db *DB, ss *session.Session, words ...string) {
	t.Helper()
	var r session.Ready
	for _, w := range words {
		r.Events = append(r.Events, bigEvent(ss, w))
	}
	r.Record.Session = *ss
	if err := db.Commit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := db.Present(t.Context(), ss.ID, ss.Seq, nil); err != nil {
		t.Fatal(err)
	}
}

// files returns the paths of the blobs in a store's directory.
func files(t *testing.T, db *DB) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(db.blobs.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBlobsAreSharedAndCollected(t *testing.T) {
	clock := &sessiontest.Clock{}
	db := open(t, file(t), clock)
	one, two := newSession(1), newSession(2)
	commitBig(t, db, &one, "alpha", "beta")
	clock.Advance(24 * time.Hour)
	two.Updated = clock.Now()
	commitBig(t, db, &two, "alpha")
	if n := len(files(t, db)); n != 2 {
		t.Fatalf("%d blobs for two references to one and one to another", n)
	}
	clock.Advance(10*24*time.Hour - time.Minute)
	if ids, err := db.Retire(t.Context(), 10); err != nil || len(ids) != 1 {
		t.Fatalf("removed %v, %v", ids, err)
	}
	if n := len(files(t, db)); n != 1 {
		t.Errorf("%d blobs are left, want the one that the second session refers to", n)
	}
	if events, err := db.Events(t.Context(), two.ID, 0, 9); err != nil || !strings.HasPrefix(events[0].Text.Text, "alpha alpha") {
		t.Errorf("its event is %v, %v", events, err)
	}
	clock.Advance(time.Hour)
	if ids, err := db.Retire(t.Context(), 10); err != nil || len(ids) != 1 {
		t.Fatalf("removed %v, %v", ids, err)
	}
	if all := files(t, db); len(all) > 0 {
		t.Errorf("%v are left of nothing", all)
	}
}

// TestTheFirstBlobLasts: the name of the directory is made durable before the first file in it counts, and again if somebody removed it.
func TestTheFirstBlobLasts(t *testing.T) {
	db := open(t, file(t), nil)
	var synced []string
	db.blobs.sync = func(dir string) error {
		synced = append(synced, filepath.Base(dir))
		return syncDir(dir)
	}
	ss := newSession(1)
	commitBig(t, db, &ss, "alpha")
	commitBig(t, db, &ss, "beta")
	commitBig(t, db, &ss, "alpha")
	if err := os.RemoveAll(db.blobs.dir); err != nil {
		t.Fatal(err)
	}
	commitBig(t, db, &ss, "gamma")
	if got, want := strings.Join(synced, " "), "data blobs blobs blobs data blobs"; got != want {
		t.Errorf("flushed were %s, want %s", got, want)
	}
}

func TestADamagedBlobIsTold(t *testing.T) {
	db := open(t, file(t), nil)
	ss := newSession(1)
	commitBig(t, db, &ss, "alpha")
	commitBig(t, db, &ss, "beta")
	commitBig(t, db, &ss, "gamma")
	before, err := db.Events(t.Context(), ss.ID, 0, 9)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range files(t, db) {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i == 0:
			err = os.Remove(name)
		case i == 1:
			err = os.WriteFile(name, append(body[:len(body)-1:len(body)-1], 'x'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	after, err := db.Events(t.Context(), ss.ID, 0, 9)
	if err != nil || len(after) != 3 {
		t.Fatalf("events are %v, %v", after, err)
	}
	told := 0
	for i, e := range after {
		if e.Seq != before[i].Seq || !e.At.Equal(before[i].At) {
			t.Errorf("event %d has number %d and time %v", i+1, e.Seq, e.At)
		}
		if e.Kind == session.KindNote && strings.Contains(e.Note.Text, "(text, ") && strings.Contains(e.Note.Text, "damaged or missing") {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d events say that they are damaged, want 2: %+v", told, after)
	}
	// The same event again mends what was damaged.
	next := newSession(2)
	commitBig(t, db, &next, "alpha", "beta", "gamma")
	if again, err := db.Events(t.Context(), ss.ID, 0, 9); err != nil || again[0].Kind != session.KindText || again[1].Kind != session.KindText || again[2].Kind != session.KindText {
		t.Errorf("events written again are %v, %v", again, err)
	}
}

func TestAnEventBeyondAllLimitsIsTold(t *testing.T) {
	db := open(t, file(t), nil)
	ss := newSession(1)
	ss.Seq = 1
	e := session.Event{Seq: 1, At: sessiontest.Epoch, Kind: session.KindText, Text: &session.Text{Text: strings.Repeat("x", maxBlob)}}
	if err := db.Commit(t.Context(), session.Ready{Record: session.Record{Session: ss}, Events: []session.Event{e}}); err != nil {
		t.Fatal(err)
	}
	events, err := db.Events(t.Context(), ss.ID, 0, 9)
	if err != nil || len(events) != 1 || events[0].Note == nil || !strings.Contains(events[0].Note.Text, "16 MiB) was not kept") {
		t.Errorf("the log has %v, %v", events, err)
	}
}

// TestSweepLeavesWhatIsAboutToBeReferredTo: files that a crash left go, those of a transaction under way stay.
func TestSweepLeavesWhatIsAboutToBeReferredTo(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	ss := newSession(1)
	commitBig(t, db, &ss, "kept")
	_, release, err := db.blobs.put([]byte("a commit is about to refer to this"))
	if err != nil {
		t.Fatal(err)
	}
	_, forget, err := db.blobs.put([]byte("a crash came before the transaction"))
	if err != nil {
		t.Fatal(err)
	}
	forget()
	unhold := db.blobs.hold()
	sweep := func(want int) {
		t.Helper()
		if err := db.sweep(false); err != nil {
			t.Fatal(err)
		}
		if n := len(files(t, db)); n != want {
			t.Errorf("%d blobs are left, want %d", n, want)
		}
	}
	sweep(3) // a backup is under way
	unhold()
	sweep(2)
	release()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, path, nil) // which sweeps
	if n := len(files(t, db)); n != 1 {
		t.Errorf("%d blobs are left, want 1", n)
	}
	if events, err := db.Events(t.Context(), ss.ID, 0, 9); err != nil || events[0].Kind != session.KindText {
		t.Errorf("the one that is referred to reads %v, %v", events, err)
	}
}

// TestSweepBesideWriters: no sweep takes a blob from a commit, while the same contents come and go.
func TestSweepBesideWriters(t *testing.T) {
	clock := &sessiontest.Clock{}
	db := open(t, file(t), clock)
	const writers, commits = 3, 8
	stop := make(chan bool)
	var sweeping, wg sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := db.sweep(false); err != nil {
				t.Error(err)
				return
			}
			if _, err := db.Retire(t.Context(), 1); err != nil { // takes all that is older than the clock
				t.Error(err)
				return
			}
		}
	})
	clock.Advance(100 * 24 * time.Hour)
	for w := range writers {
		wg.Go(func() {
			for i := range commits {
				old, young := newSession(w*1000+i), newSession(w*1000+500+i)
				young.Updated = clock.Now()
				commitBig(t, db, &old, fmt.Sprint("word", i))
				commitBig(t, db, &young, fmt.Sprint("word", i))
			}
		})
	}
	wg.Wait()
	close(stop)
	sweeping.Wait()
	for w := range writers {
		for i := range commits {
			events, err := db.Events(t.Context(), newSession(w*1000+500+i).ID, 0, 9)
			if err != nil || len(events) != 1 || events[0].Kind != session.KindText {
				t.Errorf("session %d-%d reads %v, %v", w, i, events, err)
			}
		}
	}
	for {
		ids, err := db.Retire(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
	}
	if n := len(files(t, db)); n != commits {
		t.Errorf("%d blobs are left for %d contents", n, commits)
	}
}

// TestSmallEventsHaveNoBlobs holds the usual way to what it was: nothing beside the file.
func TestSmallEventsHaveNoBlobs(t *testing.T) {
	db := open(t, file(t), nil)
	ss := newSession(1)
	if err := db.Commit(t.Context(), step(&ss, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(db.blobs.dir); !os.IsNotExist(err) {
		t.Errorf("blobs: %v", err)
	}
	c, err := newCommit(session.Ready{Record: session.Record{Session: ss}, Events: []session.Event{bigEvent(&ss, "x")}})
	if err != nil || len(c.large) != 1 || !bytes.HasPrefix(c.large[0].body, []byte("{")) {
		t.Errorf("a large event is %v, %v", c.large, err)
	}
}
