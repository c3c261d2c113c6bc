package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// startingGC is the garbage collector's goal for the first minute: many sessions taken up at once would leave their memory in shreds.
const startingGC = 25

// While no more than littleWork bytes are allocated from one look to the next, what was is given back: the collector alone would let pings and
// heartbeats double the memory of an idle bot before it looks. That costs some hundredths of a second each time.
const (
	lookEvery  = 30 * time.Second
	littleWork = 32 << 20
)

// keepSmall keeps the process small while little goes on, in real time, until stop is called.
func keepSmall() (stop func()) {
	usual := debug.SetGCPercent(startingGC)
	done := make(chan struct{})
	go func() {
		allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		before := uint64(0)
		wait := time.Minute
		for {
			t := time.NewTimer(wait)
			select {
			case <-done:
				t.Stop()
				return
			case <-t.C:
			}
			metrics.Read(allocated)
			now := allocated[0].Value.Uint64()
			if now-before <= littleWork || wait != lookEvery {
				debug.SetGCPercent(usual) // what starting needed, with many sessions, is not needed again
				debug.FreeOSMemory()
			}
			before, wait = now, lookEvery
		}
	}()
	return func() { close(done) }
}
