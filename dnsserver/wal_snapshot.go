package dnsserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
)

// Snapshotter is a Store that now and then wants all that is kept at once,
// because what it has grows with each batch.
type Snapshotter interface {
	// Snapshot returns nil when there is no need. Otherwise the caller calls what
	// it returns, once, with what Load would give now; batches may be applied
	// meanwhile. An error in the content ends it, and what was there stays.
	Snapshot() func(content iter.Seq2[Batch, error]) error
}

// Snapshot implements Snapshotter: when the log has become longer than what it
// tells, a new one begins, and what came before goes into a snapshot.
func (w *WAL) Snapshot() func(content iter.Seq2[Batch, error]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy || w.fault != nil || w.logged < max(w.minLog, w.snapshot) {
		return nil
	}
	if err := w.newLog(); err != nil {
		w.log.Error("no new log file; the old one goes on", "error", err)
		w.logged = 0 // try again when as much has been added
		return nil
	}
	w.busy, w.logged = true, fileHeader
	first := w.next
	return func(content iter.Seq2[Batch, error]) error {
		size, err := writeSnapshot(w.path, first, content)
		if err == nil {
			err = removeBefore(w.path, first)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy = false
		if err != nil {
			return fmt.Errorf("write a snapshot: %w", err)
		}
		w.snapshot = size
		return nil
	}
}

// removeBefore removes the files that a snapshot stands for.
func removeBefore(folder string, first uint64) error {
	files, err := listWAL(folder)
	if err != nil {
		return err
	}
	for _, name := range files.stale {
		if n := numberOf(name); n > 0 && n < first {
			err = errors.Join(err, os.Remove(filepath.Join(folder, name)))
		}
	}
	return err
}

// writeSnapshot writes a snapshot that comes before the frame numbered first. It
// has its name only when it is whole and durable. Its last frame is empty.
func writeSnapshot(folder string, first uint64, content iter.Seq2[Batch, error]) (size int64, err error) {
	path := filepath.Join(folder, numbered(snapshotPrefix, first))
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	size, err = writeFrames(&flushed{file: file}, content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(path+".new"))
	}
	if err := os.Rename(path+".new", path); err != nil {
		return 0, err
	}
	return size, syncFolder(folder)
}

// flushed is a file that is flushed now and then while it is written: all at
// the end would have the log's own flushes wait as long.
type flushed struct {
	file    *os.File
	pending int // bytes
}

// flushEvery is how much is flushed at once, in bytes.
const flushEvery = 1 << 20

// Write implements io.Writer.
func (f *flushed) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	if f.pending += n; err == nil && f.pending >= flushEvery {
		f.pending, err = 0, syncData(f.file)
	}
	return n, err
}

// writeFrames writes a snapshot file's bytes.
func writeFrames(out io.Writer, content iter.Seq2[Batch, error]) (size int64, err error) {
	w := bufio.NewWriterSize(out, 1<<16)
	buf := appendFileHeader(nil, snapshotMagic, 1)
	number := uint64(1)
	emit := func() bool {
		size += int64(len(buf))
		_, err = w.Write(buf)
		return err == nil
	}
	if !emit() {
		return size, err
	}
	for b, contentErr := range content {
		if contentErr != nil {
			return size, contentErr
		}
		if b.empty() {
			continue
		}
		buf = appendFrame(buf[:0], number, b)
		number++
		if !emit() {
			return size, err
		}
	}
	if buf = appendFrame(buf[:0], number, Batch{}); !emit() {
		return size, err
	}
	return size, w.Flush()
}

// walkSnapshot calls each for the batches of a snapshot, which has to be whole.
func walkSnapshot(ctx context.Context, path string, open func() (io.ReadCloser, error), each func(Batch) error) error {
	whole := false
	frames, err := walkFile(ctx, path, open,
		func(r io.Reader) (*frameReader, error) { return newFrameReader(r, snapshotMagic) },
		func(b Batch) error {
			if whole = b.empty(); whole {
				return nil
			}
			return each(b)
		})
	switch {
	case err != nil && frames != nil && (errors.Is(err, errTorn) || errors.Is(err, errEncoding)):
		return damaged(path, frames.offset, err)
	case err != nil:
		return err
	case !whole:
		return damaged(path, frames.offset, io.ErrUnexpectedEOF)
	}
	return nil
}

// snapshotBatch is how many records or documents share a frame of a snapshot.
const snapshotBatch = 512

// content is all that a store has to keep of a view. It ends with an error when
// stop is closed.
func (v *view) content(stop <-chan struct{}) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		var b Batch
		room := func() bool {
			if len(b.Changes)+len(b.Documents) < snapshotBatch {
				return true
			}
			select {
			case <-stop:
				yield(Batch{}, ErrStopped)
				return false
			default:
			}
			ok := yield(b, nil)
			b = Batch{Changes: b.Changes[:0]}
			return ok
		}
		for l := range v.table.all() {
			for s := range l.sets() {
				for r := range s.records() {
					b.Changes = append(b.Changes, Change{Name: l.name(), Type: s.rrtype, TTL: r.ttl, Data: r.data, Expires: r.expires})
				}
			}
			if !room() {
				return
			}
		}
		for _, c := range v.parked {
			if b.Changes = append(b.Changes, c); !room() {
				return
			}
		}
		for l := range v.documents.all() {
			if b.Documents = append(b.Documents, Document{Key: l.name(), Value: []byte(l.value())}); !room() {
				return
			}
		}
		yield(b, nil)
	}
}

// createWAL makes a folder with this content, for no server to see before it is
// whole.
func createWAL(path string, content iter.Seq2[Batch, error]) error {
	if err := makeFolder(path); err != nil {
		return err
	}
	_, err := writeSnapshot(path, 1, content)
	return err
}
