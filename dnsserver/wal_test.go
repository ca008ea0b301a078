package dnsserver

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openWAL(t testing.TB, path string) *WAL {
	t.Helper()
	w, err := OpenWAL(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // often closed before
	return w
}

func closeWAL(t testing.TB, w *WAL) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func apply(t testing.TB, w *WAL, b Batch) {
	t.Helper()
	if err := w.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// snapshotNow makes a snapshot of what the store would load, if it wants one.
func snapshotNow(t testing.TB, w *WAL) bool {
	t.Helper()
	var all []Batch
	if err := w.Load(t.Context(), func(b Batch) error { all = append(all, b); return nil }); err != nil {
		t.Fatal(err)
	}
	write := w.Snapshot()
	if write == nil {
		return false
	}
	if err := write(sequence(all...)); err != nil {
		t.Fatal(err)
	}
	return true
}

func sequence(all ...Batch) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for _, b := range all {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// writeLog fills a new storage with n batches of one record and returns the
// log file, and where in it each batch ends.
func writeLog(t testing.TB, path string, n int) (file string, ends []int) {
	t.Helper()
	w := openWAL(t, path)
	for i := range n {
		apply(t, w, Batch{
			Changes:   []Change{txtChange("a.", fmt.Sprint(i))},
			Documents: []Document{{Key: "account/1", Value: fmt.Append(nil, i)}},
		})
		ends = append(ends, int(w.size))
	}
	closeWAL(t, w)
	return filepath.Join(path, numbered(logPrefix, 1)), ends
}

// values are the TXT values in a storage, sorted by when they were put.
func valuesIn(t testing.TB, s Store) (values []string) {
	t.Helper()
	err := s.Load(t.Context(), func(b Batch) error {
		for _, c := range b.Changes {
			values = append(values, txtValue(c.Data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func upTo(n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

// A write that stopped anywhere, or left zeros or anything else behind where it
// stopped, costs what was not acknowledged and nothing else.
func TestWAL_tornWriteAtEveryOffset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, ends := writeLog(t, filepath.Join(dir, "first"), 6)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tails := map[string]func(left []byte, n int) []byte{
		"cut":     func([]byte, int) []byte { return nil },
		"zeros":   func(_ []byte, n int) []byte { return make([]byte, n) },
		"garbage": func(_ []byte, n int) []byte { return bytes.Repeat([]byte{0xa5}, n) },
	}
	for title, tail := range tails {
		for size := ends[2]; size < len(whole); size++ {
			acknowledged, _ := slices.BinarySearch(ends, size+1) // batches that are whole
			next := len(whole)
			if acknowledged < len(ends) {
				next = ends[acknowledged]
			}
			path := filepath.Join(dir, fmt.Sprintf("%s-%d", title, size))
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			torn := append(slices.Clone(whole[:size]), tail(whole[:size], next-size)...)
			if err := os.WriteFile(filepath.Join(path, filepath.Base(file)), torn, 0o600); err != nil {
				t.Fatal(err)
			}
			w := openWAL(t, path)
			if got := valuesIn(t, w); !slices.Equal(got, upTo(acknowledged)) {
				t.Fatalf("%s at %d: holds %q, want %d", title, size, got, acknowledged)
			}
			apply(t, w, Batch{Changes: []Change{txtChange("a.", "later")}}) // and it goes on
			closeWAL(t, w)
			w = openWAL(t, path)
			if got := valuesIn(t, w); !slices.Equal(got, append(upTo(acknowledged), "later")) {
				t.Fatalf("%s at %d, after another batch: holds %q", title, size, got)
			}
			closeWAL(t, w)
		}
	}
}

func TestWAL_saysWhatItCutOffAndKeepsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	file, ends := writeLog(t, path, 3)
	if err := os.Truncate(file, int64(ends[2]-3)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	w, err := OpenWAL(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	closeWAL(t, w)
	for _, want := range []string{"cut off the log", file, fmt.Sprintf("offset=%d", ends[1]), fmt.Sprintf("bytes=%d", ends[2]-3-ends[1])} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says %s, want %q in it", &log, want)
		}
	}
	if kept, err := os.ReadFile(fmt.Sprintf("%s.cut-%d", file, ends[1])); err != nil || len(kept) != ends[2]-3-ends[1] {
		t.Errorf("kept %d bytes, %v", len(kept), err)
	}
}

// A bit that flips in the middle is damage, and nothing may go on from there.
func TestWAL_everyFlippedBitIsNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, ends := writeLog(t, filepath.Join(dir, "first"), 4)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		path := filepath.Join(dir, fmt.Sprint(at))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		name := filepath.Join(path, filepath.Base(file))
		if err := os.WriteFile(name, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := OpenWAL(path, nil)
		if at >= ends[2] { // the last batch may be a write that was cut short
			if err != nil {
				t.Fatalf("byte %d, in the last batch: %v", at, err)
			}
			if got := valuesIn(t, w); !slices.Equal(got, upTo(3)) {
				t.Fatalf("byte %d: holds %q", at, got)
			}
			closeWAL(t, w)
			continue
		}
		frame := 0
		if i, _ := slices.BinarySearch(ends, at+1); at >= fileHeader && i > 0 {
			frame = ends[i-1]
		} else if at >= fileHeader {
			frame = fileHeader
		}
		if err == nil {
			t.Fatalf("byte %d: opened", at)
		}
		for _, want := range []string{name, fmt.Sprintf("offset %d:", frame), "certificate-dns restore", "certificate-dns recover"} {
			if !strings.Contains(err.Error(), want) {
				t.Fatalf("byte %d: %v, want %q in it", at, err, want)
			}
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, flipped) {
			t.Fatalf("byte %d: the damaged file was altered (%v)", at, err)
		}
	}
}

func TestWAL_recoverKeepsWhatIsReadable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	file, ends := writeLog(t, path, 5)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole[ends[1]+20] ^= 1
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	kept, found, lost, err := Recover(path)
	if err != nil || found != 4 || lost != 1 {
		t.Fatalf("recovered %d, lost %d, %v; want 4 and 1", found, lost, err)
	}
	if got, want := valuesIn(t, openWAL(t, path)), []string{"0", "1", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	if old, err := os.ReadFile(filepath.Join(kept, filepath.Base(file))); err != nil || !bytes.Equal(old, whole) {
		t.Errorf("the damaged storage was not kept: %v", err)
	}
}

func TestWAL_missingAndAlienFilesAreNoticed(t *testing.T) {
	t.Parallel()
	for title, spoil := range map[string]func(path string) error{
		"a log file before the last": func(path string) error { return os.Remove(filepath.Join(path, numbered(logPrefix, 4))) },
		"the snapshot":               func(path string) error { return os.Remove(filepath.Join(path, numbered(snapshotPrefix, 4))) },
		"the snapshot's end":         func(path string) error { return os.Truncate(filepath.Join(path, numbered(snapshotPrefix, 4)), 60) },
		"a log file's last batch":    func(path string) error { return os.Truncate(filepath.Join(path, numbered(logPrefix, 4)), 40) },
		"another log file in a place": func(path string) error {
			return os.Rename(filepath.Join(path, numbered(logPrefix, 7)), filepath.Join(path, numbered(logPrefix, 6)))
		},
	} {
		t.Run(title, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "storage")
			writeLog(t, path, 3)
			w := openWAL(t, path)
			w.minLog = 1
			if !snapshotNow(t, w) {
				t.Fatal("no snapshot")
			}
			w.snapshot = 0
			for i := range 6 {
				if i == 3 && w.Snapshot() == nil { // whose writing a crash prevents
					t.Fatal("no snapshot")
				}
				apply(t, w, Batch{Changes: []Change{txtChange("b.", fmt.Sprint(i))}})
			}
			closeWAL(t, w)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			w, err := OpenWAL(path, nil)
			if err == nil {
				err = errors.Join(w.Load(t.Context(), func(Batch) error { return nil }), w.Close())
			}
			if err == nil || !strings.Contains(err.Error(), "is damaged") {
				t.Errorf("%v, want damage", err)
			}
		})
	}
}

func TestWAL_snapshotReplacesTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	w := openWAL(t, path)
	w.minLog = 3000
	snapshots := 0
	for i := range 300 {
		apply(t, w, Batch{Changes: []Change{txtChange("a.", fmt.Sprint(i)), without(txtChange("a.", fmt.Sprint(i-1)))}})
		if write := w.Snapshot(); write != nil {
			snapshots++
			if err := write(sequence(Batch{Changes: []Change{txtChange("a.", fmt.Sprint(i))}})); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(path)
	if err != nil || snapshots < 3 || len(files) > 4 { // snapshot, log, lock, holder
		t.Errorf("%d snapshots left %v, %v", snapshots, files, err)
	}
	closeWAL(t, w)
	if got := contents(t, openWAL(t, path)); !slices.Equal(got, []string{`a. TXT "\x03299" 5 0`}) {
		t.Errorf("holds %q", got)
	}
}

func TestWAL_snapshotThatFailsLeavesTheLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	writeLog(t, path, 3)
	w := openWAL(t, path)
	w.minLog = 1
	err := w.Snapshot()(func(yield func(Batch, error) bool) { yield(Batch{}, errDisk) })
	if !errors.Is(err, errDisk) {
		t.Errorf("%v, want %v", err, errDisk)
	}
	apply(t, w, Batch{Changes: []Change{txtChange("a.", "3")}})
	closeWAL(t, w)
	w = openWAL(t, path)
	if got := valuesIn(t, w); !slices.Equal(got, upTo(4)) {
		t.Errorf("holds %q", got)
	}
}

func TestServer_snapshotsHoldEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	w := openWAL(t, path)
	w.minLog = 2000
	apply(t, w, Batch{Changes: []Change{txtChange("elsewhere.test.", "parked")}})
	s := startServer(t, testConfig(), w)
	for i := range 200 {
		put(t, s, fmt.Sprintf("n%d.example.com", i%20), fmt.Sprint(i))
		if err := s.PutDocument(t.Context(), fmt.Sprintf("account/%d", i%7), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := s.view.Load()
	closeWAL(t, w)
	if snapshots, err := filepath.Glob(filepath.Join(path, snapshotPrefix+"*")); err != nil || len(snapshots) != 1 {
		t.Fatalf("snapshots: %q, %v", snapshots, err)
	}
	got := startServer(t, testConfig(), openWAL(t, path)).view.Load()
	if got.count() != 200 || len(got.parked) != 1 {
		t.Errorf("%d records and %d set aside, want 200 and 1", got.count(), len(got.parked))
	}
	for l := range want.documents.all() {
		if value, _ := got.document(l.name()); value != l.value() {
			t.Errorf("%s = %q, want %q", l.name(), value, l.value())
		}
	}
}

func TestWAL_isOpenOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	w := openWAL(t, path)
	_, err := OpenWAL(path, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v, want the holder's pid", err)
	}
	if _, err := Restore(t.Context(), path, path); err == nil {
		t.Error("restored under a server")
	}
	if _, _, _, err := Recover(path); err == nil {
		t.Error("recovered under a server")
	}
	closeWAL(t, w)
	openWAL(t, path)
}

func TestWAL_errorsNameThePath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "storage")
	if _, err := OpenWAL(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}

// /dev/full takes no byte and cannot be cut: nothing can be appended any more.
func TestWAL_afterAFaultItTakesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	w := openWAL(t, path)
	s := startServer(t, testConfig(), w)
	put(t, s, "a.example.com", "kept")
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := w.file
	w.file = full
	for range 2 {
		if err := s.PutTXT(t.Context(), "a.example.com", "lost"); !errors.Is(err, ErrStorage) {
			t.Errorf("%v, want %v", err, ErrStorage)
		}
		w.file = file // too late
	}
	if rcode, got := answers(t, s, "a.example.com. TXT"); rcode != 0 || len(got) != 1 {
		t.Errorf("it answers %d %q", rcode, got)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeWAL(t, w)
	s = startServer(t, testConfig(), openWAL(t, path))
	if got, err := s.TXT("a.example.com"); err != nil || !slices.Equal(got, []string{"kept"}) {
		t.Errorf("after a restart %q, %v", got, err)
	}
}
