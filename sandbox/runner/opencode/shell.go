package opencode

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"syscall"
	"time"
)

// shellGrace is how long a stopped turn's commands have to end. The agent asks them to, and says that it is at rest before they have.
const shellGrace = 3 * time.Second

// shells lists the process groups of the commands that the server runs: children of its own in groups of their own. What a command left in the
// background is no child of the server's any more, and lives on.
func (s *server) shells() (groups []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil || s.cmd == nil { // a double has none
		return nil
	}
	server := s.cmd.Process.Pid
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat") // empty for one that has ended
		// pid (comm) state ppid pgrp …; comm may hold anything, a parenthesis too (proc(5)).
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 2 && string(f[0]) != "Z" && string(f[1]) == strconv.Itoa(server) && string(f[2]) == strconv.Itoa(pid) && pid != server {
			groups = append(groups, pid)
		}
	}
	return groups
}

// endShells returns when no command runs any more, or ctx has ended. One that goes on after a while is killed.
func (s *server) endShells(ctx context.Context) {
	late := time.NewTimer(shellGrace)
	defer late.Stop()
	tick := time.NewTicker(quietPoll)
	defer tick.Stop()
	for killing := false; ; {
		groups := s.shells()
		if len(groups) == 0 {
			return
		}
		if killing {
			killGroups(groups)
		}
		select {
		case <-late.C:
			killing = true
		case <-tick.C:
		case <-s.exited:
			return
		case <-ctx.Done():
			return
		}
	}
}

func killGroups(groups []int) {
	for _, g := range groups {
		_ = syscall.Kill(-g, syscall.SIGKILL) // it may have ended
	}
}
