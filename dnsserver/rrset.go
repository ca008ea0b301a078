package dnsserver

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// record is one record of an rrset, apart from its name and type.
type record struct {
	ttl     uint32
	data    string // in wire form, names uncompressed
	expires int64  // Unix seconds; 0 for never
}

// rrset is the dynamic records of one type at one name, as a leaf holds them.
type rrset struct {
	rrtype uint16
	count  int
	wire   string // the records as they stand in an answer; their owner is a pointer to the question
	expiry string // 8 bytes for each record, Unix seconds, or "" when none expires
}

// Sizes of what surrounds record data, in bytes.
const (
	setHeader    = 8                     // type, count with its flag, length of the records
	recordHeader = 12                    // pointer, type, class, TTL, length
	expiring     = 1 << 15               // flag in count: expiry times follow the records
	questionName = 0xc00<<4 | headerSize // a compression pointer to the question (RFC 1035 §4.1.4)
)

// ttl is the TTL that all records of the set have (RFC 2181 §5.2).
func (s rrset) ttl() uint32 {
	if s.count == 0 {
		return 0
	}
	return uint32(s.wire[6])<<24 | uint32(s.wire[7])<<16 | uint32(s.wire[8])<<8 | uint32(s.wire[9])
}

// records goes through the set in the order of the data.
func (s rrset) records() iter.Seq[record] {
	return func(yield func(record) bool) {
		ttl := s.ttl()
		rest := s.wire
		for i := range s.count {
			end := recordHeader + int(rest[10])<<8 + int(rest[11])
			r := record{ttl: ttl, data: rest[recordHeader:end]}
			if s.expiry != "" {
				r.expires = expiryAt(s.expiry, i)
			}
			if !yield(r) {
				return
			}
			rest = rest[end:]
		}
	}
}

func expiryAt(s string, i int) int64 {
	var v uint64
	for _, c := range []byte(s[8*i : 8*i+8]) {
		v = v<<8 | uint64(c)
	}
	return int64(v)
}

// packedSize is how many bytes appendSet appends.
func packedSize(records []record) int {
	size, each := setHeader, recordHeader
	for _, r := range records {
		size += len(r.data)
		if r.expires != 0 {
			each = recordHeader + 8
		}
	}
	return size + len(records)*each
}

// appendSet appends the packed form of a set. The records are in the order of
// their data.
func appendSet(b []byte, rrtype uint16, records []record) []byte {
	size, count := 0, uint16(len(records))
	for _, r := range records {
		size += recordHeader + len(r.data)
		if r.expires != 0 {
			count |= expiring
		}
	}
	b = binary.BigEndian.AppendUint16(b, rrtype)
	b = binary.BigEndian.AppendUint16(b, count)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	for _, r := range records {
		b = binary.BigEndian.AppendUint16(b, questionName)
		b = binary.BigEndian.AppendUint16(b, rrtype)
		b = binary.BigEndian.AppendUint16(b, dns.ClassINET)
		b = binary.BigEndian.AppendUint32(b, r.ttl)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.data)))
		b = append(b, r.data...)
	}
	if count&expiring != 0 {
		for _, r := range records {
			b = binary.BigEndian.AppendUint64(b, uint64(r.expires))
		}
	}
	return b
}

// readSet reads the set at the beginning of packed and returns what follows.
func readSet(packed string) (s rrset, rest string) {
	count := uint16(packed[2])<<8 | uint16(packed[3])
	size := int(packed[4])<<24 | int(packed[5])<<16 | int(packed[6])<<8 | int(packed[7])
	s.rrtype = uint16(packed[0])<<8 | uint16(packed[1])
	s.count = int(count &^ expiring)
	rest = packed[setHeader:]
	s.wire, rest = rest[:size], rest[size:]
	if count&expiring != 0 {
		s.expiry, rest = rest[:8*s.count], rest[8*s.count:]
	}
	return s, rest
}

// nameOffset is where in the data of a type the names begin that letters' case
// does not distinguish (RFC 4034 §6.2 as changed by RFC 6840 §5.1), -1 without.
func nameOffset(rrtype uint16) int {
	switch rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypePTR, dns.TypeDNAME:
		return 0
	case dns.TypeMX, dns.TypeAFSDB, dns.TypeKX:
		return 2
	case dns.TypeSRV:
		return 6
	}
	return -1
}

// sameData reports whether two records of a type are the same one (RFC 2136
// §1.1.1): names in them are compared without case.
func sameData(rrtype uint16, a, b string) bool {
	if a == b {
		return true
	}
	from := nameOffset(rrtype)
	if from < 0 || len(a) != len(b) || len(a) < from || a[:from] != b[:from] {
		return false
	}
	return lower(a[from:]) == lower(b[from:]) // a label's length is below 'A'
}

// indexData finds a record by its data, or -1.
func indexData(rrtype uint16, records []record, data string) int {
	return slices.IndexFunc(records, func(r record) bool { return sameData(rrtype, r.data, data) })
}

// byData orders records.
func byData(a, b record) int { return cmp.Compare(a.data, b.data) }

// txtData is the data of a TXT record that holds value: cut into strings of at
// most 255 bytes (RFC 1035 §3.3.14). What asks for validation records joins
// them again.
func txtData(value string) string {
	b := make([]byte, 0, len(value)+len(value)/255+1)
	for len(value) > 255 {
		b = append(append(b, 255), value[:255]...)
		value = value[255:]
	}
	return string(append(append(b, byte(len(value))), value...))
}

// txtValue joins the strings of a TXT record's data.
func txtValue(data string) string {
	var b strings.Builder
	for len(data) > 0 {
		n := min(int(data[0])+1, len(data))
		b.WriteString(data[1:n])
		data = data[n:]
	}
	return b.String()
}

// nameData is the wire form of a presentation name that is known to be good.
func nameData(name string) string {
	wire := make([]byte, 255)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		return ""
	}
	return string(wire[:n])
}

// dataName is the presentation form of a wire name, "" when it is none.
func dataName(data string) string {
	name, end, err := dns.UnpackDomainName([]byte(data), 0)
	if err != nil || end != len(data) {
		return ""
	}
	return name
}

// rdata is the data of a record in wire form, names uncompressed. Packing writes
// to the record, so nobody else may be using it.
func rdata(rr dns.RR) (string, error) {
	wire := make([]byte, dns.Len(rr)+1)
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return "", err
	}
	owner, err := dns.PackDomainName(rr.Header().Name, make([]byte, 255), 0, nil, false)
	if err != nil {
		return "", err
	}
	return string(wire[owner+10 : end]), nil
}

// newRR is the record as the message library has it.
func newRR(owner string, rrtype uint16, r record) (dns.RR, error) {
	h := dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: r.ttl, Rdlength: uint16(len(r.data))}
	rr, _, err := dns.UnpackRRWithHeader(h, []byte(r.data), 0)
	return rr, err
}

// readable reports whether data is that of a record of the type. For what is
// usual the message library, which makes a record of it, is not asked.
func readable(rrtype uint16, data string) bool {
	if data == "" { // which the library takes for the deletion in an UPDATE
		return mayBeEmpty(rrtype)
	}
	switch rrtype {
	case dns.TypeA:
		return len(data) == 4
	case dns.TypeAAAA:
		return len(data) == 16
	case dns.TypeTXT: // strings, each behind its length
		for rest := data; rest != ""; rest = rest[1+int(rest[0]):] {
			if len(rest) <= int(rest[0]) {
				return false
			}
		}
		return true
	}
	_, err := newRR(".", rrtype, record{data: data})
	return err == nil
}
