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
	return s.change(ctx, "put", name, value)
}

// DeleteTXT takes value away from the TXT values at name and leaves the others
// alone. Taking away what is not there is no error. Otherwise it is as PutTXT.
func (s *Server) DeleteTXT(ctx context.Context, name, value string) error {
	return s.change(ctx, "delete", name, value)
}

func (s *Server) change(ctx context.Context, verb, name, value string) error {
	canonical, err := canonicalName(name)
	if err != nil {
		return fmt.Errorf("%s TXT: %w", verb, err)
	}
	if s.view.Load() == nil {
		return ErrStopped
	}
	u := update{Change{Name: canonical, Value: value, Delete: verb == "delete"}, make(chan error, 1)}
	select {
	case s.updates <- u:
	case <-s.stop:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-u.done:
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
			u.done <- err
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
		s.log.Error("records cannot be stored", "count", len(changes), "error", err)
		err = fmt.Errorf("%w, nothing was changed: %w; mend it and try again", ErrStorage, err)
	} else {
		s.view.Store(next)
	}
	for _, u := range accepted {
		u.done <- err
	}
}
