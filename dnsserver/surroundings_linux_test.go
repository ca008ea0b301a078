package dnsserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// mounted is a small file system of its own, which only root can make.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a file system can be mounted by root alone")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no file system can be mounted here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// A full disk refuses changes and nothing else; when there is room again they
// are taken, and a restart has what was acknowledged.
func TestWAL_fullDisk(t *testing.T) {
	folder := mounted(t, "size=256k")
	w := openWAL(t, filepath.Join(folder, "storage"))
	s := startServer(t, testConfig(), w)
	value := strings.Repeat("x", 2000)
	acknowledged := 0
	var full error
	for full == nil && acknowledged < 1000 {
		if full = s.PutTXT(t.Context(), fmt.Sprintf("n%d.example.com", acknowledged), value); full == nil {
			acknowledged++
		}
	}
	if !errors.Is(full, ErrStorage) || !errors.Is(full, syscall.ENOSPC) || acknowledged < 20 {
		t.Fatalf("after %d changes: %v, want a full disk", acknowledged, full)
	}
	if reply, err := dns.Exchange(ask("n1.example.com. TXT"), s.Addr().String()); err != nil || reply.Rcode != dns.RcodeSuccess {
		t.Errorf("a query while the disk is full: %v, %v", reply, err)
	}
	if reply, err := dns.Exchange(ask(fmt.Sprintf("n%d.example.com. TXT", acknowledged)), s.Addr().String()); err != nil || reply.Rcode != dns.RcodeNameError {
		t.Errorf("what was refused: %v, %v; want it not there", reply, err)
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "after.example.com", "there is room again")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeWAL(t, w)
	again := startServer(t, testConfig(), openWAL(t, filepath.Join(folder, "storage")))
	for n := range acknowledged {
		if got, err := again.TXT(fmt.Sprintf("n%d.example.com", n)); err != nil || len(got) != 1 {
			t.Fatalf("acknowledged value %d of %d: %q, %v", n, acknowledged, got, err)
		}
	}
	if got, err := again.TXT("after.example.com"); err != nil || len(got) != 1 {
		t.Errorf("what came when there was room: %q, %v", got, err)
	}
}

// A folder that cannot be written is said at the start, by its name.
func TestWAL_readOnlyFolder(t *testing.T) {
	folder := mounted(t, "size=1m")
	path := filepath.Join(folder, "storage")
	closeWAL(t, openWAL(t, path))
	if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if w, err := OpenWAL(path, nil); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), path) {
		if err == nil {
			closeWAL(t, w)
		}
		t.Errorf("read-only: %v, want %v and the path", err, syscall.EROFS)
	}
}

// An address that somebody has is named, and nothing listens then.
func TestServer_addressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	s, err := New(testConfig(), NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0", taken.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("%v, want %v and the address", err, syscall.EADDRINUSE)
	}
	if addrs := s.Addrs(); len(addrs) > 0 {
		if conn, err := net.DialTimeout("tcp", addrs[0].String(), time.Second); err == nil {
			_ = conn.Close()
			t.Error("the other address is listened at")
		}
	}
}
