package session

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AuditRecord is one line of the audit log, which stores keep beside what it is about, in one transaction.
type AuditRecord struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"` // approve, review, merge, raise, stop, retry, mute, unmute, close, link, unlink, channel, route, merge_rule, image
	By      Person    `json:"by"`
	Session ID        `json:"session,omitempty"`
	Card    string    `json:"card,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Emoji   string    `json:"emoji,omitempty"`  // with which they approved
	Number  int       `json:"number,omitempty"` // of the pull request
	Ref     string    `json:"ref,omitempty"`    // GitHub's word for what came of it: the id of a review, the commit of a merge
	Result  string    `json:"result"`           // of an approval its state, and why it was refused or failed
}

// AuditEntry is a record with its place in the chain.
type AuditEntry struct {
	AuditHead
	AuditRecord
}

// AuditHead names a state of the audit log: how many records there were, and the newest one's MAC, which covers all before it.
type AuditHead struct {
	N   uint64 `json:"n"`
	MAC string `json:"mac"` // 64 hexadecimal digits
}

// String is the head as pull requests and reviews carry it.
func (h AuditHead) String() string { return fmt.Sprintf("%d %s", h.N, h.MAC) }

// ParseAuditHead reads what String wrote.
func ParseAuditHead(s string) (h AuditHead, err error) {
	words := strings.Fields(s)
	if len(words) == 2 {
		h.MAC = strings.ToLower(words[1])
		h.N, err = strconv.ParseUint(words[0], 10, 64)
	}
	if mac, e := hex.DecodeString(h.MAC); err != nil || e != nil || len(mac) != 32 || h.N == 0 {
		return AuditHead{}, Errorf(Invalid, "%q is no head of the audit log. Write its number and its 64 digits, as they stand after Inspect-Audit in a pull request.", OneLine(s, 100))
	}
	return h, nil
}

// AuditQuery says which records are asked for, oldest first.
type AuditQuery struct {
	Session ID     // of this one alone; empty: of all
	After   uint64 // numbers above it
	Limit   int    // at most so many; 0: all
}

// Auditor tells what the audit log has come to.
type Auditor interface {
	AuditHead(ctx context.Context) (AuditHead, error)
}

// Action is what the audit log calls an approval.
func (k ApprovalKind) Action() string { return cmp.Or(string(k), "approve") }

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

// Audit returns what a commit of r adds to the audit log: the approvals that are carried out from now on, so that what they lead to can carry the head
// with them in it, and those that ended; a limit that somebody raised, and what else people did.
func (r Ready) Audit() []AuditRecord {
	var out []AuditRecord
	for _, a := range r.Record.Approvals {
		if !a.State.Finished() && a.State != ApprovalAccepted {
			continue
		}
		line := AuditRecord{
			At: r.Record.Session.Updated, Action: a.Kind.Action(), By: a.By, Session: r.Record.Session.ID, Card: a.Card, Commit: a.Commit,
			Emoji: a.Emoji, Number: a.Number, Ref: a.Ref, Result: string(a.State),
		}
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
