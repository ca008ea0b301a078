package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// Backup writes all that the storage at path keeps to out, in one piece, as it
// was at one moment. A server may be using the storage.
func Backup(ctx context.Context, path string, out io.Writer) error {
	const tries = 10 // a snapshot may replace the files meanwhile
	for try := 1; ; try++ {
		files, err := listWAL(path)
		if err != nil {
			return fmt.Errorf("back up the storage: %w", err)
		}
		if files.snapshot == "" && len(files.logs) == 0 {
			return fmt.Errorf("back up the storage: there is none in %s", path)
		}
		opened, err := openAll(path, files)
		if errors.Is(err, os.ErrNotExist) && try < tries {
			continue
		}
		if err == nil {
			err = backUp(ctx, path, files, opened, out)
		}
		for _, file := range opened {
			_ = file.Close() // only read
		}
		if err != nil {
			return fmt.Errorf("back up the storage: %w", err)
		}
		return nil
	}
}

// openAll opens files, which a running server may then remove. The last log
// file grows meanwhile; it is read up to where it is whole.
func openAll(path string, files walFiles) (map[string]*os.File, error) {
	opened := map[string]*os.File{}
	for _, name := range append([]string{files.snapshot}, files.logs...) {
		if name == "" {
			continue
		}
		file, err := os.Open(filepath.Join(path, name))
		if err != nil {
			return opened, err
		}
		opened[name] = file
	}
	return opened, nil
}

func backUp(ctx context.Context, path string, files walFiles, opened map[string]*os.File, out io.Writer) error {
	open := func(name string) (io.ReadCloser, error) {
		file, ok := opened[name]
		if !ok {
			return nil, os.ErrNotExist
		}
		return file, nil
	}
	_, err := writeFrames(out, batches(func(each func(Batch) error) error { return walk(ctx, path, files, open, each) }))
	return err
}

// errEnough stops a walk whose batches nobody wants any more.
var errEnough = errors.New("enough")

// batches makes a sequence of what a walk calls its argument for.
func batches(walk func(each func(Batch) error) error) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		err := walk(func(b Batch) error {
			if !yield(b, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(Batch{}, err)
		}
	}
}

// Restore makes the storage at path what a Backup in file says. What was there
// stays beside it; kept is where, "" when nothing was. No server may be using
// the storage. Serials of zones go on from the later of both, so that
// secondaries notice.
func Restore(ctx context.Context, path, file string) (kept string, err error) {
	var serials Batch
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	err = walkSnapshot(ctx, file, open, func(b Batch) error { // whole, before anything is moved
		serials.Documents = append(serials.Documents, serialsOf(b)...)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read the backup: %w", err)
	}
	return replace(path, func(old walFiles) iter.Seq2[Batch, error] {
		_ = salvage(path, old, func(b Batch) { // whatever can be read of it
			serials.Documents = append(serials.Documents, serialsOf(b)...)
		})
		return batches(func(each func(Batch) error) error {
			if err := walkSnapshot(ctx, file, open, each); err != nil {
				return err
			}
			return each(laterSerials(serials))
		})
	})
}

// BackupStore is Backup of any store.
func BackupStore(ctx context.Context, s Store, out io.Writer) error {
	if _, err := writeFrames(out, batches(func(each func(Batch) error) error { return s.Load(ctx, each) })); err != nil {
		return fmt.Errorf("back up the storage: %w", err)
	}
	return nil
}

// Replacer is a Store of which all that it keeps can be exchanged at once.
type Replacer interface {
	// Replace exchanges all that is kept for what fresh makes of it, or leaves it
	// as it is. What fresh returns reads old to its end before it yields anything.
	Replace(ctx context.Context, fresh func(old iter.Seq2[Batch, error]) iter.Seq2[Batch, error]) error
}

// RestoreStore is Restore into any store that can be replaced, from a Backup of
// any store. It writes a backup of what was there to before, and reports whether
// there was anything.
func RestoreStore(ctx context.Context, s Replacer, file string, before io.Writer) (had bool, err error) {
	var serials Batch
	open := func() (io.ReadCloser, error) { return os.Open(file) }
	note := func(b Batch) { serials.Documents = append(serials.Documents, serialsOf(b)...) }
	whole := func(b Batch) error { note(b); return nil }
	if err := walkSnapshot(ctx, file, open, whole); err != nil { // before anything is changed
		return false, fmt.Errorf("read the backup: %w", err)
	}
	err = s.Replace(ctx, func(old iter.Seq2[Batch, error]) iter.Seq2[Batch, error] {
		return batches(func(each func(Batch) error) error {
			_, err := writeFrames(before, func(yield func(Batch, error) bool) {
				for b, err := range old {
					had = true
					note(b)
					if !yield(b, err) {
						return
					}
				}
			})
			if err != nil {
				return fmt.Errorf("keep what was there: %w", err)
			}
			if err := walkSnapshot(ctx, file, open, each); err != nil {
				return err
			}
			return each(laterSerials(serials))
		})
	})
	if err != nil {
		return had, fmt.Errorf("restore the storage, which is as it was: %w", err)
	}
	return had, nil
}

// serialsOf are the serials in a batch.
func serialsOf(b Batch) []Document {
	var out []Document
	for _, d := range b.Documents {
		if len(d.Key) > len(serialPrefix) && d.Key[:len(serialPrefix)] == serialPrefix && !d.Delete {
			out = append(out, d)
		}
	}
	return out
}

// laterSerials gives each zone a serial after all that it ever had.
func laterSerials(b Batch) Batch {
	latest := map[string]Document{}
	for _, d := range b.Documents {
		serial, _, ok := serialOf(string(d.Value))
		if !ok {
			continue
		}
		before, _, known := serialOf(string(latest[d.Key].Value))
		if !known || newerSerial(serial, before) {
			latest[d.Key] = d
		}
	}
	var out Batch
	for key, d := range latest {
		serial, fingerprint, _ := serialOf(string(d.Value))
		out.Documents = append(out.Documents, serialDocument(key, nextSerial(serial), fingerprint))
	}
	return out
}

// Recover makes the storage at path of all that can be read of a damaged one,
// which stays beside it, in kept. lost is how many pieces could not be read.
func Recover(path string) (kept string, found, lost int, err error) {
	kept, err = replace(path, func(old walFiles) iter.Seq2[Batch, error] {
		return batches(func(each func(Batch) error) error {
			var failed error
			lost = salvage(path, old, func(b Batch) {
				found++
				failed = errors.Join(failed, each(b))
			})
			return failed
		})
	})
	return kept, found, lost, err
}

// salvage calls each for every batch that is whole, and returns in how many
// places it was not.
func salvage(folder string, files walFiles, each func(Batch)) (lost int) {
	for _, name := range append([]string{files.snapshot}, files.logs...) {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || len(data) < fileHeader {
			lost++
			continue
		}
		lost += salvageFrames(data[fileHeader:], each)
	}
	return lost
}

func salvageFrames(rest []byte, each func(Batch)) (lost int) {
	for len(rest) > 0 {
		at := wholeFrameAfter(rest, 0)
		if at != 0 {
			lost++
		}
		if at < 0 {
			return lost
		}
		end := at + frameHeader + frameSize(rest[at:])
		if b, err := decodeBatch(rest[at+frameHeader : end]); err != nil {
			lost++
		} else {
			each(b)
		}
		rest = rest[end:]
	}
	return lost
}

// replace makes a new storage beside the one at path and exchanges them.
func replace(path string, content func(old walFiles) iter.Seq2[Batch, error]) (kept string, err error) {
	var files walFiles
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		lock, err := lockFolder(path)
		if err != nil {
			return "", err
		}
		defer func() { _ = lock.Close() }() // the folder has another name by now
		if files, err = listWAL(path); err != nil {
			return "", err
		}
		kept = fmt.Sprintf("%s.before-%s", path, time.Now().UTC().Format("20060102T150405.000"))
	} else if err == nil {
		return "", fmt.Errorf("%s is not a folder; start the server once to convert it, or move it away", path)
	}
	fresh := path + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	err = createWAL(fresh, content(files))
	if err == nil && kept != "" {
		err = os.Rename(path, kept)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write the storage %s anew; the old one is as it was: %w", path, err), os.RemoveAll(fresh))
	}
	return kept, syncFolder(filepath.Dir(path))
}
