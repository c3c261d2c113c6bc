package boltdb

import (
	"bytes"
	"context"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// Limits of one transaction that removes.
const (
	maxRemoved      = 100
	maxRemovedBytes = 64 << 20 // of logs
	maxRemovedMail  = 1000     // messages
)

// maxLeap is how much later than the last removal one may believe that it is. A clock that is set a year ahead must not empty the store before
// somebody has seen it: time goes on by a day with each removal then, which is every hour.
const maxLeap = 24 * time.Hour

// kRetired is where meta keeps what time the last removal took it to be.
var kRetired = []byte("retired")

// retiring returns the time of a removal: now, or, if that is too long after the last one, as much later as it may be.
func (db *DB) retiring(ctx context.Context) (at time.Time, err error) {
	at = db.clock.Now()
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bMeta).Get(kRetired); v != nil && at.Sub(stamped(v)) > maxLeap {
			at = stamped(v).Add(maxLeap)
		}
		return nil
	})
	return at, err
}

// retired notes the time of a removal that has come to its end.
func (db *DB) retired(ctx context.Context, at time.Time) error {
	return db.update(ctx, func(tx *bbolt.Tx) error { return tx.Bucket(bMeta).Put(kRetired, stamp(at, nil)) })
}

// A tombstone is what is left of a session: when it was removed (8 bytes, microseconds), after how many days (8), and whether its
// thread's root addressed the bot (1).
const tombstoneSize = 17

func tombstone(tx *bbolt.Tx, id session.ID) *session.Removed {
	v := tx.Bucket(bRemoved).Get([]byte(id))
	if len(v) < tombstoneSize {
		return nil
	}
	return &session.Removed{At: stamped(v), Days: int(numberOf(v[8:])), Rooted: v[16] == 1}
}

func notKept(gone *session.Removed) error {
	return &session.Error{Code: session.NotFound, Message: gone.Error(), Err: gone}
}

// Retire removes sessions that are at rest, shown in full, and without activity for days: record, log, blobs and messages. A tombstone
// is left, and the audit log. It returns their ids, at most a hundred; call it until there are none. Messages of no session go when they are as old.
// Each time that there are none it may be a day later at most than the time before, whatever the clock says: after a leap of it old sessions go bit by bit.
func (db *DB) Retire(ctx context.Context, days int) ([]session.ID, error) {
	const op = "boltdb.Retire"
	at, err := db.retiring(ctx)
	if err != nil {
		return nil, wrap(op, err)
	}
	before := at.AddDate(0, 0, -days)
	old, err := db.idle(ctx, before)
	if err != nil {
		return nil, wrap(op, err)
	}
	var gone []session.ID
	var loose []hash
	if len(old) > 0 {
		err := db.update(ctx, func(tx *bbolt.Tx) error {
			gone, loose = nil, nil
			room := maxRemovedBytes
			for _, id := range old {
				blobs, size, err := remove(tx, id, before, db.clock.Now(), days)
				if err != nil {
					return err
				}
				if size > 0 {
					gone, loose = append(gone, session.ID(id)), append(loose, blobs...)
				}
				if room -= size; room <= 0 {
					break
				}
			}
			return nil
		})
		if err != nil {
			return nil, wrap(op, err)
		}
	}
	for _, h := range loose {
		if err := db.collect(h); err != nil {
			return gone, wrap(op, err)
		}
	}
	if len(old) > 0 {
		return gone, nil
	}
	if err := db.forgetMessages(ctx, before); err != nil {
		return nil, wrap(op, err)
	}
	return nil, wrap(op, db.retired(ctx, at))
}

// Lag returns how far the clock is ahead of the time that removals go by: more than a day after a downtime, or if somebody has set the clock.
func (db *DB) Lag(ctx context.Context) (lag time.Duration, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		if v := tx.Bucket(bMeta).Get(kRetired); v != nil {
			lag = db.clock.Now().Sub(stamped(v))
		}
		return nil
	})
	return lag, wrap("boltdb.Lag", err)
}

// idle returns the ids of sessions that may be removed, without waiting for the writer.
func (db *DB) idle(ctx context.Context, before time.Time) (ids [][]byte, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		sessions := tx.Bucket(bSessions)
		c := sessions.Cursor()
		for id, _ := c.First(); id != nil && len(ids) < maxRemoved; id, _ = c.Next() {
			if idle(tx, sessions.Bucket(id), id, before) {
				ids = append(ids, bytes.Clone(id))
			}
		}
		return nil
	})
	return ids, err
}

func idle(tx *bbolt.Tx, s *bbolt.Bucket, id []byte, before time.Time) bool {
	return s != nil && len(s.Get(kRecord)) >= 8 && stamped(s.Get(kRecord)).Before(before) && tx.Bucket(bOpen).Get(id) == nil && tx.Bucket(bUnpresented).Get(id) == nil
}

// remove takes a session out, if it is idle still, and returns the blobs that nothing refers to any more and the size of what was removed,
// at least 1.
func remove(tx *bbolt.Tx, id []byte, before, now time.Time, days int) (loose []hash, size int, err error) {
	s := tx.Bucket(bSessions).Bucket(id)
	if !idle(tx, s, id, before) {
		return nil, 0, nil
	}
	// One that cannot be read goes like any other; that its thread was rooted is not known then.
	record, _ := decode[session.Session](bodyOf(s))
	size = 1
	err = s.Bucket(bEvents).ForEach(func(_, v []byte) error {
		size += len(v)
		h, _, _, ok := referred(v)
		if !ok {
			return nil
		}
		last, err := unrefer(tx, h)
		if last {
			loose = append(loose, h)
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	freed, err := forgetFiles(tx, s)
	if err != nil {
		return nil, 0, err
	}
	loose = append(loose, freed...)
	if err := tx.Bucket(bSessions).DeleteBucket(id); err != nil {
		return nil, 0, err
	}
	if err := tx.Bucket(bFollowed).Delete(id); err != nil {
		return nil, 0, err
	}
	if err := tx.Bucket(bDrafts).Delete(id); err != nil {
		return nil, 0, err
	}
	rooted := byte(0)
	if record.Rooted {
		rooted = 1
	}
	return loose, size, tx.Bucket(bRemoved).Put(id, append(stamp(now, number(uint64(days))), rooted))
}

// forgetMessages removes messages of removed sessions and of none, once they are old and nothing of them is to be sent. It looks for them
// without waiting for the writer.
func (db *DB) forgetMessages(ctx context.Context, before time.Time) error {
	for from := []byte(nil); ; {
		var keys [][]byte
		err := db.view(ctx, func(tx *bbolt.Tx) error {
			c := tx.Bucket(bOutbox).Cursor()
			k, v := c.Seek(from)
			for n := 0; k != nil && n < maxRemovedMail; n++ {
				if m, err := decode[session.Message](v[8:]); err == nil && stale(tx, m, stamped(v), before) {
					keys = append(keys, bytes.Clone(k))
				}
				k, v = c.Next()
			}
			from = bytes.Clone(k)
			return nil
		})
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := db.update(ctx, func(tx *bbolt.Tx) error { return forget(tx, keys, before) }); err != nil {
				return err
			}
		}
		if from == nil {
			return nil
		}
	}
}

func stale(tx *bbolt.Tx, m session.Message, at, before time.Time) bool {
	if !at.Before(before) || m.Sent < m.Version && m.Failed == "" {
		return false
	}
	return m.Session == "" || tx.Bucket(bSessions).Bucket([]byte(m.Session)) == nil
}

func forget(tx *bbolt.Tx, keys [][]byte, before time.Time) error {
	outbox, posted := tx.Bucket(bOutbox), tx.Bucket(bPosted)
	for _, k := range slices.Clip(keys) {
		v := outbox.Get(k)
		if v == nil {
			continue
		}
		m, err := decode[session.Message](v[8:])
		if err != nil {
			return err
		}
		if !stale(tx, m, stamped(v), before) {
			continue
		}
		if at := join(m.Channel, m.TS); stands(m) && bytes.Equal(posted.Get(at), k) {
			if err := posted.Delete(at); err != nil {
				return err
			}
		}
		if err := outbox.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
