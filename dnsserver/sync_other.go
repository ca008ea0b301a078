//go:build !linux

package dnsserver

import (
	"os"
	"runtime"
)

// syncData flushes what was written.
func syncData(file *os.File) error { return file.Sync() }

func syncDirectory(folder *os.File) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	return folder.Sync()
}
