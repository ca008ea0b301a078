package dnsserver

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"
)

// What a Shared store may say of a change beside what is wrong with it.
var (
	// ErrGap says that the store no longer has all that others stored since this
	// server read it last: the server has to load everything anew.
	ErrGap = errors.New("the store no longer has what was missed")
	// ErrUnsure says that a batch was given to the store, and that nobody
	// answered whether it is stored. If it is, Catch brings it.
	ErrUnsure = errors.New("it is not known whether the change was made")
)

// Shared is a Store that several servers change, in turns. A server that has
// one shows what the others store, in the one order in which all of it was
// stored, so all servers come to the same records and serials. Like a Store's,
// its methods are called one at a time, but for Wake, Condition and Await.
type Shared interface {
	Store

	// Turn waits until no other server makes changes, calls follow for each batch
	// that others stored since the last Load, Turn or Catch, and stores what change
	// then returns, which may be nothing. Before an answer is there it may do all
	// that again, so change may be called several times; the last call counts.
	// The error may wrap ErrGap or ErrUnsure.
	Turn(ctx context.Context, follow func(Stored), change func() Batch) error

	// Catch calls follow for each batch that others stored since the last Load,
	// Turn or Catch. The error may wrap ErrGap.
	Catch(ctx context.Context, follow func(Stored)) error

	// Wake has something to receive whenever Catch may bring something, or would
	// fail where it did not before, or the other way round.
	Wake() <-chan struct{}

	// Condition says how the store is. It asks nobody.
	Condition() Condition

	// Await waits until all servers that share the store show this batch. When ctx
	// ends first it returns those that do not, and an error.
	Await(ctx context.Context, sequence uint64) (lagging []Peer, err error)
}

// Stored is a batch that another server stored.
type Stored struct {
	Batch
	By string // the name of that server
}

// Condition is how a Shared store is, as far as this server knows.
type Condition struct {
	Away       error     // why it cannot be reached; nil when it can
	Since      time.Time // when it was reached last
	Sequence   uint64    // of the last batch that this server shows
	Latest     uint64    // of the last batch that is known to be stored
	Reconnects uint64    // times that it had to be reached anew
	Gaps       uint64    // times that too much had been missed
	Peers      []Peer    // the servers that share it, this one too, by name
}

// Peer is one of the servers that share a store.
type Peer struct {
	Name     string
	Here     bool      // it is this one
	Seen     time.Time // when it last said that it lives, by this machine's clock
	Sequence uint64    // of the last batch that it showed then
	Behind   uint64    // how many more were stored then
}

// turn stores what change returns: in a shared store in its turn, after it has
// followed the others.
func (s *Server) turn(change func() Batch) error {
	// A change that has begun is finished: no caller's context may undo a batch
	// that others share.
	ctx := context.Background()
	if s.shared == nil {
		b := change()
		if b.empty() {
			return nil
		}
		return s.store.Apply(ctx, b)
	}
	err := s.shared.Turn(ctx, s.follow, change)
	if errors.Is(err, ErrGap) {
		if err = s.refill(ctx); err == nil {
			err = s.shared.Turn(ctx, s.follow, change)
		}
	}
	return err
}

// wake is the store's Wake; nil, which never wakes, when the store is not
// shared.
func (s *Server) wake() <-chan struct{} {
	if s.shared == nil {
		return nil
	}
	return s.shared.Wake()
}

// catch shows what others stored, or notes that the store is out of reach.
func (s *Server) catch() {
	ctx := context.Background()
	err := s.shared.Catch(ctx, s.follow)
	if errors.Is(err, ErrGap) {
		if err = s.refill(ctx); err == nil {
			s.reserial()
		}
	}
	if was := s.storageFault.Swap(err != nil); was != (err != nil) {
		if err != nil {
			s.log.Error("the storage is out of reach: queries are answered, no change is taken", "error", err)
		} else {
			s.log.Info("the storage is back, changes are taken", "sequence", s.shared.Condition().Sequence)
		}
	}
}

// follow shows what another server stored. Only the writer calls it.
func (s *Server) follow(b Stored) {
	old := s.view.Load()
	next := old.followed(b.Batch)
	s.show(&draft{old: old, view: next}, b.Batch)
	s.stored(old, b.Batch)
	s.counters.followed.Add(1)
	s.history.add(actor{by: "server " + b.By}, b.Changes)
	for _, d := range b.Documents {
		zone, ok := strings.CutPrefix(d.Key, serialPrefix)
		if z := next.zones[zone]; ok && z != nil && !d.Delete {
			if _, mark, _ := serialOf(string(d.Value)); mark != z.mark {
				s.differs(zone, b.By)
			}
		}
	}
}

// differs says, once for each zone and server, that another server's
// configuration of a zone is not this one's.
func (s *Server) differs(zone, by string) {
	if key := zone + " " + by; !s.different[key] {
		s.different[key] = true
		s.log.Warn("another server has this zone configured otherwise, so answers differ; give both the same configuration", "zone", display(zone), "server", by)
	}
}

// stored notes what follows from a batch that was stored on top of a view.
func (s *Server) stored(old *view, b Batch) {
	for _, c := range b.Changes {
		s.expiries.add(c)
	}
	for _, d := range b.Documents {
		if !strings.HasPrefix(d.Key, accountPrefix) {
			continue
		}
		switch _, was := old.document(d.Key); {
		case was && d.Delete:
			s.accounts.Add(-1)
		case !was && !d.Delete:
			s.accounts.Add(1)
		}
	}
}

// followed returns the view with what another server stored, serials included.
func (v *view) followed(b Batch) *view {
	next := *v
	next.parked = maps.Clone(v.parked) // others still read the old one
	v = next.loaded(b)
	for _, d := range b.Documents {
		zone, ok := strings.CutPrefix(d.Key, serialPrefix)
		if apex, isCopy := strings.CutPrefix(d.Key, copyPrefix); isCopy && v.zones[apex] != nil && v.zones[apex].copied {
			v = v.withState(v.zones[apex], v.copyState(v.zones[apex]))
		}
		z := v.zones[zone]
		if !ok || z == nil || d.Delete {
			continue
		}
		if serial, _, ok := serialOf(string(d.Value)); ok {
			v = v.withState(z, z.state(serial, v.states[z.index].cuts))
		}
	}
	return v
}

// refill loads everything anew, for the zones that are in force.
func (s *Server) refill(ctx context.Context) error {
	old := s.view.Load()
	v, err := s.read(ctx, old.zones)
	if err != nil {
		return err
	}
	for _, z := range v.zones {
		if z.copied {
			v = v.withState(z, v.copyState(z))
			continue
		}
		served := old.states[z.index].serial
		serial := served
		if text, ok := v.document(serialPrefix + z.name); ok {
			if kept, _, ok := serialOf(text); ok {
				serial = kept
			}
		}
		if !newerSerial(serial, served) {
			s.served[z.name] = served
		}
		v = v.withState(z, z.state(serial, v.states[z.index].cuts))
	}
	s.accounts.Store(v.countAccounts())
	s.show(&draft{old: old, view: v}, Batch{})
	s.log.Warn("too much was missed to follow; everything was loaded anew", "records", v.count())
	return nil
}

// raise gives a zone a serial after one that was served: the store, put back to
// an earlier state, has an older one, which secondaries would not follow, or the
// same for other records.
func (d *draft) raise(name string, served uint32) {
	z := d.view.zones[name]
	if z == nil || newerSerial(d.view.states[z.index].serial, served) {
		return
	}
	doc := z.serialDocument(nextSerial(served))
	d.view = d.view.withState(z, z.state(nextSerial(served), d.view.states[z.index].cuts)).withDocument(doc)
	d.keys[doc.Key] = struct{}{}
}

// reserial stores serials of zones that the store has none for, or an older one
// than was served, or those of another configuration.
func (s *Server) reserial() {
	u := update{make: func(d *draft) error {
		d.reserial()
		return nil
	}, done: make(chan error, 1)}
	s.commit([]update{u})
	if err := <-u.done; err != nil {
		s.log.Error("serials cannot be stored; they will be with the next change", "error", err)
	}
}
