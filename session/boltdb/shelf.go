package boltdb

import (
	"bytes"
	"slices"

	"go.etcd.io/bbolt"
)

// A shelf is a bucket of records by id that remembers the order in which they came and which of them are finished: a value is
// 8 bytes of order, one of state, and the record as JSON.
const shelfHead = 9

const (
	stateUnfinished = 0
	stateFinished   = 1
)

// item is a record on its way to a shelf.
type item struct {
	id       []byte
	finished bool
	json     []byte
}

// shelve stores it, in its old place if the shelf knows it, and returns by how much the number of unfinished records changed.
func shelve(shelf *bbolt.Bucket, it item) (change int, err error) {
	value := make([]byte, shelfHead, shelfHead+len(it.json))
	if old := shelf.Get(it.id); old != nil {
		copy(value, old[:shelfHead])
		if value[8] == stateUnfinished {
			change--
		}
	} else {
		n, err := shelf.NextSequence()
		if err != nil {
			return 0, err
		}
		copy(value, number(n))
	}
	value[8] = stateUnfinished
	if it.finished {
		value[8] = stateFinished
	} else {
		change++
	}
	return change, shelf.Put(it.id, append(value, it.json...))
}

// read copies the records of a shelf, in order: all, or only those not finished.
func read(shelf *bbolt.Bucket, all bool) ([][]byte, error) {
	var values [][]byte
	err := shelf.ForEach(func(_, v []byte) error {
		if all || v[8] == stateUnfinished {
			values = append(values, bytes.Clone(v))
		}
		return nil
	})
	slices.SortFunc(values, func(a, b []byte) int { return bytes.Compare(a[:8], b[:8]) })
	for i, v := range values {
		values[i] = v[shelfHead:]
	}
	return values, err
}
