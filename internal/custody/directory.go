package custody

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

const (
	locksFolder = "locks"
	tempPrefix  = ".tmp-"    // no key begins with a dot, so no key is mistaken for one
	writersLock = ".writers" // shared by everyone who has a temporary file

	lockPoll = 10 * time.Millisecond // the kernel does not tell when a lock held elsewhere is free
)

// Directory is a [Store] of one file a value in a directory only its owner can
// enter (directories 0700, files 0600). It does not encrypt; see [Seal].
//
// Locks are the kernel's, on files in the folder "locks": they end with their
// holder. Those files stay, because removing one while somebody waits for it
// would give two holders. The directory may be on a network file system if that
// file system honours flock between machines (NFS since Linux 2.6.12 does).
type Directory struct {
	root  string
	turns turns
}

var _ Store = (*Directory)(nil)

// OpenDirectory returns the store in the directory at path. It creates nothing,
// but refuses at once, with an error that wraps [ErrUnusable], what [Writable]
// refuses, and clears away what killed writers left behind.
func OpenDirectory(path string) (*Directory, error) {
	if err := Writable(path); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	d := &Directory{root: root}
	if err := d.sweep(); err != nil {
		return nil, fmt.Errorf("clear %s of unfinished files: %w", root, err)
	}
	return d, nil
}

// Put stores data under key; see [Store].
func (d *Directory) Put(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := d.prepare(); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	writers := d.flock(writersLock)
	if _, err := writers.TryRLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	err := writeFile(d.path(key), data)
	if err := errors.Join(err, writers.Close()); err != nil {
		return fmt.Errorf("store %s (the earlier value, if any, is untouched): %w", key, err)
	}
	return nil
}

// Get returns the value under key; see [Store].
func (d *Directory) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s in %s: %w", key, d.root, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Delete removes the value under key; see [Store].
func (d *Directory) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	path := d.path(key)
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// List returns the keys that begin with prefix, sorted; see [Store].
func (d *Directory) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	// Only the folder that the prefix names in full is worth walking.
	from := d.path(prefix[:strings.LastIndexByte(prefix, '/')+1])
	keys := []string{}
	err := d.walk(ctx, from, func(path, name string) error {
		if !strings.HasPrefix(name, tempPrefix) && strings.HasPrefix(d.key(path), prefix) {
			keys = append(keys, d.key(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	slices.Sort(keys) // the walk sorts "a-b" and "a/b" the other way round
	return keys, nil
}

// Lock takes the lock called name; see [Store].
func (d *Directory) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	if err := CheckKey(name); err != nil {
		return nil, err
	}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	done, err := d.turns.take(ctx, name)
	if err != nil {
		return nil, err
	}
	lock := d.flock(strings.ReplaceAll(name, "/", "~")) // no key has a tilde
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		done()
		return nil, fmt.Errorf("lock %s: another run may hold %s: %w", name, lock.Path(), err)
	}
	return sync.OnceValue(func() error {
		defer done()
		return lock.Close()
	}), nil
}

func (d *Directory) flock(name string) *flock.Flock {
	return flock.New(filepath.Join(d.root, locksFolder, name))
}

func (d *Directory) path(key string) string {
	return filepath.Join(d.root, filepath.FromSlash(key))
}

func (d *Directory) key(path string) string {
	return filepath.ToSlash(strings.TrimPrefix(path, d.root+string(filepath.Separator)))
}

// prepare makes the root and the folder of locks, and refuses a root that
// somebody opened to others since the last look.
func (d *Directory) prepare() error {
	if err := makeDir(filepath.Join(d.root, locksFolder)); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	info, err := os.Stat(d.root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return checkRoot(d.root, info)
}

// sweep removes temporary files when their writers cannot be alive: each holds
// the writers' lock shared, so whoever gets it alone sees only leftovers.
func (d *Directory) sweep() error {
	if _, err := os.Stat(filepath.Join(d.root, locksFolder)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	writers := d.flock(writersLock)
	alone, err := writers.TryLock()
	if err != nil || !alone {
		return err
	}
	err = d.walk(context.Background(), d.root, func(path, name string) error {
		if !strings.HasPrefix(name, tempPrefix) {
			return nil
		}
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return errors.Join(err, writers.Close())
}

// walk calls visit for each regular file below from, the locks left out. What
// vanishes meanwhile, and from itself when it is not there, is passed over.
func (d *Directory) walk(ctx context.Context, from string, visit func(path, name string) error) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && path == filepath.Join(d.root, locksFolder):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		return visit(path, entry.Name())
	})
}

// writeFile replaces the file at path by data in one step that survives a
// crash: a finished temporary file beside it is renamed over it.
func writeFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// makeDir is MkdirAll with mode 0700 whatever the umask, and durable.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDir(dir)
	case err != nil:
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs the x bit
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be flushed there; renames are journalled
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
