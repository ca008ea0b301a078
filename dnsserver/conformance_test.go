package dnsserver_test

import (
	"path/filepath"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/storetest"
)

func TestStore_memory(t *testing.T) {
	storetest.Run(t, dnsserver.NewMemoryStore(), func(s dnsserver.Store) dnsserver.Store { return s })
}

func openWAL(t *testing.T, path string) *dnsserver.WAL {
	t.Helper()
	w, err := dnsserver.OpenWAL(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // often closed before
	return w
}

func closeWAL(t *testing.T, s dnsserver.Store) {
	t.Helper()
	if err := s.(*dnsserver.WAL).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestStore_wal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storage")
	storetest.Run(t, openWAL(t, path), func(s dnsserver.Store) dnsserver.Store {
		closeWAL(t, s)
		return openWAL(t, path)
	})
}

// TestStore_walWithSnapshots takes a snapshot whenever it may, which must not
// alter what any other store does.
func TestStore_walWithSnapshots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storage")
	open := func() dnsserver.Store {
		w := openWAL(t, path)
		w.SnapshotAlways()
		return w
	}
	storetest.Run(t, open(), func(s dnsserver.Store) dnsserver.Store {
		s.(*dnsserver.WAL).SnapshotNow(t)
		closeWAL(t, s)
		return open()
	})
}
