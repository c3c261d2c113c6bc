//go:build linux

package boltdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// smallDiskEnv names the directory on which the child of TestDiskFull mounts a small file system.
const smallDiskEnv = "BOLTDB_TEST_SMALL_DISK"

// TestDiskFull fills a real file system to the brim, more or less, under a store that writes: what was acknowledged is there, what was not
// is refused with a sentence, the operator is told once, and the store goes on when there is room. It runs in a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(smallDiskEnv); dir != "" {
		diskFull(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	cmd.Env = append(os.Environ(), smallDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil && (len(out) == 0 || strings.Contains(string(out), noMount)) && os.Getenv("TEST_ALL") != "1" {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

const noMount = "cannot mount"

func diskFull(t *testing.T, dir string) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Fatal(noMount, err)
	}
	path, filler := filepath.Join(dir, "data", "inspect.db"), filepath.Join(dir, "filler")
	var mu sync.Mutex
	var told []error
	clock := &sessiontest.Clock{}
	o := Options{MasterKey: testKey, Clock: clock, Report: func(err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	}}
	db, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	ss, blobbed := newSession(1), newSession(2)
	commit := func() error {
		was := ss
		err := db.Commit(t.Context(), step(&ss, 8))
		if err != nil {
			ss = was
		}
		return err
	}
	commitBlob := func() error {
		was := blobbed
		r := session.Ready{Events: []session.Event{bigEvent(&blobbed, fmt.Sprint("word", blobbed.Seq))}}
		r.Record.Session = blobbed
		err := db.Commit(t.Context(), r)
		if err != nil {
			blobbed = was
		}
		return err
	}
	intact := func() {
		t.Helper()
		whole(t, db, ss.ID, ss.Seq)
		for n := int64(0); n < blobbed.Seq; n++ {
			events, err := db.Events(t.Context(), blobbed.ID, n, 1)
			if err != nil || len(events) != 1 || events[0].Kind != session.KindText {
				t.Fatalf("event %d of %d reads %v, %v", n+1, blobbed.Seq, events, err)
			}
		}
	}
	for round, left := range []int64{0, 8 << 10, 20 << 10, 100 << 10} {
		for range 3 {
			if err := errors.Join(commit(), commitBlob()); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, filler, left)
		refusals := 0
		for range 15 { // more than fits into what is left
			for _, err := range []error{commit(), commitBlob()} {
				if err == nil {
					continue
				}
				refusals++
				refused(t, err, session.Unavailable, "disk is full")
				if !errors.Is(err, session.ErrStorage) {
					t.Errorf("%v is not known for what it is", err)
				}
			}
		}
		if refusals < 15 {
			t.Fatalf("round %d: %d refusals on a full disk", round, refusals)
		}
		_, err := db.Receive(t.Context(), session.Received{Key: fmt.Sprint("event", round)})
		if err == nil {
			for n := 0; err == nil && n < 10_000; n++ {
				_, err = db.Receive(t.Context(), session.Received{Key: fmt.Sprint("event", round, n), Payload: []byte(`"` + strings.Repeat("x", 4000) + `"`)})
			}
		}
		refused(t, err, session.Unavailable, "disk is full")
		intact()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		clock.Advance(calm)
		if err := errors.Join(commit(), commitBlob()); err != nil {
			t.Fatalf("there is room again, and still: %v", err)
		}
		intact()
	}
	// Small writes may go through between large ones that do not; a round is told once all the same, and its end once.
	if len(told) != 8 {
		t.Errorf("the operator was told %d times: %v", len(told), told)
	}
	for i, err := range told {
		if (err == nil) != (i%2 == 1) {
			t.Fatalf("the operator was told %v", told)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, o); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	intact()
	err = db.bolt.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	halves, err := filepath.Glob(filepath.Join(db.blobs.dir, tempBlob+"*"))
	if err != nil || len(halves) > 0 {
		t.Errorf("half-written blobs are left: %v, %v", halves, err)
	}
}

// fill takes the room of a file system but for what is to be left.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	size, err := f.Seek(0, 1)
	if err == nil {
		err = errors.Join(f.Truncate(max(0, size-left)), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCommitThatFailedLate: the meta page was written, its flush failed. The transaction is what every reader sees, so its writers are told
// that it took place, and nothing else is written before the page is safe.
func TestCommitThatFailedLate(t *testing.T) {
	path := file(t)
	clock := &sessiontest.Clock{}
	db := open(t, path, clock)
	var told []error
	db.disk.report = func(err error) { told = append(told, err) }
	ss := newSession(1)
	if err := db.Commit(t.Context(), step(&ss, 2)); err != nil {
		t.Fatal(err)
	}
	commit := func() error { return db.Commit(t.Context(), step(&ss, 2)) }
	late, early := errors.New("fdatasync: input/output error"), errors.New("write: input/output error")
	db.apply = func(f func(*bbolt.Tx) error) error { return errors.Join(db.bolt.Update(f), late) }
	if err := commit(); err != nil {
		t.Errorf("a commit that everybody sees was called failed: %v", err)
	}
	whole(t, db, ss.ID, 4)
	clock.Advance(calm)
	if err := db.Prune(t.Context()); err != nil { // which fails late, too, but goes through
		t.Error(err)
	}
	db.apply = db.bolt.Update
	clock.Advance(calm)
	if err := db.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	if len(told) != 2 || !errors.Is(told[0], late) || told[1] != nil {
		t.Errorf("the operator was told %v", told)
	}

	was := ss
	db.apply = func(f func(*bbolt.Tx) error) error {
		return db.bolt.Update(func(tx *bbolt.Tx) error { return errors.Join(f(tx), early) })
	}
	refused(t, commit(), session.Unavailable, "refuses to store")
	ss = was
	whole(t, db, ss.ID, 4)
	db.apply = db.bolt.Update
	clock.Advance(calm)
	if err := commit(); err != nil {
		t.Error(err)
	}
	if len(told) != 4 || !errors.Is(told[2], early) || told[3] != nil {
		t.Errorf("the operator was told %v", told)
	}
	whole(t, db, ss.ID, 6)
	if n := ss.Seq; n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}
