package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// A unix socket's address holds 107 bytes, a sandbox's directory may be longer. Both ends therefore open the directory and name
// the socket through /proc/self/fd.

// listenUnix listens on a socket that only this user can connect to, in place of whatever was there.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: through(dir, path), Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // its name is only good while dir is open
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close() // the error to tell is err
		return nil, err
	}
	return ln, nil
}

// dialUnix connects to a socket that listenUnix made.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", through(dir, path))
}

func through(dir *os.File, path string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
}
