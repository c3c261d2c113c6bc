// Package boltdbtest helps benchmarks to compare a store with the least bbolt writer there can be.
package boltdbtest

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// Fill is how full pages are written: a log only ever grows at its end.
const Fill = 0.9

// Bare puts equal bodies at the ends of buckets, one durable transaction after the other. It encodes nothing, keeps no record and no index:
// what a store does beyond that is the store's cost. It belongs to one goroutine.
type Bare struct {
	db   *bbolt.DB
	next map[session.ID]uint64 // key, by bucket
}

// Open makes a file at path, with fsync. mapSize is as for the store that is compared.
func Open(path string, mapSize int) (*Bare, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapSize})
	if err != nil {
		return nil, err
	}
	return &Bare{db, map[session.ID]uint64{}}, nil
}

// Append is one transaction: so many copies of body for each bucket.
func (w *Bare) Append(many map[session.ID]int, body []byte) error {
	return w.db.Update(func(tx *bbolt.Tx) error {
		for id, n := range many {
			bucket, err := tx.CreateBucketIfNotExists([]byte(id))
			if err != nil {
				return err
			}
			bucket.FillPercent = Fill
			for range n {
				w.next[id]++
				if err := bucket.Put(binary.BigEndian.AppendUint64(nil, w.next[id]), body); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Close closes the file.
func (w *Bare) Close() error { return w.db.Close() }
