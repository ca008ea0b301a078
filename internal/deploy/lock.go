package deploy

import (
	"context"
	"sync"
)

// Locks lets one deployment at a time onto a machine, within this process. The
// zero value is ready; one value is shared by all deployments.
type Locks struct {
	mu    sync.Mutex
	hosts map[string]chan struct{}
}

// Lock waits for the host's turn or the end of ctx. The caller calls unlock once.
func (l *Locks) Lock(ctx context.Context, host string) (unlock func(), err error) {
	l.mu.Lock()
	if l.hosts == nil {
		l.hosts = map[string]chan struct{}{}
	}
	turn, ok := l.hosts[host]
	if !ok {
		turn = make(chan struct{}, 1)
		l.hosts[host] = turn
	}
	l.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
