package boltdb

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// PutSpare stores a sandbox that is no session's, by its id.
func (db *DB) PutSpare(ctx context.Context, s session.Spare) error {
	body, err := encode(s)
	if err == nil {
		err = db.update(ctx, func(tx *bbolt.Tx) error { return tx.Bucket(bSpares).Put([]byte(s.ID), body) })
	}
	return wrap("boltdb.PutSpare", err)
}

// Spares returns all sandboxes that are no session's, in order of their ids.
func (db *DB) Spares(ctx context.Context) ([]session.Spare, error) {
	all, err := everything[session.Spare](ctx, db, bSpares)
	return all, wrap("boltdb.Spares", err)
}

// ForgetSpare forgets one that is gone, if it is there, and adds what it lived to the sums of its days.
func (db *DB) ForgetSpare(ctx context.Context, id session.ID, lived ...session.Lived) error {
	return wrap("boltdb.ForgetSpare", db.update(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bSpares)
		if b.Get([]byte(id)) == nil {
			return nil // told again: it is counted
		}
		if err := addLived(tx.Bucket(bMeta), lived); err != nil {
			return err
		}
		return b.Delete([]byte(id))
	}))
}

// everything returns all that a bucket holds, in order of its keys.
func everything[T any](ctx context.Context, db *DB, bucket []byte) ([]T, error) {
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, v []byte) error {
			bodies = append(bodies, bytes.Clone(v))
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return decodeAll[T](bodies)
}
