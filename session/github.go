package session

import "time"

// RepositoryInfo is a repository as the GitHub App sees it.
type RepositoryInfo struct {
	Repo          Repo     `json:"repo"`
	DefaultBranch string   `json:"default_branch"`
	Description   string   `json:"description,omitempty"`
	Topics        []string `json:"topics,omitempty"`
	Archived      bool     `json:"archived,omitempty"` // read-only: no session works on it
	Bare          bool     `json:"bare,omitempty"`     // GitHub counts nothing in it: it may be empty, or new
}

// LinkCode is what a person needs to link their GitHub account: they open URL and enter UserCode before it expires.
type LinkCode struct {
	UserCode string    `json:"user_code"` // such as WDJB-MJHT
	URL      string    `json:"url"`
	Expires  time.Time `json:"expires"`
}
