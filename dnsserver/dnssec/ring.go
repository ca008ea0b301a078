package dnssec

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// State is where a key stands. The order is that of its life.
type State string

// The states. From one key to the next, what a validator has cached stays good:
// the keys' rrset has both and both sign it; the zone's data is signed by one.
const (
	Published State = "published" // in the keys' rrset, until every cache has it there
	Waiting   State = "waiting"   // for the parent's DS; CDS asks for it
	Seen      State = "seen"      // the parent has its DS, until no cache has the old one
	Active    State = "active"    // signs the zone
	Retired   State = "retired"   // signs the keys' rrset alone, until no cache has its signatures
)

// Entry is one key of a ring, as it is kept and shared between servers. There is
// no secret in it.
type Entry struct {
	Key   string    `json:"key"` // the DNSKEY record
	State State     `json:"state"`
	Since time.Time `json:"since"`
}

// Ring is the keys of a zone.
type Ring struct {
	Entries []Entry `json:"entries"` // one is active; at most one further is on its way in, or out
}

// What cannot be done with a ring.
var (
	ErrRolling = errors.New("the zone is on its way from one key to the next already")
	ErrEmpty   = errors.New("the zone has no key that signs it")
)

// NewRing returns the ring of a zone that gets its first key: nobody has cached
// anything of it.
func NewRing(first *Key, now time.Time) Ring {
	return Ring{[]Entry{{first.Public.String(), Active, now.UTC().Truncate(time.Second)}}}
}

// Record reads the key of an entry.
func (e Entry) Record() (*dns.DNSKEY, error) {
	rr, err := dns.NewRR(e.Key)
	record, ok := rr.(*dns.DNSKEY)
	if err != nil || !ok {
		return nil, fmt.Errorf("the key %q cannot be read (%w)", e.Key, err)
	}
	return record, nil
}

// Keys returns all keys of the ring, with their private halves as far as a
// folder has them, and the one that signs the zone. An error names what is
// missing; what is not, is returned.
func (r Ring) Keys(folder string) (all []*Key, signs *Key, err error) {
	var errs []error
	for _, e := range r.Entries {
		record, err := e.Record()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		key, err := Load(folder, record)
		errs = append(errs, err)
		all = append(all, key)
		if e.State == Active {
			signs = key
		}
	}
	if signs == nil {
		errs = append(errs, ErrEmpty)
	}
	return all, signs, errors.Join(errs...)
}

// DS returns the keys that the parent's DS should be of: what CDS and CDNSKEY
// say (RFC 7344).
func (r Ring) DS() []*dns.DNSKEY {
	var all []*dns.DNSKEY
	next := slices.IndexFunc(r.Entries, func(e Entry) bool { return e.State == Waiting || e.State == Seen })
	for i, e := range r.Entries {
		if next >= 0 && i != next || next < 0 && e.State != Active {
			continue
		}
		if record, err := e.Record(); err == nil {
			all = append(all, record)
		}
	}
	return all
}

// Begin adds the next key.
func (r Ring) Begin(next *Key, now time.Time) (Ring, error) {
	if len(r.Entries) != 1 {
		return r, ErrRolling
	}
	r.Entries = append(slices.Clone(r.Entries), Entry{next.Public.String(), Published, now.UTC().Truncate(time.Second)})
	return r, nil
}

// Times are how long others keep what they have seen of a zone.
type Times struct {
	Keys   time.Duration // the TTL of the keys' rrset
	Zone   time.Duration // the longest TTL of the zone
	Parent time.Duration // the TTL of the parent's DS
}

// margin is for clocks, secondaries and what else takes a moment.
const margin = 5 * time.Minute

// Step returns the ring after what is due at a time (RFC 7583 §3.3), and whether
// it changed. parentHas says whether every server of the parent has a DS of a
// key; it is asked while a key waits for that.
func (r Ring) Step(now time.Time, t Times, parentHas func(*dns.DNSKEY) bool) (next Ring, changed bool) {
	next = Ring{slices.Clone(r.Entries)}
	over := func(e Entry, d time.Duration) bool { return !now.Before(e.Since.Add(d + margin)) }
	set := func(i int, s State) {
		next.Entries[i].State, next.Entries[i].Since, changed = s, now.UTC().Truncate(time.Second), true
	}
	for i, e := range r.Entries {
		switch {
		case e.State == Published && over(e, t.Keys):
			set(i, Waiting)
		case e.State == Waiting:
			if record, err := e.Record(); err == nil && parentHas(record) {
				set(i, Seen)
			}
		case e.State == Seen && over(e, t.Parent):
			for j, old := range r.Entries {
				if old.State == Active {
					set(j, Retired)
				}
			}
			set(i, Active)
		case e.State == Retired && over(e, t.Zone):
			next.Entries = slices.DeleteFunc(next.Entries, func(other Entry) bool { return other.Key == e.Key })
			return next, true
		}
	}
	return next, changed
}
