package runner

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"openinspect/sandbox/runner/proc"
)

// becomeReaper makes this process the parent of every descendant that loses its own, so that none escapes by a double fork.
// Orphans that end stay zombies until the runner ends: waiting for any child would take exit codes away from os/exec.
func becomeReaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// endDescendants ends every descendant of this process: SIGTERM, and after grace SIGKILL, until none is left or limit has passed. It collects
// exit codes, so nobody may wait for a process any more.
func endDescendants(grace, limit time.Duration) {
	begin := time.Now()
	signal := unix.SIGTERM
	told := map[int]bool{}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		pids := descendants(os.Getpid())
		if len(pids) == 0 && childless() || time.Since(begin) > limit {
			return
		}
		if time.Since(begin) > grace {
			signal = unix.SIGKILL
		}
		// The walk through /proc takes a while, in which a daemon may have moved on. What has lost its parent is our child by then.
		for _, pid := range append(pids, children()...) {
			if signal == unix.SIGKILL || !told[pid] {
				told[pid] = true
				_ = unix.Kill(pid, signal) // it may have ended meanwhile
			}
		}
		<-tick.C
	}
}

// childless reports whether this process has no child that lives. As the parent of every orphan it then has no descendant at all. The kernel knows
// that at one moment, which a walk through /proc, past processes that begin and end meanwhile, does not.
func childless() bool {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR) || pid > 0: // that one has ended; the next
		case err != nil:
			return true // ECHILD
		default:
			return false
		}
	}
}

// children lists this process's children, of which the kernel keeps account; none where it does not show that.
func children() (pids []int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		list, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children") // the thread may have ended
		for word := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// descendants lists the living processes below pid. Zombies are left out, their children are not.
func descendants(pid int) []int {
	below := map[int][]proc.Process{}
	for _, p := range proc.All() {
		below[p.Parent] = append(below[p.Parent], p)
	}
	var found []int
	for queue := below[pid]; len(queue) > 0; queue = queue[1:] {
		if !queue[0].Ended() {
			found = append(found, queue[0].ID)
		}
		queue = append(queue, below[queue[0].ID]...)
	}
	return found
}
