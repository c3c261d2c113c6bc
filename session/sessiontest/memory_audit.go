package sessiontest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"openinspect/session"
)

// Audit implements Audit.
func (m *Memory) Audit(ctx context.Context, r session.AuditRecord) error {
	end, err := m.begin(ctx, "Audit")
	if err != nil {
		return err
	}
	defer end()
	m.audit = append(m.audit, clone(r))
	return nil
}

// AuditOnce implements Audit.
func (m *Memory) AuditOnce(ctx context.Context, key string, r session.AuditRecord) error {
	end, err := m.begin(ctx, "AuditOnce")
	if err != nil {
		return err
	}
	defer end()
	key, now := "audited/"+key, m.Clock.Now()
	if at, ok := m.seen[key]; !ok || now.Sub(at) >= day {
		m.seen[key] = now
		m.audit = append(m.audit, clone(r))
	}
	return nil
}

// AuditHead implements session.Auditor.
func (m *Memory) AuditHead(ctx context.Context) (session.AuditHead, error) {
	return m.VerifyAudit(ctx)
}

// AuditLog implements Audit.
func (m *Memory) AuditLog(ctx context.Context, q session.AuditQuery) (out []session.AuditEntry, err error) {
	end, err := m.begin(ctx, "AuditLog")
	if err != nil {
		return nil, err
	}
	defer end()
	for _, e := range m.chained() {
		if e.N > q.After && (q.Session == "" || e.Session == q.Session) && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, clone(e))
		}
	}
	return out, nil
}

// chained is the log with a chain that needs no key: nobody can reach into it from outside.
func (m *Memory) chained() (all []session.AuditEntry) {
	mac := make([]byte, sha256.Size)
	for i, r := range m.audit {
		body, _ := json.Marshal(r) // it was, when it was stored
		sum := sha256.Sum256(append(mac, body...))
		mac = sum[:]
		all = append(all, session.AuditEntry{AuditHead: session.AuditHead{N: uint64(i + 1), MAC: hex.EncodeToString(mac)}, AuditRecord: r})
	}
	return all
}

// VerifyAudit implements Audit.
func (m *Memory) VerifyAudit(ctx context.Context, heads ...session.AuditHead) (session.AuditHead, error) {
	end, err := m.begin(ctx, "VerifyAudit")
	if err != nil {
		return session.AuditHead{}, err
	}
	defer end()
	all := append([]session.AuditEntry{{AuditHead: session.AuditHead{MAC: hex.EncodeToString(make([]byte, sha256.Size))}}}, m.chained()...)
	for _, h := range heads {
		if h.N >= uint64(len(all)) || all[h.N].AuditHead != h {
			return session.AuditHead{}, session.Errorf(session.Internal, "The audit log has not this head.")
		}
	}
	return all[len(all)-1].AuditHead, nil
}
