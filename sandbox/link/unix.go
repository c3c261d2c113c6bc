package link

import (
	"context"
	"fmt"
	"net"

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
