package link

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var uid = os.Getuid()

// listenIn listens on a socket whose path may be longer than the 107 bytes a socket's address holds.
func listenIn(t *testing.T, dir, name string) (net.Listener, error) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { unix.Close(fd) })
	return net.Listen("unix", filepath.Join(fmt.Sprintf("/proc/self/fd/%d", fd), name))
}
