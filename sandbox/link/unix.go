package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"openinspect/session"
)

// DialUnix dials a socket in a directory that the sandbox can write to. The agent could have put a link or another's socket there, so what is
// dialled is what was looked at: a socket, not a symbolic link, owned by uid. Unavailable while it is not there.
func DialUnix(ctx context.Context, path string, uid int) (net.Conn, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "link.DialUnix", Message: "The sandbox does not listen yet.", Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, session.Wrap("link.DialUnix", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != uid {
		return nil, &session.Error{Code: session.Forbidden, Op: "link.DialUnix", Message: "The sandbox's socket was replaced by something else."}
	}
	// A path through the descriptor is also short: socket paths end at 107 bytes.
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, &session.Error{Code: session.Unavailable, Op: "link.DialUnix", Message: "The sandbox does not answer.", Err: err}
	}
	return c, nil
}

// ListenUnix listens on a socket that only this user can connect to, in place of whatever was there. It stays when the listener is closed. The
// directory must be the caller's own: what its path leads to is not checked.
func ListenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The socket is named through its directory's descriptor: a socket's path holds 107 bytes, a sandbox's directory may be longer.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), Net: "unix"})
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
