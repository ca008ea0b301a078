package main

import (
	"os"
	"runtime"
	"testing"
)

func TestRuntime_percentOfGarbage(t *testing.T) {
	for live, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 8 << 20: 800, 32 << 20: 200, 64 << 20: 100, 1 << 30: 100} {
		if got := garbagePercent(live); got != want {
			t.Errorf("with %d bytes in use: %d percent, want %d", live, got, want)
		}
	}
}

// One processor gets two threads, and nobody gets others than GOMAXPROCS says.
func TestRuntime_twoThreads(t *testing.T) {
	t.Setenv("GOMAXPROCS", "") // has it set back afterwards
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, c := range []struct {
		env       string
		had, want int
	}{{"", 1, 2}, {"", 3, 3}, {"1", 1, 1}} {
		if err := os.Setenv("GOMAXPROCS", c.env); err != nil {
			t.Fatal(err)
		}
		runtime.GOMAXPROCS(c.had)
		useTwoThreads()
		if got := runtime.GOMAXPROCS(0); got != c.want {
			t.Errorf("GOMAXPROCS=%q, %d threads: %d afterwards, want %d", c.env, c.had, got, c.want)
		}
	}
}
