package dnsserver

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// DefaultTransferLog is how many bytes of changes are remembered of each zone.
const DefaultTransferLog = 16 << 20

// delta is what changed of a zone from one serial to the next. Records are as
// they stand in a message whose question is the zone's apex, one after another.
type delta struct {
	from, to   uint32
	before     []byte // the SOA
	gone, come []byte
	after      []byte // the SOA
}

func (d delta) size() int { return len(d.before) + len(d.gone) + len(d.come) + len(d.after) }

// journal is the last changes of one zone, without a gap: what IXFR tells (RFC
// 1995). What it does not reach back to is told by AXFR.
type journal struct {
	mu      sync.Mutex
	deltas  []delta
	records slab // of all deltas
	size    int
}

// add adds a copy of a change and forgets the oldest over the limit, all of them
// when the change does not go on from the last.
func (j *journal) add(d delta, limit int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.deltas); n > 0 && j.deltas[n-1].to != d.from {
		j.deltas, j.size = nil, 0
	}
	d.before, d.gone, d.come, d.after = j.records.keep(d.before), j.records.keep(d.gone), j.records.keep(d.come), j.records.keep(d.after)
	j.deltas = append(j.deltas, d)
	j.size += d.size()
	drop := 0
	for j.size > limit && drop < len(j.deltas) {
		j.size -= j.deltas[drop].size()
		j.deltas[drop] = delta{}
		drop++
	}
	j.deltas = j.deltas[drop:]
}

// between returns what leads from one serial to another, or false when not all
// of it is known.
func (j *journal) between(from, to uint32) (delta, bool) {
	deltas, ok := j.chain(from, to)
	if !ok {
		return delta{}, false
	}
	return condensed(deltas), true
}

// condensed makes one change of several (RFC 1995 §5): a secondary that is told
// each takes a flush of its disk for each. What came and went in between is not
// told at all.
func condensed(deltas []delta) delta {
	one := deltas[len(deltas)-1]
	if len(deltas) == 1 {
		return one
	}
	one.from, one.before, one.gone, one.come = deltas[0].from, deltas[0].before, nil, nil
	gone, come := newRecordSet(), newRecordSet()
	for _, d := range deltas {
		eachRecord(d.gone, func(r string) {
			if !come.remove(r) {
				gone.add(r)
			}
		})
		eachRecord(d.come, func(r string) {
			if !gone.remove(r) {
				come.add(r)
			}
		})
	}
	one.gone, one.come = gone.append(nil), come.append(nil)
	return one
}

// recordSet is records in the order they were added.
type recordSet struct {
	order []string
	at    map[string]int // in order
}

func newRecordSet() *recordSet { return &recordSet{at: map[string]int{}} }

func (s *recordSet) add(r string) {
	s.at[r] = len(s.order)
	s.order = append(s.order, r)
}

func (s *recordSet) remove(r string) bool {
	i, ok := s.at[r]
	if ok {
		s.order[i] = ""
		delete(s.at, r)
	}
	return ok
}

func (s *recordSet) append(out []byte) []byte {
	for _, r := range s.order {
		out = append(out, r...)
	}
	return out
}

// eachRecord goes through records that stand one after another.
func eachRecord(records []byte, what func(r string)) {
	for len(records) > 0 {
		end, _, err := readRecord(records, 0)
		if err != nil {
			return // appendRecord made them
		}
		what(string(records[:end]))
		records = records[end:]
	}
}

// chain returns the changes between two serials, one after another.
func (j *journal) chain(from, to uint32) ([]delta, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	end := slices.IndexFunc(j.deltas, func(d delta) bool { return d.to == to }) + 1
	for start := end - 1; start >= 0; start-- {
		if j.deltas[start].from == from {
			return slices.Clone(j.deltas[start:end]), true
		}
	}
	return nil, false
}

// journals are those of all zones, by apex.
type journals struct {
	mu  sync.Mutex
	all map[string]*journal
}

func (j *journals) of(apex string) *journal {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.all == nil {
		j.all = map[string]*journal{}
	}
	if j.all[apex] == nil {
		j.all[apex] = &journal{}
	}
	return j.all[apex]
}

// forget drops what is remembered of a zone, whose next transfer is a whole one.
func (j *journals) forget(apex string) {
	of := j.of(apex)
	of.mu.Lock()
	defer of.mu.Unlock()
	of.deltas, of.size = nil, 0
}

// remember adds to the journals what a draft changes. Zones that are others than
// before are told whole.
func (s *Server) remember(d *draft, b Batch, limit int) {
	sets := map[*zone]*zoneDelta{}
	defer s.forgetOthers(d, b)
	for _, c := range b.Changes {
		z := d.view.zoneOf(c.Name, c.Type)
		if z == nil || d.old.zones[z.name] != z || c.Op == Extend {
			continue
		}
		if sets[z] == nil {
			sets[z] = &zoneDelta{mixed: map[recordKey]bool{}}
		}
		sets[z].take(z, c)
	}
	for z, set := range sets {
		set.finish(d, z)
		from, to := d.old.states[z.index], d.view.states[z.index]
		s.journals.of(z.name).add(delta{
			from: from.serial, to: to.serial, before: from.record, gone: set.gone, come: set.come, after: to.record,
		}, limit)
	}
}

// forgetOthers forgets what is remembered of zones that another server, with
// another configuration, gave a serial.
func (s *Server) forgetOthers(d *draft, b Batch) {
	for _, doc := range b.Documents {
		apex, isSerial := cutSerialKey(doc.Key)
		if z := d.view.zones[apex]; isSerial && z != nil {
			if _, mark, ok := serialOf(string(doc.Value)); !ok || mark != z.mark {
				s.journals.forget(apex)
			}
		}
	}
}

// zoneDelta is the changes of one zone in one batch.
type zoneDelta struct {
	gone, come []byte
	mixed      map[recordKey]bool // sets that have configured records too; their data is empty
}

// take takes a change. A set that has configured records too is compared whole,
// for its TTL and what is there twice depend on both.
func (t *zoneDelta) take(z *zone, c Change) {
	switch {
	case len(z.configured(c.Name, c.Type)) > 0:
		t.mixed[recordKey{name: c.Name, rrtype: c.Type}] = true
	case c.Op == DeleteRecord:
		t.gone = z.appendRecord(t.gone, c.Name, c.Type, c.TTL, c.Data)
	default:
		t.come = z.appendRecord(t.come, c.Name, c.Type, c.TTL, c.Data)
	}
}

func (t *zoneDelta) finish(d *draft, z *zone) {
	for set := range t.mixed {
		before, after := d.old.setOf(z, set.name, set.rrtype), d.view.setOf(z, set.name, set.rrtype)
		for _, r := range before {
			if !slices.Contains(after, r) {
				t.gone = z.appendRecord(t.gone, set.name, set.rrtype, r.ttl, r.data)
			}
		}
		for _, r := range after {
			if !slices.Contains(before, r) {
				t.come = z.appendRecord(t.come, set.name, set.rrtype, r.ttl, r.data)
			}
		}
	}
}

// setOf is an rrset as it is answered, configured records and others in one.
func (v *view) setOf(z *zone, name string, rrtype uint16) []record {
	f := v.at(z, name)
	s := f.leaf.set(rrtype)
	ttl := s.ttl()
	if f.node != nil && len(f.node.rrsets[rrtype]) > 0 {
		configured := f.node.rrsets[rrtype][0].Header().Ttl
		if s.count == 0 || configured < ttl {
			ttl = configured
		}
	}
	var set []record
	for _, data := range v.dataAt(z, name, rrtype) {
		set = append(set, record{ttl: ttl, data: data})
	}
	return set
}

// appendRecord appends a record as it stands in a message whose question is the
// zone's apex: the owner is compressed against that, nothing else is.
func (z *zone) appendRecord(out []byte, name string, rrtype uint16, ttl uint32, data string) []byte {
	owner := nameData(name)
	return appendRecord(out, owner[:len(owner)-len(nameData(z.name))], rrtype, ttl, data)
}

// appendRecord is the same where the owner's labels below the apex are known.
func appendRecord(out []byte, labels string, rrtype uint16, ttl uint32, data string) []byte {
	out = slices.Grow(out, len(labels)+recordHeader+len(data))
	out = append(out, labels...)
	out = binary.BigEndian.AppendUint16(out, questionName)
	out = binary.BigEndian.AppendUint16(out, rrtype)
	out = binary.BigEndian.AppendUint16(out, dns.ClassINET)
	out = binary.BigEndian.AppendUint32(out, ttl)
	out = binary.BigEndian.AppendUint16(out, uint16(len(data)))
	return append(out, data...)
}

// soaRecord is the SOA of a zone as appendRecord has it.
func soaRecord(soa *dns.SOA) []byte {
	mine := *soa // packing writes to it
	data, err := rdata(&mine)
	if err != nil {
		return nil
	}
	return appendRecord(nil, "", dns.TypeSOA, soa.Hdr.Ttl, data)
}

// recall rebuilds the journals from a batch that a store had kept, whose serials
// tell what led where. The view is that before it.
func (s *Server) recall(v *view, b Batch, limit int) {
	for _, doc := range b.Documents {
		apex, isSerial := cutSerialKey(doc.Key)
		z := v.zones[apex]
		if !isSerial || z == nil {
			continue
		}
		to, mark, ok := serialOf(string(doc.Value))
		old, there := v.document(doc.Key)
		from, oldMark, oldOK := serialOf(old)
		if !ok || !there || !oldOK || mark != z.mark || oldMark != z.mark || len(v.parked) > 0 {
			s.journals.forget(apex)
			continue
		}
		set := &zoneDelta{mixed: map[recordKey]bool{}}
		whole := true
		for _, c := range b.Changes {
			if c.Op != Extend && v.zoneOf(c.Name, c.Type) == z {
				_, err := v.placeOf(c)
				whole = whole && err == nil
				set.take(z, c)
			}
		}
		if !whole || len(set.mixed) > 0 {
			s.journals.forget(apex)
			continue
		}
		s.journals.of(apex).add(delta{
			from: from, to: to, before: z.state(from, 0).record, gone: set.gone, come: set.come, after: z.state(to, 0).record,
		}, limit)
	}
}
