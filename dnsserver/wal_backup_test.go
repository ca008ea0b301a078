package dnsserver

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

func TestBackup_ofARunningServerIsRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "storage"), filepath.Join(dir, "backup")
	w := openWAL(t, path)
	w.minLog = 1000
	s := startServer(t, testConfig(), w)
	for i := range 50 {
		put(t, s, "a.example.com", fmt.Sprint(i))
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Backup(t.Context(), path, out), out.Close()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a.example.com", "later")
	last := serialIn(t, s, "example.com.")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeWAL(t, w)
	kept, err := Restore(t.Context(), path, file)
	if err != nil {
		t.Fatal(err)
	}
	s = startServer(t, testConfig(), openWAL(t, path))
	if got, err := s.TXT("a.example.com"); err != nil || len(got) != 50 {
		t.Errorf("restored %q, %v", got, err)
	}
	if got := serialIn(t, s, "example.com."); !newerSerial(got, last) {
		t.Errorf("the serial is %d, and %d was served", got, last)
	}
	if got := contents(t, openWAL(t, kept)); !strings.Contains(strings.Join(got, "\n"), "later") {
		t.Errorf("what was there is not kept: %.200q", got)
	}
}

// A log file that the server is just beginning has no header yet.
func TestBackup_whileALogFileBegins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "storage")
	w := openWAL(t, path)
	s := startServer(t, testConfig(), w)
	put(t, s, "a.example.com", "v")
	for _, begun := range []string{"", logMagic} {
		if err := os.WriteFile(filepath.Join(path, numbered(logPrefix, w.next)), []byte(begun), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Backup(t.Context(), path, &out); err != nil || out.Len() == 0 {
			t.Errorf("with a file of %d bytes: %d bytes, %v", len(begun), out.Len(), err)
		}
	}
}

func TestRestore_refusesADamagedBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "storage"), filepath.Join(dir, "backup")
	writeLog(t, path, 3)
	var out bytes.Buffer
	if err := Backup(t.Context(), path, &out); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 10, out.Len() / 2, out.Len() - 1} {
		if err := os.WriteFile(file, out.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), path, file); err == nil {
			t.Errorf("restored %d of %d bytes", n, out.Len())
		}
	}
	if got := valuesIn(t, openWAL(t, path)); len(got) != 3 {
		t.Errorf("the storage has %q", got)
	}
}

// writeBolt makes a file as versions before the log kept one.
func writeBolt(t testing.TB, path string, values, aliases map[string]string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(txtBucket))
		for name, value := range values {
			sum := sha256.Sum256([]byte(value))
			err = errors.Join(err, b.Put(append([]byte(name+"\x00"), sum[:]...), []byte(value)))
		}
		if aliases == nil {
			return err
		}
		b, aliasErr := tx.CreateBucket([]byte(aliasBucket))
		for name, target := range aliases {
			aliasErr = errors.Join(aliasErr, b.Put([]byte(name), []byte(target)))
		}
		return errors.Join(err, aliasErr)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestWAL_convertsAFileOfAnOlderVersionOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "records.db")
	writeBolt(t, path, map[string]string{"a.example.com.": "v", "b.example.com.": strings.Repeat("w", 600)}, map[string]string{"c.example.com.": "Target.test."})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(title string) {
		t.Helper()
		var log bytes.Buffer
		w, err := OpenWAL(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, w); len(got) != 3 || !strings.HasPrefix(got[2], "c.example.com. CNAME") {
			t.Errorf("%s: %.200q", title, got)
		}
		if said := strings.Contains(log.String(), "records=3") && strings.Contains(log.String(), path+".bbolt"); said != (title == "converted") {
			t.Errorf("%s: the log says %q", title, log.String())
		}
		closeWAL(t, w)
		if old, err := os.ReadFile(path + ".bbolt"); err != nil || !bytes.Equal(old, before) {
			t.Errorf("%s: the old file was not kept: %v", title, err)
		}
	}
	check("converted")
	check("opened again")
	if err := os.Rename(path, path+".converted"); err != nil { // where a crash may leave it
		t.Fatal(err)
	}
	check("finished")
}

// FuzzWAL checks that no bytes in the place of a log make opening panic or take
// memory without end, and that what opens can be appended to.
func FuzzWAL(f *testing.F) {
	file, ends := writeLog(f, filepath.Join(f.TempDir(), "storage"), 3)
	whole, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:ends[1]+5])
	f.Add(append(slices.Clone(whole[:ends[1]]), "\xff\xff\xff\xff\xff\xff\xff\xff"...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "storage")
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, filepath.Base(file)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := OpenWAL(path, nil)
		if err != nil {
			return
		}
		defer closeWAL(t, w)
		if err := w.Load(t.Context(), func(Batch) error { return nil }); err != nil {
			return
		}
		apply(t, w, Batch{Changes: []Change{txtChange("a.", "v")}})
		if got := valuesIn(t, w); len(got) == 0 || got[len(got)-1] != "v" {
			t.Errorf("holds %q", got)
		}
	})
}

// FuzzBatch checks that reading a batch gives back what was written, and that
// no bytes make it panic.
func FuzzBatch(f *testing.F) {
	f.Add(appendBatch(nil, Batch{
		Changes:   []Change{{Name: "a.", Type: 16, TTL: 5, Data: "\x01v", Expires: 7}, {Name: "b.", Op: DeleteRecord}},
		Documents: []Document{{Key: "k", Value: []byte("v")}, {Key: "l", Delete: true}},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeBatch(data)
		if err != nil {
			return
		}
		again, err := decodeBatch(appendBatch(nil, b))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(b) {
			t.Errorf("%v became %v, %v", b, again, err)
		}
	})
}
