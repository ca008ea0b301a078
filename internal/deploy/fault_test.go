//go:build linux

package deploy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Fault 28. The disk is full from the Nth block on.
func TestDeploy_diskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small filesystem needs root")
	}
	f := newFixture(t)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		t.Skipf("mounting a small filesystem is not allowed here: %v", err)
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
		wantRollback(t, err, true)
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

func TestDeploy_readOnlyFilesystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	f := newFixture(t)
	if err := syscall.Mount(f.tls(), f.tls(), "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(f.tls(), syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mount("", f.tls(), "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("mounting is not allowed here: %v", err)
	}
	before := state(t, f.tls())
	if err := CheckPaths(t.Context(), f.machine, f.job.Target, ""); !errors.Is(err, syscall.EROFS) {
		t.Errorf("CheckPaths = %v, want EROFS", err)
	}
	_, err := Deploy(t.Context(), f.job)
	failure := wantRollback(t, err, false)
	if failure != nil && (!errors.Is(failure.Cause, syscall.EROFS) || !strings.Contains(failure.Truth, "the old certificate is served")) {
		t.Errorf("cause = %v, truth = %s", failure.Cause, failure.Truth)
	}
	f.wantRestored(t, before)
}

func TestDeploy_ownerAndModeSurviveARollback(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("giving files away needs root")
	}
	f := newFixture(t)
	if err := errors.Join(os.Chown(f.PrivateKeyPath, 12, 34), os.Chmod(f.PrivateKeyPath, 0o440)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		info, err := os.Stat(f.PrivateKeyPath)
		if err != nil {
			t.Fatal(err)
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		if info.Mode() != fs.FileMode(0o440) || stat.Uid != 12 || stat.Gid != 34 {
			t.Errorf("key has mode %v, owner %d:%d", info.Mode(), stat.Uid, stat.Gid)
		}
	}
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	wantRollback(t, err, true)
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
