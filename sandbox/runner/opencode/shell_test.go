package opencode

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/proc"
)

// standIn is a process in the place of OpenCode's that runs a command as that does, in a session of its own. The command writes the id of one of its
// processes into $pid.
func standIn(t *testing.T, command string) (s *server, pid int) {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "pid")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	s = &server{cmd: exec.Command("bash", "-c", `setsid bash -c "$1" & exec sleep 1000`, "bash", command), exited: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), "pid="+pipe)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }() // it is killed
	t.Cleanup(func() { s.stop(shells{}) })
	b, err := os.ReadFile(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	began := proc.Read(pid).Began
	t.Cleanup(func() {
		if p := proc.Read(pid); p.Began == began {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be a zombie
		}
	})
	return s, pid
}

// awaitEnd waits for the end of a process that is about to end, for a minute.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return // it has, and was collected
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for { // pidfd_open(2): it can be read once the process has ended
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Minute.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			t.Fatalf("process %d does not end: %v", pid, err)
		default:
			return
		}
	}
}

const (
	deaf   = `trap "" TERM; echo $$ > $pid; sleep 1000; true`
	partly = `bash -c '` + deaf + `'; true`
)

// A server that is stopped leaves nothing of what it runs, also of that of which it does not know any more; it leaves what its commands left.
func TestStop(t *testing.T) {
	lose := func(s *server, pid int) shells { // the command's first process, as an abort does
		commands := shells{}
		commands.look(s)
		first := proc.Read(pid).Session
		_ = syscall.Kill(-first, syscall.SIGTERM)
		awaitEnd(t, first)
		return commands
	}
	for name, c := range map[string]struct {
		command string
		before  func(s *server, pid int) shells
		stays   bool
	}{
		"a command":        {deaf, func(*server, int) shells { return shells{} }, false},
		"a command's part": {partly, lose, false},
		"a command of a server that died": {partly, func(s *server, pid int) shells {
			commands := lose(s, pid)
			_ = s.cmd.Process.Kill()
			<-s.exited
			return commands
		}, false},
		"what a command left": {`sleep 1000 & echo $! > $pid`, func(_ *server, pid int) shells {
			awaitEnd(t, proc.Read(pid).Session)
			return shells{}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, pid := standIn(t, c.command)
			s.stop(c.before(s, pid))
			if p := proc.Read(pid); p.Ended() == c.stays {
				t.Errorf("%+v", p)
			}
			if p := proc.Read(s.cmd.Process.Pid); !p.Ended() {
				t.Errorf("the server: %+v", p)
			}
		})
	}
}

// A turn that has no more time for its commands to end leaves none of them either.
func TestShellsOutOfTime(t *testing.T) {
	s, pid := standIn(t, deaf)
	commands := shells{}
	commands.look(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	commands.end(ctx, time.Hour)
	awaitEnd(t, pid)
}
