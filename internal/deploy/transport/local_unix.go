//go:build unix

package transport

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner returns the numeric owner and group of a file.
func owner(info fs.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Unknown, Unknown
	}
	return int(stat.Uid), int(stat.Gid)
}

// names counts the hard links of a file.
func names(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return int(stat.Nlink)
}

// setOwner changes what differs and nothing else: without the right to give
// files away it still keeps the process's own.
func setOwner(file *os.File, uid, gid int) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if u, g := owner(info); (uid == Unknown || uid == u) && (gid == Unknown || gid == g) {
		return nil
	}
	return file.Chown(uid, gid)
}

// syncDirectory makes a rename or removal in it durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// writable asks the kernel, which knows of read-only mounts too.
func writable(directory string) error {
	return unix.Access(directory, unix.W_OK|unix.X_OK)
}

// ownGroup puts a command into a process group of its own, which dies as a
// whole.
func ownGroup(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error {
		err := syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
