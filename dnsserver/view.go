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
	ErrTooLarge  = errors.New("too much TXT at one name")       // HTTP 413
	ErrStorage   = errors.New("storage is at fault")            // HTTP 503; nothing was changed
	ErrStopped   = errors.New("server is not running")          // HTTP 503; nothing was changed
)

// view is everything a query needs. It is immutable: a change makes a new one
// that shares nearly all of it.
type view struct {
	zones map[string]*zone // by apex; the same map in every view of a server
	table table            // the records put over the API
}

// found is what exists at a name: configured records, records put over the API,
// or neither (an empty non-terminal).
type found struct {
	node   *node
	values []string
	alias  string
	exists bool
}

// cname returns the CNAME at the name, or nil.
func (f found) cname(z *zone, name string) *dns.CNAME {
	if f.alias == "" {
		return f.node.cname()
	}
	h := dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: z.dynamicTTL}
	return &dns.CNAME{Hdr: h, Target: f.alias}
}

// at returns what exists at exactly this name.
func (v *view) at(z *zone, name string) found {
	f := found{node: z.nodes[name]}
	f.exists = f.node != nil
	if l := v.table.get(name); l != nil {
		f.values, f.alias, f.exists = l.values, l.alias, true
	}
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

// place finds the zone a record at name would be in, or says why it cannot be
// there.
func (v *view) place(name string) (*zone, error) {
	z := v.zoneOf(name, dns.TypeTXT)
	if z == nil {
		return nil, fmt.Errorf("%w: %s; this server has %s", ErrNotInZone, display(name), v.zoneNames())
	}
	if cut := z.cutAbove(name); cut != "" {
		return nil, fmt.Errorf("%w: %s is delegated to other servers; put the value there, or remove the NS from the configuration",
			ErrConflict, display(cut))
	}
	if c := z.nodes[name].cname(); c != nil {
		return nil, fmt.Errorf("%w: %s is a CNAME to %s; put the value there, or remove the CNAME from the configuration",
			ErrConflict, display(name), display(lower(c.Target)))
	}
	return z, nil
}

func (v *view) zoneNames() string {
	names := slices.Sorted(maps.Keys(v.zones))
	for i, name := range names {
		names[i] = display(name)
	}
	return strings.Join(names, ", ")
}

// with returns the view after a change. Putting what is there and deleting
// what is not change nothing.
func (v *view) with(c Change) (*view, error) {
	z, err := v.place(c.Name)
	if err != nil {
		return nil, err
	}
	old := v.table.get(c.Name)
	if c.Alias {
		return v.withAlias(z, old, c)
	}
	var values []string
	below := 0
	if old != nil {
		values, below = old.values, old.below
	}
	if old != nil && old.alias != "" && !c.Delete {
		return nil, fmt.Errorf("%w: %s is a CNAME to %s; put the value there, or delete the CNAME", ErrConflict, display(c.Name), display(old.alias))
	}
	i, there := slices.BinarySearch(values, c.Value)
	switch {
	case c.Delete && z.nodes[c.Name] != nil && slices.Contains(z.nodes[c.Name].txt, c.Value):
		return nil, fmt.Errorf("%w: this value at %s is in the configuration file; remove it there", ErrConflict, display(c.Name))
	case c.Delete == !there:
		return v, nil
	case c.Delete:
		values = slices.Delete(slices.Clone(values), i, i+1)
	default:
		if err := roomFor(z, values, c); err != nil {
			return nil, err
		}
		values = slices.Insert(slices.Clone(values), i, c.Value)
	}
	return v.exchange(z, old, &leaf{name: c.Name, values: values, below: below}), nil
}

// withAlias is with for a CNAME, which is alone at its name (RFC 1034 §3.6.2):
// it takes the place of another CNAME (RFC 2136 §3.4.2.2), and of nothing else.
func (v *view) withAlias(z *zone, old *leaf, c Change) (*view, error) {
	next := &leaf{name: c.Name}
	if old != nil {
		*next = *old
	}
	switch {
	case c.Delete && !strings.EqualFold(next.alias, c.Value):
		return v, nil
	case c.Delete:
		next.alias = ""
	case lower(c.Value) == c.Name:
		return nil, fmt.Errorf("%w: %s would lead to itself; correct the value", ErrConflict, display(c.Name))
	case len(next.values) > 0:
		return nil, fmt.Errorf("%w: %s has TXT values, beside which there is no CNAME; delete them first", ErrConflict, display(c.Name))
	case z.nodes[c.Name] != nil && len(z.nodes[c.Name].rrsets) > 0:
		return nil, fmt.Errorf("%w: %s has records in the configuration, beside which there is no CNAME; remove them there", ErrConflict, display(c.Name))
	default:
		next.alias = c.Value
	}
	return v.exchange(z, old, next), nil
}

// exchange returns the view with another leaf in the place of old, which is nil
// where there was none.
func (v *view) exchange(z *zone, old, l *leaf) *view {
	next := v.table.set(l)
	if old.holds() != l.holds() {
		next = next.count(l.name, z.name, l.holds())
	}
	return &view{v.zones, next}
}

// roomFor reports ErrTooLarge when a name's TXT values would not fit into one
// message with one more.
func roomFor(z *zone, values []string, c Change) error {
	size := wireSize(c.Value)
	for _, value := range values {
		size += wireSize(value)
	}
	if n := z.nodes[c.Name]; n != nil {
		for _, value := range n.txt {
			size += wireSize(value)
		}
	}
	if size > maxTXTSet {
		return fmt.Errorf("%w: %s would hold %d bytes, and %d fit a DNS message; delete old values or shorten this one",
			ErrTooLarge, display(c.Name), size, maxTXTSet)
	}
	return nil
}

// set stores a leaf, or drops it when it says nothing.
func (t table) set(l *leaf) table {
	if !l.holds() && l.below == 0 {
		return t.without(l.name)
	}
	return t.with(l)
}

// count tells the ancestors of name, below the apex, that it has gained or
// lost its records: what they know makes them exist (RFC 4592 §2.2.2).
func (t table) count(name, apex string, gained bool) table {
	for name != apex {
		up, ok := parent(name)
		if !ok || up == apex {
			return t
		}
		name = up
		l := &leaf{name: name}
		if old := t.get(name); old != nil {
			*l = *old
		}
		if gained {
			l.below++
		} else {
			l.below--
		}
		t = t.set(l)
	}
	return t
}

// values returns every TXT value at a name, configured ones first.
func (v *view) values(z *zone, name string) []string {
	var all []string
	if n := z.nodes[name]; n != nil {
		all = append(all, n.txt...)
	}
	if l := v.table.get(name); l != nil {
		for _, value := range l.values {
			if !slices.Contains(all, value) {
				all = append(all, value)
			}
		}
	}
	return all
}
