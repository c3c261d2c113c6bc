package modaltest

import (
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// FreePort returns a port for one of the sandboxes that share this computer's network: one on which nobody listens, and below those that the kernel gives
// to outgoing connections, which could take it before the sandbox does. None is returned twice, nor to another process while this one runs.
func FreePort() (int, error) {
	const first, last = 20_000, 32_000
	for {
		port := first + mathrand.IntN(last-first)
		reservation, err := reserve(port)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		handedOut.Store(port, reservation) // else it would be collected, and closed
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return port, ln.Close()
	}
}

// reserve takes a port for this process, by a name that the kernel gives to one at a time, and takes back at its end.
func reserve(port int) (io.Closer, error) {
	return net.Listen("unix", fmt.Sprintf("@openinspect-modaltest-%d", port))
}

var handedOut sync.Map // reservations, by port
