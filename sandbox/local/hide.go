package local

import (
	"os"

	"golang.org/x/sys/unix"
)

// Hide keeps other processes of the same user from reading this one's memory, environment and arguments: prctl(2), PR_SET_DUMPABLE. Root
// still can. It ends with the next exec.
func Hide() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
