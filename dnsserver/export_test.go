package dnsserver

import "testing"

// SnapshotAlways has a storage want a snapshot whenever it may take one.
func (w *WAL) SnapshotAlways() { w.minLog = 1 }

// SnapshotNow takes a snapshot of what the storage would load, if it wants one.
func (w *WAL) SnapshotNow(tb testing.TB) { snapshotNow(tb, w) }
