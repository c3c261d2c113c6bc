package session

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Store keeps sessions. Package boltdb implements it; sessiontest has one in memory and the suite that both pass.
// Errors are NotFound for an unknown session, Unavailable when the disk refuses.
type Store interface {
	// Commit stores r in one durable transaction: its record, events and effects, less the effects that are done. The first
	// commit of a session also claims its thread: Conflict if another session has it.
	Commit(ctx context.Context, r Ready) error
	// Load returns a session with everything that is unfinished. Internal, with Damaged in its chain, if that cannot be read.
	Load(ctx context.Context, id ID) (State, error)
	// Events returns at most limit events with a number above after, in order: fewer where they are large, and none only if there are none.
	Events(ctx context.Context, id ID, after int64, limit int) ([]Event, error)
	// Find returns the session of a thread.
	Find(ctx context.Context, t Thread) (ID, error)
	// Open returns the sessions that are not at rest: a turn, a queue, a sandbox, an approval or an effect.
	Open(ctx context.Context) ([]ID, error)
	// List returns all sessions' records, newest activity first, at most limit; none that cannot be read.
	List(ctx context.Context, limit int) ([]Session, error)
}

// Removed is in the chain of a Store's NotFound for a session that was there: retention removed it after so many days without activity.
type Removed struct {
	At     time.Time
	Days   int
	Rooted bool // replies in its thread needed no mention
}

func (r *Removed) Error() string {
	return fmt.Sprintf("This session was removed on %s: sessions are kept for %d days after the last thing that happened in them.", r.At.UTC().Format(time.DateOnly), r.Days)
}

// Damaged is in the chain of a Store's Internal error for a session that is there and cannot be read. It is one session's trouble: others go on.
type Damaged struct {
	Thread Thread
	Err    error
}

func (d *Damaged) Error() string { return fmt.Sprintf("what is stored cannot be read: %v", d.Err) }
func (d *Damaged) Unwrap() error { return d.Err }

// DamagedWords is what the people of such a session are told.
const DamagedWords = "What I have stored of this thread cannot be read any more, so nothing goes on here. Please begin a new thread. Whoever runs me finds the reason in the log."

// Holds reports whether a sandbox or an image of that name is the session's, or may be by the time that what it asks for is done.
func (s State) Holds(name string) bool {
	b := s.Session.Sandbox
	return name == b.Handle.Name || name == b.Image || name == b.From ||
		slices.ContainsFunc(s.Effects, func(e Effect) bool {
			return e.Kind == EffectSnapshot || e.Kind == EffectSuspend || e.Kind == EffectStart // which may come to one of another name
		})
}

// AtRest reports whether nothing of the session needs an actor: no turn, queue, live sandbox, waiting approval, effect or model call.
func (s State) AtRest() bool {
	return s.Session.Turn == nil && len(s.Prompts) == 0 && len(s.Effects) == 0 && len(s.Approvals) == 0 && len(s.Session.Calls) == 0 && !s.Session.Sandbox.State.Live()
}
