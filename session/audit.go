package session

import (
	"slices"
	"time"
)

// AuditRecord is one line of the audit log, which stores keep beside what it is about, in one transaction.
type AuditRecord struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // approve, link, unlink
	By      Person    `json:"by"`
	Session ID        `json:"session,omitempty"`
	Card    string    `json:"card,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Result  string    `json:"result"` // of an approval its state, and why it was refused or failed
}

// Finished reports whether nothing more comes of an approval.
func (s ApprovalState) Finished() bool {
	switch s {
	case ApprovalLinking, ApprovalAccepted:
		return false
	case ApprovalDone, ApprovalRefused, ApprovalFailed:
		return true
	}
	return true
}

// Audit returns what a commit of r adds to the audit log: the approvals that ended with it.
func (r Ready) Audit() []AuditRecord {
	var out []AuditRecord
	for _, a := range r.Record.Approvals {
		if !a.State.Finished() {
			continue
		}
		line := AuditRecord{At: r.Record.Session.Updated, Action: "approve", By: a.By, Session: r.Record.Session.ID, Card: a.Card, Commit: a.Commit, Result: string(a.State)}
		if a.Reason != "" {
			line.Result += ": " + a.Reason
		}
		out = append(out, line)
	}
	return slices.Clip(out)
}
