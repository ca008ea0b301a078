package dnsserver

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"
)

// gather adds to a batch, which has the first, the changes that are waiting.
// Those who are about to ask for one run first: without that, on few processors,
// whoever hands a change over wakes the writer, and each has a flush of the disk
// to itself.
func (s *Server) gather(batch []update) []update {
	for yielded := false; len(batch) < maxBatch; {
		select {
		case u := <-s.updates:
			batch, yielded = append(batch, u), false
		default:
			if yielded {
				return batch
			}
			runtime.Gosched()
			yielded = true
		}
	}
	return batch
}

// trial is what became of a batch of updates on the newest view.
type trial struct {
	draft    *draft
	accepted []update
	refused  []refusedUpdate
	batch    Batch // what is to be stored
}

type refusedUpdate struct {
	update update
	err    error
}

// try makes updates on the newest view. It may be done again on a newer one.
func (s *Server) try(batch []update) trial {
	t := trial{draft: newDraft(s.view.Load()), accepted: make([]update, 0, len(batch))}
	d, limits := t.draft, s.settings.Load().limits
	for zone, serial := range s.served {
		d.raise(zone, serial)
	}
	for _, u := range batch {
		before := d.view
		d.made = nil
		err := u.make(d)
		if err == nil {
			err = limits.fits(before, d.view)
		}
		if err != nil {
			d.view = before
			t.refused = append(t.refused, refusedUpdate{u, err})
			continue
		}
		u.made = d.made
		t.accepted = append(t.accepted, u)
	}
	if t.batch = d.finish(); !t.batch.empty() {
		t.batch.Documents = append(slices.Clip(s.unsaved), t.batch.Documents...)
	}
	return t
}

// commit stores a batch, then shows it, then acknowledges it.
func (s *Server) commit(batch []update) {
	t := trial{accepted: batch} // what there is when the store has not even a turn for it
	err := s.turn(func() Batch {
		t = s.try(batch)
		return t.batch
	})
	switch {
	case err != nil:
		err = s.notStored(t, err)
	case t.batch.empty() && t.draft.view != t.draft.old: // nothing to be kept, and other answers
		s.show(t.draft, t.batch)
	case !t.batch.empty():
		s.show(t.draft, t.batch)
		s.unsaved = nil
		clear(s.served)
		s.storageFault.Store(false)
		s.counters.changes.Add(uint64(len(t.batch.Changes)))
		s.stored(t.draft.old, t.batch)
	}
	for _, r := range t.refused {
		s.counters.refusedChanges.Add(1)
		r.update.done <- r.err
	}
	for _, u := range t.accepted {
		if err == nil {
			s.history.add(u.by, u.made)
		}
		u.done <- err
	}
	if err == nil {
		s.snapshot()
	}
}

// show puts a view that is stored in the place of the one before, and tells the
// secondaries.
func (s *Server) show(d *draft, b Batch) {
	s.remember(d, b, s.settings.Load().transferLog)
	s.view.Store(d.view)
	s.wakeFollowers(d, b)
}

// notStored says that a batch is not stored, or that nobody knows.
func (s *Server) notStored(t trial, err error) error {
	s.counters.storageFaults.Add(uint64(max(len(t.batch.Changes), 1)))
	if !s.storageFault.Swap(true) || s.shared == nil {
		s.log.Error("changes cannot be stored", "records", len(t.batch.Changes), "documents", len(t.batch.Documents), "error", err)
	}
	if errors.Is(err, ErrUnsure) {
		return fmt.Errorf("%w: %w; make the change again, which is safe", ErrStorage, err)
	}
	return fmt.Errorf("%w, nothing was changed: %w; mend it and try again", ErrStorage, err)
}

// snapshot gives a store that asks for it all that is kept, in the background:
// the view does not change any more.
func (s *Server) snapshot() {
	snapshotter, ok := s.store.(Snapshotter)
	if !ok {
		return
	}
	write := snapshotter.Snapshot()
	if write == nil {
		return
	}
	v := s.view.Load()
	s.running.Go(func() {
		if err := write(unhurried(v.content(s.stop), s.stop)); err != nil && !errors.Is(err, ErrStopped) {
			s.log.Error("no snapshot could be written; the log goes on", "error", err)
		}
	})
}

// unhurried pauses after each batch for as long as the batch took, so that who
// shares the processor waits for one at most. It does not once stop is closed.
func unhurried(content iter.Seq2[Batch, error], stop <-chan struct{}) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		began := time.Now()
		for b, err := range content {
			if !yield(b, err) {
				return
			}
			select {
			case <-stop:
			case <-time.After(time.Since(began)):
			}
			began = time.Now()
		}
	}
}
