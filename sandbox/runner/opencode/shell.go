package opencode

import (
	"context"
	"syscall"
	"time"

	"openinspect/sandbox/runner/proc"
)

// shellGrace is how long a stopped turn's commands have to end. The agent asks them to, and says that it is at rest before they have.
const shellGrace = 3 * time.Second

// shells are the commands that a server runs, by their sessions. OpenCode starts each in one of its own, asks the group of its first process to end, and
// takes that process's end for the command's. What that leaves has other parents, and with `timeout` another group, but the same session. Commands have to be
// looked for before they are asked to end, for as long as the first process is the server's child. What earlier ones left in the background has sessions
// of which no such child is there, so it is not in here.
type shells map[int]bool

// look adds what the server runs now. That may be git or rg for OpenCode's own ends, which is as short as it is harmless to end with the turn.
func (c shells) look(s *server) {
	if s.cmd == nil { // a double has none
		return
	}
	server := s.cmd.Process.Pid
	for _, p := range proc.All() {
		if p.Parent == server && p.Session == p.ID && !p.Ended() {
			c[p.ID] = true
		}
	}
}

// groups lists the groups of processes that live in these sessions.
func (c shells) groups() map[int]bool {
	groups := map[int]bool{}
	for _, p := range proc.All() {
		if c[p.Session] && !p.Ended() {
			groups[p.Group] = true
		}
	}
	return groups
}

// end returns when nothing of them runs any more. What goes on after grace is killed, and so is what is left when ctx ends. The agent has asked the group of
// each command's first process to end; the other groups are asked here.
func (c shells) end(ctx context.Context, grace time.Duration) {
	late := time.NewTimer(grace)
	defer late.Stop()
	tick := time.NewTicker(quietPoll)
	defer tick.Stop()
	others := c.groups()
	for id := range c {
		delete(others, id)
	}
	signal(others, syscall.SIGTERM)
	for killing := false; ; {
		left := c.groups()
		if len(left) == 0 {
			return
		}
		if killing {
			signal(left, syscall.SIGKILL)
		}
		select {
		case <-late.C:
			killing = true
		case <-tick.C:
		case <-ctx.Done():
			signal(c.groups(), syscall.SIGKILL)
			return
		}
	}
}

func signal(groups map[int]bool, s syscall.Signal) {
	for g := range groups {
		_ = syscall.Kill(-g, s) // it may have ended
	}
}
