package boltdb

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// follow keeps which sessions have an open pull request; what is right already is not written again.
func follow(tx *bbolt.Tx, id, followed []byte) error {
	b := tx.Bucket(bFollowed)
	switch was := b.Get(id); {
	case bytes.Equal(was, followed):
		return nil
	case followed == nil:
		return b.Delete(id)
	}
	return b.Put(id, followed)
}

// Followed returns the pull requests that are open, as far as is known, in no order.
func (db *DB) Followed(ctx context.Context) ([]session.Followed, error) {
	all, err := everything[session.Followed](ctx, db, bFollowed)
	return all, wrap("boltdb.Followed", err)
}
