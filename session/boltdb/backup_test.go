package boltdb

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// unpacked is an Add that writes to a directory. It checks the sizes it is told.
func unpacked(t *testing.T, dir string) Add {
	return func(name string, size int64, write func(io.Writer) error) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil && info.Size() != size {
			t.Errorf("%s has %d bytes, not %d", name, info.Size(), size)
		}
		return err
	}
}

// TestBackupWhileWriting: every session in a backup is as some commit left it, with all that was acknowledged before the backup began and
// nothing that was never committed; its blobs are there.
func TestBackupWhileWriting(t *testing.T) {
	db := open(t, file(t), nil)
	const sessions, backups = 4, 3
	var acked [sessions]atomic.Int64
	var wg sync.WaitGroup
	begun, stop := make(chan bool, sessions), make(chan bool)
	for n := range sessions {
		wg.Go(func() {
			ss := newSession(n)
			for i := 0; ; i++ {
				r := step(&ss, 2)
				if i%4 == 0 {
					r.Events[1].Text.Text = strings.Repeat("word ", maxInline/4+n+i)
				}
				if err := db.Commit(t.Context(), r); err != nil {
					t.Error(err)
					return
				}
				acked[n].Store(ss.Seq)
				if i == 10 {
					begun <- true
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range sessions {
		<-begun
	}
	type copied struct {
		dir    string
		before [sessions]int64
	}
	var all []copied
	for range backups {
		c := copied{dir: t.TempDir()}
		for n := range sessions {
			c.before[n] = acked[n].Load()
		}
		damaged, err := db.Backup(t.Context(), unpacked(t, c.dir))
		if err != nil || len(damaged) > 0 {
			t.Fatal(damaged, err)
		}
		all = append(all, c)
	}
	close(stop)
	wg.Wait()
	for _, c := range all {
		again := open(t, filepath.Join(c.dir, "inspect.db"), nil)
		for n := range sessions {
			if got := whole(t, again, newSession(n).ID, c.before[n]); got > acked[n].Load() {
				t.Errorf("session %d has %d events; %d were ever written", n, got, acked[n].Load())
			}
		}
		err := again.bolt.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				t.Error(err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestBackupKeepsWhatItNeeds: a session that is removed while its backup is made is whole in it; one that comes meanwhile is not in it, nor are
// its blobs.
func TestBackupKeepsWhatItNeeds(t *testing.T) {
	clock := &sessiontest.Clock{}
	path := file(t)
	db := open(t, path, clock)
	one, late := newSession(1), newSession(2)
	commitBig(t, db, &one, "alpha", "beta", "gamma")
	if err := os.WriteFile(files(t, db)[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	clock.Advance(10 * 24 * time.Hour)
	dir := t.TempDir()
	add := unpacked(t, dir)
	damaged, err := db.Backup(t.Context(), func(name string, size int64, write func(io.Writer) error) error {
		if name == "inspect.db" {
			commitBig(t, db, &late, "delta")
			if ids, err := db.Retire(t.Context(), 1); err != nil || len(ids) != 2 { // late is as old by its record
				t.Errorf("removed %v, %v", ids, err)
			}
			if err := db.Sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return add(name, size, write)
	})
	if err != nil || len(damaged) != 1 || !strings.HasPrefix(damaged[0], "blobs/") {
		t.Fatalf("damaged are %v, %v", damaged, err)
	}
	again := open(t, filepath.Join(dir, "inspect.db"), clock)
	events, err := again.Events(t.Context(), one.ID, 0, 9)
	if err != nil || len(events) != 3 {
		t.Fatalf("%v, %v", events, err)
	}
	kept := 0
	for _, e := range events {
		if e.Kind == session.KindText {
			kept++
		}
	}
	if kept != 2 {
		t.Errorf("%d of its events are whole, want 2", kept)
	}
	if _, err := again.Load(t.Context(), late.ID); session.CodeOf(err) != session.NotFound {
		t.Errorf("the session that came meanwhile: %v", err)
	}
	if n := len(files(t, again)); n != 2 {
		t.Errorf("%d blobs, want 2", n)
	}
	if err := db.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := files(t, db); len(all) > 0 {
		t.Errorf("after the backup %v are left", all)
	}
}

// TestLargeStoreGrowsBesideABackup: a store of a gibibyte goes on while somebody reads a backup of it slowly. That its file gets larger than that
// must not wait for the reader, and everybody else for it.
func TestLargeStoreGrowsBesideABackup(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	page := db.bolt.Info().PageSize
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// bbolt's meta pages: behind a header of 16 bytes the number of pages is at 40, and at 56 a checksum of what is before it.
	for _, at := range []int64{0, int64(page)} {
		meta := make([]byte, 64)
		if _, err := f.ReadAt(meta, at+16); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(meta[40:], uint64(1<<30/page-10))
		sum := fnv.New64a()
		sum.Write(meta[:56])
		binary.LittleEndian.PutUint64(meta[56:], sum.Sum64())
		if _, err := f.WriteAt(meta, at+16); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(1<<30 - int64(10*page)); err != nil { // a hole, but for the beginning
		t.Fatal(err)
	}
	db = open(t, path, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = db.Backup(ctx, func(string, int64, func(io.Writer) error) error {
		stored := make(chan error, 1)
		go func() {
			ss := newSession(1)
			stored <- db.Commit(t.Context(), step(&ss, 500))
		}()
		select {
		case err := <-stored:
			return err
		case <-ctx.Done():
			return errors.New("a commit waits for the backup to end")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() <= 1<<30 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// TestBackupOfAStoreAtRest needs no master key, and is refused while somebody has the store open.
func TestBackupOfAStoreAtRest(t *testing.T) {
	path := file(t)
	db := open(t, path, nil)
	ss := newSession(1)
	commitBig(t, db, &ss, "alpha")
	if err := db.PutSecret(t.Context(), "token", []byte("gho_very-secret")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err := BackupFile(t.Context(), path, unpacked(t, dir))
	refused(t, err, session.Conflict, "another openinspect uses")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if damaged, err := BackupFile(t.Context(), path, unpacked(t, dir)); err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "inspect.db"))
	if err != nil || strings.Contains(string(b), "gho_very-secret") || strings.Contains(string(b), string(testKey)) {
		t.Errorf("a backup has a secret in the clear: %v", err)
	}
	again := open(t, filepath.Join(dir, "inspect.db"), nil)
	if v, err := again.Secret(t.Context(), "token"); err != nil || string(v) != "gho_very-secret" {
		t.Errorf("the secret is %q, %v", v, err)
	}
	if at, err := again.Restored(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("restored at %v, %v", at, err)
	}
	if err := again.MarkRestored(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at, err := again.Restored(t.Context()); err != nil || at.IsZero() {
		t.Errorf("restored at %v, %v", at, err)
	}
	old := older(t, "layout1")
	if _, err := BackupFile(t.Context(), old, unpacked(t, t.TempDir())); err != nil {
		t.Errorf("a store of the first layout: %v", err)
	}
}
