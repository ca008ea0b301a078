package transport

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// posixFiles are the single steps on the files of a machine with POSIX paths,
// none of which follows a symbolic link at the end of a path unless it says so.
// Errors about a missing file match fs.ErrNotExist, about a missing right
// fs.ErrPermission.
type posixFiles interface {
	// lstat describes what is at path itself.
	lstat(ctx context.Context, path string) (posixEntry, error)
	readlink(ctx context.Context, path string) (string, error)
	// read returns a file's content, an error when it is over MaxFileSize.
	read(ctx context.Context, path string) ([]byte, error)
	// create makes a new file that only its owner can read, fills it, gives it
	// the attributes and makes it durable. It may leave a file on an error.
	create(ctx context.Context, path string, data []byte, attributes Attributes) error
	// rename replaces what is at to by from, and makes that durable.
	rename(ctx context.Context, from, to string) error
	// remove deletes what is at path, and makes that durable.
	remove(ctx context.Context, path string) error
	list(ctx context.Context, directory string) ([]string, error)
	// writable says why files of the directory, links followed, cannot be made.
	writable(ctx context.Context, directory string) error
}

// posixEntry is one entry of a directory.
type posixEntry struct {
	mode     fs.FileMode // with the type
	uid, gid int
	label    string
	links    int // names of a regular file; 0 where that is not told
}

func (e posixEntry) attributes() Attributes {
	return Attributes{e.mode.Perm(), e.uid, e.gid, e.label}
}

// posix is a machine of which the steps are known. It is a Transport but for
// Run and Close.
type posix struct{ files posixFiles }

// follow returns the path at the end of a chain of symbolic links and what is
// there; an error that matches fs.ErrNotExist still comes with the path.
func (p posix) follow(ctx context.Context, name string) (string, posixEntry, error) {
	if !path.IsAbs(name) {
		return "", posixEntry{}, fmt.Errorf("%q is no absolute path", name)
	}
	for at, hops := name, 0; hops < 40; hops++ {
		entry, err := p.files.lstat(ctx, at)
		if err != nil || entry.mode&fs.ModeSymlink == 0 {
			return at, entry, err
		}
		link, err := p.files.readlink(ctx, at)
		if err != nil {
			return "", entry, err
		}
		if !path.IsAbs(link) {
			// Not Join: it would cut "x/.." although x can be a link too.
			link = path.Dir(at) + "/" + link
		}
		at = link
	}
	return "", posixEntry{}, fmt.Errorf("%s: too many symbolic links", name)
}

// place is follow for a path at which nothing has to be.
func (p posix) place(ctx context.Context, name string) (string, posixEntry, error) {
	at, entry, err := p.follow(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return at, entry, err
}

func (p posix) readFile(ctx context.Context, name string) ([]byte, FileInfo, error) {
	info, err := p.stat(ctx, name)
	if err != nil {
		return nil, info, err
	}
	data, err := p.files.read(ctx, info.Path)
	if err != nil {
		return nil, FileInfo{Path: info.Path}, fmt.Errorf("read %s: %w", name, err)
	}
	return data, info, nil
}

func (p posix) stat(ctx context.Context, name string) (FileInfo, error) {
	at, entry, err := p.follow(ctx, name)
	if err != nil {
		return FileInfo{Path: at}, fmt.Errorf("read %s: %w", name, err)
	}
	if !entry.mode.IsRegular() {
		return FileInfo{}, fmt.Errorf("read %s: it is no regular file (%s)", name, entry.mode.Type())
	}
	return FileInfo{entry.attributes(), at, entry.links}, nil
}

func (p posix) stage(ctx context.Context, name string, data []byte, attributes Attributes) (Staged, error) {
	at, _, err := p.place(ctx, name)
	if err != nil {
		return Staged{}, fmt.Errorf("stage %s: %w", name, err)
	}
	temporary, err := temporaryName(path.Dir(at), path.Base(at))
	if err != nil {
		return Staged{}, err
	}
	if err := p.files.create(ctx, temporary, data, attributes); err != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		removed := p.files.remove(within, temporary)
		if errors.Is(removed, fs.ErrNotExist) || errors.Is(removed, ErrConnection) {
			removed = nil // nothing was left, or nobody can tell
		}
		return Staged{}, errors.Join(fmt.Errorf("stage %s: %w", name, err), removed)
	}
	return Staged{temporary, at}, nil
}

func (p posix) rename(ctx context.Context, staged Staged) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.files.rename(ctx, staged.Temporary, staged.Path); err != nil {
		return fmt.Errorf("rename %s to %s: %w", staged.Temporary, path.Base(staged.Path), err)
	}
	return nil
}

func (p posix) remove(ctx context.Context, name string) error {
	at, _, err := p.follow(ctx, name)
	if err == nil {
		err = p.files.remove(ctx, at)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

func (p posix) list(ctx context.Context, directory string) ([]string, error) {
	names, err := p.files.list(ctx, directory)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", directory, err)
	}
	slices.Sort(names)
	return names, nil
}

func (p posix) check(ctx context.Context, name string) error {
	at, entry, err := p.place(ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("check %s: %w", name, err)
	case entry.mode.IsDir():
		return fmt.Errorf("%s is a directory, want the path of a file", name)
	case !entry.mode.IsRegular():
		return fmt.Errorf("%s is no regular file (%s)", name, entry.mode.Type())
	}
	directory := path.Dir(at)
	_, parent, err := p.follow(ctx, directory)
	if err != nil {
		return fmt.Errorf("the directory of %s: %w", name, err)
	}
	if !parent.mode.IsDir() {
		return fmt.Errorf("the directory of %s: %s is a file", name, directory)
	}
	if err := p.files.writable(ctx, directory); err != nil {
		return fmt.Errorf("the directory %s cannot be written to: %w", directory, err)
	}
	return nil
}

// temporaryName draws a name that IsTemporary knows.
func temporaryName(directory, base string) (string, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("draw a temporary name: %w", err)
	}
	return path.Join(directory, "."+base+temporaryMark+hex.EncodeToString(random)), nil
}
