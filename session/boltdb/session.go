package boltdb

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

func unknown(id session.ID) error {
	return session.Errorf(session.NotFound, "there is no session %q", string(id))
}

// bucketOf returns a session's bucket; NotFound if there is none.
func bucketOf(tx *bbolt.Tx, id session.ID) (*bbolt.Bucket, error) {
	if s := tx.Bucket(bSessions).Bucket([]byte(id)); s != nil {
		return s, nil
	}
	if gone := tombstone(tx, id); gone != nil {
		return nil, notKept(gone)
	}
	return nil, unknown(id)
}

// Load implements session.Store.
func (db *DB) Load(ctx context.Context, id session.ID) (session.State, error) {
	st, err := db.load(ctx, id)
	return st, wrap("boltdb.Load", err)
}

func (db *DB) load(ctx context.Context, id session.ID) (st session.State, err error) {
	var record, draft []byte
	var prompts, cards, approvals, effects [][]byte
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		record, draft = bytes.Clone(bodyOf(s)), bytes.Clone(tx.Bucket(bDrafts).Get([]byte(id)))
		for _, shelf := range []struct {
			name []byte
			all  bool
			into *[][]byte
		}{
			{bPrompts, false, &prompts}, {bCards, true, &cards}, {bApprovals, false, &approvals}, {bEffects, true, &effects},
		} {
			if *shelf.into, err = read(s.Bucket(shelf.name), shelf.all); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return session.State{}, err
	}
	defer func() {
		if err != nil {
			st, err = session.State{}, db.damaged(ctx, id, err)
		}
	}()
	if st.Session, err = decode[session.Session](record); err != nil {
		return session.State{}, err
	}
	if draft != nil {
		if st.Draft, err = decode[session.Draft](draft); err != nil {
			return session.State{}, err
		}
	}
	if st.Prompts, err = decodeAll[session.Prompt](prompts); err != nil {
		return session.State{}, err
	}
	if st.Cards, err = decodeAll[session.Card](cards); err != nil {
		return session.State{}, err
	}
	if st.Approvals, err = decodeAll[session.Approval](approvals); err != nil {
		return session.State{}, err
	}
	if st.Effects, err = decodeAll[session.Effect](effects); err != nil {
		return session.State{}, err
	}
	return st, nil
}

// bodyOf returns a session's record as JSON; nothing if it is too short to have one.
func bodyOf(s *bbolt.Bucket) []byte {
	v := s.Get(kRecord)
	return v[min(len(v), 8):]
}

// damaged is the error of a session that cannot be read. Its thread is looked for, so that it can be told.
func (db *DB) damaged(ctx context.Context, id session.ID, cause error) error {
	d := &session.Damaged{Err: cause}
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bThreads).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if parts := bytes.Split(k, []byte{0}); string(v) == string(id) && len(parts) == 3 {
				d.Thread = session.Thread{Team: string(parts[0]), Channel: string(parts[1]), TS: string(parts[2])}
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return &session.Error{Code: session.Internal, Message: session.DamagedWords, Err: d}
}

// Prompts returns all prompts of a session, in order of arrival.
func (db *DB) Prompts(ctx context.Context, id session.ID) ([]session.Prompt, error) {
	const op = "boltdb.Prompts"
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		bodies, err = read(s.Bucket(bPrompts), true)
		return err
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	all, err := decodeAll[session.Prompt](bodies)
	return all, wrap(op, err)
}

// maxPage bounds what Events reads at once, in bytes: events are few then, but never none.
const maxPage = 8 << 20

// Events implements session.Store.
func (db *DB) Events(ctx context.Context, id session.ID, after int64, limit int) ([]session.Event, error) {
	const op = "boltdb.Events"
	var bodies [][]byte
	size := 0
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		s, err := bucketOf(tx, id)
		if err != nil {
			return err
		}
		for v := range since(s.Bucket(bEvents), uint64(max(after, 0))) {
			if len(bodies) >= limit || size >= maxPage {
				break
			}
			bodies = append(bodies, bytes.Clone(v))
			size += len(v)
			if _, n, _, ok := referred(v); ok {
				size += n
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	events := make([]session.Event, 0, len(bodies))
	for _, b := range bodies {
		e, err := db.event(b)
		if err != nil {
			return nil, wrap(op, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// Find implements session.Store.
func (db *DB) Find(ctx context.Context, t session.Thread) (session.ID, error) {
	var id session.ID
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		v := tx.Bucket(bThreads).Get(threadKey(t))
		if v == nil {
			return session.Errorf(session.NotFound, "this thread has no session")
		}
		if gone := tombstone(tx, session.ID(v)); gone != nil {
			return notKept(gone)
		}
		id = session.ID(v)
		return nil
	})
	return id, wrap("boltdb.Find", err)
}

// Open implements session.Store.
func (db *DB) Open(ctx context.Context) ([]session.ID, error) {
	ids, err := db.ids(ctx, bOpen)
	return ids, wrap("boltdb.Open", err)
}

func (db *DB) ids(ctx context.Context, set []byte) ([]session.ID, error) {
	var ids []session.ID
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		for _, k := range keysOf(tx.Bucket(set)) {
			ids = append(ids, session.ID(k))
		}
		return nil
	})
	return ids, err
}

// List implements session.Store. Only the records it returns are decoded.
func (db *DB) List(ctx context.Context, limit int) ([]session.Session, error) {
	const op = "boltdb.List"
	type entry struct {
		at   int64
		id   []byte
		body []byte
	}
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		var entries []entry
		sessions := tx.Bucket(bSessions)
		err := sessions.ForEachBucket(func(id []byte) error {
			s := sessions.Bucket(id)
			entries = append(entries, entry{int64(numberOf(s.Get(kRecord))), id, bodyOf(s)})
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(entries, func(a, b entry) int {
			return cmp.Or(cmp.Compare(b.at, a.at), bytes.Compare(a.id, b.id))
		})
		for _, e := range entries[:min(len(entries), max(limit, 0))] {
			bodies = append(bodies, bytes.Clone(e.body))
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	all := make([]session.Session, 0, len(bodies))
	for _, b := range bodies {
		if s, err := decode[session.Session](b); err == nil { // whoever loads one that is damaged is told
			all = append(all, s)
		}
	}
	return all, nil
}
