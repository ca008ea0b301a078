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
	ErrNotInZone = errors.New("name is outside every zone")          // HTTP 404
	ErrConflict  = errors.New("configured records stand in the way") // HTTP 409
	ErrTooLarge  = errors.New("too much TXT at one name")            // HTTP 413
	ErrStorage   = errors.New("storage is at fault")                 // HTTP 503; nothing was changed
	ErrStopped   = errors.New("server is not running")               // HTTP 503; nothing was changed
)

// view is everything a query needs. It is immutable: a change makes a new one
// that shares nearly all of it.
type view struct {
	zones map[string]*zone // by apex; the same map in every view of a server
	table table            // the TXT values put over the API
}

// found is what exists at a name: configured records, values, or neither (an
// empty non-terminal).
type found struct {
	node   *node
	values []string
	exists bool
}

// at returns what exists at exactly this name.
func (v *view) at(z *zone, name string) found {
	f := found{node: z.nodes[name]}
	f.exists = f.node != nil
	if l := v.table.get(name); l != nil {
		f.values, f.exists = l.values, true
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

// place finds the zone a TXT value at name would be in, or says why it cannot
// be there.
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
	var values []string
	below := 0
	if old != nil {
		values, below = old.values, old.below
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
	next := v.table.set(&leaf{name: c.Name, values: values, below: below})
	if was := old != nil && len(old.values) > 0; was != (len(values) > 0) {
		next = next.count(c.Name, z.name, len(values) > 0)
	}
	return &view{v.zones, next}, nil
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
	if len(l.values) == 0 && l.below == 0 {
		return t.without(l.name)
	}
	return t.with(l)
}

// count tells the ancestors of name, below the apex, that it has gained or
// lost its values: what they know makes them exist (RFC 4592 §2.2.2).
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
