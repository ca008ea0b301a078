package dnsserver

import (
	"iter"
	"unsafe"

	"github.com/miekg/dns"
)

// leaf is what a table knows of one name: this, and in the same piece of memory
// behind it the name and the packed rrsets in the order of their types. It is
// immutable. There may be millions, so that one piece and no pointer in it is
// a third of the memory less, and for a query one cache line less to wait for.
type leaf struct {
	below int32  // how many names under this one hold records
	size  uint32 // of what is behind, in bytes
	named uint16 // the length of the name
	_     uint16
}

const (
	leafHeader = int(unsafe.Sizeof(leaf{}))
	// leafSize is the least a leaf takes: what is smaller and without pointers may
	// be put at any address, and a leaf needs an aligned one.
	leafSize = 16
)

// room returns where a leaf is made that has size bytes behind it. They are to
// be appended.
func room(size int) []byte { return make([]byte, leafHeader, max(leafHeader+size, leafSize)) }

// leafOf makes a leaf of the room that it has, to which nothing is written any
// more.
func leafOf(room []byte, below int32, named int) *leaf {
	l := (*leaf)(unsafe.Pointer(unsafe.SliceData(room)))
	*l = leaf{below: below, size: uint32(len(room) - leafHeader), named: uint16(named)}
	return l
}

// placeSize is about what a table spends on a leaf, in bytes: its place in a
// bucket, and its part of the branches.
const placeSize = 24

// space is what the leaf takes in a bucket, in bytes.
func (l *leaf) space() int { return (leafHeader + int(l.size) + leafAlign - 1) &^ (leafAlign - 1) }

// whole is the leaf as it stands in memory.
func (l *leaf) whole() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(l)), leafHeader+int(l.size))
}

// bytes is about what the leaf takes of memory.
func (l *leaf) bytes() int64 { return int64(leafHeader) + int64(l.size) + placeSize }

// text is the name and the packed rrsets.
func (l *leaf) text() string {
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(l), leafHeader)), l.size)
}

// newLeaf returns the leaf of a name without records.
func newLeaf(name string, below int) *leaf {
	return leafOf(append(room(len(name)), name...), int32(below), len(name))
}

func (l *leaf) name() string { return l.text()[:l.named] }

// packed is the rrsets.
func (l *leaf) packed() string { return l.text()[l.named:] }

// holds reports whether the name itself has records.
func (l *leaf) holds() bool { return l != nil && l.size > uint32(l.named) }

// sets goes through the rrsets in the order of their types.
func (l *leaf) sets() iter.Seq[rrset] {
	return func(yield func(rrset) bool) {
		if l == nil {
			return
		}
		for rest := l.packed(); rest != ""; {
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
	for rest := l.packed(); rest != ""; {
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
	size := len(name)
	if len(records) > 0 {
		size += packedSize(records)
	}
	for s := range l.sets() {
		if s.rrtype != rrtype {
			size += setHeader + len(s.wire) + len(s.expiry)
		}
	}
	b := append(room(size), name...)
	pending := len(records) > 0
	below := int32(0)
	if l != nil {
		below = l.below
		for rest := l.packed(); rest != ""; {
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
	return leafOf(b, below, len(name))
}

// counted returns the leaf with another number of names below it. l may be nil.
func (l *leaf) counted(name string, change int) *leaf {
	if l == nil {
		return newLeaf(name, change)
	}
	text := l.text()
	return leafOf(append(room(len(text)), text...), l.below+int32(change), int(l.named))
}

// newDocument returns what a table of documents holds: the value stands where
// rrsets would.
func newDocument(key string, value []byte) *leaf {
	return leafOf(append(append(room(len(key)+len(value)), key...), value...), 0, len(key))
}

// value is the value of a document.
func (l *leaf) value() string { return l.packed() }
