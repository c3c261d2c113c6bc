package runner

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// dialUnix connects to a socket. Its address holds 107 bytes, and a sandbox's directory may be longer: it is named through the descriptor of its
// directory, as link.ListenUnix does.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
