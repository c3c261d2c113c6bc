package session_test

import (
	"strings"
	"testing"

	"openinspect/session"
	"openinspect/session/sessiontest"
)

// The audit log says of a second approval what it named.
func TestAuditOfANamedApproval(t *testing.T) {
	card := session.Card{ID: "c1", Named: []string{".github/workflows/ci.yml", "infra/a.tf"}}
	for range 30 {
		card.Named = append(card.Named, "infra/more.tf")
	}
	lines := session.Ready{Record: session.Record{Cards: []session.Card{{ID: "c0"}, card}, Approvals: []session.Approval{
		{ID: "a1", Card: "c1", By: sessiontest.Ada, State: session.ApprovalDone, Reason: "Bob gave the second one.", Names: true},
		{ID: "a2", Card: "c1", By: sessiontest.Bob, State: session.ApprovalDone, Seconds: "a1"},
		{ID: "a3", Card: "c1", By: sessiontest.Bob, State: session.ApprovalNaming, Names: true},
	}}}.Audit()
	if len(lines) != 2 || lines[0].Result != "done: Bob gave the second one." || !strings.HasPrefix(lines[1].Result, "done, named: .github/workflows/ci.yml, infra/a.tf, infra/more.tf") || strings.Count(lines[1].Result, ",") != 20 {
		t.Errorf("%+v", lines)
	}
}
