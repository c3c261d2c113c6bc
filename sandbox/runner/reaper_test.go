package runner_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/proc"
	"openinspect/session"
)

func mkfifo(t *testing.T, path string) {
	t.Helper()
	check(t, unix.Mkfifo(path, 0o600))
}

// gone waits for the end of a process that was killed: its death takes a moment. A zombie is dead.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	check(t, err)
	fd, err := unix.PidfdOpen(n, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	check(t, err)
	defer unix.Close(fd)
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		check(t, err)
		if ready == 0 {
			t.Errorf("process %s lives", pid)
		}
		return
	}
}

func alive(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	check(t, err)
	if proc.Read(n).Ended() {
		t.Errorf("process %s does not live", pid)
	}
}

func kill(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	check(t, err)
	check(t, unix.Kill(n, unix.SIGKILL))
}

// A runner without a pid namespace ends everything below it: what called setsid, what lost its parent, what ignores SIGTERM.
func TestRunnerEndsItsDescendants(t *testing.T) {
	script := `
(setsid sleep 1000 & echo $! > "$HOME/a")
setsid bash -c 'trap "" TERM; echo $$ > "$HOME/b"; echo up > "$HOME/fifo"; while :; do sleep 1000; done' &
`
	b, end := process(t, script)
	var pids []string
	for _, name := range []string{"a", "b"} {
		pid, err := os.ReadFile(filepath.Join(b.home(), name))
		check(t, err)
		pids = append(pids, strings.TrimSpace(string(pid)))
		alive(t, pids[len(pids)-1])
	}
	end()
	for _, pid := range pids {
		gone(t, pid)
	}
}

// A daemon that hands itself on to a new process all the time may be in none that a look at the process table finds. It is ended all the same.
func TestRunnerEndsAMovingDaemon(t *testing.T) {
	mark := "moving-" + strconv.Itoa(os.Getpid())
	script := `
cat >"$HOME/move" <<'END'
trap '' TERM HUP
sleep 0.02
setsid bash "$0" "$1" &
END
setsid bash "$HOME/move" ` + mark + ` &
echo up > "$HOME/fifo"
`
	_, end := process(t, script)
	end()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	check(t, err)
	for _, f := range files {
		if args, err := os.ReadFile(f); err == nil && bytes.Contains(args, []byte(mark)) {
			t.Errorf("%s lives", filepath.Dir(f))
		}
	}
}

// process is a runner in a process of its own, whose start.sh is a script that says so when it is done, to the home's fifo. end ends it in good order.
func process(t *testing.T, script string) (b *box, end func()) {
	t.Helper()
	b = newBox(t, session.BootFresh, newRemote(t, start, script))
	check(t, os.MkdirAll(b.home(), 0o755))
	fifo := filepath.Join(b.home(), "fifo")
	mkfifo(t, fifo)
	program, err := os.Executable()
	check(t, err)
	cmd := exec.Command(program, "runner")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	boot, err := json.Marshal(b.boot)
	check(t, err)
	w := bufio.NewWriter(in)
	_, err = w.Write(boot)
	check(t, err)
	check(t, w.Flush())
	_, err = os.ReadFile(fifo)
	check(t, err)
	b.dial()
	b.lines = b.follow("", 0)
	b.ready()
	return b, func() {
		t.Helper()
		check(t, in.Close())
		check(t, cmd.Wait())
	}
}
