//go:build linux

package deploy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Fault 28. The disk is full from the Nth block on.
func TestDeploy_diskFull(t *testing.T) {
	f := newFixture(t)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		f.diskFullFrom(t) // without the right to mount, the transport says it
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	f.FullchainPath, f.PrivateKeyPath = filepath.Join(small, "fullchain.pem"), filepath.Join(small, "key.pem")
	f.WriteConfig(t, "")
	f.WritePair(t, f.old.Chain, f.old.Key)
	f.Reload(t)
	filler := filepath.Join(small, "filler")
	succeeded, failed := 0, 0
	for free := range 14 { // pages of 4 KiB that are left
		if err := os.WriteFile(filler, make([]byte, max(0, 13-free)*4096), 0o600); err != nil {
			t.Fatal(err)
		}
		before := state(t, small)
		_, err := Deploy(t.Context(), f.jobFor(t, f.options()))
		if err == nil {
			succeeded++
			break
		}
		failed++
		_ = wantRollback(t, err, true)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages free: %v, want ENOSPC", free, err)
		}
		noKeys(t, err.Error(), f.old.Key, f.fresh.Key)
		f.wantRestored(t, before)
	}
	if failed < 3 || succeeded != 1 {
		t.Errorf("failed %d times, succeeded %d times; want several and one", failed, succeeded)
	}
}

// diskFullFrom has no space left from the Nth file on.
func (f *fixture) diskFullFrom(t *testing.T) {
	t.Helper()
	before := state(t, f.tls())
	for from := range 5 { // two backups, the journal, two files
		job := f.job
		job.Machine = &fullDisk{f.machine, from}
		_, err := Deploy(t.Context(), job)
		_ = wantRollback(t, err, true)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("no space from file %d: %v, want ENOSPC", from, err)
		}
		f.wantRestored(t, before)
	}
}

type fullDisk struct {
	transport.Transport
	left int
}

func (d *fullDisk) Stage(ctx context.Context, path string, data []byte, attributes transport.Attributes) (transport.Staged, error) {
	if d.left--; d.left < 0 {
		return transport.Staged{}, syscall.ENOSPC
	}
	return d.Transport.Stage(ctx, path, data, attributes)
}

// readOnly makes a directory read-only, for root too where it may mount, and
// returns the error that writing there gives.
func readOnly(t *testing.T, directory string) error {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(directory, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(directory, 0o700) })
		return syscall.EACCES
	}
	if err := syscall.Mount(directory, directory, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", directory, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	return syscall.EROFS
}

func TestDeploy_readOnlyDirectory(t *testing.T) {
	f := newFixture(t)
	denied := readOnly(t, f.tls())
	before := state(t, f.tls())
	if err := CheckPaths(t.Context(), f.machine, f.job.Target, ""); !errors.Is(err, denied) {
		t.Errorf("CheckPaths = %v, want %v", err, denied)
	}
	_, err := Deploy(t.Context(), f.job)
	failure := wantRollback(t, err, true)
	if failure != nil && (!errors.Is(failure.Cause, denied) || !strings.Contains(failure.Truth, "the old certificate is served")) {
		t.Errorf("cause = %v, truth = %s", failure.Cause, failure.Truth)
	}
	f.wantRestored(t, before)
}

func TestDeploy_ownerAndModeSurviveARollback(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 { // only root can give files away
		uid, gid = 12, 34
	}
	f := newFixture(t)
	if err := errors.Join(os.Chown(f.PrivateKeyPath, uid, gid), os.Chmod(f.PrivateKeyPath, 0o440)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		info, err := os.Stat(f.PrivateKeyPath)
		if err != nil {
			t.Fatal(err)
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		if info.Mode() != fs.FileMode(0o440) || int(stat.Uid) != uid || int(stat.Gid) != gid {
			t.Errorf("key has mode %v, owner %d:%d", info.Mode(), stat.Uid, stat.Gid)
		}
	}
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	_ = wantRollback(t, err, true)
	check()
	f.WriteConfig(t, "")
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	check()
	text, err := os.ReadFile(f.PrivateKeyPath)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := pki.ParseKey(text); err != nil || key.Matches(f.fresh.Chain[0]) != nil {
		t.Errorf("the key is not the new one: %v", err)
	}
}

// A file with a second name is replaced, not written over: whoever reads it sees
// the whole old or new content. The second name keeps the old one, which is said.
func TestDeploy_hardLinksAreSevered(t *testing.T) {
	f := newFixture(t)
	second := filepath.Join(t.TempDir(), "second.pem")
	if err := os.Link(f.FullchainPath, second); err != nil {
		t.Fatal(err)
	}
	f.WriteConfig(t, "no_such_directive on;")
	before := state(t, f.tls())
	_, err := Deploy(t.Context(), f.job)
	_ = wantRollback(t, err, true)
	f.wantRestored(t, before)
	if err := errors.Join(os.Remove(second), os.Link(f.FullchainPath, second)); err != nil { // the way back severed it too
		t.Fatal(err)
	}
	f.WriteConfig(t, "")
	result, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Warnings) != 1 || !strings.Contains(result.Warnings[0], f.FullchainPath+" had 2 names") {
		t.Errorf("warnings = %q, want the file with two names", result.Warnings)
	}
	f.wantServed(t, f.fresh)
	held, err := os.ReadFile(second)
	if err != nil || string(held) != string(pki.EncodeCertificates(f.old.Chain...)) {
		t.Errorf("the second name leads to other content (%v)", err)
	}
}
