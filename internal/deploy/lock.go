package deploy

import (
	"context"
	"sync"
)

// Locks lets one deployment at a time onto a machine, within this process. The
// zero value is ready; one value is shared by all deployments.
type Locks struct {
	mu    sync.Mutex
	hosts map[string]*shared
}

// shared is what the deployments to one machine have in common. All but turn is
// guarded by Locks.mu.
type shared struct {
	turn    chan struct{}
	coming  map[string]int           // deployments that wait for their turn, by server
	batches map[string]*batch        // those that wait for a reload, by server
	claimed map[string]chan struct{} // files of deployments at work; closed when that is over
}

func (l *Locks) host(name string) *shared {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hosts == nil {
		l.hosts = map[string]*shared{}
	}
	if l.hosts[name] == nil {
		l.hosts[name] = &shared{
			turn: make(chan struct{}, 1), coming: map[string]int{}, batches: map[string]*batch{}, claimed: map[string]chan struct{}{},
		}
	}
	return l.hosts[name]
}

// Lock waits for the host's turn or the end of ctx. The caller calls unlock once.
func (l *Locks) Lock(ctx context.Context, host string) (unlock func(), err error) {
	t := l.turn(host, "")
	if err := t.arrive(ctx); err != nil {
		return nil, err
	}
	return t.end, nil
}

// turn is one deployment's share of a machine. It can be given up for a while and
// taken again; the files that were claimed stay its own meanwhile.
type turn struct {
	locks  *Locks
	host   *shared
	server string // which others can share a reload; empty for none
	held   bool
	files  []string
	over   chan struct{}
}

func (l *Locks) turn(host, server string) *turn {
	return &turn{locks: l, host: l.host(host), server: server, over: make(chan struct{})}
}

// arrive takes the turn for the first time: until then others of the same server
// wait with their reload.
func (t *turn) arrive(ctx context.Context) error {
	t.locks.mu.Lock()
	t.host.coming[t.server]++
	t.locks.mu.Unlock()
	err := t.take(ctx)
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	t.host.coming[t.server]--
	if err != nil {
		t.host.wake()
	}
	return err
}

func (t *turn) take(ctx context.Context) error {
	select {
	case t.host.turn <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retake takes the turn again whatever became of ctx: what was begun is brought
// to an end in turn. Whoever has it gives it up: the same ctx ends its steps.
func (t *turn) retake(ctx context.Context) {
	if !t.held {
		_ = t.take(context.WithoutCancel(ctx)) // it has no end that could come first
	}
}

// leave gives up the turn, if it is held.
func (t *turn) leave() {
	if !t.held {
		return
	}
	t.locks.mu.Lock()
	t.host.wake()
	t.locks.mu.Unlock()
	t.held = false
	<-t.host.turn
}

// end gives up turn and files.
func (t *turn) end() {
	t.leave()
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	for _, file := range t.files {
		delete(t.host.claimed, file)
	}
	close(t.over)
}

// claim makes the files this deployment's own; where one of them is another's, it
// claims none and returns what is closed when that is over.
func (t *turn) claim(files []string) <-chan struct{} {
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	for _, file := range files {
		if over, ok := t.host.claimed[file]; ok {
			return over
		}
	}
	t.files = files
	for _, file := range files {
		t.host.claimed[file] = t.over
	}
	return nil
}

// wake has those batches begin that nobody on the way could join.
func (s *shared) wake() {
	for server, b := range s.batches {
		if s.coming[server] == 0 && !b.woken {
			b.woken = true
			close(b.ready)
		}
	}
}
