package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// useTwoThreads has Go's scheduler use two threads where the machine has one
// processor. A single one does not look whether a query has come as long as a
// goroutine is ready to run, and the one that ends a garbage collection is for
// milliseconds; with two, the kernel wakes the other. Not where GOMAXPROCS says
// how it is to be.
func useTwoThreads() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}

// roomForGarbage is how much may be thrown away between two collections at
// least, in bytes. A small server would collect many times a second under
// updates otherwise, and queries wait meanwhile.
const roomForGarbage = 64 << 20

// tendGarbage has the garbage collector leave that room, whatever is in use,
// until ctx ends; not where GOGC says how it is to be.
func tendGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	const every = 10 * time.Second
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for {
		metrics.Read(live)
		debug.SetGCPercent(garbagePercent(live[0].Value.Uint64()))
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// garbagePercent is what may be thrown away, of what is in use: as much as Go
// has by itself, or what makes roomForGarbage.
func garbagePercent(live uint64) int {
	const usual, most = 100, 1000
	if live == 0 {
		return most
	}
	return int(min(max(usual, usual*roomForGarbage/live), most))
}
