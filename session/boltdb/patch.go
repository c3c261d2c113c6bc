package boltdb

import (
	"bytes"
	"context"
	"crypto/sha256"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// kPatch is where a session has its patch: SHA-256, size (8 bytes), and the commit that it is against. The patch itself is a blob.
var kPatch = []byte("patch")

const patchHead = sha256.Size + 8

// KeepPatch keeps what a session's checkout has beyond a commit, in the place of what was kept before; an empty patch is none. NotFound for an unknown
// session, Invalid when its files and this are too many bytes.
func (db *DB) KeepPatch(ctx context.Context, id session.ID, from string, patch []byte) error {
	const op = "boltdb.KeepPatch"
	var h hash
	if len(patch) > 0 {
		var release func()
		var err error
		if h, release, err = db.blobs.put(patch); err != nil {
			return wrap(op, db.refusal(err))
		}
		defer release()
	}
	var loose []hash
	err := db.update(ctx, func(tx *bbolt.Tx) error {
		loose = nil
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		was := bytes.Clone(s.Get(kPatch))
		if len(patch) > 0 {
			if attached(s)+uint64(len(patch)) > session.MaxSessionFiles {
				return noRoom()
			}
			if err := refer(tx, h, len(patch)); err != nil {
				return err
			}
			err = s.Put(kPatch, append(append(bytes.Clone(h[:]), number(uint64(len(patch)))...), from...))
		} else {
			err = s.Delete(kPatch)
		}
		if err != nil {
			return err
		}
		loose, err = forgetPatch(tx, was)
		return err
	})
	for _, h := range loose {
		if err == nil {
			err = db.collect(h)
		}
	}
	return wrap(op, err)
}

// Patch returns a session's patch and the commit that it is against; NotFound if there is none.
func (db *DB) Patch(ctx context.Context, id session.ID) (from string, patch []byte, err error) {
	const op = "boltdb.Patch"
	var v []byte
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		if v = bytes.Clone(s.Get(kPatch)); len(v) < patchHead {
			return session.Errorf(session.NotFound, "session %s has no patch", id)
		}
		return nil
	})
	if err != nil {
		return "", nil, wrap(op, err)
	}
	if patch, err = db.blobs.read(hash(v[:sha256.Size])); err != nil {
		return "", nil, &session.Error{Code: session.NotFound, Op: op, Message: "The patch is damaged or missing.", Err: err}
	}
	return string(v[patchHead:]), patch, nil
}

// forgetPatch takes the reference to a patch away, if v is one, and returns its blob if nothing refers to it any more.
func forgetPatch(tx *bbolt.Tx, v []byte) (loose []hash, err error) {
	if len(v) < patchHead {
		return nil, nil
	}
	h := hash(v[:sha256.Size])
	last, err := unrefer(tx, h)
	if last {
		loose = []hash{h}
	}
	return loose, err
}

// attached returns how many bytes a session's files have.
func attached(s *bbolt.Bucket) (total uint64) {
	if files := s.Bucket(kFiles); files != nil {
		_ = files.ForEach(func(_, size []byte) error { total += numberOf(size); return nil }) // never fails: the function does not
	}
	return total
}

func noRoom() error {
	return session.Errorf(session.Invalid, "This thread has no room for more files: it has had %d MiB of them.", session.MaxSessionFiles>>20)
}
