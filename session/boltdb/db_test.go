package boltdb

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

var testKey = bytes.Repeat([]byte{7}, 32)

func open(t testing.TB, path string, clock session.Clock) *DB {
	t.Helper()
	db, err := Open(path, Options{MasterKey: testKey, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), "data", "inspect.db") }

// reopening is a DB that the suite may close and open anew.
type reopening struct {
	*DB
	path  string
	clock session.Clock
}

func (r reopening) Reopen(t *testing.T) sessiontest.Store {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.DB = open(t, r.path, r.clock)
	return r
}

func TestStore(t *testing.T) {
	sessiontest.TestStore(t, func(t *testing.T, clock session.Clock) sessiontest.Store {
		return open(t, file(t), clock)
	})
}

func TestStoreReopened(t *testing.T) {
	sessiontest.TestStore(t, func(t *testing.T, clock session.Clock) sessiontest.Store {
		path := file(t)
		return reopening{open(t, path, clock), path, clock}
	})
}

// refused checks that an error has a code and, in its sentence, some words.
func refused(t *testing.T, err error, code session.Code, words string) {
	t.Helper()
	if session.CodeOf(err) != code || !strings.Contains(session.Sentence(err), words) {
		t.Errorf("error %v (%q), want %s with %q", err, session.CodeOf(err), code, words)
	}
}

func TestOpenIsExclusive(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	_, err := Open(path, Options{MasterKey: testKey})
	refused(t, err, session.Conflict, "another openinspect uses "+filepath.Dir(path)+"; stop it first")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path, nil)
}

func TestOpenKeepsOthersOut(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	mode := func(path string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	mode(path, 0o600)
	mode(filepath.Dir(path), 0o700)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, nil)
	mode(path, 0o600)
}

func TestOpenRefusals(t *testing.T) {
	path := file(t)
	_, err := Open(path, Options{MasterKey: testKey[:31]})
	refused(t, err, session.Invalid, "the master key has 31 bytes; it needs 32")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a refused key left a file: %v", err)
	}
	_, err = Open(t.TempDir(), Options{MasterKey: testKey})
	refused(t, err, session.Unavailable, "cannot be opened")
	damaged := filepath.Join(t.TempDir(), "inspect.db")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte("no database "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(damaged, Options{MasterKey: testKey})
	refused(t, err, session.Unavailable, damaged+" cannot be opened")
}

func TestClosed(t *testing.T) {
	db := open(t, file(t), nil)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, db.PutChannel(t.Context(), session.Channel{ID: "C1"}), session.Unavailable, "stopping")
	_, err := db.Inbox(t.Context())
	refused(t, err, session.Unavailable, "stopping")
}

func TestNamesThatCannotBeStored(t *testing.T) {
	db := open(t, file(t), nil)
	ctx := context.Background()
	refused(t, db.PutUser(ctx, session.User{}), session.Invalid, "cannot be stored")
	_, err := db.Receive(ctx, session.Received{Key: strings.Repeat("x", 40_000)})
	refused(t, err, session.Invalid, "cannot be stored")
	if all, err := db.Inbox(ctx); err != nil || len(all) > 0 {
		t.Errorf("the inbox has %d events (%v), want none", len(all), err)
	}
}

// TestADamagedSessionIsOnesOwn: what cannot be read of one session is told of that one, and keeps nobody else from anything; retention takes it, too.
func TestADamagedSessionIsOnesOwn(t *testing.T) {
	for name, hurt := range map[string]func(s *bbolt.Bucket) error{
		"record":  func(s *bbolt.Bucket) error { return s.Put(kRecord, append(number(1), "{cut off"...)) },
		"prompt":  func(s *bbolt.Bucket) error { return s.Bucket(bPrompts).Put([]byte("1"), make([]byte, shelfHead)) },
		"effects": func(s *bbolt.Bucket) error { return s.Bucket(bEffects).Put([]byte("1"), []byte("012345678{")) },
	} {
		t.Run(name, func(t *testing.T) {
			clock := &sessiontest.Clock{}
			db := open(t, file(t), clock)
			for n := range 3 {
				ss := newSession(n)
				if err := db.Commit(t.Context(), session.Ready{Record: session.Record{Session: ss}}); err != nil {
					t.Fatal(err)
				}
			}
			err := db.bolt.Update(func(tx *bbolt.Tx) error { return hurt(tx.Bucket(bSessions).Bucket([]byte("session001"))) })
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Load(t.Context(), "session001")
			refused(t, err, session.Internal, session.DamagedWords)
			if d, ok := errors.AsType[*session.Damaged](err); !ok || d.Thread != newSession(1).Thread {
				t.Errorf("it names %+v", d)
			}
			if _, err := db.Load(t.Context(), "session002"); err != nil {
				t.Error(err)
			}
			all, err := db.List(t.Context(), 10)
			if want := map[bool]int{true: 2, false: 3}[name == "record"]; err != nil || len(all) != want {
				t.Errorf("%d are listed, want %d: %v", len(all), want, err)
			}
			clock.Advance(48 * time.Hour)
			if ids, err := db.Retire(t.Context(), 1); err != nil || len(ids) != 3 {
				t.Errorf("removed %v, %v", ids, err)
			}
		})
	}
}

// TestARecordTooShort has no time that says how old it is, and stays.
func TestARecordTooShort(t *testing.T) {
	clock := &sessiontest.Clock{}
	db := open(t, file(t), clock)
	for n := range 2 {
		if err := db.Commit(t.Context(), session.Ready{Record: session.Record{Session: newSession(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bSessions).Bucket([]byte("session000")).Put(kRecord, []byte("short"))
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Load(t.Context(), "session000")
	refused(t, err, session.Internal, session.DamagedWords)
	if all, err := db.List(t.Context(), 10); err != nil || len(all) != 1 {
		t.Errorf("listed are %v, %v", all, err)
	}
	clock.Advance(48 * time.Hour)
	if ids, err := db.Retire(t.Context(), 1); err != nil || len(ids) != 1 || ids[0] != "session001" {
		t.Errorf("removed %v, %v", ids, err)
	}
}
