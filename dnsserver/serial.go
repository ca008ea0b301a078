package dnsserver

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// nextSerial is the serial after s; there is no 0 (RFC 1982 §3.1).
func nextSerial(s uint32) uint32 {
	if s++; s == 0 {
		s = 1
	}
	return s
}

// newerSerial reports whether a comes after b (RFC 1982 §3.2).
func newerSerial(a, b uint32) bool {
	return a != b && a-b < 1<<31
}

// serialPrefix begins the key of the document that keeps a zone's serial and
// what its configuration was at that serial.
const serialPrefix = "serial/"

// serialDocument is what is stored of a zone whose serial is now this.
func (z *zone) serialDocument(serial uint32) Document {
	return serialDocument(serialPrefix+z.name, serial, z.mark)
}

func serialDocument(key string, serial uint32, fingerprint string) Document {
	return Document{Key: key, Value: append(binary.BigEndian.AppendUint32(nil, serial), fingerprint...)}
}

// serialOf reads a serialDocument.
func serialOf(value string) (serial uint32, fingerprint string, ok bool) {
	if len(value) != 4+fingerprintSize {
		return 0, "", false
	}
	return binary.BigEndian.Uint32([]byte(value)), value[4:], true
}

const fingerprintSize = 16

// fingerprint tells configurations of a zone apart: when it changes, so do
// answers, and secondaries have to hear of it.
func (z *zone) fingerprint() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(z.nodes)) {
		n := z.nodes[name]
		for _, rrtype := range slices.Sorted(maps.Keys(n.rrsets)) {
			for _, rr := range n.rrsets[rrtype] {
				if soa, ok := rr.(*dns.SOA); ok {
					plain := *soa
					plain.Serial = 0
					rr = &plain
				}
				sum.Write([]byte(rr.String() + "\n"))
			}
		}
	}
	return string(sum.Sum(nil)[:fingerprintSize])
}

// cutSerialKey is the apex whose serial a document keeps.
func cutSerialKey(key string) (apex string, ok bool) { return strings.CutPrefix(key, serialPrefix) }

// withSerials gives each zone the serial it had, or a later one where the
// configuration says so or differs from what was served. It returns what there
// is to be stored of that.
func (v *view) withSerials() (*view, Batch) {
	var b Batch
	for _, name := range slices.Sorted(maps.Keys(v.zones)) {
		z := v.zones[name]
		if z.copied {
			v = v.withState(z, v.copyState(z))
			continue
		}
		serial, changed := z.soa.Serial, true
		if d := v.documents.get(serialPrefix + name); d != nil {
			if kept, fingerprint, ok := serialOf(d.value()); ok {
				serial, changed = kept, false
				switch {
				case newerSerial(z.soa.Serial, kept):
					serial, changed = z.soa.Serial, true
				case fingerprint != z.mark:
					serial, changed = nextSerial(kept), true
				}
			}
		}
		v = v.withState(z, z.state(serial, v.states[z.index].cuts))
		if changed {
			d := z.serialDocument(serial)
			v = v.withDocument(d)
			b.Documents = append(b.Documents, d)
		}
	}
	return v, b
}
