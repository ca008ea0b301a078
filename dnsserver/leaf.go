package dnsserver

import (
	"iter"

	"github.com/miekg/dns"
)

// leaf is what a table knows of one name. It is immutable, and of one piece,
// because there may be millions: the name and, behind it, the rrsets.
type leaf struct {
	text  string // the name, then the packed rrsets in the order of their types
	below int32  // how many names under this one hold records
	named uint16 // the length of the name
}

// newLeaf returns the leaf of a name without records.
func newLeaf(name string, below int) *leaf {
	return &leaf{text: name, below: int32(below), named: uint16(len(name))}
}

func (l *leaf) name() string { return l.text[:l.named] }

// holds reports whether the name itself has records.
func (l *leaf) holds() bool { return l != nil && len(l.text) > int(l.named) }

// sets goes through the rrsets in the order of their types.
func (l *leaf) sets() iter.Seq[rrset] {
	return func(yield func(rrset) bool) {
		if l == nil {
			return
		}
		for rest := l.text[l.named:]; rest != ""; {
			var s rrset
			if s, rest = readSet(rest); !yield(s) {
				return
			}
		}
	}
}

// set returns the rrset of a type, without records when there is none.
func (l *leaf) set(rrtype uint16) rrset {
	if l == nil {
		return rrset{}
	}
	for rest := l.text[l.named:]; rest != ""; {
		var s rrset
		if s, rest = readSet(rest); s.rrtype == rrtype {
			return s
		}
	}
	return rrset{}
}

// records returns the records of a type, in a slice that the caller may change.
func (l *leaf) records(rrtype uint16) []record {
	s := l.set(rrtype)
	if s.count == 0 {
		return nil
	}
	records := make([]record, 0, s.count+1)
	for r := range s.records() {
		records = append(records, r)
	}
	return records
}

// alias is the target of the CNAME at the name, as it was given; "" without one.
func (l *leaf) alias() string {
	for r := range l.set(dns.TypeCNAME).records() {
		return dataName(r.data)
	}
	return ""
}

// with returns a leaf of this name in which records, in the order of their
// data, are all of their type. l may be nil.
func (l *leaf) with(name string, rrtype uint16, records []record) *leaf {
	size := len(name) + setHeader
	if l != nil {
		size += len(l.text)
	}
	for _, r := range records {
		size += recordHeader + 8 + len(r.data)
	}
	b := append(make([]byte, 0, size), name...)
	pending := len(records) > 0
	next := leaf{named: uint16(len(name))}
	if l != nil {
		next.below = l.below
		for rest := l.text[l.named:]; rest != ""; {
			s, after := readSet(rest)
			if pending && s.rrtype >= rrtype {
				b, pending = appendSet(b, rrtype, records), false
			}
			if s.rrtype != rrtype {
				b = append(b, rest[:len(rest)-len(after)]...)
			}
			rest = after
		}
	}
	if pending {
		b = appendSet(b, rrtype, records)
	}
	next.text = string(b)
	return &next
}

// counted returns the leaf with another number of names below it. l may be nil.
func (l *leaf) counted(name string, change int) *leaf {
	if l == nil {
		return newLeaf(name, change)
	}
	next := *l
	next.below += int32(change)
	return &next
}

// newDocument returns what a table of documents holds: the value stands where
// rrsets would.
func newDocument(key string, value []byte) *leaf {
	return &leaf{text: key + string(value), named: uint16(len(key))}
}

// value is the value of a document.
func (l *leaf) value() string { return l.text[l.named:] }
