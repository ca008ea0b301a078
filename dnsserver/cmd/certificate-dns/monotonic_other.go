//go:build !linux

package main

// monotonic is for systemd, which there is not here.
func monotonic() int64 { return 0 }
