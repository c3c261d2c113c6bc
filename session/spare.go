package session

import "time"

// SpareKind is what a sandbox is for that is no session's.
type SpareKind string

const (
	SpareBuild SpareKind = "build" // an image is made of it
	SpareWarm  SpareKind = "warm"  // it waits for a session that can use it
)

// Spare is a sandbox that is no session's, or was not when it was made. Its id has a session's form, so that what is kept under a session's id, and
// what is named for one, can be kept and named for a spare.
type Spare struct {
	ID     ID        `json:"id"`
	Kind   SpareKind `json:"kind"`
	Name   string    `json:"name"`  // of the sandbox
	Start  string    `json:"start"` // of the runner in it
	Handle Handle    `json:"handle,omitzero"`
	Repo   Repo      `json:"repo"`
	Base   string    `json:"base"`
	Mode   BootMode  `json:"mode"`
	Image  string    `json:"image,omitempty"`  // that it began from; empty: the provider's base
	Commit string    `json:"commit,omitempty"` // of Base, that its checkout is at, as far as is known
	At     time.Time `json:"at"`               // when it was asked for: before anything of it lived
	Ends   time.Time `json:"ends,omitzero"`    // as in Begun

	// Who took it, written before it is handed over: from then on it is that session's sandbox, under its own name.
	Session ID        `json:"session,omitempty"`
	For     string    `json:"for,omitempty"` // the start id that was asked for
	TakenAt time.Time `json:"taken_at,omitzero"`
}

// NewSpare makes the record of a sandbox that is about to be asked for.
func NewSpare(kind SpareKind, mode BootMode, repo Repo, base string, at time.Time) Spare {
	id := NewID()
	return Spare{ID: id, Kind: kind, Name: sandboxName(id, 1), Start: string(id) + "-1", Repo: repo, Base: base, Mode: mode, At: at}
}

// Taken reports whether it is a session's.
func (s Spare) Taken() bool { return s.Session != "" }

// Asked is the name of the sandbox that the session asked for that took it.
func (s Spare) Asked() string { return sandboxPrefix + s.For }

// Lived is how long it lived until a time while it was nobody's: from when a session took it, the session counts.
func (s Spare) Lived(until time.Time) []Lived {
	if s.Taken() {
		until = s.TakenAt
	}
	if !s.Ends.IsZero() && s.Ends.Before(until) {
		until = s.Ends // it ended while there was no bot to see it
	}
	return lived(s.At, until)
}
