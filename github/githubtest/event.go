package githubtest

import "context"

// EventKind says what changed.
type EventKind string

// The kinds of Event.
const (
	Pushed         EventKind = "pushed"          // a branch or tag moved, by git, by a merge, or by REST
	PullOpened     EventKind = "pull opened"     // a pull request was opened
	PullEdited     EventKind = "pull edited"     // its title, body or base changed
	PullSynced     EventKind = "pull synced"     // its head branch moved
	PullClosed     EventKind = "pull closed"     // it was closed without a merge
	PullReopened   EventKind = "pull reopened"   // it was opened again
	PullMerged     EventKind = "pull merged"     // it was merged
	Reviewed       EventKind = "reviewed"        // somebody reviewed it
	Commented      EventKind = "commented"       // somebody commented on it
	ChecksChanged  EventKind = "checks changed"  // a check run or a status was reported
	TokenMinted    EventKind = "token minted"    // an installation or user token was made
	TokenRevoked   EventKind = "token revoked"   // tokens were revoked
	DeviceStarted  EventKind = "device started"  // a device code was handed out
	DeviceApproved EventKind = "device approved" // a person approved one
	DeviceDenied   EventKind = "device denied"   // a person denied one
)

// Event is one change. Fields that do not belong to its kind are empty.
type Event struct {
	Kind   EventKind
	Repo   string // owner/name
	Login  string // who did it
	Number int    // of the pull request
	Ref    string // full name of the ref that moved
	SHA    string // the commit it, the pull request's head or the check is at now; "" when a ref was deleted
}

// tell notes a change. The caller holds mu and calls flush after it has let go.
func (s *Server) tell(e Event) {
	close(s.changed)
	s.changed = make(chan struct{})
	s.notifyPull(e)
	if s.cfg.OnEvent != nil {
		s.events = append(s.events, e)
	}
}

// flush hands noted events to OnEvent, and has webhooks sent. Only one goroutine does so at a time, so that their order holds; another
// one, or OnEvent itself, leaves its events to it.
func (s *Server) flush() {
	s.mu.Lock()
	s.deliver()
	if s.telling {
		s.mu.Unlock()
		return
	}
	s.telling = true
	for len(s.events) > 0 {
		e := s.events[0]
		s.events = s.events[1:]
		s.mu.Unlock()
		s.cfg.OnEvent(e)
		s.mu.Lock()
	}
	s.telling = false
	s.mu.Unlock()
}

// Wait returns nil once cond is true. It asks cond at once and after every change, with no lock held, and gives up
// with the context's error.
func (s *Server) Wait(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
