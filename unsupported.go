//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

// command says where the program runs. Sandboxes, and the safety of their sockets and processes, are Linux's.
func command([]string) int {
	fmt.Fprintf(os.Stderr, "openinspect runs on Linux (amd64, arm64), not on %s/%s. In a virtual machine or container it does.\n", runtime.GOOS, runtime.GOARCH)
	return 2
}
