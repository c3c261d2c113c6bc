package boltdb

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

var _ session.Hours = (*DB)(nil)

func livedKey(day string) []byte { return []byte("lived/" + day) }

// addLived adds what a commit tells to the sums of its days.
func addLived(meta *bbolt.Bucket, all []session.Lived) error {
	for _, l := range all {
		key := livedKey(l.Day)
		if err := meta.Put(key, number(numberOf(meta.Get(key))+uint64(max(0, l.For)))); err != nil {
			return err
		}
	}
	return nil
}

// Lived implements session.Hours.
func (db *DB) Lived(ctx context.Context, day string) (sum time.Duration, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		sum = time.Duration(numberOf(tx.Bucket(bMeta).Get(livedKey(day))))
		return nil
	})
	return sum, wrap("boltdb.Lived", err)
}
