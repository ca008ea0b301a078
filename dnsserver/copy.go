package dnsserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Primary is a server that a zone is copied from: this one is its secondary.
type Primary struct {
	Address string // IP address, or address and port; the port is 53 without
	Key     string // the TSIGKey that both sign with; "" for none
}

// primary is one configured Primary, compiled.
type primary = secondary

// copyPrefix begins the key of the document that keeps the SOA of a copied zone
// and when it was last known to be the primary's.
const copyPrefix = "copy/"

// copied is what is kept of a copied zone beside its records.
type copied struct {
	soa       *dns.SOA
	refreshed time.Time
}

// document is the stored form.
func (c copied) document(apex string) (Document, error) {
	soa := *c.soa // packing writes to it
	data, err := rdata(&soa)
	if err != nil {
		return Document{}, err
	}
	value := binary.BigEndian.AppendUint64(nil, uint64(max(c.refreshed.Unix(), 0)))
	value = binary.BigEndian.AppendUint32(value, soa.Hdr.Ttl)
	return Document{Key: copyPrefix + apex, Value: append(value, data...)}, nil
}

// copiedOf reads what is kept of a copied zone, false when it was never copied.
func (v *view) copiedOf(z *zone) (copied, bool) {
	text, ok := v.document(copyPrefix + z.name)
	if !ok || len(text) < 12 {
		return copied{}, false
	}
	value := []byte(text)
	rr, err := newRR(z.name, dns.TypeSOA, record{ttl: binary.BigEndian.Uint32(value[8:]), data: text[12:]})
	soa, isSOA := rr.(*dns.SOA)
	if err != nil || !isSOA {
		return copied{}, false
	}
	return copied{soa, time.Unix(int64(binary.BigEndian.Uint64(value)), 0)}, true
}

// expires is when the copy is too old to be given away (RFC 1035 §3.3.13).
func (c copied) expires() time.Time {
	return c.refreshed.Add(time.Duration(c.soa.Expire) * time.Second)
}

// copyState is the state of a copied zone as it is kept: without a copy there is
// no answer.
func (v *view) copyState(z *zone) *zoneState {
	cuts := v.states[z.index].cuts
	c, ok := v.copiedOf(z)
	if !ok {
		return &zoneState{expired: true, cuts: cuts, soa: z.soa, negative: z.soa, record: soaRecord(z.soa)}
	}
	return newZoneState(c.soa, cuts)
}

// withExpiry returns the view in which copies that are too old are marked so.
func (v *view) withExpiry(now time.Time) *view {
	for _, z := range v.zones {
		if !z.copied {
			continue
		}
		c, ok := v.copiedOf(z)
		expired := !ok || !now.Before(c.expires())
		if state := v.states[z.index]; state.expired != expired {
			next := *state
			next.expired = expired
			v = v.withState(z, &next)
		}
	}
	return v
}

// errCopied refuses changes of a copy.
func errCopied(z *zone) error {
	return fmt.Errorf("%w: the zone %s is a copy; make the change at its primary server", ErrConflict, display(z.name))
}

// withCopied returns the view after a change of a copied zone, which its primary
// has found good.
func (v *view) withCopied(z *zone, c Change) *view {
	old := v.table.get(c.Name)
	records := old.records(c.Type)
	i := slices.IndexFunc(records, func(r record) bool { return r.data == c.Data })
	switch {
	case c.Op == DeleteRecord && i < 0:
		return v
	case c.Op == DeleteRecord:
		records = slices.Delete(records, i, i+1)
	case i >= 0:
		records[i].ttl = c.TTL
	default:
		added := record{ttl: c.TTL, data: c.Data}
		at, _ := slices.BinarySearchFunc(records, added, byData)
		records = slices.Insert(records, at, added)
	}
	if c.Op != DeleteRecord {
		for n := range records {
			records[n].ttl = c.TTL // RFC 2181 §5.2
		}
	}
	return v.exchange(z, old, old.with(c.Name, c.Type, records))
}

// zoneContent is the records of a zone by name, without its SOA.
type zoneContent map[string]*leaf

// add adds a record.
func (c zoneContent) add(name string, rrtype uint16, ttl uint32, data string) {
	l := c[name]
	records := l.records(rrtype)
	added := record{ttl: ttl, data: data}
	at, there := slices.BinarySearchFunc(records, added, byData)
	if there {
		return
	}
	if len(records) > 0 {
		ttl = min(ttl, records[0].ttl)
	}
	records = slices.Insert(records, at, added)
	for i := range records {
		records[i].ttl = ttl // RFC 2181 §5.2
	}
	c[name] = l.with(name, rrtype, records)
}

// replace makes a copied zone what a transfer of all of it told.
func (d *draft) replace(z *zone, soa *dns.SOA, content zoneContent, now time.Time) error {
	for l := range d.view.table.all() {
		if l.holds() && d.view.zoneOf(l.name(), dns.TypeNone) == z && content[l.name()] == nil {
			d.put(z, l, newLeaf(l.name(), int(l.below)))
		}
	}
	for name, l := range content {
		if d.view.zoneOf(name, dns.TypeNone) != z {
			continue // it is answered from a zone of this server's below
		}
		old := d.view.table.get(name)
		if old != nil {
			l.below = old.below
		}
		d.put(z, old, l)
	}
	return d.current(z, soa, now)
}

// put puts a leaf into the place of another.
func (d *draft) put(z *zone, old, l *leaf) {
	if old != nil && old.text() == l.text() {
		return
	}
	d.view = d.view.exchange(z, old, l)
	d.names[l.name()] = struct{}{}
}

// errDiverged is a copy that an incremental transfer does not fit.
var errDiverged = errors.New("the changes do not fit the copy")

// amend makes the changes that an incremental transfer told.
func (d *draft) amend(z *zone, from uint32, soa *dns.SOA, changes []Change, now time.Time) error {
	if d.view.states[z.index].serial != from {
		return errDiverged
	}
	for _, c := range changes {
		if d.view.zoneOf(c.Name, c.Type) != z {
			continue
		}
		next := d.view.withCopied(z, c)
		if c.Op == DeleteRecord && next == d.view {
			return errDiverged
		}
		d.view = next
		d.names[c.Name] = struct{}{}
	}
	return d.current(z, soa, now)
}

// current says that the copy is that of the primary, now, at this SOA.
func (d *draft) current(z *zone, soa *dns.SOA, now time.Time) error {
	doc, err := copied{soa, now}.document(z.name)
	if err != nil {
		return err
	}
	d.keep(doc)
	d.view = d.view.withState(z, newZoneState(soa, d.view.states[z.index].cuts))
	return nil
}

// compilePrimaries returns by apex where zones are copied from.
func compilePrimaries(confs []Zone, keys map[string]*key) (map[string][]primary, []*ConfigError) {
	all := map[string][]primary{}
	var problems []*ConfigError
	for i, conf := range confs {
		apex, err := canonicalName(conf.Name)
		if err != nil || len(conf.Primaries) == 0 {
			continue
		}
		problem := func(field, fix, format string, args ...any) {
			problems = append(problems, &ConfigError{
				Block: "zone", Index: i, Name: conf.Name, Field: field, Problem: fmt.Sprintf(format, args...), Fix: fix,
			})
		}
		for _, of := range conf.Primaries {
			one := primary{name: of.Address}
			if one.address, err = serverAddress(of.Address); err != nil {
				problem("primary", "write its address like 192.0.2.53 or [2001:db8::53]:53", "%v", err)
			}
			if one.key, err = keyNamed(keys, of.Key); err != nil {
				problem("primary", "add the tsig_key, or correct the name", "%v", err)
			}
			all[apex] = append(all[apex], one)
		}
		if len(conf.NameServers) > 0 || conf.Records != "" || conf.Hostmaster != "" || conf.Serial != 0 || conf.TTL != 0 || conf.NegativeTTL != 0 {
			problem("primary", "remove nameservers, records, hostmaster, serial, ttl and negative_ttl, which the primary has", "the zone is copied, and has contents of its own")
		}
	}
	return all, problems
}

// isCopyKey reports whether a document is the server's own about a copy.
func isCopyKey(key string) bool { return strings.HasPrefix(key, copyPrefix) }
