package modaltest

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// FreePort returns a port for one of the sandboxes that share this computer's network: one on which nobody listens, and below those that the kernel gives
// to outgoing connections, which could take it before the sandbox does. None is returned twice.
func FreePort() (int, error) {
	const first, last = 20_000, 32_000
	for {
		port := first + mathrand.IntN(last-first)
		if _, twice := handedOut.LoadOrStore(port, true); twice {
			continue
		}
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

var handedOut sync.Map // ports
