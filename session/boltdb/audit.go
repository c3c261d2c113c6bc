package boltdb

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

var _ session.Auditor = (*DB)(nil)

// kAudit is where meta keeps how many audit records there are (8 bytes) and the newest one's MAC, so that a log cut short shows.
var kAudit = []byte("audit")

// Audit appends a record to the audit log: under its number, from 1, its MAC and itself as JSON. The MAC is HMAC-SHA-256 over the MAC
// before it (32 zero bytes for the first) and the record's stored bytes, with a key derived from the master key.
func (db *DB) Audit(ctx context.Context, r session.AuditRecord) error {
	return wrap("boltdb.Audit", db.update(ctx, func(tx *bbolt.Tx) error { return db.keys.record(tx, r) }))
}

// record appends records to the audit log in a transaction that stores what they are about.
func (k keys) record(tx *bbolt.Tx, records ...session.AuditRecord) error {
	for _, r := range records {
		body, err := encode(r)
		if err != nil {
			return err
		}
		n, mac := auditHead(tx)
		mac = k.chain(mac, body)
		if err := tx.Bucket(bAudit).Put(number(n+1), append(bytes.Clone(mac), body...)); err != nil {
			return err
		}
		if err := tx.Bucket(bMeta).Put(kAudit, append(number(n+1), mac...)); err != nil {
			return err
		}
	}
	return nil
}

// auditHead returns the number of records and the newest one's MAC.
func auditHead(tx *bbolt.Tx) (n uint64, mac []byte) {
	v := tx.Bucket(bMeta).Get(kAudit)
	if len(v) < 8+sha256.Size {
		return 0, make([]byte, sha256.Size)
	}
	return numberOf(v), v[8:]
}

func (k keys) chain(before, body []byte) []byte {
	h := hmac.New(sha256.New, k.audit)
	h.Write(before)
	h.Write(body)
	return h.Sum(nil)
}

// AuditOnce is Audit unless a record was appended under that key within a day.
func (db *DB) AuditOnce(ctx context.Context, key string, r session.AuditRecord) error {
	return wrap("boltdb.AuditOnce", db.update(ctx, func(tx *bbolt.Tx) error {
		key, now := []byte(auditedOnce+key), db.clock.Now()
		if v := tx.Bucket(bSeen).Get(key); v != nil && now.Sub(stamped(v)) < day {
			return nil
		}
		if err := tx.Bucket(bSeen).Put(key, stamp(now, number(0))); err != nil {
			return err
		}
		return db.keys.record(tx, r)
	}))
}

// auditedOnce begins the keys of AuditOnce among the identities that are remembered for a day.
const auditedOnce = "audited/"

// AuditHead returns how many records there are, and the newest one's MAC.
func (db *DB) AuditHead(ctx context.Context) (h session.AuditHead, err error) {
	err = db.view(ctx, func(tx *bbolt.Tx) error {
		h = namedHead(auditHead(tx))
		return nil
	})
	return h, wrap("boltdb.AuditHead", err)
}

func namedHead(n uint64, mac []byte) session.AuditHead {
	return session.AuditHead{N: n, MAC: hex.EncodeToString(mac)}
}

// AuditLog returns records of the audit log, oldest first.
func (db *DB) AuditLog(ctx context.Context, q session.AuditQuery) ([]session.AuditEntry, error) {
	const op = "boltdb.AuditLog"
	var all []session.AuditEntry
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		c := tx.Bucket(bAudit).Cursor()
		for k, v := c.Seek(number(q.After + 1)); k != nil && (q.Limit == 0 || len(all) < q.Limit); k, v = c.Next() {
			if len(v) < sha256.Size {
				return tampered(numberOf(k))
			}
			if !bytes.Contains(v[sha256.Size:], []byte(q.Session)) {
				continue
			}
			r, err := decode[session.AuditRecord](v[sha256.Size:])
			if err != nil {
				return err
			}
			if q.Session == "" || r.Session == q.Session {
				all = append(all, session.AuditEntry{AuditHead: namedHead(numberOf(k), v[:sha256.Size]), AuditRecord: r})
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	return all, nil
}

// VerifyAudit checks that no record of the audit log was changed, moved, left out or cut off: Internal, naming the first that was. It returns the head
// of what it checked. A whole file put back to an earlier state, or written anew by whoever has the master key, is noticed by heads of before alone.
func (db *DB) VerifyAudit(ctx context.Context, heads ...session.AuditHead) (session.AuditHead, error) {
	n, before := uint64(0), make([]byte, sha256.Size)
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		err := tx.Bucket(bAudit).ForEach(func(k, v []byte) error {
			n++
			if numberOf(k) != n || len(v) < sha256.Size {
				return tampered(n)
			}
			mac := db.keys.chain(before, v[sha256.Size:])
			if !hmac.Equal(mac, v[:sha256.Size]) {
				return tampered(n)
			}
			before = mac
			for _, h := range heads {
				if h.N == n && h != namedHead(n, mac) {
					return session.Errorf(session.Internal, "Record %d of the audit log is not the one of that head: the log was written anew after it, or the head is of another bot's log.", n)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if count, mac := auditHead(tx); count != n || !hmac.Equal(mac, before) {
			return tampered(min(n, count) + 1)
		}
		for _, h := range heads {
			if h.N > n {
				return session.Errorf(session.Internal, "The audit log has %d records, and had %d once: it was put back to an earlier state.", n, h.N)
			}
		}
		return nil
	})
	return namedHead(n, before), wrap("boltdb.VerifyAudit", err)
}

func tampered(n uint64) error {
	return session.Errorf(session.Internal, "the audit log was changed from outside at record %d", n)
}
