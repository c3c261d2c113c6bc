package main

import (
	"os"
	"runtime"
)

// fewCores is up to how many cores one more thread than there are cores is worth its switches.
const fewCores = 4

// spareThread lets one more goroutine run than there are cores, where these are few, and returns what undoes it. The thread of the store's writer,
// which waits for the disk a third of the time, keeps its place meanwhile, and with it a core that others could use.
func spareThread() (undo func()) {
	cores := runtime.GOMAXPROCS(0)
	if cores > fewCores || os.Getenv("GOMAXPROCS") != "" {
		return func() {}
	}
	runtime.GOMAXPROCS(cores + 1)
	return func() { runtime.GOMAXPROCS(cores) }
}
