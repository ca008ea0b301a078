package dnsserver

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData flushes what was written, and the file's length, but no times.
func syncData(file *os.File) error {
	for {
		err := unix.Fdatasync(int(file.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

func syncDirectory(folder *os.File) error { return folder.Sync() }
