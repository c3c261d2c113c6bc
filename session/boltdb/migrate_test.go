package boltdb

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// older puts a file in place that an older layout's program wrote: testdata/NAME.db.gz.
//
//   - layout1: two sessions of twelve events, messages sent and not, an inbox, a link with its token, audit
//   - layout2: three such sessions, of which two were prompted and one proposed a pull request; a message, an inbox, a token, audit
//   - layout3: two sessions of twelve events, which came by one, five and six
func older(t *testing.T, name string) (path string) {
	t.Helper()
	in, err := os.Open(filepath.Join("testdata", name+".db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path = file(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMigrationFromTheFirstLayout(t *testing.T) {
	path := older(t, "layout1")
	clock := &sessiontest.Clock{}
	clock.Advance(time.Hour)
	for range 2 { // brought up to date, and opened again
		db := open(t, path, clock)
		for n := range 2 {
			whole(t, db, newSession(n).ID, 12)
		}
		pending, err := db.Pending(t.Context())
		if err != nil || len(pending) != 2 || pending[0].Key != "card/1" || pending[1].Key != "eyes/C/1.0" {
			t.Errorf("pending is %+v, %v", pending, err)
		}
		if m, err := db.MessageAt(t.Context(), "C", "2.0"); err != nil || m.Key != "status/1" || m.Text != "working" {
			t.Errorf("the message at its place is %+v, %v", m, err)
		}
		if in, err := db.Inbox(t.Context()); err != nil || len(in) != 1 || in[0].Key != "Ev2" {
			t.Errorf("the inbox has %+v, %v", in, err)
		}
		if u, err := db.User(t.Context(), "U1"); err != nil || u.GitHub.Login != "ada-l" {
			t.Errorf("the user is %+v, %v", u, err)
		}
		if v, err := db.Secret(t.Context(), "github/user/U1"); err != nil || string(v) != "token" {
			t.Errorf("the secret is %q, %v", v, err)
		}
		if _, err := db.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
		err = db.view(t.Context(), func(tx *bbolt.Tx) error {
			if n, err := layout(tx); err != nil || n != schema {
				t.Errorf("the layout is %d, %v; want %d", n, err, schema)
			}
			if at := stamped(tx.Bucket(bOutbox).Get([]byte("card/1"))); !at.Equal(clock.Now()) {
				t.Errorf("a message counts as of %v, want the time of the migration", at)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMigrationFromTheSecondLayout: what a pull request will say is taken out of the records, which keep the rest.
func TestMigrationFromTheSecondLayout(t *testing.T) {
	path := older(t, "layout2")
	damage(t, path, "session002")
	for range 2 { // brought up to date, and opened again
		db := open(t, path, nil)
		for n := range 2 {
			id := newSession(n).ID
			whole(t, db, id, 12)
			st, err := db.Load(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if len(st.Draft.Asked) != 3 || st.Draft.Asked[2].By.Name != sessiontest.Ada.Name || st.Draft.Asked[2].Text != fmt.Sprintf("fix <2> of %d", n) {
				t.Errorf("%s was asked %+v", id, st.Draft.Asked)
			}
			if p := st.Draft.Proposal; (p != nil) != (n == 1) || p != nil && (p.Title != "Fix it" || len(p.Body) != 54_000) {
				t.Errorf("%s proposes %+v", id, p)
			}
			if len(st.Session.Contributors) != 1 || !st.Session.Updated.Equal(sessiontest.Epoch) {
				t.Errorf("its record is %+v", st.Session)
			}
			err = db.view(t.Context(), func(tx *bbolt.Tx) error {
				if v := tx.Bucket(bSessions).Bucket([]byte(id)).Get(kRecord); len(v) > 2_000 || !stamped(v).Equal(sessiontest.Epoch) {
					t.Errorf("its record has %d bytes, and is of %v", len(v), stamped(v))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := db.Load(t.Context(), "session002"); session.CodeOf(err) != session.Internal {
			t.Errorf("the damaged one: %v", err)
		}
		if m, err := db.Message(t.Context(), "status/1"); err != nil || m.Text != "working" {
			t.Errorf("the message is %+v, %v", m, err)
		}
		if v, err := db.Secret(t.Context(), "github/user/U1"); err != nil || string(v) != "token" {
			t.Errorf("the secret is %q, %v", v, err)
		}
		if _, err := db.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// damage makes a session's record, in a file that nobody has open, one that cannot be read.
func damage(t *testing.T, path string, id session.ID) {
	t.Helper()
	b, err := bbolt.Open(path, 0o600, nil)
	if err == nil {
		err = b.Update(func(tx *bbolt.Tx) error {
			s := tx.Bucket(bSessions).Bucket([]byte(id))
			return s.Put(kRecord, append(bytes.Clone(s.Get(kRecord)[:8]), "{cut off"...))
		})
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMigrationIsWholeOrNothing: one that fails leaves the file as it was, and is done at the next start.
func TestMigrationIsWholeOrNothing(t *testing.T) {
	path := older(t, "layout1")
	no := errors.New("no")
	migrations[0] = func(db *DB, tx *bbolt.Tx) error { return errors.Join(stampMessages(db, tx), no) }
	_, err := Open(path, Options{MasterKey: testKey})
	migrations[0] = stampMessages
	if !errors.Is(err, no) {
		t.Fatalf("a migration that failed was taken: %v", err)
	}
	db := open(t, path, nil)
	if m, err := db.Message(t.Context(), "status/1"); err != nil || m.Text != "working" {
		t.Errorf("after it the message is %+v, %v", m, err)
	}
}

func TestOpenRefusesANewerLayout(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	err := db.bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bMeta).Put(kSchema, number(schema+1)) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(path, Options{MasterKey: testKey})
	refused(t, err, session.Conflict, "written by a newer openinspect")
}

// TestMigrationFromTheThirdLayout: a log whose events each lie alone is read, and goes on with runs.
func TestMigrationFromTheThirdLayout(t *testing.T) {
	path := older(t, "layout3")
	db := open(t, path, nil)
	for n := range 2 {
		ss := newSession(n)
		whole(t, db, ss.ID, 12)
		st, err := db.Load(t.Context(), ss.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Commit(t.Context(), step(&st.Session, 9)); err != nil {
			t.Fatal(err)
		}
		whole(t, db, ss.ID, 21)
	}
}

// TestMigrationFromTheFourthLayout: which sessions have an open pull request is read out of their records.
func TestMigrationFromTheFourthLayout(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	for n, state := range []session.PullRequestState{session.PullOpen, session.PullMerged} {
		ss := newSession(n)
		ss.PullRequest = &session.PullRequest{Number: 7 + n, Repo: session.Repo{Owner: "acme", Name: "web"}, State: state}
		if err := db.Commit(t.Context(), step(&ss, 1)); err != nil {
			t.Fatal(err)
		}
	}
	err := db.bolt.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bFollowed); err != nil {
			return err
		}
		return tx.Bucket(bMeta).Put(kSchema, number(4))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := open(t, path, nil).Followed(t.Context())
	want := session.Followed{Session: newSession(0).ID, Repo: session.Repo{Owner: "acme", Name: "web"}, Number: 7}
	if err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("followed are %+v, %v; want %+v", all, err, want)
	}
}
