package sessiontest

import (
	"strings"
	"time"

	"openinspect/session"
)

// audited returns records of the audit log without their places.
func (s *suite) audited(q session.AuditQuery) (records []session.AuditRecord) {
	for _, e := range must(s.AuditLog(s.ctx, q))(s) {
		records = append(records, e.AuditRecord)
	}
	return records
}

func testAudit(s *suite) {
	empty := must(s.VerifyAudit(s.ctx))(s)
	same(s, "empty head", empty, session.AuditHead{MAC: strings.Repeat("0", 64)})
	same(s, "empty log", s.audited(session.AuditQuery{}), nil)
	var want []session.AuditRecord
	var heads []session.AuditHead
	for i, of := range []session.ID{one, "", one} {
		r := session.AuditRecord{At: Epoch.Add(time.Duration(i) * time.Second), Action: "review", By: Ada, Session: of, Card: "c1", Commit: "abc", Emoji: "ship", Number: 7, Ref: "80", Result: "done"}
		s.ok(s.Store.Audit(s.ctx, r))
		want = append(want, r)
		head := must(s.AuditHead(s.ctx))(s)
		same(s, "head", head.N, uint64(i+1))
		heads = append(heads, head)
		s.reopen()
	}
	same(s, "log", s.audited(session.AuditQuery{}), want)
	same(s, "after the first", s.audited(session.AuditQuery{After: 1}), want[1:])
	same(s, "one after the first", s.audited(session.AuditQuery{After: 1, Limit: 1}), want[1:2])
	same(s, "after the last", s.audited(session.AuditQuery{After: 3}), nil)
	same(s, "of a session", s.audited(session.AuditQuery{Session: one}), []session.AuditRecord{want[0], want[2]})
	same(s, "of a session, one", s.audited(session.AuditQuery{Session: one, Limit: 1}), want[:1])
	same(s, "of another", s.audited(session.AuditQuery{Session: two}), nil)
	for i, e := range must(s.AuditLog(s.ctx, session.AuditQuery{}))(s) {
		same(s, "its place", e.AuditHead, heads[i])
	}
	same(s, "verified", must(s.VerifyAudit(s.ctx, heads...))(s), heads[2])
	for _, other := range []session.AuditHead{{N: 4, MAC: heads[2].MAC}, {N: 2, MAC: heads[2].MAC}} {
		_, err := s.VerifyAudit(s.ctx, other)
		s.is(err, session.Internal)
	}
}

func testAuditOnce(s *suite) {
	for _, key := range []string{"a", "b", "a"} {
		s.ok(s.AuditOnce(s.ctx, key, session.AuditRecord{Action: "approve", Result: key}))
		s.reopen()
	}
	s.clock.Advance(day)
	s.ok(s.Prune(s.ctx))
	s.ok(s.AuditOnce(s.ctx, "a", session.AuditRecord{Action: "approve", Result: "a day later"}))
	var got []string
	for _, r := range s.audited(session.AuditQuery{}) {
		got = append(got, r.Result)
	}
	same(s, "log", got, []string{"a", "b", "a day later"})
	must(s.VerifyAudit(s.ctx))(s)
}

// testAudited: links, and approvals that are carried out or ended, are in the audit log with the transaction that stored them.
func testAudited(s *suite) {
	s.ok(s.LinkUser(s.ctx, "U1", session.Identity{ID: 7, Login: "u"}))
	s.ok(s.UnlinkUser(s.ctx, "U1"))
	s.ok(s.UnlinkUser(s.ctx, "U1")) // nothing to forget, nothing to tell
	r := session.Ready{Record: session.Record{Session: fresh(one)}}
	r.Record.Approvals = []session.Approval{
		{ID: "a1", Card: "c1", Commit: "abc", By: Ada, State: session.ApprovalDone},
		{ID: "a2", Card: "c1", Commit: "abc", By: Bob, State: session.ApprovalRefused, Reason: "Already opened."},
		{ID: "a3", Card: "c1", Commit: "abc", By: Cyd, State: session.ApprovalLinking},
		{ID: "a4", Card: "c1", Commit: "abc", By: Ada, State: session.ApprovalAccepted},
	}
	s.ok(s.Commit(s.ctx, r))
	s.reopen()
	var got []string
	for _, line := range s.audited(session.AuditQuery{}) {
		got = append(got, line.Action+" "+line.By.Slack+" "+line.Commit+" "+line.Result)
	}
	same(s, "log", got, []string{"link U1  linked", "unlink U1  unlinked", "approve UADA abc done", "approve UBOB abc refused: Already opened.", "approve UADA abc accepted"})
	must(s.VerifyAudit(s.ctx))(s)
}
