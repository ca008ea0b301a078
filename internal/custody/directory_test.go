package custody_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"

	"github.com/certiform/terraform-provider-certificate/internal/custody"
	"github.com/certiform/terraform-provider-certificate/internal/custody/custodytest"
)

func TestDirectory_conformance(t *testing.T) {
	custodytest.Run(t, func(t *testing.T) func() custody.Store {
		root := filepath.Join(t.TempDir(), "state")
		return func() custody.Store { return openDirectory(t, root) }
	})
}

func TestDirectory_modes(t *testing.T) {
	top := t.TempDir()
	store := openDirectory(t, filepath.Join(top, "made", "state"))
	if err := store.Put(t.Context(), "keys/deep/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	unlock, err := store.Lock(t.Context(), "lineages/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unlock() }()
	err = filepath.WalkDir(filepath.Join(top, "made"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirectory_openingCreatesNothing(t *testing.T) {
	top := t.TempDir()
	store := openDirectory(t, filepath.Join(top, "a", "b"))
	if _, err := store.Get(t.Context(), "keys/a"); !errors.Is(err, custody.ErrNotFound) {
		t.Errorf("Get before the directory exists: %v, want ErrNotFound", err)
	}
	if keys, err := store.List(t.Context(), ""); err != nil || len(keys) != 0 {
		t.Errorf("List before the directory exists = %q, %v; want none", keys, err)
	}
	wantEmpty(t, top)
}

func TestDirectory_leftoversAreClearedUnlessTheirWriterLives(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	store := openDirectory(t, root)
	if err := store.Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	leftover := filepath.Join(root, "keys", ".tmp-1234")
	if err := os.WriteFile(leftover, []byte("half a va"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := store.List(t.Context(), ""); err != nil || len(keys) != 1 {
		t.Errorf("List with a leftover = %q, %v; want only keys/a", keys, err)
	}

	release := holdWriters(t, root)
	openDirectory(t, root)
	if _, err := os.Stat(leftover); err != nil {
		t.Errorf("the file of a living writer was removed: %v", err)
	}
	release()
	openDirectory(t, root)
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

// Runs that open a storage at the same moment clear each other's traces.
func TestDirectory_openedByManyAtOnce(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	if err := openDirectory(t, root).Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 100 {
				if _, err := custody.OpenDirectory(root); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func TestDirectory_rootOpenedToOthersIsRefusedLater(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	store := openDirectory(t, root)
	if err := store.Put(t.Context(), "keys/a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o750); err != nil {
		t.Fatal(err)
	}
	_, lockErr := store.Lock(t.Context(), "lineages/a")
	for method, err := range map[string]error{"Put": store.Put(t.Context(), "keys/a", []byte("b")), "Lock": lockErr} {
		if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), "chmod 700 "+root) {
			t.Errorf("%s: %v, want ErrUnusable that names chmod 700", method, err)
		}
	}
}

func TestWritable(t *testing.T) {
	top := t.TempDir()
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(filepath.Join(top, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	wide, narrow := filepath.Join(top, "wide"), filepath.Join(top, "narrow")
	for dir, mode := range map[string]fs.FileMode{wide: 0o755, narrow: 0o700} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, hint string }{
		{"its own directory", narrow, ""},
		{"not there, but could be made", filepath.Join(narrow, "a", "b"), ""},
		{"empty", "", "the path is empty"},
		{"an unexpanded home", "~/state", `pathexpand("~/state")`},
		{"a file", file, "is a file"},
		{"below a file", filepath.Join(file, "a", "b"), "not a directory"},
		{"open to others", wide, "chmod 700 " + wide},
		{"a link to nowhere", link, "link to nowhere"},
		{"below a link to nowhere", filepath.Join(link, "a"), "link to nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := custody.Writable(c.path)
			if c.hint == "" {
				if err != nil {
					t.Errorf("Writable: %v", err)
				}
				return
			}
			if !errors.Is(err, custody.ErrUnusable) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("Writable: %v, want ErrUnusable that says %q", err, c.hint)
			}
			if _, err := custody.OpenDirectory(c.path); !errors.Is(err, custody.ErrUnusable) {
				t.Errorf("OpenDirectory: %v, want ErrUnusable", err)
			}
		})
	}
	wantEmpty(t, narrow)
}

// holdWriters makes the directory look as if a writer were at work.
func holdWriters(t *testing.T, root string) (release func()) {
	t.Helper()
	writers := flock.New(filepath.Join(root, "locks", ".writers"))
	if err := writers.RLock(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := writers.Close(); err != nil {
			t.Error(err)
		}
	}
}

func openDirectory(t *testing.T, root string) *custody.Directory {
	t.Helper()
	store, err := custody.OpenDirectory(root)
	if err != nil {
		t.Fatalf("OpenDirectory: %v", err)
	}
	return store
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, entries, err)
	}
}
