package main

import "golang.org/x/sys/unix"

// monotonic is the time in microseconds that systemd compares with its own
// (CLOCK_MONOTONIC).
func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return now.Nano() / 1000
}
