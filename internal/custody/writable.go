package custody

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Writable returns an error that wraps [ErrUnusable] and says what to do unless
// [OpenDirectory] can keep its files at path. It leaves nothing behind, so it
// can run at plan time: where path does not exist yet, the nearest parent that
// does is tried instead.
func Writable(path string) error {
	if path == "" {
		return fmt.Errorf("%w: the path is empty", ErrUnusable)
	}
	if strings.HasPrefix(path, "~") {
		return fmt.Errorf("%w: only a shell expands the ~ in %s; write pathexpand(%q)", ErrUnusable, path, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		if err := checkRoot(path, info); err != nil {
			return err
		}
		return probe(path)
	case errors.Is(err, fs.ErrNotExist):
		return parentWritable(path)
	default:
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
}

// parentWritable tries the nearest parent of path that exists.
func parentWritable(path string) error {
	// A dangling link does not exist for Stat, but nothing can be made there.
	switch info, err := os.Lstat(path); {
	case err == nil && info.Mode()&fs.ModeSymlink == 0:
		return Writable(path) // made by somebody else at this moment
	case err == nil:
		return fmt.Errorf("%w: %s is a link to nowhere; create what it points to, or remove it", ErrUnusable, path)
	}
	parent := filepath.Dir(path)
	info, err := os.Stat(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist) && parent != path:
		return parentWritable(parent)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s is a file, not a directory; choose another path", ErrUnusable, parent)
	}
	return probe(parent)
}

// checkRoot refuses what is no directory, or one that others can enter.
func checkRoot(path string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is a file, not a directory; choose another path", ErrUnusable, path)
	}
	if runtime.GOOS == "windows" {
		return nil // access lists are inherited from the profile; there are no mode bits
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: %s has mode %04o, so other users of this machine can reach the private keys in it; run chmod 700 %s",
			ErrUnusable, path, mode, path)
	}
	return nil
}

// probe creates a file in dir and removes it: the only answer that is right
// for read-only mounts, access lists and root alike.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("%w: %s is not writable by this user; choose another path or change its owner: %w", ErrUnusable, dir, err)
	}
	err = os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // another run that opens the storage swept it away
	}
	return errors.Join(f.Close(), err)
}
