package boltdb

import (
	"bytes"
	"iter"

	"go.etcd.io/bbolt"
)

// A log is a bucket of a session's events. What came at once lies together, one event a line, in values of up to maxRun bytes; the key of a
// value is the number of its last event. An event that is kept as a blob has a value to itself. A log only grows at its end.
//
// Put one by one, three events of 1 KiB fill a page, and bbolt writes page by page; a run of them takes a third less room and a fifth of the
// writes. Two of the longest runs fill the eight pages of a leaf: 16 bytes of the page's header, and for each run 16 of its element's and 8 of its key.
const maxRun = 4<<12 - 16/2 - 16 - 8

// logFill is how full pages of a log are written. bbolt's default of one half makes the file half as large again.
const logFill = 0.9

// entry is an event on its way into a log: where it is in its commit's text, or what stands for it.
type entry struct {
	from, to int
	apart    []byte
}

// appendEvents puts a commit's events at the end of the log.
func (c *commit) appendEvents(tx *bbolt.Tx, log *bbolt.Bucket) error {
	if len(c.events) == 0 {
		return nil
	}
	if want := newest(log) + 1; c.first != want {
		return outOfOrder(want, c.first)
	}
	log.FillPercent = logFill
	for done := 0; done < len(c.events); {
		value, n := c.run(c.events[done:])
		done += n
		if err := log.Put(number(c.first+uint64(done)-1), value); err != nil {
			return err
		}
	}
	for _, l := range c.large {
		if err := refer(tx, l.hash, len(l.body)); err != nil {
			return err
		}
	}
	return mark(tx.Bucket(bUnpresented), c.id, true)
}

// run returns the value that begins with the first of events, and how many of them are in it.
func (c *commit) run(events []entry) (value []byte, n int) {
	first := events[0]
	if first.apart != nil {
		return first.apart, 1
	}
	n = 1
	for n < len(events) && events[n].apart == nil && events[n].to-first.from <= maxRun {
		n++
	}
	return (*c.text)[first.from:events[n-1].to], n
}

// newest returns the number of a log's last event, 0 if it has none.
func newest(log *bbolt.Bucket) uint64 {
	k, _ := log.Cursor().Last()
	return numberOf(k)
}

// since returns what a log has of the events after a number, in order, each as it is stored. It is valid as long as the transaction.
func since(log *bbolt.Bucket, after uint64) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := log.Cursor()
		for k, v := c.Seek(number(after + 1)); k != nil; k, v = c.Next() {
			if _, _, _, ok := referred(v); ok {
				if !yield(v) {
					return
				}
				continue
			}
			old := int(after) - int(numberOf(k)) + bytes.Count(v, []byte{'\n'}) + 1 // of the value's events, those that are not after
			for body := range bytes.SplitSeq(v, []byte{'\n'}) {
				if old--; old < 0 && !yield(body) {
					return
				}
			}
		}
	}
}
