package dnsserver

import (
	"encoding/binary"
	"unsafe"

	"github.com/miekg/dns"
)

// The fast path answers the usual question without the message library: it
// finds prebuilt bytes by the question's name and puts a header before them. It
// allocates nothing and takes no lock. What it does not take goes the slow way,
// and what it takes it answers with the very same bytes, which the differential
// tests prove.

// hot is a usual question: QUERY, one question of class IN, a name of plain
// characters, no record but OPT, no option but a cookie.
type hot struct {
	buf    [256]byte // the name as this package has it, lower case
	wild   [260]byte // the name of a wildcard
	name   string    // in buf
	starts [128]uint8
	labels int // how many starts there are
	end    int // of the question
	rrtype uint16
	rd     bool
	zone   *zone // that answered last
	extension
}

// plain maps the characters that a name may have on the fast path to lower
// case, others to 0: those are escaped in the canonical form. It has sixteen to
// the line.
const (
	plain = others + others +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00*+\x00-\x00/" +
		"0123456789\x00\x00\x00=\x00\x00" +
		"\x00abcdefghijklmno" +
		"pqrstuvwxyz\x00\x00\x00\x00_" +
		"\x00abcdefghijklmno" +
		"pqrstuvwxyz\x00\x00\x00\x00\x00" +
		others + others + others + others + others + others + others + others
	others = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// read reads a message, or reports false for one that is not usual.
func (q *hot) read(msg []byte) bool {
	// QR and opcode are 0, one question, no answer, no authority.
	if len(msg) < headerSize+7 || msg[2]&0xf8 != 0 || binary.BigEndian.Uint32(msg[4:]) != 1<<16 || msg[8]|msg[9]|msg[10] != 0 || msg[11] > 1 {
		return false
	}
	if !q.readName(msg) {
		return false
	}
	tail := msg[q.end-4:]
	q.rrtype = binary.BigEndian.Uint16(tail)
	if tail[2] != 0 || tail[3] != byte(dns.ClassINET) || unusual(q.rrtype) {
		return false
	}
	q.rd = msg[2]&1 != 0
	q.extension = extension{}
	rest := tail[4:]
	if msg[11] == 0 {
		return len(rest) == 0
	}
	return q.readUsualOPT(rest)
}

// readName reads the question's name.
func (q *hot) readName(msg []byte) bool {
	off, n := headerSize, 0
	q.labels = 0
	for {
		length := int(msg[off])
		off++
		if length == 0 {
			break
		}
		if length > 63 || off+length+5 > len(msg) || n+length+1 > 254 {
			return false
		}
		q.starts[q.labels] = uint8(n)
		q.labels++
		label := q.buf[n : n+length]
		for i, c := range msg[off : off+length] {
			if label[i] = plain[c]; label[i] == 0 {
				return false
			}
		}
		n += length
		q.buf[n] = '.'
		n++
		off += length
	}
	if n == 0 || off+4 > len(msg) {
		return false
	}
	q.end = off + 4
	q.name = unsafe.String(&q.buf[0], n)
	return true
}

// readUsualOPT reads the OPT record that is the rest of the message.
func (q *hot) readUsualOPT(rest []byte) bool {
	if len(rest) < optSize || rest[0] != 0 || rest[1] != 0 || rest[2] != byte(dns.TypeOPT) || rest[6] != 0 {
		return false
	}
	options := rest[optSize:]
	if int(binary.BigEndian.Uint16(rest[9:])) != len(options) {
		return false
	}
	q.edns = true
	q.udpSize = binary.BigEndian.Uint16(rest[3:])
	q.do = rest[7]&0x80 != 0
	if len(options) == 0 {
		return true
	}
	if len(options) < 4 || options[0] != 0 || options[1] != dns.EDNS0COOKIE || int(binary.BigEndian.Uint16(options[2:])) != len(options)-4 {
		return false
	}
	q.cookie = options[4:]
	return goodCookie(q.cookie)
}

// unusual reports whether questions of a type go the slow way: those that are
// not about an rrset of the name, and those that signing answers.
func unusual(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY, dns.TypeCNAME, dns.TypeNS, dns.TypeOPT, 0:
		return true
	}
	return rrtype >= 128 && rrtype <= 255
}

// prebuiltData reports whether the records of a type that come and go are
// answered as they are stored: no name in their data could be compressed.
func prebuiltData(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeTXT, dns.TypeA, dns.TypeAAAA, dns.TypeCAA, dns.TypeTLSA:
		return true
	}
	return false
}

// suffix is the name without its first i labels.
func (q *hot) suffix(i int) string { return q.name[q.starts[i]:] }

// zoneOf returns the zone of the name, and how many labels the name has
// before the apex.
func (v *view) fastZone(q *hot) (z *zone, depth int) {
	for i := range q.labels {
		if z := v.zones[q.suffix(i)]; z != nil {
			return z, i
		}
	}
	return nil, 0
}

// fast appends the reply to out, or reports false for what goes the slow way.
func (v *view) fast(q *hot, msg, out []byte, t *terms) (wire []byte, kind class, proven, ok bool) {
	if v == nil {
		return out, 0, false, false
	}
	z, depth := v.fastZone(q)
	q.zone = z
	if z == nil || z.signed && q.do || z.copied && v.states[z.index].expired || v.fastCut(z, q, depth) {
		return out, 0, false, false
	}
	f := found{node: z.nodes[q.name], leaf: v.table.get(q.name)}
	if f.node != nil || f.leaf != nil {
		return v.fastAt(z, f, q, msg, out, t)
	}
	for i := 1; i <= depth; i++ {
		up := q.suffix(i)
		if i < depth && z.nodes[up] == nil && v.table.get(up) == nil {
			continue
		}
		if v.hasWildcard(z, q, up) {
			break
		}
		return v.fastNegative(z, q, msg, out, t, dns.RcodeNameError)
	}
	return out, 0, false, false
}

// fastCut reports whether the name is at or below a delegation.
func (v *view) fastCut(z *zone, q *hot, depth int) bool {
	dynamic := v.states[z.index].cuts > 0
	if !dynamic && !z.cuts {
		return false
	}
	for i := range depth {
		name := q.suffix(i)
		if n := z.nodes[name]; n != nil && n.cut || dynamic && v.table.get(name).set(dns.TypeNS).count > 0 {
			return true
		}
	}
	return false
}

// hasWildcard reports whether there is a wildcard just below name.
func (v *view) hasWildcard(z *zone, q *hot, name string) bool {
	n := copy(q.wild[:], "*.")
	n += copy(q.wild[n:], name)
	wildcard := unsafe.String(&q.wild[0], n)
	return z.nodes[wildcard] != nil || v.table.get(wildcard) != nil
}

// fastAt answers for a name that exists.
func (v *view) fastAt(z *zone, f found, q *hot, msg, out []byte, t *terms) (wire []byte, kind class, proven, ok bool) {
	configured := f.node != nil && len(f.node.rrsets[q.rrtype]) > 0
	set := f.leaf.set(q.rrtype)
	switch {
	case f.leaf.set(dns.TypeCNAME).count > 0 || f.node.cname() != nil || z.copied && q.rrtype == dns.TypeSOA:
		return out, 0, false, false
	case configured && set.count == 0:
		known := f.node.learned(q.rrtype)
		if known == nil {
			known = v.learn(f.node, q)
		}
		if known == nil {
			return out, 0, false, false
		}
		serial := uint32(0)
		if q.rrtype == dns.TypeSOA {
			serial = v.states[z.index].serial
		}
		return q.finish(msg, out, known.tail, counts{answers: known.answers}, t, dns.RcodeSuccess, serial)
	case set.count > 0:
		if configured || !prebuiltData(q.rrtype) {
			return out, 0, false, false
		}
		return q.finish(msg, out, unsafe.Slice(unsafe.StringData(set.wire), len(set.wire)), counts{answers: uint16(set.count)}, t, dns.RcodeSuccess, 0)
	}
	return v.fastNegative(z, q, msg, out, t, dns.RcodeSuccess)
}

// fastNegative answers that there is no such name or type.
func (v *view) fastNegative(z *zone, q *hot, msg, out []byte, t *terms, rcode int) (wire []byte, kind class, proven, ok bool) {
	tail := z.tail
	if tail == nil || tail.shares(z, q) {
		return out, 0, false, false
	}
	at := len(out) + q.end
	if wire, kind, proven, ok = q.finish(msg, out, tail.wire, counts{authority: 1}, t, rcode, v.states[z.index].serial); ok {
		tail.relocate(wire[at:], q.end-tail.end)
	}
	return wire, kind, proven, ok
}

// counts are those of a header.
type counts struct{ answers, authority uint16 }

// finish writes header, question, records and OPT. The records end with an SOA
// whose serial is set, where serial is not 0.
func (q *hot) finish(msg, out, records []byte, n counts, t *terms, rcode int, serial uint32) (wire []byte, kind class, proven, ok bool) {
	extra := 0
	if q.edns {
		extra = optSize
		if q.cookie != nil {
			extra += 4 + clientCookieSize + serverCookieSize // at most
		}
	}
	if q.end+len(records)+extra > q.size(t.limit) {
		return out, 0, false, false
	}
	flags := byte(0x84) // QR and AA
	if q.rd {
		flags |= 1
	}
	out = append(out, msg[0], msg[1], flags, byte(rcode), 0, 1, byte(n.answers>>8), byte(n.answers), 0, byte(n.authority), 0, 0)
	count := len(out) - 1 // of additional records
	out = append(out, msg[headerSize:q.end]...)
	out = append(out, records...)
	if serial != 0 {
		binary.BigEndian.PutUint32(out[len(out)-20:], serial) // RFC 1035 §3.3.13
	}
	if q.edns {
		out[count] = 1
		out, proven = q.appendOPT(out, t, rcode)
	}
	kind = classAnswer
	if n.answers == 0 {
		kind = classNegative
	}
	return out, kind, proven, true
}
