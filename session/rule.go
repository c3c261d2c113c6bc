package session

import "time"

// MergeRule says whether people merge a repository's pull requests from Slack. One that has none is as the operator set it for all.
type MergeRule struct {
	Repo Repo      `json:"repo"`
	On   bool      `json:"on"`
	By   Person    `json:"by"` // an admin of the repository, who set it last
	At   time.Time `json:"at"`
}

// Audit is what storing r adds to the audit log.
func (r MergeRule) Audit() AuditRecord {
	result := "off for "
	if r.On {
		result = "on for "
	}
	return AuditRecord{At: r.At, Action: "merge_rule", By: r.By, Result: result + r.Repo.String()}
}
