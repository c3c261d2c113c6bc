package boltdb

import (
	"bytes"
	"encoding/json"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

// migrations bring a file from one layout to the next: migrations[n] from n+1 to n+2. Each runs in one transaction with the number it
// leads to, so that a crash leaves the file in one layout or the other. One that was released never changes.
var migrations = []func(db *DB, tx *bbolt.Tx) error{
	stampMessages,
	parkDrafts,
	gatherEvents,
	followPulls,
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

// parkDrafts (2 to 3) takes what a pull request will say out of every session's record, which is written with each commit, and puts it beside
// it. A record that is damaged stays as it is: it is told when somebody asks for that session.
func parkDrafts(_ *DB, tx *bbolt.Tx) error {
	drafts, err := tx.CreateBucketIfNotExists([]byte("drafts"))
	if err != nil {
		return err
	}
	sessions := tx.Bucket([]byte("sessions"))
	for _, id := range keysOf(sessions) {
		s := sessions.Bucket(id)
		old := s.Get([]byte("record"))
		fields, draft := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if len(old) < 8 || json.Unmarshal(old[8:], &fields) != nil {
			continue
		}
		for _, name := range []string{"asked", "proposal"} {
			if v, ok := fields[name]; ok {
				draft[name] = v
				delete(fields, name)
			}
		}
		if len(draft) == 0 {
			continue
		}
		at := bytes.Clone(old[:8])
		record, err := encode(fields)
		if err != nil {
			return err
		}
		if err := s.Put([]byte("record"), append(at, record...)); err != nil {
			return err
		}
		body, err := encode(draft)
		if err != nil {
			return err
		}
		if err := drafts.Put(id, body); err != nil {
			return err
		}
	}
	return nil
}

// gatherEvents (3 to 4) changes nothing: a value of a log may hold several events from here on (see maxRun), and one is such a value already.
func gatherEvents(*DB, *bbolt.Tx) error { return nil }

// followPulls (4 to 5) writes down which sessions have an open pull request. A record that is damaged has none.
func followPulls(_ *DB, tx *bbolt.Tx) error {
	followed, err := tx.CreateBucketIfNotExists([]byte("followed"))
	if err != nil {
		return err
	}
	sessions := tx.Bucket([]byte("sessions"))
	for _, id := range keysOf(sessions) {
		var record struct {
			ID          string
			PullRequest *struct {
				Number int
				State  string
				Repo   json.RawMessage
			} `json:"pull_request"`
		}
		v := sessions.Bucket(id).Get([]byte("record"))
		if len(v) < 8 || json.Unmarshal(v[8:], &record) != nil || record.PullRequest == nil || record.PullRequest.State != "open" {
			continue
		}
		body, err := encode(map[string]any{"session": record.ID, "repo": record.PullRequest.Repo, "number": record.PullRequest.Number})
		if err != nil {
			return err
		}
		if err := followed.Put(id, body); err != nil {
			return err
		}
	}
	return nil
}
