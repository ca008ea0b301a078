package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxBatch bounds how many changes share one transaction.
const maxBatch = 1024

// maxKey bounds the key of a document, in bytes.
const maxKey = 1024

// update is a change on its way to the one goroutine that makes changes.
type update struct {
	by   actor
	make func(*draft) error // after an error nothing of it is kept; may be called again, the last call counts
	made []Change           // what that did to records
	done chan error         // has room for the one result
}

// PutTXT makes value one of the TXT values at name and leaves the others
// alone. Doing it again changes nothing. When it returns nil the value
// survives a crash and is in the next answer. The error wraps ErrNotInZone,
// ErrConflict, ErrTooLarge, ErrStorage or ErrStopped. When ctx ends first, the
// change may or may not be made; making it again is safe.
func (s *Server) PutTXT(ctx context.Context, name, value string) error {
	return s.changeAt(ctx, "put TXT", name, func(d *draft, name string) error { return d.putTXT(name, value) })
}

// DeleteTXT takes value away from the TXT values at name and leaves the others
// alone. Taking away what is not there is no error. Otherwise it is as PutTXT.
func (s *Server) DeleteTXT(ctx context.Context, name, value string) error {
	return s.changeAt(ctx, "delete TXT", name, func(d *draft, name string) error {
		return d.change(Change{Name: name, Type: dns.TypeTXT, Data: txtData(value), Op: DeleteRecord})
	})
}

// PutCNAME makes name an alias of target, in the place of another CNAME that
// PutCNAME put there. Beside other records there is no CNAME: ErrConflict.
// Otherwise it is as PutTXT.
func (s *Server) PutCNAME(ctx context.Context, name, target string) error {
	target, err := absoluteName(target)
	if err != nil {
		return fmt.Errorf("put CNAME: the target: %w", err)
	}
	return s.changeAt(ctx, "put CNAME", name, func(d *draft, name string) error { return d.putCNAME(name, target) })
}

// DeleteCNAME takes the CNAME at name away if it leads to target. Otherwise it is
// as DeleteTXT.
func (s *Server) DeleteCNAME(ctx context.Context, name, target string) error {
	target, err := absoluteName(target)
	if err != nil {
		return fmt.Errorf("delete CNAME: the target: %w", err)
	}
	return s.changeAt(ctx, "delete CNAME", name, func(d *draft, name string) error {
		return d.change(Change{Name: name, Type: dns.TypeCNAME, Data: nameData(target), Op: DeleteRecord})
	})
}

// Change makes changes together or not at all, under the rules of PutTXT. Names
// may be written as people write them. An error may also wrap ErrRecord.
func (s *Server) Change(ctx context.Context, changes ...Change) error {
	canonical := make([]Change, len(changes))
	for i, c := range changes {
		name, err := canonicalName(c.Name)
		if err != nil {
			return fmt.Errorf("change records: %w", err)
		}
		canonical[i] = c
		canonical[i].Name = name
	}
	return s.update(ctx, func(d *draft) error {
		for _, c := range canonical {
			if err := d.change(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// PutDocument keeps value under key, as durably as a record. The key's prefix
// says whose it is: "account/…". "serial/…" is the server's own.
func (s *Server) PutDocument(ctx context.Context, key string, value []byte) error {
	return s.keep(ctx, Document{Key: key, Value: value})
}

// DeleteDocument forgets what is kept under key. Forgetting what is not there
// is no error.
func (s *Server) DeleteDocument(ctx context.Context, key string) error {
	return s.keep(ctx, Document{Key: key, Delete: true})
}

func (s *Server) keep(ctx context.Context, doc Document) error {
	if doc.Key == "" || len(doc.Key) > maxKey || strings.HasPrefix(doc.Key, serialPrefix) || isCopyKey(doc.Key) {
		return fmt.Errorf("keep a document: %q cannot be its key", doc.Key)
	}
	return s.update(ctx, func(d *draft) error {
		d.keep(doc)
		return nil
	})
}

// Document returns what is kept under key, and whether anything is. The error
// is ErrStopped.
func (s *Server) Document(key string) (value []byte, ok bool, err error) {
	v := s.view.Load()
	if v == nil {
		return nil, false, ErrStopped
	}
	text, ok := v.document(key)
	return []byte(text), ok, nil
}

// Documents returns what is kept under keys that begin with prefix, in no
// order. It looks at every document, so it is for a start and for listings.
func (s *Server) Documents(prefix string) ([]Document, error) {
	v := s.view.Load()
	if v == nil {
		return nil, ErrStopped
	}
	var all []Document
	for l := range v.documents.all() {
		if strings.HasPrefix(l.name(), prefix) {
			all = append(all, Document{Key: l.name(), Value: []byte(l.value())})
		}
	}
	return all, nil
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
	return display(v.table.get(canonical).alias()), nil
}

// changeAt makes a change at a name that a person wrote.
func (s *Server) changeAt(ctx context.Context, what, name string, change func(d *draft, name string) error) error {
	canonical, err := canonicalName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return s.update(ctx, func(d *draft) error { return change(d, canonical) })
}

// update has the writer make a change. It is called with the state that all
// changes before it left; what it reads there stays true until it is stored.
// With a shared store it may be called again, on a newer state, and the last
// call counts. When update returns nil the change is durable and visible.
func (s *Server) update(ctx context.Context, change func(*draft) error) error {
	if s.view.Load() == nil {
		return ErrStopped
	}
	u := update{by: actorOf(ctx), make: change, done: make(chan error, 1)}
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

// read makes a view of all that is kept. A record that the configuration has no
// place for stays in the store, unanswered.
func (s *Server) read(ctx context.Context, zones map[string]*zone) (*view, error) {
	v := newView(zones)
	v.table.fill()
	v.documents.fill()
	var due expiries
	limit := s.settings.Load().transferLog
	err := s.store.Load(ctx, func(b Batch) error {
		s.recall(v, b, limit)
		v = v.loaded(b)
		for _, c := range b.Changes {
			due.add(c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the records: %w: %w", ErrStorage, err)
	}
	v.table, v.documents = v.table.filled(), v.documents.filled()
	for key := range v.parked {
		s.log.Warn("records outside the configuration are kept but not answered",
			"count", len(v.parked), "example", display(key.name))
		break
	}
	s.expiries = due
	return v, nil
}

// load reads all that is kept and makes the first view.
func (s *Server) load(ctx context.Context) (*view, error) {
	v, err := s.read(ctx, s.zones)
	if err != nil {
		return nil, err
	}
	var b Batch
	if s.shared != nil {
		next := v
		err := s.shared.Turn(ctx, func(other Stored) {
			v = v.followed(other.Batch)
			for _, c := range other.Changes {
				s.expiries.add(c)
			}
		}, func() Batch {
			next, b = v.withSerials()
			return b
		})
		if err != nil {
			return nil, fmt.Errorf("store the serials: %w: %w", ErrStorage, err)
		}
		v = next
	} else if v, b = v.withSerials(); !b.empty() {
		if err := s.store.Apply(ctx, b); err != nil {
			s.log.Error("serials cannot be stored; they will be with the next change", "error", err)
			s.unsaved = b.Documents
		}
	}
	v = v.withExpiry(s.clock.now())
	s.accounts.Store(v.countAccounts())
	s.log.Info("records loaded", "count", v.count())
	return v, nil
}

// write makes changes, one batch after another, until Shutdown. Changes that
// arrive while one batch is being stored make up the next, so the cost of a
// disk flush is shared and the order in the store is the order in the view.
func (s *Server) write() {
	var batch []update // used again and again
	for {
		if at, ok := s.expiries.next(); ok && at <= s.clock.now().Unix() {
			s.sweep() // whatever else is waiting
			continue
		}
		due, stop := s.nextSweep()
		select {
		case <-s.stop:
			stop()
			return
		case u := <-s.updates:
			batch = s.gather(append(batch[:0], u))
			s.commit(batch)
			clear(batch) // what it holds would stay
		case <-s.wake():
			s.catch()
		case <-due:
		}
		stop()
	}
}

// nextSweep is when the next record expires.
func (s *Server) nextSweep() (<-chan time.Time, func()) {
	at, ok := s.expiries.next()
	if !ok {
		return nil, func() {}
	}
	return s.clock.timer(time.Unix(at, 0))
}

// sweep takes away what has expired: a change like any other. When it cannot be
// stored the records stay, and it is tried again.
func (s *Server) sweep() {
	now := s.clock.now().Unix()
	names := s.expiries.due(now, maxBatch)
	if len(names) == 0 {
		return
	}
	var kept []string // for a record of the configuration has the same data
	var why error
	u := update{by: actor{by: "expiry"}, make: func(d *draft) error {
		kept, why = nil, nil
		for _, name := range names {
			if err := d.expire(name, now); err != nil {
				kept, why = append(kept, name), errors.Join(why, err)
			}
		}
		return nil
	}, done: make(chan error, 1)}
	known := s.storageFault.Load()
	s.commit([]update{u})
	if err := <-u.done; err != nil {
		if !known { // else it has been said
			s.log.Error("expired records cannot be taken away, it is tried again", "count", len(names), "error", err)
		}
		for _, name := range names {
			s.expiries.push(now+retrySweep, name)
		}
		return
	}
	for _, name := range kept {
		s.log.Warn("expired records stay, for the configuration has them too", "name", display(name), "error", why)
		s.expiries.push(now+retryKept, name)
	}
}
