package session

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AuditRecord is one line of the audit log, which stores keep beside what it is about, in one transaction.
type AuditRecord struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // approve, review, merge, raise, stop, retry, mute, unmute, close, link, unlink, channel, route, merge_rule
	By      Person    `json:"by"`
	Session ID        `json:"session,omitempty"`
	Card    string    `json:"card,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Result  string    `json:"result"` // of an approval its state, and why it was refused or failed
}

// Finished reports whether nothing more comes of an approval.
func (s ApprovalState) Finished() bool {
	switch s {
	case ApprovalLinking, ApprovalNaming, ApprovalMerging, ApprovalAccepted:
		return false
	case ApprovalDone, ApprovalRefused, ApprovalFailed, ApprovalWithdrawn:
		return true
	}
	return true
}

// Audit returns what a commit of r adds to the audit log: the approvals that ended with it, a limit that somebody raised, and what else people did.
func (r Ready) Audit() []AuditRecord {
	var out []AuditRecord
	for _, a := range r.Record.Approvals {
		if !a.State.Finished() {
			continue
		}
		line := AuditRecord{At: r.Record.Session.Updated, Action: cmp.Or(string(a.Kind), "approve"), By: a.By, Session: r.Record.Session.ID, Card: a.Card, Commit: a.Commit, Result: string(a.State)}
		if i := slices.IndexFunc(r.Record.Cards, func(c Card) bool { return c.ID == a.Card }); i >= 0 && a.Seconds != "" {
			named := r.Record.Cards[i].Named
			line.Result += ", named: " + strings.Join(named[:min(len(named), 20)], ", ")
		}
		if a.Reason != "" {
			line.Result += ": " + a.Reason
		}
		out = append(out, line)
	}
	for _, e := range r.Events {
		if b := e.Budget; e.Kind == KindBudget && b.State == BudgetRaised {
			out = append(out, AuditRecord{At: e.At, Action: "raise", By: b.By, Session: r.Record.Session.ID,
				Result: fmt.Sprintf("%s more, %s in all, at %s spent", Dollars(b.More), Dollars(b.Limit), Dollars(b.Spent))})
		}
	}
	return slices.Clip(append(out, r.Acts...))
}
