package custody

import (
	"context"
	"fmt"
	"sync"
)

// turns has the goroutines of a process take turns at each lock, so that only
// one of them asks the kernel or the database for it. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	slots map[string]chan struct{}
}

// take waits for the turn at name; done ends it.
func (q *turns) take(ctx context.Context, name string) (done func(), err error) {
	slot := q.slot(name)
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("lock %s: another operation of this run holds it: %w", name, ctx.Err())
	}
}

func (q *turns) slot(name string) chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.slots == nil {
		q.slots = map[string]chan struct{}{}
	}
	slot, ok := q.slots[name]
	if !ok {
		slot = make(chan struct{}, 1)
		q.slots[name] = slot
	}
	return slot
}
