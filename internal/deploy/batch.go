package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Grouped is a FileTarget of which several can belong to one server: a reload has
// it load the files of all. Server is equal for those; empty for one that always
// reloads by itself.
type Grouped interface{ Server() string }

// serverOf tells which deployments on a machine can share a reload.
func serverOf(target FileTarget) string {
	if grouped, ok := target.(Grouped); ok {
		return grouped.Server()
	}
	return ""
}

// identity joins words that make a server another one.
func identity(words ...string) string { return strings.Join(words, "\x00") }

// batch is deployments to one server, on one machine, whose files are in place
// and passed the server's test, and that wait for one reload. Each wrote and
// tested in its own turn: one whose test fails has put its files back before the
// next one writes, so what the reload finds passed a test as a whole.
type batch struct {
	members  []*deployment
	ready    chan struct{} // closed when nobody is on the way who could join
	woken    bool          // ready is closed
	over     bool          // the server was told
	reloaded bool
	err      error
	proven   atomic.Bool // a member saw its certificate served, so the reload was one
}

// failed waits until every member is at its end, and reports whether it is for
// nothing but having been together that they can have failed.
func (b *batch) failed(ctx context.Context) bool {
	for _, d := range b.members {
		select {
		case <-d.turn.over:
		case <-ctx.Done():
			return false
		}
	}
	return len(b.members) > 1 && !b.proven.Load()
}

// load has the server load the files, together with those of other deployments
// to it that are at work: whoever first has the turn again reloads for all.
func (d *deployment) load(ctx context.Context) (bool, error) {
	if d.turn.server == "" {
		return d.tell(ctx)
	}
	b := d.turn.join(d)
	d.turn.leave()
	select {
	case <-b.ready:
	case <-ctx.Done():
	}
	d.turn.retake(ctx)
	switch {
	case b.over:
	case ctx.Err() != nil:
		d.turn.part(b, d)
		return false, ctx.Err()
	default:
		d.turn.begin(b)
		b.load(ctx, d)
	}
	d.batch = b
	return b.reloaded, b.err
}

// load tells the server for all. Where that fails it is not known by whose files:
// all are put back, and the server is brought up with the old ones.
func (b *batch) load(ctx context.Context, leader *deployment) {
	b.over = true
	for _, d := range b.members {
		d.activated = true
	}
	if b.reloaded, b.err = leader.tell(ctx); b.err == nil || len(b.members) == 1 {
		if len(b.members) > 1 {
			leader.job.Logger.InfoContext(ctx, "one reload for several deployments", "deployments", len(b.members))
		}
		return
	}
	ctx, cancel := outlive(ctx, rollbackTimeout, rollbackTimeoutCanceled)
	defer cancel()
	leader.job.Logger.WarnContext(ctx, "a reload for several deployments failed; each is put back and tried by itself", "deployments", len(b.members), "error", b.err)
	for _, d := range b.members {
		if _, err := d.restore(ctx); err != nil {
			b.err = errors.Join(b.err, fmt.Errorf("restore the files of another deployment: %w", err))
		}
	}
	if err := leader.activate(ctx); err != nil {
		b.err = errors.Join(b.err, err)
	}
}

// join adds a deployment to the batch of its server.
func (t *turn) join(d *deployment) *batch {
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	b := t.host.batches[t.server]
	if b == nil {
		b = &batch{ready: make(chan struct{})}
		t.host.batches[t.server] = b
	}
	b.members = append(b.members, d)
	return b
}

// part takes a deployment out of a batch that did not begin.
func (t *turn) part(b *batch, d *deployment) {
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	b.members = slices.DeleteFunc(b.members, func(one *deployment) bool { return one == d })
	if len(b.members) == 0 {
		delete(t.host.batches, t.server)
	}
}

// begin closes a batch to further deployments.
func (t *turn) begin(b *batch) {
	t.locks.mu.Lock()
	defer t.locks.mu.Unlock()
	if t.host.batches[t.server] == b {
		delete(t.host.batches, t.server)
	}
}
