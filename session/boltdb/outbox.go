package boltdb

import (
	"bytes"
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// Put stores messages. A key that is known is edited: the same content changes nothing; other content counts Version up, keeps what
// Slack has (TS, Sent) and its place (Order), and is tried again even if the version before was refused. An empty TS leaves the known one.
func (db *DB) Put(ctx context.Context, messages ...session.Message) error {
	return wrap("boltdb.Put", db.update(ctx, func(tx *bbolt.Tx) error {
		return upsert(tx, db.clock.Now(), messages)
	}))
}

// Present stores messages as Put does and, in the same transaction, moves the session's presented cursor on to seq; it never moves
// back. A session presented up to its newest event is not unpresented any more. Invalid for an event that does not exist.
func (db *DB) Present(ctx context.Context, id session.ID, seq int64, messages []session.Message) error {
	return wrap("boltdb.Present", db.update(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		last := newest(s.Bucket(bEvents))
		if seq < 0 || uint64(seq) > last {
			return session.Errorf(session.Invalid, "session %s has no event %d", id, seq)
		}
		if uint64(seq) > numberOf(s.Get(kPresented)) {
			if err := s.Put(kPresented, number(uint64(seq))); err != nil {
				return err
			}
		}
		if uint64(seq) == last {
			if err := mark(tx.Bucket(bUnpresented), []byte(id), false); err != nil {
				return err
			}
		}
		return upsert(tx, db.clock.Now(), messages)
	}))
}

// Presented returns the number of the newest event that messages show, 0 before the first.
func (db *DB) Presented(ctx context.Context, id session.ID) (int64, error) {
	var seq int64
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		seq = int64(numberOf(s.Get(kPresented)))
		return nil
	})
	return seq, wrap("boltdb.Presented", err)
}

// Unpresented returns the sessions whose log grew since they were presented.
func (db *DB) Unpresented(ctx context.Context) ([]session.ID, error) {
	ids, err := db.ids(ctx, bUnpresented)
	return ids, wrap("boltdb.Unpresented", err)
}

// Pending returns the messages of which Slack does not have the newest version, less those it refused, in order. Their Blocks are shared
// with later calls and must not be changed.
func (db *DB) Pending(ctx context.Context) ([]session.Message, error) {
	const op = "boltdb.Pending"
	// The outbox is read whenever a message was sent, and the others are the same then: only what is different is decoded.
	db.waitingLock.Lock()
	defer db.waitingLock.Unlock()
	next := make(map[string]waiting, len(db.waiting))
	var keys []string
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		outbox := tx.Bucket(bOutbox)
		return tx.Bucket(bPending).ForEach(func(_, key []byte) error {
			body := outbox.Get(key)[8:]
			w, known := db.waiting[string(key)]
			if !known || !bytes.Equal(w.body, body) {
				w = waiting{body: bytes.Clone(body)}
			}
			keys = append(keys, string(key))
			next[string(key)] = w
			return nil
		})
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	all := make([]session.Message, 0, len(keys))
	for _, key := range keys {
		w := next[key]
		if w.message.Key == "" {
			if w.message, err = decode[session.Message](w.body); err != nil {
				return nil, wrap(op, err)
			}
			next[key] = w
		}
		all = append(all, w.message)
	}
	db.waiting = next
	return all, nil
}

// waiting is a message of the outbox as it is stored, and decoded.
type waiting struct {
	body    []byte
	message session.Message
}

// Sent records a delivery: that Slack has a version of the message, at ts unless empty; or, with failed, that it refused that
// version for good. Sent never goes down, and the refusal of a version that is not the newest is void.
func (db *DB) Sent(ctx context.Context, key string, version int64, ts, failed string) error {
	return wrap("boltdb.Sent", db.update(ctx, func(tx *bbolt.Tx) error {
		m, err := message(tx, key)
		if err != nil {
			return err
		}
		if version > m.Version {
			return session.Errorf(session.Invalid, "message %q has no version %d", key, version)
		}
		old := m
		switch {
		case failed == "":
			m.Sent = max(m.Sent, version)
		case version == m.Version:
			m.Failed = failed
		}
		if ts != "" {
			m.TS = ts
		}
		return store(tx, db.clock.Now(), old, m)
	}))
}

// Refused returns the messages whose newest version Slack refused for good, in order. It looks through the whole outbox.
func (db *DB) Refused(ctx context.Context) ([]session.Message, error) {
	const op = "boltdb.Refused"
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bOutbox).ForEach(func(_, v []byte) error {
			if bytes.Contains(v, []byte(`"failed":"`)) {
				bodies = append(bodies, bytes.Clone(v[8:]))
			}
			return nil
		})
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	var all []session.Message
	for _, body := range bodies {
		m, err := decode[session.Message](body)
		if err != nil {
			return nil, wrap(op, err)
		}
		if m.Failed != "" {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b session.Message) int { return cmp.Compare(a.Order, b.Order) })
	return all, nil
}

// TryAgain has messages that Slack refused tried again, at their place. NotFound if there is no such message; one that was not refused stays as it is.
func (db *DB) TryAgain(ctx context.Context, keys ...string) error {
	return wrap("boltdb.TryAgain", db.update(ctx, func(tx *bbolt.Tx) error {
		for _, key := range keys {
			old, err := message(tx, key)
			if err != nil {
				return err
			}
			m := old
			m.Failed = ""
			if err := store(tx, db.clock.Now(), old, m); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Message returns the message with that key.
func (db *DB) Message(ctx context.Context, key string) (m session.Message, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		m, err = message(tx, key)
		return err
	})
	return m, wrap("boltdb.Message", err)
}

// MessageAt returns the message that was posted in a channel at ts.
func (db *DB) MessageAt(ctx context.Context, channel, ts string) (m session.Message, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		key := tx.Bucket(bPosted).Get(join(channel, ts))
		if key == nil {
			return session.Errorf(session.NotFound, "that message is none of the bot's")
		}
		m, err = message(tx, string(key))
		return err
	})
	return m, wrap("boltdb.MessageAt", err)
}

func message(tx *bbolt.Tx, key string) (session.Message, error) {
	v := tx.Bucket(bOutbox).Get([]byte(key))
	if v == nil {
		return session.Message{}, session.Errorf(session.NotFound, "there is no message %q", key)
	}
	return decode[session.Message](v[8:])
}

func upsert(tx *bbolt.Tx, now time.Time, messages []session.Message) error {
	for _, m := range messages {
		if m.Key == "" {
			return session.Errorf(session.Invalid, "a message without a key cannot be kept")
		}
		old, err := message(tx, m.Key)
		switch {
		case session.CodeOf(err) == session.NotFound:
			n, err := tx.Bucket(bOutbox).NextSequence()
			if err != nil {
				return err
			}
			m.Version, m.Sent, m.Failed, m.Order = 1, 0, "", n
			if err := store(tx, now, session.Message{}, m); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		m.Version, m.Sent, m.Failed, m.Order = old.Version, old.Sent, old.Failed, old.Order
		if m.TS == "" {
			m.TS = old.TS
		}
		same, err := equal(old, m)
		if err != nil {
			return err
		}
		if same {
			continue
		}
		m.Version++
		m.Failed = ""
		if err := store(tx, now, old, m); err != nil {
			return err
		}
	}
	return nil
}

// equal compares messages as they are stored, so that spaces in Blocks do not matter.
func equal(a, b session.Message) (bool, error) {
	body, err := encode(b)
	if err != nil {
		return false, err
	}
	b, err = decode[session.Message](body)
	return reflect.DeepEqual(a, b), err
}

// store writes a message, stamped with the time, and keeps the indexes: pending, and posted for what people can react to.
func store(tx *bbolt.Tx, now time.Time, old, m session.Message) error {
	body, err := encode(m)
	if err != nil {
		return err
	}
	if err := tx.Bucket(bOutbox).Put([]byte(m.Key), stamp(now, body)); err != nil {
		return err
	}
	pending, posted := tx.Bucket(bPending), tx.Bucket(bPosted)
	if m.Sent < m.Version && m.Failed == "" {
		err = pending.Put(number(m.Order), []byte(m.Key))
	} else {
		err = pending.Delete(number(m.Order))
	}
	if err != nil {
		return err
	}
	if stands(old) && (old.Channel != m.Channel || old.TS != m.TS) {
		if err := posted.Delete(join(old.Channel, old.TS)); err != nil {
			return err
		}
	}
	if !stands(m) {
		return nil
	}
	return posted.Put(join(m.Channel, m.TS), []byte(m.Key))
}

// stands reports whether the message is one in a channel; the ts of a reaction is that of another's message.
func stands(m session.Message) bool {
	switch m.Op {
	case session.MessagePost, session.MessageEphemeral, session.MessageDirect, session.MessageFile:
		return m.TS != ""
	case session.MessageReact, session.MessageUnreact, session.MessageStatus:
		return false
	}
	return false
}
