package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// counted reports whether the kernel counts the processes of a user namespace for itself, and holds its own to their limit: since Linux 5.14, and
// never those of root. Before, a limit would be one of all that the user runs.
func counted() bool {
	var u unix.Utsname
	if os.Getuid() == 0 || unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 14
}

// oomScore is how much likelier than the bot a sandbox's processes are to be ended when the computer runs out of memory, in thousandths of all
// memory: proc_pid_oom_score_adj(5). It is not 1000, so that among them the largest is taken first.
const oomScore = 500

// giveWay makes a process that waits, and those below it, be ended before the bot when memory is short. Those that they start inherit it.
func giveWay(pid int) error {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(own)))
	if err != nil {
		return err
	}
	value := []byte(strconv.Itoa(min(score+oomScore, 1000)))
	set := func(pid int) error {
		err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", value, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	}
	err = set(pid)
	// After it: what it starts from now on inherits. It has one thread, and its child waits for the order to boot.
	children, e := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		if n, e := strconv.Atoi(child); e == nil {
			err = errors.Join(err, set(n))
		}
	}
	if errors.Is(e, fs.ErrNotExist) {
		return err
	}
	return errors.Join(err, e)
}
