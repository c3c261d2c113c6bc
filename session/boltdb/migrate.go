package boltdb

import (
	"bytes"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// migrations bring a file from one layout to the next: migrations[n] from n+1 to n+2. Each runs in one transaction with the number it
// leads to, so that a crash leaves the file in one layout or the other. One that was released never changes.
var migrations = []func(db *DB, tx *bbolt.Tx) error{
	stampMessages,
}

// schema is the version of the layout that this program writes. A file with a higher one was written by a newer program.
var schema = uint64(len(migrations) + 1)

var kSchema = []byte("schema")

// migrate makes a new file's buckets, or brings an older file up to date.
func (db *DB) migrate() error {
	current := false
	err := db.bolt.View(func(tx *bbolt.Tx) error {
		n, err := layout(tx)
		current = n == schema
		for _, name := range buckets {
			current = current && tx.Bucket(name) != nil
		}
		return err
	})
	if err != nil || current {
		return err
	}
	for {
		var at uint64
		err := db.bolt.Update(func(tx *bbolt.Tx) error {
			n, err := layout(tx)
			if err != nil {
				return err
			}
			at = n
			switch {
			case n == 0: // new
				at = schema
			case n < schema:
				if err := migrations[n-1](db, tx); err != nil {
					return err
				}
				at = n + 1
			}
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			if at == n {
				return nil
			}
			return tx.Bucket(bMeta).Put(kSchema, number(at))
		})
		if err != nil || at == schema {
			return err
		}
	}
}

// layout returns the version of a file's layout, 0 for an empty file; Conflict if this program does not know it.
func layout(tx *bbolt.Tx) (uint64, error) {
	meta := tx.Bucket(bMeta)
	if meta == nil {
		return 0, nil
	}
	n := numberOf(meta.Get(kSchema))
	if n > schema {
		return 0, session.Errorf(session.Conflict, "this data directory was written by a newer openinspect (layout %d, this one knows %d); run that one", n, schema)
	}
	return n, nil
}

// stampMessages (1 to 2) puts the time before every message of the outbox, so that retention can tell old ones. What is there counts as
// of now. References to blobs, which came with this layout too, change nothing that was stored before.
func stampMessages(db *DB, tx *bbolt.Tx) error {
	outbox := tx.Bucket(bOutbox)
	now := db.clock.Now()
	var keys, bodies [][]byte
	err := outbox.ForEach(func(k, v []byte) error {
		keys, bodies = append(keys, bytes.Clone(k)), append(bodies, bytes.Clone(v))
		return nil
	})
	for i, k := range keys {
		if err == nil {
			err = outbox.Put(k, stamp(now, bodies[i]))
		}
	}
	return err
}
