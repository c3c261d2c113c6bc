package boltdb

import (
	"context"

	"go.etcd.io/bbolt"
)

// Watermarks returns up to when Slack was heard, by conversation: Slack's ts.
func (db *DB) Watermarks(ctx context.Context) (map[string]string, error) {
	marks := map[string]string{}
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bWatermarks).ForEach(func(k, v []byte) error {
			marks[string(k)] = string(v)
			return nil
		})
	})
	return marks, wrap("boltdb.Watermarks", err)
}

// PutWatermarks changes watermarks; an empty one is forgotten.
func (db *DB) PutWatermarks(ctx context.Context, marks map[string]string) error {
	return wrap("boltdb.PutWatermarks", db.update(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bWatermarks)
		for k, v := range marks {
			var err error
			if v == "" {
				err = b.Delete([]byte(k))
			} else {
				err = b.Put([]byte(k), []byte(v))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}
