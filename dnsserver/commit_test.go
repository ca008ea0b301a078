package dnsserver

import (
	"context"
	"fmt"
	"runtime"
	"slices"
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

// A snapshot is written of all there is, however unhurried.
func TestUnhurried_leavesNothingOut(t *testing.T) {
	content := func(yield func(Batch, error) bool) {
		_ = yield(Batch{Changes: []Change{txtChange("a.example.com.", "1")}}, nil) &&
			yield(Batch{Documents: []Document{{Key: "account/1"}}}, nil) && yield(Batch{}, errDisk)
	}
	var got []string
	for b, err := range unhurried(content, nil) {
		got = append(got, fmt.Sprint(len(b.Changes), len(b.Documents), err))
	}
	if want := []string{"1 0 <nil>", "0 1 <nil>", "0 0 " + errDisk.Error()}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, err := range unhurried(content, nil) {
		if err != nil {
			t.Error(err)
		}
		break // and the content is not asked for more
	}
}
