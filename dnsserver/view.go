package dnsserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// What can be wrong with a change. The text that wraps them says which name
// and what to do.
var (
	ErrNotInZone = errors.New("name is outside every zone")     // HTTP 404
	ErrConflict  = errors.New("other records stand in the way") // HTTP 409
	ErrTooLarge  = errors.New("too much at one name")           // HTTP 413
	ErrRecord    = errors.New("there cannot be such a record")  // HTTP 422
	ErrStorage   = errors.New("storage is at fault")            // HTTP 503; nothing was changed
	ErrStopped   = errors.New("server is not running")          // HTTP 503; nothing was changed
)

// view is everything a query needs. It is immutable: a change makes a new one
// that shares nearly all of it.
type view struct {
	zones     map[string]*zone // by apex; the same map in every view of a server
	states    []*zoneState     // by the index of the zone
	table     table            // the records that come and go
	documents table
	parked    map[recordKey]Change // records that the configuration has no place for
}

// zoneState is what changes of a zone with its records. It is immutable.
type zoneState struct {
	serial   uint32
	expired  bool // it is a copy that is unknown, or too old to be given away
	cuts     int  // delegations among the records that come and go
	soa      *dns.SOA
	negative *dns.SOA // soa with the TTL of a negative answer (RFC 2308 §3)
	record   []byte   // soa, as appendRecord has it
}

// newView returns a view without records.
func newView(zones map[string]*zone) *view {
	v := &view{
		zones: zones, states: make([]*zoneState, len(zones)),
		table: newTable(), documents: newTable(), parked: map[recordKey]Change{},
	}
	for _, z := range zones {
		v.states[z.index] = z.state(z.soa.Serial, 0)
		v.states[z.index].expired = z.copied
	}
	return v
}

// state returns the zone's state at a serial.
func (z *zone) state(serial uint32, cuts int) *zoneState {
	soa := *z.soa
	soa.Serial = serial
	return newZoneState(&soa, cuts)
}

// newZoneState returns the state of a zone with this SOA.
func newZoneState(soa *dns.SOA, cuts int) *zoneState {
	negative := *soa
	negative.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &zoneState{serial: soa.Serial, cuts: cuts, soa: soa, negative: &negative, record: soaRecord(soa)}
}

// withState returns the view with another state of one zone.
func (v *view) withState(z *zone, state *zoneState) *view {
	next := *v
	next.states = slices.Clone(v.states)
	next.states[z.index] = state
	return &next
}

// found is what exists at a name: configured records, records that come and
// go, or neither (an empty non-terminal).
type found struct {
	node   *node
	leaf   *leaf
	exists bool
}

// cname returns the CNAME at the name, or nil.
func (f found) cname(owner string) *dns.CNAME {
	s := f.leaf.set(dns.TypeCNAME)
	if s.count == 0 {
		return f.node.cname()
	}
	h := dns.RR_Header{Name: owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: s.ttl()}
	return &dns.CNAME{Hdr: h, Target: f.leaf.alias()}
}

// has reports whether the name holds records.
func (f found) has() bool { return f.leaf.holds() || f.node != nil && len(f.node.rrsets) > 0 }

// at returns what exists at exactly this name.
func (v *view) at(z *zone, name string) found {
	f := found{node: z.nodes[name], leaf: v.table.get(name)}
	f.exists = f.node != nil || f.leaf != nil
	return f
}

// find returns what answers for a name: what exists there or, below the
// closest encloser, the wildcard (RFC 4592 §3.3.1).
func (v *view) find(z *zone, name string) found {
	if f := v.at(z, name); f.exists {
		return f
	}
	for name != z.name {
		up, ok := parent(name)
		if !ok {
			break
		}
		if up == z.name || v.at(z, up).exists {
			return v.at(z, "*."+strings.TrimPrefix(up, "."))
		}
		name = up
	}
	return found{}
}

// zoneOf returns the zone that answers for a name: the longest match. A DS
// question at an apex goes to the parent, if it is here (RFC 4035 §3.1.4.1).
func (v *view) zoneOf(name string, qtype uint16) *zone {
	var apex *zone
	for {
		if z := v.zones[name]; z != nil {
			if qtype != dns.TypeDS || z.name != name || apex != nil {
				return z
			}
			apex = z
		}
		up, ok := parent(name)
		if !ok {
			return apex
		}
		name = up
	}
}

// cutAbove returns the highest delegation at or above name, "" for none.
func (v *view) cutAbove(z *zone, name string) string {
	cut := z.cutAbove(name)
	if v.states[z.index].cuts == 0 {
		return cut
	}
	for name != z.name {
		if v.table.get(name).set(dns.TypeNS).count > 0 && (cut == "" || within(cut, name)) {
			cut = name
		}
		up, ok := parent(name)
		if !ok {
			break
		}
		name = up
	}
	return cut
}

// place finds the zone a TXT record at name would be in, or says why it cannot
// be there.
func (v *view) place(name string) (*zone, error) {
	return v.placeOf(Change{Name: name, Type: dns.TypeTXT})
}

// placeOf is place for a change of any type. At and below a delegation stand
// only the records that make it; whatever else is there may go.
func (v *view) placeOf(c Change) (*zone, error) {
	name, rrtype := c.Name, c.Type
	z := v.zoneOf(name, rrtype)
	if z == nil {
		return nil, fmt.Errorf("%w: %s; this server has %s", ErrNotInZone, display(name), v.zoneNames())
	}
	if cut := v.cutAbove(z, name); cut != "" && (z.cutAbove(name) != "" || c.Op == Put && !delegatable(rrtype, name == cut)) {
		return nil, fmt.Errorf("%w: %s is delegated to other servers; put the record there, or remove the NS from %s",
			ErrConflict, display(cut), z.keeper(cut))
	}
	if c := z.nodes[name].cname(); c != nil {
		return nil, fmt.Errorf("%w: %s is a CNAME to %s; put the record there, or remove the CNAME from the configuration",
			ErrConflict, display(name), display(lower(c.Target)))
	}
	return z, nil
}

// keeper says where the records of a name can be changed.
func (z *zone) keeper(name string) string {
	if z.nodes[name] != nil {
		return "the configuration"
	}
	return "this zone"
}

func (v *view) zoneNames() string {
	names := slices.Sorted(maps.Keys(v.zones))
	for i, name := range names {
		names[i] = display(name)
	}
	return strings.Join(names, ", ")
}

// set stores a leaf, or drops it when it says nothing.
func (t table) set(l *leaf) table {
	if !l.holds() && l.below == 0 {
		return t.without(l.name())
	}
	return t.with(l)
}

// count tells the ancestors of name, below the apex, that it has gained or
// lost its records: what they know makes them exist (RFC 4592 §2.2.2).
func (t table) count(name, apex string, gained bool) table {
	change := 1
	if !gained {
		change = -1
	}
	for name != apex {
		up, ok := parent(name)
		if !ok || up == apex {
			return t
		}
		name = up
		t = t.set(t.get(name).counted(name, change))
	}
	return t
}

// values returns every TXT value at a name, configured ones first.
func (v *view) values(z *zone, name string) []string {
	var all []string
	if n := z.nodes[name]; n != nil {
		all = append(all, n.txt...)
	}
	configured := len(all)
	for r := range v.table.get(name).set(dns.TypeTXT).records() {
		if value := txtValue(r.data); !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	slices.Sort(all[configured:])
	return all
}

// records returns the rrset of a type at a name as one (RFC 2181 §5.2): the
// configured records and those that come and go, none twice, with one TTL, the
// lowest. The owner is spelled as the question spells it.
func (v *view) records(z *zone, f found, owner string, rrtype uint16) []dns.RR {
	var configured []dns.RR
	if f.node != nil {
		configured = f.node.rrsets[rrtype]
	}
	if rrtype == dns.TypeSOA && len(configured) > 0 {
		configured = []dns.RR{v.states[z.index].soa}
	}
	s := f.leaf.set(rrtype)
	if s.count == 0 {
		return spelled(owner, configured)
	}
	ttl := s.ttl()
	if len(configured) > 0 {
		ttl = min(ttl, configured[0].Header().Ttl)
	}
	set := make([]dns.RR, 0, len(configured)+s.count)
	for _, rr := range configured {
		rr = dns.Copy(rr)
		rr.Header().Name, rr.Header().Ttl = owner, ttl
		set = append(set, rr)
	}
	for r := range s.records() {
		if f.node.holds(rrtype, r.data) {
			continue
		}
		if rr, err := newRR(owner, rrtype, record{ttl: ttl, data: r.data}); err == nil {
			set = append(set, rr)
		}
	}
	return set
}
