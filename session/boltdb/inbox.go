package boltdb

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// day is how old an unhandled Slack event may become.
const day = 24 * time.Hour

// Receive stores a Slack event unless one of its identities, as whichever of them, is known. It reports whether the
// event is fresh. A zero At becomes now.
func (db *DB) Receive(ctx context.Context, r session.Received) (fresh bool, err error) {
	const op = "boltdb.Receive"
	now := db.clock.Now()
	if r.Key == "" {
		return false, wrap(op, session.Errorf(session.Invalid, "an event without an identity cannot be kept"))
	}
	if r.At.IsZero() {
		r.At = now
	}
	body, err := encode(r)
	if err != nil {
		return false, wrap(op, err)
	}
	// Slack repeats itself often; a repeat need not wait for the disk.
	repeat := false
	if err := db.view(ctx, func(tx *bbolt.Tx) error { repeat = seen(tx, r, now); return nil }); err != nil || repeat {
		return false, wrap(op, err)
	}
	err = db.update(ctx, func(tx *bbolt.Tx) error {
		if fresh = !seen(tx, r, now); !fresh {
			return nil
		}
		inbox := tx.Bucket(bInbox)
		n, err := inbox.NextSequence()
		if err != nil {
			return err
		}
		if err := inbox.Put(number(n), stamp(now, body)); err != nil {
			return err
		}
		for identity, at := range r.Marks(now) {
			if v := tx.Bucket(bSeen).Get([]byte(identity)); v != nil && stamped(v).After(at) && identity != r.Key {
				continue
			}
			if err := tx.Bucket(bSeen).Put([]byte(identity), stamp(at, number(n))); err != nil {
				return err
			}
		}
		return nil
	})
	return fresh && err == nil, wrap(op, err)
}

func seen(tx *bbolt.Tx, r session.Received, now time.Time) bool {
	for _, identity := range r.Identities() {
		if v := tx.Bucket(bSeen).Get([]byte(identity)); v != nil && now.Sub(stamped(v)) < session.Known(identity) && r.Repeats(identity, stamped(v)) {
			return true
		}
	}
	return false
}

// Seen returns when an event left an identity; NotFound if none did, or it is not known any more.
func (db *DB) Seen(ctx context.Context, identity string) (at time.Time, err error) {
	now := db.clock.Now()
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		v := tx.Bucket(bSeen).Get([]byte(identity))
		if v == nil || now.Sub(stamped(v)) >= session.Known(identity) {
			return session.Errorf(session.NotFound, "no event %q", identity)
		}
		at = stamped(v)
		return nil
	})
	return at, wrap("boltdb.Seen", err)
}

// stamp puts a time before a value: 8 bytes, microseconds.
func stamp(t time.Time, value []byte) []byte {
	return append(number(uint64(t.UnixMicro())), value...)
}

func stamped(v []byte) time.Time { return time.UnixMicro(int64(numberOf(v))) }

// Inbox returns the events not handled yet, in order of arrival.
func (db *DB) Inbox(ctx context.Context) ([]session.Received, error) {
	const op = "boltdb.Inbox"
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bInbox).ForEach(func(_, v []byte) error {
			bodies = append(bodies, bytes.Clone(v[8:]))
			return nil
		})
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	all, err := decodeAll[session.Received](bodies)
	return all, wrap(op, err)
}

// Handled takes an event out of the inbox; its identities stay known for their day. An unknown key is no error.
func (db *DB) Handled(ctx context.Context, key string) error {
	return wrap("boltdb.Handled", db.update(ctx, func(tx *bbolt.Tx) error {
		v := tx.Bucket(bSeen).Get([]byte(key))
		if v == nil {
			return nil
		}
		return tx.Bucket(bInbox).Delete(v[8:])
	}))
}

// Prune forgets events and their identities when they are over a day old. Open calls it; a program that runs for long calls it hourly.
func (db *DB) Prune(ctx context.Context) error {
	now := db.clock.Now()
	return wrap("boltdb.Prune", db.update(ctx, func(tx *bbolt.Tx) error { return prune(tx, now) }))
}

func prune(tx *bbolt.Tx, now time.Time) error {
	for _, name := range [][]byte{bInbox, bSeen} {
		bucket := tx.Bucket(name)
		var keys [][]byte
		err := bucket.ForEach(func(k, v []byte) error {
			if now.Sub(stamped(v)) >= session.Known(string(k)) {
				keys = append(keys, bytes.Clone(k))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, k := range keys {
			if err := bucket.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}
