package dnsserver

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// negativeTail is the authority section of a negative answer of a zone. All
// its compression pointers lead to the apex in the question or into the
// section itself, so that they are right for any question when the difference
// in length is added to them.
type negativeTail struct {
	wire     []byte
	end      int      // of the question it was built with
	pointers []int    // where in wire they stand
	near     []string // labels just below the apex that names in the SOA have
}

// newNegativeTail builds the section, or returns nil where it cannot be: then
// all negative answers of the zone go the slow way.
func newNegativeTail(name string, soa *dns.SOA) *negativeTail {
	m := new(dns.Msg)
	m.Compress = true
	m.Question = []dns.Question{{Name: strings.TrimPrefix("-."+name, "."), Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}
	if name == "." {
		return nil
	}
	m.Ns = []dns.RR{soa}
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	q := query{}
	end, err := q.readQuestion(wire)
	if err != nil {
		return nil
	}
	t := &negativeTail{wire: wire[end:], end: end, pointers: []int{0}}
	off := 12 // the owner is a pointer
	for range 2 {
		for t.wire[off] != 0 && t.wire[off] < 0xc0 {
			off += 1 + int(t.wire[off])
		}
		if t.wire[off] != 0 {
			t.pointers = append(t.pointers, off)
			off++
		}
		off++
	}
	for _, other := range []string{soa.Ns, soa.Mbox} {
		if other = lower(other); other != name && within(other, name) {
			labels := dns.SplitDomainName(strings.TrimSuffix(other, name))
			t.near = append(t.near, labels[len(labels)-1])
		}
	}
	return t
}

// shares reports whether a name in the SOA could be compressed against more of
// the question than the apex.
func (t *negativeTail) shares(z *zone, q *hot) bool {
	if len(q.name) == len(z.name) || len(t.near) == 0 {
		return false
	}
	rest := q.name[:len(q.name)-len(z.name)-1]
	return slices.Contains(t.near, rest[strings.LastIndexByte(rest, '.')+1:])
}

// relocate adds shift to the pointers in a copy of the section.
func (t *negativeTail) relocate(section []byte, shift int) {
	for _, at := range t.pointers {
		p := section[at : at+2]
		binary.BigEndian.PutUint16(p, uint16(int(binary.BigEndian.Uint16(p))+shift))
	}
}

// learned is the answer section for one type at one configured name, as the
// slow path makes it.
type learned struct {
	rrtype  uint16
	answers uint16
	tail    []byte
}

// learned returns what is known of a type, or nil.
func (n *node) learned(rrtype uint16) *learned {
	known := n.known.Load()
	if known == nil {
		return nil
	}
	for i := range *known {
		if (*known)[i].rrtype == rrtype {
			return &(*known)[i]
		}
	}
	return nil
}

// learn asks the slow path once for what a configured name has of a type, and
// keeps it. It returns nil for what is more than an answer section.
func (v *view) learn(n *node, q *hot) *learned {
	name := strings.Clone(q.name)
	a := v.answer(question{name, q.rrtype})
	r := pack(query{asked: true, question: question{name, q.rrtype}, class: dns.ClassINET}, a, &terms{limit: tcpSize})
	if len(a.answer) == 0 || len(a.authority)+len(a.additional) > 0 || a.rcode != dns.RcodeSuccess || !a.authoritative || len(r.wire) < q.end {
		return nil
	}
	l := learned{q.rrtype, uint16(len(a.answer)), slices.Clone(r.wire[q.end:])}
	for {
		known := n.known.Load()
		next := []learned{l}
		if known != nil {
			next = append(next, *known...)
		}
		if n.known.CompareAndSwap(known, &next) {
			return &l
		}
	}
}
