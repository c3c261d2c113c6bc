// Package bound limits how many processes a program of a sandbox may have. It is the agent's and the scripts' limit, not the runner's, which has
// to work when a program has used it up.
package bound

import (
	"os/exec"
	"strconv"
)

// shell is a shell that sets the limit on itself and becomes the program. The option is -p in dash and busybox. Where there is a lower limit
// already, that one stays.
const shell = `ulimit -u "$0" 2>/dev/null || ulimit -p "$0" 2>/dev/null; exec "$@"`

// Command makes cmd, which has not been started, one of at most so many processes, threads included, that its user has in this user namespace:
// RLIMIT_NPROC, setrlimit(2). Below 1 there is no limit.
func Command(cmd *exec.Cmd, processes int) {
	if processes < 1 || cmd.Err != nil {
		return
	}
	cmd.Args = append([]string{"/bin/sh", "-c", shell, strconv.Itoa(processes), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
}
