package boltdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// kFiles is the bucket of a session's files: SHA-256 → size. Their content is a blob.
var kFiles = []byte("files")

// KeepFile stores what somebody attached, as long as its session is kept, and returns its SHA-256 in hexadecimal. NotFound for an unknown
// session, Invalid when the session's files are too many bytes.
func (db *DB) KeepFile(ctx context.Context, id session.ID, body []byte) (string, error) {
	const op = "boltdb.KeepFile"
	h, release, err := db.blobs.put(body)
	if err != nil {
		return "", wrap(op, db.refusal(err))
	}
	defer release()
	err = db.update(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		files, err := s.CreateBucketIfNotExists(kFiles)
		if err != nil || files.Get(h[:]) != nil {
			return err
		}
		total := attached(s) + uint64(len(body))
		if v := s.Get(kPatch); len(v) >= patchHead {
			total += numberOf(v[sha256.Size:])
		}
		if total > session.MaxSessionFiles {
			return noRoom()
		}
		if err := files.Put(h[:], number(uint64(len(body)))); err != nil {
			return err
		}
		return refer(tx, h, len(body))
	})
	if err != nil {
		return "", wrap(op, err)
	}
	return h.String(), nil
}

// File returns a file of a session by its hash.
func (db *DB) File(ctx context.Context, id session.ID, name string) ([]byte, error) {
	const op = "boltdb.File"
	raw, err := hex.DecodeString(name)
	if err != nil || len(raw) != sha256.Size {
		return nil, session.Errorf(session.NotFound, "there is no such file")
	}
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		if files := s.Bucket(kFiles); files == nil || files.Get(raw) == nil {
			return session.Errorf(session.NotFound, "session %s has no such file", id)
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	body, err := db.blobs.read(hash(raw))
	if err != nil {
		return nil, &session.Error{Code: session.NotFound, Op: op, Message: "The file is damaged or missing.", Err: err}
	}
	return body, nil
}

// forgetFiles takes a session's references to its files away and returns the blobs that nothing refers to any more.
func forgetFiles(tx *bbolt.Tx, s *bbolt.Bucket) (loose []hash, err error) {
	if loose, err = forgetPatch(tx, s.Get(kPatch)); err != nil {
		return nil, err
	}
	files := s.Bucket(kFiles)
	if files == nil {
		return loose, nil
	}
	err = files.ForEach(func(k, _ []byte) error {
		h := hash(k)
		last, err := unrefer(tx, h)
		if last {
			loose = append(loose, h)
		}
		return err
	})
	return loose, err
}
