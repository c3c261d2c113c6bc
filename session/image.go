package session

import "time"

// ImageKind is what an image was made for.
type ImageKind string

const (
	ImageSnapshot ImageKind = "snapshot" // of a session's sandbox
	ImagePrebuilt ImageKind = "prebuilt" // of a repository
)

// Image is one that was made and has not been deleted: not every provider can list them, so the bot remembers all. It is written down as soon as the
// provider has named it.
type Image struct {
	ID      string    `json:"id"` // the provider's
	Kind    ImageKind `json:"kind"`
	Session ID        `json:"session,omitempty"` // of a snapshot
	Repo    Repo      `json:"repo,omitzero"`     // of a prebuilt one
	At      time.Time `json:"at"`
	Version int       `json:"version,omitempty"` // of the runner that worked there; 0: unknown
}

// BuildState is how the newest build of a repository's image stands.
type BuildState string

const (
	BuildNone   BuildState = ""
	BuildDue    BuildState = "due" // it waits for its turn
	BuildGoesOn BuildState = "building"
	BuildDone   BuildState = "ready"
	BuildFailed BuildState = "failed"
)

// Prebuilt is a repository's image: a sandbox's files after the clone and setup.sh, from which sessions begin. There is one record for each
// repository that anybody switched on or had built.
type Prebuilt struct {
	Repo    Repo      `json:"repo"`
	Base    string    `json:"base"`              // the branch that it is of
	Enabled bool      `json:"enabled,omitempty"` // it is kept up to date
	By      Person    `json:"by,omitzero"`       // who switched that last
	At      time.Time `json:"at,omitzero"`

	// The newest build.
	State  BuildState `json:"state,omitempty"`
	Build  ID         `json:"build,omitempty"` // the spare in which it goes on
	Began  time.Time  `json:"began,omitzero"`
	Tries  int        `json:"tries,omitempty"`  // of it, that were cut off by the bot's own end
	Reason string     `json:"reason,omitempty"` // why it failed
	Output string     `json:"output,omitempty"` // the last lines of what failed
	Failed time.Time  `json:"failed,omitzero"`  // when
	Tip    string     `json:"tip,omitempty"`    // where the branch was at its begin
	With   string     `json:"with,omitempty"`   // what it was to be made with and upon, as Basis
	Fails  int        `json:"fails,omitempty"`  // how often that has failed
	Asked  []Person   `json:"asked,omitempty"`  // who is told how it ends

	// The newest good image; none if Image is empty.
	Image  string        `json:"image,omitempty"`
	Commit string        `json:"commit,omitempty"`
	Setup  string        `json:"setup,omitempty"` // git's id of the setup.sh that ran; empty: there was none
	Basis  string        `json:"basis,omitempty"` // what it was made with and upon
	Built  time.Time     `json:"built,omitzero"`
	Took   time.Duration `json:"took,omitempty"`
	Bad    string        `json:"bad,omitempty"` // why nothing begins from it any more
}

// Audit is what switching a repository's image on or off adds to the audit log.
func (p Prebuilt) Audit() AuditRecord {
	result := "off for "
	if p.Enabled {
		result = "on for "
	}
	return AuditRecord{At: p.At, Action: "image", By: p.By, Result: result + p.Repo.String()}
}

// Switched reports whether storing p after was tells of a switch.
func (p Prebuilt) Switched(was Prebuilt) bool {
	return p.Enabled != was.Enabled || p.By.Slack != was.By.Slack
}

// Good reports whether sessions may begin from the image.
func (p Prebuilt) Good() bool { return p.Image != "" && p.Bad == "" }
