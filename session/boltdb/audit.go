package boltdb

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"

	"go.etcd.io/bbolt"

	"openinspect/session"
)

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

// AuditLog returns the audit log, oldest first.
func (db *DB) AuditLog(ctx context.Context) ([]session.AuditRecord, error) {
	const op = "boltdb.AuditLog"
	var bodies [][]byte
	err := db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(bAudit).ForEach(func(k, v []byte) error {
			if len(v) < sha256.Size {
				return tampered(numberOf(k))
			}
			bodies = append(bodies, bytes.Clone(v[sha256.Size:]))
			return nil
		})
	})
	if err != nil {
		return nil, wrap(op, err)
	}
	all, err := decodeAll[session.AuditRecord](bodies)
	return all, wrap(op, err)
}

// VerifyAudit checks that no record of the audit log was changed, moved, left out or cut off: Internal, naming the first that was.
// A whole file put back to an earlier state is not noticed.
func (db *DB) VerifyAudit(ctx context.Context) error {
	return wrap("boltdb.VerifyAudit", db.view(ctx, func(tx *bbolt.Tx) error {
		n, before := uint64(0), make([]byte, sha256.Size)
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
			return nil
		})
		if err != nil {
			return err
		}
		if count, mac := auditHead(tx); count != n || !hmac.Equal(mac, before) {
			return tampered(min(n, count) + 1)
		}
		return nil
	}))
}

func tampered(n uint64) error {
	return session.Errorf(session.Internal, "the audit log was changed from outside at record %d", n)
}
