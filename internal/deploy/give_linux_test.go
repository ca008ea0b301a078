package deploy

import (
	"os"
	"syscall"
)

// giveTo makes a file that of another file's owner.
func giveTo(path string, like os.FileInfo) error {
	stat, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(stat.Uid), int(stat.Gid))
}
