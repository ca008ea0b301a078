package challenge

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tree lists what is below a folder.
func tree(t testing.TB, root string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if path != root && err == nil {
			found = append(found, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustLocate(t testing.TB, s Locator, records []Record) []Record {
	t.Helper()
	located, err := s.Locate(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	return located
}

func TestWebroot_writesWhatAWebServerShows(t *testing.T) {
	t.Parallel()
	for sentence, there := range map[string]string{
		"nothing is there":            "",
		"the outer folder is there":   "/.well-known",
		"both folders are there":      "/.well-known/acme-challenge",
		"others have something there": "/.well-known/acme-challenge/other",
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if err := os.MkdirAll(root+there, 0o755); err != nil {
				t.Fatal(err)
			}
			before := tree(t, root)
			server := httptest.NewServer(http.FileServer(http.Dir(root)))
			defer server.Close()
			s := NewWebrootSolver(root)
			records := mustLocate(t, s, newRecords(t, HTTP01, "a.test", "b.test"))
			if got := tree(t, root); !slices.Equal(got, before) {
				t.Errorf("locating wrote: %q, want %q", got, before)
			}
			for range 2 { // again is no error
				if err := s.Present(t.Context(), records); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range records {
				if status, body := fetch(t, server.Listener.Addr().String(), r); status != http.StatusOK || body != r.Value {
					t.Errorf("%s: %d %q, want %q", r.Name, status, body, r.Value)
				}
			}
			for range 2 {
				if err := s.Withdraw(t.Context(), records); err != nil {
					t.Fatal(err)
				}
			}
			if got := tree(t, root); !slices.Equal(got, before) {
				t.Errorf("left behind: %q, want %q", got, before)
			}
		})
	}
}

// A run that was killed has left its files, a half-written one among them; the
// next one knows from the journal which folders to remove with them.
func TestWebroot_anotherProcessCleansUp(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	killed := NewWebrootSolver(root)
	records := mustLocate(t, killed, newRecords(t, HTTP01, "a.test", "b.test"))
	if err := killed.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(records[0].Target, draft(records[0].Target)); err != nil {
		t.Fatal(err)
	}
	if err := NewWebrootSolver(root).Withdraw(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, root); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// Orders come and go at once, in one process and in several: whenever one has
// written its file it is there, and in the end nothing is.
func TestWebroot_sharedByManyOrders(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	solvers := []*WebrootSolver{NewWebrootSolver(root), NewWebrootSolver(root)}
	var orders sync.WaitGroup
	for n := range 8 {
		s := solvers[n%len(solvers)]
		orders.Go(func() {
			for round := range 30 {
				r, err := NewRecord(HTTP01, "a.test", fmt.Sprintf("token-%d-%d", n, round), "authorization")
				if err != nil {
					t.Error(err)
					return
				}
				records, err := s.Locate(t.Context(), []Record{r})
				if err == nil {
					err = s.Present(t.Context(), records)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if text, err := os.ReadFile(records[0].Target); err != nil || string(text) != r.Value {
					t.Errorf("%q, %v, want %q", text, err, r.Value)
				}
				if err := s.Withdraw(t.Context(), records); err != nil {
					t.Error(err)
				}
			}
		})
	}
	orders.Wait()
	for _, name := range tree(t, root) {
		if info, err := os.Stat(root + name); err != nil || !info.IsDir() {
			t.Errorf("left behind: %s", name)
		}
	}
}

func TestWebroot_namesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct {
		root string
		is   error
	}{
		"a folder that is not there": {filepath.Join(root, "missing"), fs.ErrNotExist},
		"a file":                     {file, nil},
	} {
		_, err := NewWebrootSolver(test.root).Locate(t.Context(), newRecords(t, HTTP01, "a.test"))
		wantParts(t, err, test.root, "validation.http_01.webroot")
		if test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: %v, want %v", sentence, err, test.is)
		}
	}
	s := NewWebrootSolver(root)
	records := mustLocate(t, s, newRecords(t, HTTP01, "a.test"))
	if err := os.WriteFile(filepath.Join(root, ".well-known"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantParts(t, s.Present(t.Context(), records), "a.test", ".well-known", "allowed to write")
}

// The order was begun with listen, then the configuration was changed.
func TestHTTP01_goesOnAfterAChangeOfTheWay(t *testing.T) {
	t.Parallel()
	root, records := t.TempDir(), newRecords(t, HTTP01, "a.test")
	s := NewWebrootSolver(root)
	if err := s.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, ".well-known", "acme-challenge", "token0")
	if text, err := os.ReadFile(file); err != nil || string(text) != records[0].Value {
		t.Errorf("%q, %v, want %q", text, err, records[0].Value)
	}
	if err := s.Withdraw(t.Context(), records); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want the file to be gone", err)
	}
	listening := newHTTP01(t)
	located := mustLocate(t, s, records)
	if err := listening.Present(t.Context(), located); err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, listening.address, located[0]); status != http.StatusOK || body != located[0].Value {
		t.Errorf("%d %q, want %q", status, body, located[0].Value)
	}
	if err := listening.Withdraw(t.Context(), located); err != nil {
		t.Error(err)
	}
}
