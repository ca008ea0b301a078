//go:build unix

package challenge

import (
	"os"
	"syscall"
	"testing"
)

// The web server is another user.
func TestWebroot_isReadableWhateverTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	root := t.TempDir()
	s := NewWebrootSolver(root)
	records := mustLocate(t, s, newRecords(t, HTTP01, "a.test"))
	if err := s.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	for _, name := range tree(t, root) {
		info, err := os.Stat(root + name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o444 != 0o444 || info.IsDir() && mode&0o111 != 0o111 || mode&0o022 != 0 {
			t.Errorf("%s has the mode %o, want all to read it and one to write it", name, mode)
		}
	}
	if err := s.Withdraw(t.Context(), records); err != nil {
		t.Error(err)
	}
}
