package boltdb

import (
	"bytes"
	"fmt"
	"testing"

	"go.etcd.io/bbolt"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

func TestAuditShowsTampering(t *testing.T) {
	for name, c := range map[string]struct {
		at     int
		tamper func(log, meta *bbolt.Bucket) error
	}{
		"a word changed": {2, func(log, _ *bbolt.Bucket) error {
			return log.Put(number(2), bytes.Replace(log.Get(number(2)), []byte("refused"), []byte("allowed"), 1))
		}},
		"a MAC changed": {3, func(log, _ *bbolt.Bucket) error {
			v := bytes.Clone(log.Get(number(3)))
			v[0] ^= 1
			return log.Put(number(3), v)
		}},
		"two exchanged": {1, func(log, _ *bbolt.Bucket) error {
			a, b := bytes.Clone(log.Get(number(1))), bytes.Clone(log.Get(number(2)))
			if err := log.Put(number(1), b); err != nil {
				return err
			}
			return log.Put(number(2), a)
		}},
		"the first taken out": {1, func(log, _ *bbolt.Bucket) error { return log.Delete(number(1)) }},
		"one taken out":       {2, func(log, _ *bbolt.Bucket) error { return log.Delete(number(2)) }},
		"the last cut off":    {4, func(log, _ *bbolt.Bucket) error { return log.Delete(number(4)) }},
		"one repeated":        {5, func(log, _ *bbolt.Bucket) error { return log.Put(number(5), log.Get(number(4))) }},
		"one cut short":       {2, func(log, _ *bbolt.Bucket) error { return log.Put(number(2), []byte("{}")) }},
		"the head forgotten":  {1, func(_, meta *bbolt.Bucket) error { return meta.Delete(kAudit) }},
		"the head set back":   {3, func(_, meta *bbolt.Bucket) error { return meta.Put(kAudit, append(number(2), meta.Get(kAudit)[8:]...)) }},
		"last and head forged": {4, func(log, meta *bbolt.Bucket) error {
			if err := log.Delete(number(4)); err != nil {
				return err
			}
			return meta.Put(kAudit, append(number(3), meta.Get(kAudit)[8:]...))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, file(t), nil)
			for i := range 4 {
				err := db.Audit(t.Context(), session.AuditRecord{At: sessiontest.Epoch, Action: "approve", Card: fmt.Sprint("c", i), Result: "refused"})
				if err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.VerifyAudit(t.Context()); err != nil {
				t.Fatal(err)
			}
			err := db.bolt.Update(func(tx *bbolt.Tx) error { return c.tamper(tx.Bucket(bAudit), tx.Bucket(bMeta)) })
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.VerifyAudit(t.Context())
			refused(t, err, session.Internal, fmt.Sprintf("the audit log was changed from outside at record %d", c.at))
		})
	}
}

// TestAuditHeads: what the chain alone cannot show, a head of before does: a log that was put back to an earlier state, or written anew with the key.
func TestAuditHeads(t *testing.T) {
	db := open(t, file(t), nil)
	var heads []session.AuditHead
	for i := range 4 {
		if err := db.Audit(t.Context(), session.AuditRecord{At: sessiontest.Epoch, Action: "approve", Card: fmt.Sprint("c", i), Result: "refused"}); err != nil {
			t.Fatal(err)
		}
		head, err := db.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	back := func(n uint64) {
		t.Helper()
		err := db.bolt.Update(func(tx *bbolt.Tx) error {
			log := tx.Bucket(bAudit)
			for ; log.Get(number(n+1)) != nil; n++ {
				if err := log.Delete(number(n + 1)); err != nil {
					return err
				}
			}
			n, v := log.Cursor().Last()
			return tx.Bucket(bMeta).Put(kAudit, append(bytes.Clone(n), v[:32]...))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := db.VerifyAudit(t.Context(), heads...); err != nil || got != heads[3] {
		t.Fatal(got, err)
	}
	back(2)
	if got, err := db.VerifyAudit(t.Context(), heads[:2]...); err != nil || got != heads[1] {
		t.Errorf("the chain of what is left: %v %v", got, err)
	}
	_, err := db.VerifyAudit(t.Context(), heads...)
	refused(t, err, session.Internal, "The audit log has 2 records, and had 3 once: it was put back to an earlier state.")
	if err := db.Audit(t.Context(), session.AuditRecord{Action: "approve", Result: "done"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.VerifyAudit(t.Context()); err != nil {
		t.Errorf("the chain that was written anew: %v", err)
	}
	_, err = db.VerifyAudit(t.Context(), heads[:3]...)
	refused(t, err, session.Internal, "Record 3 of the audit log is not the one of that head: the log was written anew after it, or the head is of another bot's log.")
}
