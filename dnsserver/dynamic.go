package dnsserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// updateMessage is an UPDATE as it was read (RFC 2136 §2).
type updateMessage struct {
	zone          string // canonical
	prerequisites []updateRecord
	updates       []updateRecord
}

// updateRecord is one record of an UPDATE; its class says what is to be done.
type updateRecord struct {
	name   string // canonical
	rrtype uint16
	class  uint16
	ttl    uint32
	data   string // in wire form, names uncompressed
}

// refusal is an UPDATE that is not made.
type refusal struct {
	rcode int
	why   string
}

// Error says why.
func (r *refusal) Error() string { return dns.RcodeToString[r.rcode] + ": " + r.why }

func refuseUpdate(rcode int, format string, args ...any) error {
	return &refusal{rcode, fmt.Sprintf(format, args...)}
}

// readUpdate reads the sections of an UPDATE that readQuery has read. Each may
// have at most limit records, together. The error is a *refusal.
func readUpdate(msg []byte, q query, limit int) (updateMessage, error) {
	m := updateMessage{zone: lower(q.question.name)}
	prerequisites, updates := int(binary.BigEndian.Uint16(msg[6:])), int(binary.BigEndian.Uint16(msg[8:]))
	switch {
	case q.question.rrtype != dns.TypeSOA:
		return m, refuseUpdate(dns.RcodeFormatError, "the zone section has no SOA") // RFC 2136 §3.1.1
	case prerequisites+updates > limit:
		return m, refuseUpdate(dns.RcodeRefused, "it has %d records, and updates.max_records allows %d; send several", prerequisites+updates, limit)
	}
	m.prerequisites = make([]updateRecord, prerequisites)
	m.updates = make([]updateRecord, updates)
	off := q.end
	for _, section := range [][]updateRecord{m.prerequisites, m.updates} {
		for i := range section {
			var err error
			if section[i], off, err = readUpdateRecord(msg, off); err != nil {
				return m, refuseUpdate(dns.RcodeFormatError, "a record cannot be read")
			}
		}
	}
	return m, nil
}

// readUpdateRecord reads one record and returns where it ends.
func readUpdateRecord(msg []byte, off int) (r updateRecord, end int, err error) {
	name, off, err := dns.UnpackDomainName(msg, off)
	if err != nil || off+10 > len(msg) {
		return r, 0, errMalformed
	}
	r.name, r.rrtype = lower(name), binary.BigEndian.Uint16(msg[off:])
	r.class, r.ttl = binary.BigEndian.Uint16(msg[off+2:]), binary.BigEndian.Uint32(msg[off+4:])
	length := int(binary.BigEndian.Uint16(msg[off+8:]))
	off += 10
	if end = off + length; end > len(msg) {
		return r, 0, errMalformed
	}
	r.data, err = readData(msg, off, end, r.rrtype)
	return r, end, err
}

// readData returns the data of a record with its names uncompressed. Data that
// there cannot be is an error.
func readData(msg []byte, off, end int, rrtype uint16) (string, error) {
	if off == end {
		return "", nil
	}
	if prebuiltData(rrtype) {
		data := string(msg[off:end])
		if !readable(rrtype, data) {
			return "", errMalformed
		}
		return data, nil
	}
	h := dns.RR_Header{Name: ".", Rrtype: rrtype, Class: dns.ClassINET, Rdlength: uint16(end - off)}
	rr, read, err := dns.UnpackRRWithHeader(h, msg[:end], off)
	if err != nil || read != end {
		return "", errMalformed
	}
	return rdata(rr)
}

// mayBeEmpty reports whether records of a type may have no data.
func mayBeEmpty(rrtype uint16) bool {
	_, known := dns.TypeToRR[rrtype]
	return !known || slices.Contains([]uint16{dns.TypeNULL, dns.TypeAPL}, rrtype)
}

// question types that no record has (RFC 2136 §3.4.1.2), and what is none.
func isMeta(rrtype uint16) bool { return rrtype == 0 || rrtype >= 128 && rrtype <= 255 }

// prescan checks the form of the update section (RFC 2136 §3.4.1) and what the
// key may change.
func (m *updateMessage) prescan(v *view, z *zone, k *key) error {
	for _, r := range m.updates {
		if v.zoneOf(r.name, r.rrtype) != z {
			return refuseUpdate(dns.RcodeNotZone, "%s is not in the zone %s", display(r.name), display(z.name))
		}
		if err := r.form(); err != nil {
			return err
		}
		if !k.reaches(r.name) || r.rrtype != dns.TypeANY && !k.mayChange(r.name, r.rrtype) {
			return refuseUpdate(dns.RcodeRefused, "the key may not change %s at %s; add it to the key's updates and types, or use another key",
				dns.Type(r.rrtype), display(r.name))
		}
	}
	return nil
}

// form checks one record of the update section.
func (r updateRecord) form() error {
	var bad bool
	switch r.class {
	case dns.ClassINET:
		bad = isMeta(r.rrtype) || r.data == "" && !mayBeEmpty(r.rrtype)
	case dns.ClassANY:
		bad = r.ttl != 0 || r.data != "" || isMeta(r.rrtype) && r.rrtype != dns.TypeANY
	case dns.ClassNONE:
		bad = r.ttl != 0 || isMeta(r.rrtype)
	default:
		bad = true
	}
	if bad {
		return refuseUpdate(dns.RcodeFormatError, "the update of %s %s is not formed as RFC 2136 section 2.5 says", display(r.name), dns.Type(r.rrtype))
	}
	return nil
}

// check evaluates the prerequisites (RFC 2136 §3.2).
func (m *updateMessage) check(v *view, z *zone) error {
	type set struct {
		name   string
		rrtype uint16
	}
	wanted := map[set][]string{}
	for _, r := range m.prerequisites {
		switch {
		case r.ttl != 0:
			return refuseUpdate(dns.RcodeFormatError, "a prerequisite has a TTL")
		case v.zoneOf(r.name, r.rrtype) != z:
			return refuseUpdate(dns.RcodeNotZone, "the prerequisite %s is not in the zone %s", display(r.name), display(z.name))
		case r.class == dns.ClassINET && !isMeta(r.rrtype):
			wanted[set{r.name, r.rrtype}] = append(wanted[set{r.name, r.rrtype}], r.data)
			continue
		}
		if err := r.require(v, z); err != nil {
			return err
		}
	}
	for s, data := range wanted {
		if !sameSet(s.rrtype, v.dataAt(z, s.name, s.rrtype), data) {
			return refuseUpdate(dns.RcodeNXRrset, "%s has other %s records than the update wants", display(s.name), dns.Type(s.rrtype))
		}
	}
	return nil
}

// require evaluates a prerequisite that names no data.
func (r updateRecord) require(v *view, z *zone) error {
	if r.data != "" || r.class != dns.ClassANY && r.class != dns.ClassNONE || isMeta(r.rrtype) && r.rrtype != dns.TypeANY {
		return refuseUpdate(dns.RcodeFormatError, "a prerequisite is not formed as RFC 2136 section 2.4 says")
	}
	there := len(v.dataAt(z, r.name, r.rrtype)) > 0
	if r.rrtype == dns.TypeANY {
		there = v.at(z, r.name).has()
	}
	switch {
	case there == (r.class == dns.ClassANY):
		return nil
	case r.rrtype == dns.TypeANY && there:
		return refuseUpdate(dns.RcodeYXDomain, "%s has records, and the update wants none", display(r.name))
	case r.rrtype == dns.TypeANY:
		return refuseUpdate(dns.RcodeNameError, "%s has no records, and the update wants some", display(r.name))
	case there:
		return refuseUpdate(dns.RcodeYXRrset, "%s has %s records, and the update wants none", display(r.name), dns.Type(r.rrtype))
	}
	return refuseUpdate(dns.RcodeNXRrset, "%s has no %s records, and the update wants some", display(r.name), dns.Type(r.rrtype))
}

// sameSet reports whether two sets of data are the same (RFC 2136 §3.2.3).
func sameSet(rrtype uint16, a, b []string) bool {
	in := func(set []string, data string) bool {
		return slices.ContainsFunc(set, func(other string) bool { return sameData(rrtype, data, other) })
	}
	for _, data := range a {
		if !in(b, data) {
			return false
		}
	}
	return !slices.ContainsFunc(b, func(data string) bool { return !in(a, data) })
}

// dataAt is the data of all records of a type at a name, configured or not.
func (v *view) dataAt(z *zone, name string, rrtype uint16) []string {
	f := v.at(z, name)
	var all []string
	switch {
	case rrtype == dns.TypeSOA && name == z.name:
		soa := *v.states[z.index].soa // packing writes to it
		if data, err := rdata(&soa); err == nil {
			all = append(all, data)
		}
	case f.node != nil:
		all = append(all, f.node.data[rrtype]...)
	}
	for r := range f.leaf.set(rrtype).records() {
		if !f.node.holds(rrtype, r.data) {
			all = append(all, r.data)
		}
	}
	return all
}

// apply makes the changes of the update section in their order (RFC 2136
// §3.4.2).
func (m *updateMessage) apply(d *draft, z *zone, k *key, most int) error {
	for _, r := range m.updates {
		var err error
		switch r.class {
		case dns.ClassINET:
			err = r.add(d, z, most)
		case dns.ClassANY:
			err = r.deleteSets(d, z, k)
		default:
			err = r.deleteOne(d, z)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds a record (RFC 2136 §3.4.2.2). What has no place beside a CNAME, or
// is an SOA that is not newer, is passed over.
func (r updateRecord) add(d *draft, z *zone, most int) error {
	leaf := d.view.table.get(r.name)
	switch {
	case r.rrtype == dns.TypeSOA:
		if len(r.data) < 20 || r.name != z.name || !newerSerial(binary.BigEndian.Uint32([]byte(r.data[len(r.data)-20:])), d.view.states[z.index].serial) {
			return nil
		}
		return refuseUpdate(dns.RcodeRefused, "the SOA is in the configuration file; change it there")
	case r.rrtype != dns.TypeCNAME && leaf.set(dns.TypeCNAME).count > 0:
		return nil
	case r.rrtype == dns.TypeCNAME:
		for s := range leaf.sets() {
			if s.rrtype != dns.TypeCNAME {
				return nil
			}
		}
	}
	if err := d.change(Change{Name: r.name, Type: r.rrtype, TTL: r.ttl, Data: r.data}); err != nil {
		return err
	}
	if n := d.view.table.get(r.name).set(r.rrtype).count; n > most {
		return refuseUpdate(dns.RcodeRefused, "%s would have %d %s records, and updates.max_values allows %d; delete old ones",
			display(r.name), n, dns.Type(r.rrtype), most)
	}
	return nil
}

// deleteSets deletes an rrset, or all of a name (RFC 2136 §3.4.2.3). SOA and NS
// of the apex stay.
func (r updateRecord) deleteSets(d *draft, z *zone, k *key) error {
	types := []uint16{r.rrtype}
	if r.rrtype == dns.TypeANY {
		types = nil
		f := d.view.at(z, r.name)
		for s := range f.leaf.sets() {
			types = append(types, s.rrtype)
		}
		if f.node != nil {
			for rrtype := range f.node.rrsets {
				types = append(types, rrtype)
			}
		}
	}
	for _, rrtype := range types {
		if r.name == z.name && (rrtype == dns.TypeSOA || rrtype == dns.TypeNS) {
			continue
		}
		if !k.mayChange(r.name, rrtype) {
			return refuseUpdate(dns.RcodeRefused, "the key may not change %s at %s; add the type to the key's types, or use another key",
				dns.Type(rrtype), display(r.name))
		}
		if err := d.change(Change{Name: r.name, Type: rrtype, Op: DeleteSet}); err != nil {
			return err
		}
	}
	return nil
}

// deleteOne deletes a record (RFC 2136 §3.4.2.4). The SOA stays.
func (r updateRecord) deleteOne(d *draft, z *zone) error {
	if r.rrtype == dns.TypeSOA || r.name == z.name && r.rrtype == dns.TypeNS && len(d.view.dataAt(z, r.name, r.rrtype)) == 1 {
		return nil
	}
	return d.change(Change{Name: r.name, Type: r.rrtype, Data: r.data, Op: DeleteRecord})
}

// changes are the updates as the history has them.
func (m *updateMessage) changes() []Change {
	var all []Change
	for _, r := range m.updates {
		c := Change{Name: r.name, Type: r.rrtype, TTL: r.ttl, Data: r.data}
		switch {
		case r.class == dns.ClassANY && r.rrtype == dns.TypeANY:
			c.Op = DeleteName
		case r.class == dns.ClassANY:
			c.Op = DeleteSet
		case r.class == dns.ClassNONE:
			c.Op = DeleteRecord
		}
		all = append(all, c)
	}
	return all
}

// rcodeOf is what an UPDATE is answered that ended with err.
func rcodeOf(err error) int {
	var r *refusal
	switch {
	case err == nil:
		return dns.RcodeSuccess
	case errors.As(err, &r):
		return r.rcode
	case errors.Is(err, ErrNotInZone):
		return dns.RcodeNotZone
	case errors.Is(err, ErrConflict), errors.Is(err, ErrTooLarge), errors.Is(err, ErrRecord), errors.Is(err, ErrFull):
		return dns.RcodeRefused
	}
	return dns.RcodeServerFailure
}
