//go:build unix && !linux

package postgrestest

import (
	"syscall"
)

// tie does nothing here: a server outlives tests that were killed.
func tie(*syscall.SysProcAttr) {}
