package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

// Names in the folder of a WAL. The numbers behind logPrefix and snapshotPrefix
// are those of the first frame and of the first that is not in the snapshot.
const (
	logPrefix      = "log-"
	snapshotPrefix = "snapshot-"
	lockFile       = "lock"
	holderFile     = "holder" // the process that has the lock
)

// minLog is how long the log may become before there is a snapshot, in bytes.
const minLog = 64 << 20

// WAL is a Store in a folder: a log that every batch is appended to and flushed
// with one fdatasync, and a snapshot of what was there when the log began. One
// process at a time has it. After a fault that leaves it unknown what is on the
// disk it takes no further batch until it is opened again.
type WAL struct {
	path   string
	log    *slog.Logger
	lock   *flock.Flock
	minLog int64 // minLog but in tests

	mu       sync.Mutex
	file     *os.File // the last log file
	next     uint64   // the number of the next frame
	size     int64    // of file, all of it whole frames
	logged   int64    // bytes in all log files
	snapshot int64    // bytes in the snapshot
	fault    error    // set once nothing can be appended any more
	busy     bool     // a snapshot is being written
	buf      []byte
}

// OpenWAL opens or creates the folder at path with mode 0700; the folder above
// it must exist. A file of bbolt that older versions kept at path is converted
// once and stays beside it as path.bbolt. A write that a crash cut short is cut
// off, and the log says what it was; other damage is an error that says where.
func OpenWAL(path string, log *slog.Logger) (*WAL, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := convertBolt(path, log); err != nil {
		return nil, err
	}
	if err := makeFolder(path); err != nil {
		return nil, fmt.Errorf("open the storage %s: %w", path, err)
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	w := &WAL{path: path, log: log, lock: lock, minLog: minLog}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// makeFolder makes the folder and its entry in the one above durable.
func makeFolder(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// lockFolder takes the lock, or says who has it.
func lockFolder(path string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(path, lockFile), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the storage %s: %w", path, err)
	}
	holder := filepath.Join(path, holderFile)
	if !ok {
		pid, _ := os.ReadFile(holder) // it only helps the reader
		return nil, fmt.Errorf("the storage %s is open in another process (%s); two servers cannot share it: stop that one, or give this one a path of its own",
			path, orDefault(strings.TrimSpace(string(pid)), "pid unknown"))
	}
	if err := os.WriteFile(holder, fmt.Appendf(nil, "pid %d\n", os.Getpid()), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the storage %s: %w", path, err), lock.Close())
	}
	return lock, nil
}

// open finds the files, cuts off a torn write and opens the last log file.
func (w *WAL) open() error {
	files, err := listWAL(w.path)
	if err != nil {
		return fmt.Errorf("open the storage %s: %w", w.path, err)
	}
	for _, stale := range files.stale {
		if err := os.Remove(filepath.Join(w.path, stale)); err != nil {
			return fmt.Errorf("remove what an interrupted run left: %w", err)
		}
	}
	if files.snapshot != "" {
		if w.snapshot, err = fileSize(filepath.Join(w.path, files.snapshot)); err != nil {
			return err
		}
		w.next = numberOf(files.snapshot)
	}
	if len(files.logs) == 0 {
		w.next = max(w.next, 1)
		return w.newLog()
	}
	for _, name := range files.logs {
		size, err := fileSize(filepath.Join(w.path, name))
		if err != nil {
			return err
		}
		w.logged += size
	}
	return w.openLast(files.logs[len(files.logs)-1])
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openLast opens the log file that batches are appended to, without what stands
// behind its last whole frame.
func (w *WAL) openLast(name string) error {
	path := filepath.Join(w.path, name)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the storage: %w", err)
	}
	w.file = file
	size, err := fileSize(path)
	if err != nil {
		return err
	}
	if size < fileHeader { // made, and nothing was ever written to it
		if err := errors.Join(w.file.Close(), os.Remove(path)); err != nil {
			return err
		}
		w.next = numberOf(name)
		w.log.Warn("a log file without its header was made anew", "file", path)
		return w.newLog()
	}
	frames, err := readLog(file, name)
	if err != nil {
		return damaged(path, 0, err)
	}
	for err == nil {
		_, err = frames.read()
	}
	w.next, w.size = frames.next, frames.offset
	if !errors.Is(err, io.EOF) && !errors.Is(err, errTorn) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if w.size == size {
		return nil
	}
	return w.cut(path, size)
}

// readLog begins to read a log file, whose name and header must agree.
func readLog(file io.Reader, name string) (*frameReader, error) {
	frames, err := newFrameReader(file, logMagic)
	if err != nil {
		return nil, err
	}
	if frames.next != numberOf(name) {
		return nil, fmt.Errorf("its header numbers it %d", frames.next)
	}
	return frames, nil
}

// cut keeps what stands behind the last whole frame in a file of its own and
// takes it off the log, unless whole frames follow: then it is no torn write.
func (w *WAL) cut(path string, size int64) error {
	rest := make([]byte, size-w.size)
	if _, err := w.file.ReadAt(rest, w.size); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if at := wholeFrameAfter(rest, w.next); at >= 0 {
		return damaged(path, w.size, fmt.Errorf("whole frames follow at %d", w.size+int64(at)))
	}
	kept := fmt.Sprintf("%s.cut-%d", path, w.size)
	err := writeFile(kept, rest)
	if err == nil {
		err = w.file.Truncate(w.size)
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("cut a torn write off %s: %w", path, err)
	}
	w.log.Warn("a write that was cut short, and never acknowledged, was cut off the log",
		"file", path, "offset", w.size, "bytes", len(rest), "kept_in", kept)
	return nil
}

// damaged says where a file is damaged and what to do.
func damaged(path string, offset int64, err error) error {
	return fmt.Errorf("the storage is damaged: %s at offset %d: %w; nothing was changed. Restore a backup with certificate-dns restore, "+
		"or keep all that is readable with certificate-dns recover", path, offset, err)
}

// walFiles are the names in a folder.
type walFiles struct {
	snapshot string   // the latest, or ""
	logs     []string // those from the snapshot on, in order
	stale    []string // what no longer counts
}

// listWAL reads the folder.
func listWAL(path string) (walFiles, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return walFiles{}, err
	}
	var f walFiles
	for _, e := range entries { // in order, so the last snapshot is the latest
		switch {
		case strings.HasSuffix(e.Name(), ".new"):
			f.stale = append(f.stale, e.Name())
		case strings.HasPrefix(e.Name(), snapshotPrefix) && numberOf(e.Name()) > 0:
			if f.snapshot != "" {
				f.stale = append(f.stale, f.snapshot)
			}
			f.snapshot = e.Name()
		case strings.HasPrefix(e.Name(), logPrefix) && numberOf(e.Name()) > 0:
			f.logs = append(f.logs, e.Name())
		}
	}
	f.logs = slices.DeleteFunc(f.logs, func(name string) bool {
		if f.snapshot == "" || numberOf(name) >= numberOf(f.snapshot) {
			return false
		}
		f.stale = append(f.stale, name)
		return true
	})
	return f, nil
}

// numberOf is the number in a file's name, 0 when there is none.
func numberOf(name string) uint64 {
	_, digits, _ := strings.Cut(name, "-")
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || len(digits) != 16 {
		return 0
	}
	return n
}

func numbered(prefix string, n uint64) string { return fmt.Sprintf("%s%016x", prefix, n) }

// newLog begins a log file with the next frame.
func (w *WAL) newLog() error {
	path := filepath.Join(w.path, numbered(logPrefix, w.next))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("begin a log file: %w", err)
	}
	_, err = file.WriteAt(appendFileHeader(nil, logMagic, w.next), 0)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = syncFolder(w.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin the log file %s: %w", path, err), file.Close(), os.Remove(path))
	}
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			w.log.Warn("close a log file", "error", err)
		}
	}
	w.file, w.size = file, fileHeader
	w.logged += fileHeader
	return nil
}

// Load implements Store. It checks every frame.
func (w *WAL) Load(ctx context.Context, each func(Batch) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	files, err := listWAL(w.path)
	if err != nil {
		return fmt.Errorf("read the storage: %w", err)
	}
	open := func(name string) (io.ReadCloser, error) { return os.Open(filepath.Join(w.path, name)) }
	return walk(ctx, w.path, files, open, each)
}

// walk calls each for all batches of the files. Where a file does not go on
// from the one before, or is damaged, it is an error.
func walk(ctx context.Context, folder string, files walFiles, open func(name string) (io.ReadCloser, error), each func(Batch) error) error {
	next := uint64(1)
	if files.snapshot != "" {
		path := filepath.Join(folder, files.snapshot)
		if err := walkSnapshot(ctx, path, func() (io.ReadCloser, error) { return open(files.snapshot) }, each); err != nil {
			return err
		}
		next = numberOf(files.snapshot)
	}
	for i, name := range files.logs {
		path := filepath.Join(folder, name)
		if numberOf(name) != next {
			return damaged(path, 0, fmt.Errorf("a file is missing before it: it begins with batch %d, and %d was to follow", numberOf(name), next))
		}
		frames, err := walkFile(ctx, path, func() (io.ReadCloser, error) { return open(name) },
			func(r io.Reader) (*frameReader, error) { return readLog(r, name) }, each)
		switch {
		case errors.Is(err, errUnbegun) && i == len(files.logs)-1:
			return nil // being made, and nothing was ever written to it
		case err != nil && frames != nil && errors.Is(err, errTorn) && i == len(files.logs)-1:
			return nil // being written, or cut off by OpenWAL
		case err != nil && frames != nil && (errors.Is(err, errTorn) || errors.Is(err, errEncoding)):
			return damaged(path, frames.offset, err)
		case err != nil:
			return err
		}
		next = frames.next
	}
	return ctx.Err()
}

// walkFile calls each for the batches of one file. The reader says where it
// ended; it is nil when the file could not be begun.
func walkFile(ctx context.Context, path string, open func() (io.ReadCloser, error),
	begin func(io.Reader) (*frameReader, error), each func(Batch) error,
) (*frameReader, error) {
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("read the storage: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	frames, err := begin(file)
	if err != nil {
		return nil, damaged(path, 0, err)
	}
	for {
		b, err := frames.batch()
		switch {
		case errors.Is(err, io.EOF):
			return frames, nil
		case err != nil:
			return frames, err
		case ctx.Err() != nil:
			return frames, ctx.Err()
		}
		if err := each(b); err != nil {
			return frames, err
		}
	}
}

// Apply implements Store.
func (w *WAL) Apply(_ context.Context, b Batch) error {
	if b.empty() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault != nil {
		return w.fault
	}
	w.buf = appendFrame(w.buf[:0], w.next, b)
	if _, err := w.file.WriteAt(w.buf, w.size); err != nil {
		err = fmt.Errorf("append to the log: %w", err)
		if undo := w.file.Truncate(w.size); undo != nil {
			w.fault = fmt.Errorf("the log could not be restored after a fault (%w); restart the server", undo)
			err = errors.Join(err, w.fault)
		}
		return err
	}
	if err := syncData(w.file); err != nil {
		// What the kernel does with the pages now, nobody knows.
		w.fault = fmt.Errorf("the log could not be flushed to the disk (%w); mend the disk and restart the server", err)
		return w.fault
	}
	w.next++
	w.size += int64(len(w.buf))
	w.logged += int64(len(w.buf))
	if cap(w.buf) > 1<<20 {
		w.buf = nil
	}
	return nil
}

// Close releases the folder.
func (w *WAL) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	if w.file != nil {
		errs = append(errs, w.file.Close())
		w.file = nil
	}
	w.fault = errors.New("the storage is closed")
	return errors.Join(append(errs, w.lock.Close())...)
}

// syncFolder makes a new file's directory entry durable. Windows has no such
// call and needs none.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncDirectory(folder), folder.Close())
}

// writeFile writes a new file and makes it durable, its entry included.
func writeFile(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), syncFolder(filepath.Dir(path)))
}
