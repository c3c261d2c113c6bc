package modaltest

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Fault is a way in which a call goes wrong.
type Fault string

const (
	Unavailable Fault = "unavailable" // nothing is done; UNAVAILABLE, which the SDK tries again by itself
	Refused     Fault = "refused"     // nothing is done; FAILED_PRECONDITION, for good
	Denied      Fault = "denied"      // nothing is done; PERMISSION_DENIED
	Throttled   Fault = "throttled"   // nothing is done; RESOURCE_EXHAUSTED, as for too many calls or no capacity
	LostAnswer  Fault = "lost answer" // all is done; UNAVAILABLE
	Held        Fault = "held"        // nothing is done before Mend, or before the caller has had enough
	Failed      Fault = "failed"      // what was asked for fails: a build (ImageJoinStreaming), a snapshot (SandboxSnapshotFs)
)

// Always as a number of times is until Mend.
const Always = -1

// broken is what the next calls of a method meet.
type broken struct {
	fault  Fault
	times  int
	mended chan struct{}
}

// Break makes the next calls of a method, such as "SandboxCreate", go wrong: so many, or Always. It takes the place of what was there.
func (s *Server) Break(method string, f Fault, times int) {
	s.Mend(method)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = &broken{fault: f, times: times, mended: make(chan struct{})}
}

// Mend ends what Break began, and lets the calls go that it holds.
func (s *Server) Mend(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.faults[method]; b != nil {
		close(b.mended)
		delete(s.faults, method)
	}
}

// MendAll is Mend for every method.
func (s *Server) MendAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.faults {
		close(b.mended)
	}
	clear(s.faults)
}

// meet counts a call and returns what goes wrong with it, nil if nothing does.
func (s *Server) meet(method string) *broken {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	close(s.called)
	s.called = make(chan struct{})
	b := s.faults[method]
	if b == nil {
		return nil
	}
	if b.times > 0 {
		if b.times--; b.times == 0 && b.fault != Held {
			delete(s.faults, method)
		}
	} else if b.times == 0 { // of Held: the rest goes through while the first ones wait
		return nil
	}
	return b
}

// before carries out what keeps a call from being done.
func (b *broken) before(ctx context.Context, method string) error {
	switch b.fault {
	case Unavailable:
		return status.Error(codes.Unavailable, method+": the service is unavailable")
	case Refused:
		return status.Error(codes.FailedPrecondition, method+": refused")
	case Denied:
		return status.Error(codes.PermissionDenied, method+": denied")
	case Throttled:
		return status.Error(codes.ResourceExhausted, method+": too many requests")
	case Held:
		select {
		case <-b.mended:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
	case LostAnswer, Failed: // these come later
	}
	return nil
}

// fails reports whether ctx is a call's that is to fail in its own way.
func fails(ctx context.Context) bool { return goesWrong(ctx, Failed) }

// goesWrong reports whether ctx is a call's that a fault was meant for.
func goesWrong(ctx context.Context, f Fault) bool {
	b, _ := ctx.Value(faultKey{}).(*broken)
	return b != nil && b.fault == f
}

type faultKey struct{}

// Calls returns how often a method was called, retries included.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Methods returns the methods that were called, sorted.
func (s *Server) Methods() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for m := range s.calls {
		all = append(all, m)
	}
	slices.Sort(all)
	return all
}

// Wait waits until a method has been called n times since the server was made.
func (s *Server) Wait(ctx context.Context, method string, n int) error {
	for {
		s.mu.Lock()
		have, called := s.calls[method], s.called
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-called:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
