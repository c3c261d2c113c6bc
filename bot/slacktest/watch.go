package slacktest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of changes. Posted, Edited and Deleted concern messages; Edited also
// covers a message that an app replaced or that became a tombstone.
const (
	Posted          ChangeKind = "posted"
	Edited          ChangeKind = "edited"
	Deleted         ChangeKind = "deleted"
	Reacted         ChangeKind = "reacted"
	Unreacted       ChangeKind = "unreacted"
	EphemeralPosted ChangeKind = "ephemeral_posted"
	StatusSet       ChangeKind = "status_set"
	ViewOpened      ChangeKind = "view_opened"
	HomePublished   ChangeKind = "home_published"
)

// Change is something a person looking at the workspace would notice.
type Change struct {
	Kind    ChangeKind
	At      time.Time
	Message Message // after the change; for StatusSet only Channel and ThreadTS
	User    string  // who did it, an id; for ephemerals and views who sees it
	Emoji   string  // Reacted, Unreacted
	Status  Status  // StatusSet
	ViewID  string  // ViewOpened, HomePublished
}

// OnChange calls f for every later change, in order, from one goroutine. f may
// call the Server, but not Close.
func (s *Server) OnChange(f func(Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, f)
}

// touch records that the state changed and wakes those who wait. Callers hold s.mu.
func (s *Server) touch() {
	s.version++
	close(s.changed)
	s.changed = make(chan struct{})
}

// tell queues a change for the hooks. Callers hold s.mu.
func (s *Server) tell(c Change) {
	s.touch()
	if len(s.hooks) == 0 {
		return
	}
	c.At = s.cfg.Now()
	s.changes = append(s.changes, c)
	wake(s.notify)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Server) runHooks() {
	for {
		s.mu.Lock()
		changes, hooks := s.changes, s.hooks
		s.changes = nil
		s.mu.Unlock()
		for _, c := range changes {
			for _, f := range hooks {
				f(c)
			}
		}
		if len(changes) > 0 {
			continue
		}
		select {
		case <-s.notify:
		case <-s.ctx.Done():
			s.mu.Lock()
			left := len(s.changes)
			s.mu.Unlock()
			if left == 0 {
				return
			}
		}
	}
}

// Snapshot is the workspace at one moment. It does not change; what its methods
// return is shared and must not be modified. Channels are named by id or name,
// users likewise.
type Snapshot struct {
	bot        *User
	users      map[string]*User
	channels   map[string]*Channel
	logs       map[string][]*Message
	ephemerals []*Message
	statuses   map[string]Status
	calls      map[string][]Call
	counts     map[string]int
	views      []View
	homes      map[string]*View
	deliveries []DeliveryState
	sockets    int
}

// Snapshot returns the workspace as it is now.
func (s *Server) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap, _ := s.snap()
	return snap
}

// snap returns the snapshot of the current version and the channel that is closed
// when it is out of date. Callers hold s.mu.
func (s *Server) snap() (*Snapshot, <-chan struct{}) {
	if s.snapshot == nil || s.snapshotAt != s.version {
		n := &Snapshot{
			bot: s.bot, users: maps.Clone(s.users), channels: maps.Clone(s.channels),
			logs: maps.Clone(s.logs), ephemerals: slices.Clone(s.ephemerals),
			statuses: maps.Clone(s.statuses), calls: maps.Clone(s.calls), counts: maps.Clone(s.counts), homes: maps.Clone(s.homes),
			sockets: s.openSockets(),
		}
		for ch, log := range n.logs {
			n.logs[ch] = slices.Clone(log)
		}
		for _, id := range s.viewOrder {
			n.views = append(n.views, *s.views[id])
		}
		for _, d := range s.delivOrder {
			n.deliveries = append(n.deliveries, d.state())
		}
		s.snapshot, s.snapshotAt = n, s.version
	}
	return s.snapshot, s.changed
}

// Wait returns when the condition holds, which it asks now and after every
// change, or with an error when the context or the server ends.
func (s *Server) Wait(ctx context.Context, holds func(*Snapshot) bool) error {
	for {
		s.mu.Lock()
		snap, changed := s.snap()
		s.mu.Unlock()
		if holds(snap) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("slacktest: wait: %w", context.Cause(ctx))
		case <-s.ctx.Done():
			return fmt.Errorf("slacktest: wait: %w", errClosed)
		}
	}
}

// Thread returns the root message with the given ts and its replies, oldest
// first; nil if there is no such message.
func (n *Snapshot) Thread(channel, ts string) []Message {
	var thread []Message
	for _, m := range n.logs[n.channelID(channel)] {
		if m.TS == ts || m.ThreadTS == ts {
			thread = append(thread, *m)
		}
	}
	return thread
}

// Messages returns everything said in a channel, replies included, oldest first.
func (n *Snapshot) Messages(channel string) []Message {
	var all []Message
	for _, m := range n.logs[n.channelID(channel)] {
		all = append(all, *m)
	}
	return all
}

// Message returns one message.
func (n *Snapshot) Message(channel, ts string) (Message, bool) {
	for _, m := range n.logs[n.channelID(channel)] {
		if m.TS == ts {
			return *m, true
		}
	}
	return Message{}, false
}

// Ephemerals returns the messages that only this user sees, oldest first.
func (n *Snapshot) Ephemerals(user string) []Message {
	u := findUser(n.users, user)
	var seen []Message
	for _, m := range n.ephemerals {
		if u != nil && m.To == u.ID {
			seen = append(seen, *m)
		}
	}
	return seen
}

// Calls returns the calls of a method so far, in order.
func (n *Snapshot) Calls(method string) []Call { return slices.Clip(n.calls[method]) }

// Counts returns how often each method was called.
func (n *Snapshot) Counts() map[string]int {
	return maps.Clone(n.counts)
}

// Status returns what the app says it is doing in a thread.
func (n *Snapshot) Status(channel, threadTS string) Status {
	return n.statuses[n.channelID(channel)+threadTS]
}

// Deliveries returns everything sent to the app so far, in order.
func (n *Snapshot) Deliveries() []DeliveryState { return n.deliveries }

// Unacked counts the payloads the app has not acknowledged and may still.
func (n *Snapshot) Unacked() int {
	count := 0
	for _, d := range n.deliveries {
		if !d.Acked && d.Failed == "" {
			count++
		}
	}
	return count
}

// Sockets counts the open Socket Mode connections.
func (n *Snapshot) Sockets() int { return n.sockets }

// User returns a user by id or name.
func (n *Snapshot) User(ref string) (User, bool) {
	if u := findUser(n.users, ref); u != nil {
		return *u, true
	}
	return User{}, false
}

func (n *Snapshot) channelID(ref string) string {
	if c := findChannel(n.channels, ref); c != nil {
		return c.ID
	}
	return ""
}

// Thread is Snapshot().Thread.
func (s *Server) Thread(channel, ts string) []Message { return s.Snapshot().Thread(channel, ts) }

// Ephemerals is Snapshot().Ephemerals.
func (s *Server) Ephemerals(user string) []Message { return s.Snapshot().Ephemerals(user) }

// Calls is Snapshot().Calls.
func (s *Server) Calls(method string) []Call { return s.Snapshot().Calls(method) }

// MessageNow is Snapshot().Message, without the rest of the workspace.
func (s *Server) MessageNow(channel, ts string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.existing(channel, ts)
	if err != nil {
		return Message{}, false
	}
	return *m, true
}
