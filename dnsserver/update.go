package dnsserver

import (
	"context"
	"fmt"
)

// maxBatch bounds how many changes share one transaction.
const maxBatch = 1024

// update is a change on its way to the one goroutine that makes changes.
type update struct {
	change Change
	done   chan error // has room for the one result
}

// PutTXT makes value one of the TXT values at name and leaves the others
// alone. Doing it again changes nothing. When it returns nil the value
// survives a crash and is in the next answer. The error wraps ErrNotInZone,
// ErrConflict, ErrTooLarge, ErrStorage or ErrStopped. When ctx ends first, the
// change may or may not be made; making it again is safe.
func (s *Server) PutTXT(ctx context.Context, name, value string) error {
	return s.change(ctx, "put TXT", Change{Name: name, Value: value})
}

// DeleteTXT takes value away from the TXT values at name and leaves the others
// alone. Taking away what is not there is no error. Otherwise it is as PutTXT.
func (s *Server) DeleteTXT(ctx context.Context, name, value string) error {
	return s.change(ctx, "delete TXT", Change{Name: name, Value: value, Delete: true})
}

// PutCNAME makes name an alias of target, in the place of another CNAME that
// PutCNAME put there. Beside other records there is no CNAME: ErrConflict.
// Otherwise it is as PutTXT.
func (s *Server) PutCNAME(ctx context.Context, name, target string) error {
	target, err := absoluteName(target)
	if err != nil {
		return fmt.Errorf("put CNAME: the target: %w", err)
	}
	return s.change(ctx, "put CNAME", Change{Name: name, Value: target, Alias: true})
}

// DeleteCNAME takes the CNAME at name away if it leads to target. Otherwise it is
// as DeleteTXT.
func (s *Server) DeleteCNAME(ctx context.Context, name, target string) error {
	target, err := absoluteName(target)
	if err != nil {
		return fmt.Errorf("delete CNAME: the target: %w", err)
	}
	return s.change(ctx, "delete CNAME", Change{Name: name, Value: target, Alias: true, Delete: true})
}

// CNAME returns where name leads, as PutCNAME was told; empty without one. The
// error wraps ErrNotInZone, ErrConflict or ErrStopped.
func (s *Server) CNAME(name string) (string, error) {
	canonical, err := canonicalName(name)
	if err != nil {
		return "", fmt.Errorf("look up CNAME: %w", err)
	}
	v := s.view.Load()
	if v == nil {
		return "", ErrStopped
	}
	if _, err := v.place(canonical); err != nil {
		return "", err
	}
	if l := v.table.get(canonical); l != nil {
		return display(l.alias), nil
	}
	return "", nil
}

func (s *Server) change(ctx context.Context, what string, c Change) error {
	canonical, err := canonicalName(c.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	c.Name = canonical
	if s.view.Load() == nil {
		return ErrStopped
	}
	u := update{c, make(chan error, 1)}
	select {
	case s.updates <- u:
	case <-s.stop:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-u.done:
		if err == nil {
			s.changed(ctx, c)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TXT returns the TXT values served at name, configured ones included: an
// empty slice when there are none. The error wraps ErrNotInZone, ErrConflict
// or ErrStopped.
func (s *Server) TXT(name string) ([]string, error) {
	canonical, err := canonicalName(name)
	if err != nil {
		return nil, fmt.Errorf("look up TXT: %w", err)
	}
	v := s.view.Load()
	if v == nil {
		return nil, ErrStopped
	}
	z, err := v.place(canonical)
	if err != nil {
		return nil, err
	}
	return v.values(z, canonical), nil
}

// write makes changes, one batch after another, until Shutdown. Changes that
// arrive while one batch is being stored make up the next, so the cost of a
// disk flush is shared and the order in the store is the order in the view.
func (s *Server) write() {
	for {
		select {
		case <-s.stop:
			return
		case u := <-s.updates:
			s.commit(s.gather(u))
		}
	}
}

// gather adds the changes that are waiting to the first one.
func (s *Server) gather(first update) []update {
	batch := []update{first}
	for len(batch) < maxBatch {
		select {
		case u := <-s.updates:
			batch = append(batch, u)
		default:
			return batch
		}
	}
	return batch
}

// commit stores a batch, then shows it, then acknowledges it. A change that
// would alter nothing is stored too: after a fault the store may hold what the
// view does not.
func (s *Server) commit(batch []update) {
	next := s.view.Load()
	var accepted []update
	var changes []Change
	for _, u := range batch {
		v, err := next.with(u.change)
		if err != nil {
			s.counters.refusedChanges.Add(1)
			u.done <- err
			continue
		}
		if l := next.table.get(u.change.Name); v == next && u.change.Alias && u.change.Delete && l != nil && l.alias != "" {
			u.done <- nil // the CNAME there is another one, and stays
			continue
		}
		next = v
		accepted = append(accepted, u)
		changes = append(changes, u.change)
	}
	if len(changes) == 0 {
		return
	}
	// A change that has begun is finished: no caller's context may undo a batch
	// that others share.
	err := s.store.Apply(context.Background(), changes)
	if err != nil {
		s.counters.storageFaults.Add(uint64(len(changes)))
		s.storageFault.Store(true)
		s.log.Error("records cannot be stored", "count", len(changes), "error", err)
		err = fmt.Errorf("%w, nothing was changed: %w; mend it and try again", ErrStorage, err)
	} else {
		s.counters.changes.Add(uint64(len(changes)))
		s.storageFault.Store(false)
		s.view.Store(next)
	}
	for _, u := range accepted {
		u.done <- err
	}
}
