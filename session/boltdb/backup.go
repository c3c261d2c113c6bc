package boltdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"

	"openinspect/session"
)

// Add takes one file of a backup: its name, its size, and what writes it.
type Add func(name string, size int64, write func(io.Writer) error) error

// BlobDir is where a store's blobs lie, beside its file, and in a backup.
const BlobDir = "blobs"

// kRestored is where meta keeps when a store came out of a backup.
var kRestored = []byte("restored")

// Backup hands a consistent snapshot to add while the store is read and written: the file under its name, as the last commit before the
// call left it, and then every blob that it refers to. Sealed values stay sealed, and the master key is not in it. The snapshot is one reading
// transaction, held while the file is handed over: pages that are freed meanwhile are used again only afterwards, so the file grows by what
// is written in that time. The names of blobs that are damaged or missing are returned.
func (db *DB) Backup(ctx context.Context, add Add) (damaged []string, err error) {
	defer db.blobs.hold()()
	db.disk.readers.RLock()
	all, err := snapshot(ctx, db.bolt, &db.disk, add)
	db.disk.readers.RUnlock()
	if err != nil {
		return nil, wrap("boltdb.Backup", err)
	}
	damaged, err = db.blobs.backup(ctx, all, add)
	return damaged, wrap("boltdb.Backup", err)
}

// BackupFile does the same for a store that no process has open, without its master key. Conflict if one has.
func BackupFile(ctx context.Context, path string, add Add) (damaged []string, err error) {
	const op = "boltdb.BackupFile"
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	if errors.Is(err, bolterr.ErrTimeout) {
		return nil, wrap(op, inUse(path))
	}
	if err != nil {
		return nil, unopened(op, path, err)
	}
	all, err := snapshot(ctx, b, &disk{}, add)
	if err == nil {
		damaged, err = (&blobs{dir: filepath.Join(filepath.Dir(path), BlobDir)}).backup(ctx, all, add)
	}
	return damaged, wrap(op, errors.Join(err, b.Close()))
}

// snapshot hands the file over and returns the blobs it refers to.
func snapshot(ctx context.Context, b *bbolt.DB, d *disk, add Add) (all []hash, err error) {
	err = b.View(func(tx *bbolt.Tx) error {
		if refs := tx.Bucket(bBlobs); refs != nil { // the first layout had none
			err := refs.ForEach(func(k, _ []byte) error {
				all = append(all, hash(k))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return add(filepath.Base(b.Path()), tx.Size(), func(w io.Writer) error {
			_, err := tx.WriteTo(&gate{ctx: ctx, disk: d, w: w})
			return err
		})
	})
	return all, err
}

// gate is what a snapshot is written through: it ends when its context does, and when the writer waits for readers to end.
type gate struct {
	ctx  context.Context
	disk *disk
	w    io.Writer
}

func (g *gate) Write(p []byte) (int, error) {
	if g.disk.settling.Load() {
		return 0, session.Errorf(session.Unavailable, "the disk refused a write meanwhile; make the backup again")
	}
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}

func (b *blobs) backup(ctx context.Context, all []hash, add Add) (damaged []string, err error) {
	for _, h := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := path.Join(BlobDir, h.String())
		body, err := b.read(h)
		if err != nil {
			damaged = append(damaged, name)
			continue
		}
		err = add(name, int64(len(body)), func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(body))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return damaged, nil
}

// Restored returns when the store came out of a backup, zero if it did not.
func (db *DB) Restored(ctx context.Context) (at time.Time, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bMeta).Get(kRestored); v != nil {
			at = stamped(v)
		}
		return nil
	})
	return at, wrap("boltdb.Restored", err)
}

// MarkRestored notes that the store has just come out of a backup: the world may be ahead of it.
func (db *DB) MarkRestored(ctx context.Context) error {
	now := db.clock.Now()
	return wrap("boltdb.MarkRestored", db.update(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bMeta).Put(kRestored, stamp(now, nil))
	}))
}
