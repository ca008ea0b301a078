package dnsserver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxSet bounds the records of one rrset, in bytes, so that any set fits one
// TCP message of 65,535 with a chain of CNAMEs before it.
const maxSet = 60000

// with returns the view after a change. Putting what is there and deleting
// what is not change nothing and return v itself.
func (v *view) with(c Change) (*view, error) {
	if z := v.zoneOf(c.Name, c.Type); z != nil && z.copied {
		return v.withCopied(z, c), nil
	}
	z, err := v.placeOf(c)
	if err != nil {
		return nil, err
	}
	old := v.table.get(c.Name)
	switch c.Op {
	case Put:
		return v.withPut(z, old, c)
	case DeleteRecord:
		return v.withoutRecord(z, old, c)
	case DeleteSet:
		return v.withoutSets(z, old, c, c.Type)
	case DeleteName:
		var types []uint16
		for s := range old.sets() {
			types = append(types, s.rrtype)
		}
		return v.withoutSets(z, old, c, types...)
	}
	return nil, fmt.Errorf("%w: %s asks for nothing there is", ErrRecord, display(c.Name))
}

func (v *view) withPut(z *zone, old *leaf, c Change) (*view, error) {
	if err := checkRecord(z, c); err != nil {
		return nil, err
	}
	if err := checkNeighbours(z, old, c); err != nil {
		return nil, err
	}
	records := old.records(c.Type)
	if c.Type == dns.TypeCNAME {
		records = slices.DeleteFunc(records, func(r record) bool { return r.data != c.Data }) // RFC 2136 §3.4.2.2
	}
	added := record{ttl: c.TTL, data: c.Data, expires: c.Expires}
	if i := indexData(c.Type, records, c.Data); i >= 0 {
		if records[i] == added {
			return v, nil
		}
		added.data = records[i].data
		records[i] = added
	} else {
		i, _ = slices.BinarySearchFunc(records, added, byData)
		records = slices.Insert(records, i, added)
	}
	for i := range records {
		records[i].ttl = c.TTL // RFC 2181 §5.2
	}
	if err := roomFor(z, records, c); err != nil {
		return nil, err
	}
	return v.exchange(z, old, old.with(c.Name, c.Type, records)), nil
}

// checkRecord refuses what is no record of a zone, or makes no sense at a name.
func checkRecord(z *zone, c Change) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: %s at %s: %s", ErrRecord, dns.Type(c.Type), display(c.Name), why)
	}
	switch {
	case c.TTL > maxTTL:
		return refuse("its TTL is too long; write at most 2147483647 seconds")
	case c.Type == dns.TypeSOA:
		return refuse("the SOA is in the configuration")
	case !storable(c.Type):
		return refuse("such a record is not kept here; leave it out")
	case strings.HasPrefix(c.Name, "*.") && (c.Type == dns.TypeNS || c.Type == dns.TypeDS):
		return refuse("a wildcard cannot be delegated; delegate each name by itself") // RFC 4592 §4.2
	case c.Type == dns.TypeDS && c.Name == z.name:
		return refuse("it belongs to the parent zone; put it there")
	}
	if !readable(c.Type, c.Data) {
		return refuse("its data cannot be read; correct it")
	}
	return nil
}

// storable reports whether records of a type may come and go: data that is not
// a question, a pseudo-record or a part of a signed zone (RFC 6895 §3.1).
func storable(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeNone, dns.TypeOPT, dns.TypeDNAME, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY:
		return false
	}
	return rrtype < 128 || rrtype > 255
}

// checkNeighbours keeps a CNAME alone at its name (RFC 1034 §3.6.2): it takes
// the place of another CNAME, and of nothing else.
func checkNeighbours(z *zone, old *leaf, c Change) error {
	if c.Type != dns.TypeCNAME {
		if target := old.alias(); target != "" {
			return fmt.Errorf("%w: %s is a CNAME to %s; put the record there, or delete the CNAME", ErrConflict, display(c.Name), display(target))
		}
		return nil
	}
	for s := range old.sets() {
		if s.rrtype != dns.TypeCNAME {
			return fmt.Errorf("%w: %s has %s records, beside which there is no CNAME; delete them first", ErrConflict, display(c.Name), dns.Type(s.rrtype))
		}
	}
	switch {
	case sameData(c.Type, c.Data, nameData(c.Name)):
		return fmt.Errorf("%w: %s would lead to itself; correct the value", ErrConflict, display(c.Name))
	case z.nodes[c.Name] != nil && len(z.nodes[c.Name].rrsets) > 0:
		return fmt.Errorf("%w: %s has records in the configuration, beside which there is no CNAME; remove them there", ErrConflict, display(c.Name))
	}
	return nil
}

// roomFor reports ErrTooLarge when records, with the configured ones, would
// not fit into one message.
func roomFor(z *zone, records []record, c Change) error {
	size := 0
	for _, r := range records {
		size += recordHeader + len(r.data)
	}
	for _, data := range z.configured(c.Name, c.Type) {
		size += recordHeader + len(data)
	}
	if size > maxSet {
		return fmt.Errorf("%w: the %s records at %s would take %d bytes, and %d fit a DNS message; delete old values or shorten this one",
			ErrTooLarge, dns.Type(c.Type), display(c.Name), size, maxSet)
	}
	return nil
}

// configured returns the data of the configured records of a type at a name.
func (z *zone) configured(name string, rrtype uint16) []string {
	if n := z.nodes[name]; n != nil {
		return n.data[rrtype]
	}
	return nil
}

// holds reports whether the node has a record with this data. Of a TXT only the
// joined value counts.
func (n *node) holds(rrtype uint16, data string) bool {
	if n == nil {
		return false
	}
	if rrtype == dns.TypeTXT {
		return slices.Contains(n.txt, txtValue(data))
	}
	return slices.ContainsFunc(n.data[rrtype], func(other string) bool { return sameData(rrtype, data, other) })
}

func (v *view) withoutRecord(z *zone, old *leaf, c Change) (*view, error) {
	same := func(data string) bool { return sameData(c.Type, data, c.Data) }
	if c.Type == dns.TypeTXT { // values are the same however they are cut into strings
		value := txtValue(c.Data)
		same = func(data string) bool { return data == c.Data || txtValue(data) == value }
	}
	if z.nodes[c.Name].holds(c.Type, c.Data) {
		return nil, fmt.Errorf("%w: this value at %s is in the configuration file; remove it there", ErrConflict, display(c.Name))
	}
	records := old.records(c.Type)
	left := slices.DeleteFunc(slices.Clone(records), func(r record) bool { return same(r.data) })
	if len(left) == len(records) {
		return v, nil
	}
	return v.exchange(z, old, old.with(c.Name, c.Type, left)), nil
}

func (v *view) withoutSets(z *zone, old *leaf, c Change, types ...uint16) (*view, error) {
	if n := z.nodes[c.Name]; n != nil && (len(n.rrsets[c.Type]) > 0 || c.Op == DeleteName && len(n.rrsets) > 0) {
		return nil, fmt.Errorf("%w: records at %s are in the configuration file; remove them there", ErrConflict, display(c.Name))
	}
	next := old
	for _, rrtype := range types {
		if next.set(rrtype).count > 0 {
			next = next.with(c.Name, rrtype, nil)
		}
	}
	if next == old {
		return v, nil
	}
	return v.exchange(z, old, next), nil
}

// exchange returns the view with another leaf in the place of old, which is nil
// where there was none.
func (v *view) exchange(z *zone, old, l *leaf) *view {
	next := *v
	next.table = v.table.set(l)
	if old.holds() != l.holds() {
		next.table = next.table.count(l.name(), z.name, l.holds())
	}
	if before, after := cuts(z, old), cuts(z, l); before != after {
		state := *v.states[z.index]
		state.cuts += after - before
		return next.withState(z, &state)
	}
	return &next
}

// cuts is 1 when a leaf delegates its name, else 0.
func cuts(z *zone, l *leaf) int {
	if l.holds() && l.name() != z.name && l.set(dns.TypeNS).count > 0 {
		return 1
	}
	return 0
}

// difference returns the changes that make one leaf of a name into another:
// for each record that goes or alters a DeleteRecord, then what comes.
func difference(name string, old, l *leaf) []Change {
	var gone, come []Change
	for s := range old.sets() {
		now := l.records(s.rrtype)
		for r := range s.records() {
			i := slices.IndexFunc(now, func(other record) bool { return other.data == r.data })
			if i < 0 || now[i].ttl != r.ttl {
				gone = append(gone, Change{Name: name, Type: s.rrtype, TTL: r.ttl, Data: r.data, Op: DeleteRecord})
			}
		}
	}
	for s := range l.sets() {
		before := old.records(s.rrtype)
		for r := range s.records() {
			c := Change{Name: name, Type: s.rrtype, TTL: r.ttl, Data: r.data, Expires: r.expires}
			i := slices.IndexFunc(before, func(other record) bool { return other.data == r.data })
			switch {
			case i < 0 || before[i].ttl != r.ttl:
			case before[i].expires != r.expires:
				c.Op = Extend
			default:
				continue
			}
			come = append(come, c)
		}
	}
	return append(gone, come...)
}
