package dnsserver

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// countingStore counts batches.
type countingStore struct {
	*MemoryStore
	batches atomic.Int64
}

func (s *countingStore) Apply(ctx context.Context, b Batch) error {
	s.batches.Add(1)
	return s.MemoryStore.Apply(ctx, b)
}

// Who changes something at the same time as others shares their flush of the
// disk, on one processor too, where only one of them runs at a time.
func TestUpdate_sharesAFlushOnOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	store := &countingStore{MemoryStore: NewMemoryStore()}
	s := startServer(t, updateConfig(), store)
	before := store.batches.Load()
	const clients, each = 32, 50
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := range each {
				if err := s.PutTXT(context.Background(), fmt.Sprintf("n%d-%d.example.com", c, n), "v"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if got := store.batches.Load() - before; got > clients*each/4 {
		t.Errorf("%d changes of %d clients at once took %d batches, want at most a quarter as many", clients*each, clients, got)
	}
}
