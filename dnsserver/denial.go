package dnsserver

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

// zoneSigner makes the answers of a signed zone complete (RFC 4035 §3): with the
// records that signing adds, with signatures, and with compact proofs of what is
// not there (RFC 9824), which need no order of names.
type zoneSigner struct {
	signer *dnssec.Signer // nil: the key that signs the zone is not here
	added  map[uint16][]dns.RR
	here   map[string]bool // public keys whose private halves are here
}

// newZoneSigner makes one of the zone's keys.
func newZoneSigner(zone string, ttl uint32, ring dnssec.Ring, all []*dnssec.Key, signs *dnssec.Key) *zoneSigner {
	g := &zoneSigner{added: map[uint16][]dns.RR{}, here: map[string]bool{}}
	if signs != nil && signs.Signs() {
		g.signer = dnssec.NewSigner(zone, signs, all)
	}
	header := func(rrtype uint16) dns.RR_Header {
		return dns.RR_Header{Name: zone, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
	}
	for _, key := range all {
		g.here[key.Public.PublicKey] = key.Signs()
		record := *key.Public
		record.Hdr = header(dns.TypeDNSKEY)
		g.added[dns.TypeDNSKEY] = append(g.added[dns.TypeDNSKEY], &record)
	}
	for _, record := range ring.DS() { // RFC 7344 §3
		ds := *record.ToDS(dns.SHA256)
		ds.Hdr = header(dns.TypeCDS)
		key := *record
		key.Hdr = header(dns.TypeCDNSKEY)
		g.added[dns.TypeCDS] = append(g.added[dns.TypeCDS], &dns.CDS{DS: ds})
		g.added[dns.TypeCDNSKEY] = append(g.added[dns.TypeCDNSKEY], &dns.CDNSKEY{DNSKEY: key})
	}
	return g
}

// signedZone is the zone that answers a question, nil unless it is signed.
func (v *view) signedZone(q question) *zone {
	if v == nil {
		return nil
	}
	if z := v.zoneOf(lower(q.name), q.rrtype); z != nil && z.signed {
		return z
	}
	return nil
}

// signer is that of a signed zone, nil without one.
func (t *terms) signer(z *zone) *zoneSigner {
	if t.policy == nil {
		return nil
	}
	return t.policy.signers[z.name]
}

// complete returns the answer to a question as a signed zone gives it. A zone
// whose key is not here has no answer for those who would check it.
func (v *view) complete(g *zoneSigner, z *zone, q query, a answer, now time.Time) answer {
	name, rrtype := lower(q.question.name), q.question.rrtype
	if a.rcode != dns.RcodeSuccess && a.rcode != dns.RcodeNameError {
		return a
	}
	switch {
	case rrtype == dns.TypeNXNAME:
		return answer{rcode: dns.RcodeFormatError, refusal: dns.ExtendedErrorCodeInvalidQueryType} // RFC 9824 §3.5
	case g == nil || g.signer == nil:
		if q.do || name == z.name && signingType(rrtype) {
			return answer{rcode: dns.RcodeServerFailure, refusal: dns.ExtendedErrorCodeNotReady}
		}
		return a
	case name == z.name && len(g.added[rrtype]) > 0:
		a = answer{authoritative: true, answer: spelled(q.question.name, g.added[rrtype])}
	case rrtype == dns.TypeNSEC && !a.referral && len(a.answer) == 0:
		a = answer{authoritative: true, answer: []dns.RR{v.nsec(g, z, q.question.name, a)}}
	}
	if !q.do {
		return a
	}
	signed, err := v.prove(g, z, q, a, now)
	if err != nil {
		return answer{rcode: dns.RcodeServerFailure, refusal: dns.ExtendedErrorCodeOther}
	}
	return signed
}

// signingType reports whether records of a type at the apex are made by signing.
func signingType(rrtype uint16) bool {
	return rrtype == dns.TypeDNSKEY || rrtype == dns.TypeCDS || rrtype == dns.TypeCDNSKEY
}

// prove adds signatures, and the proof of what is not there.
func (v *view) prove(g *zoneSigner, z *zone, q query, a answer, now time.Time) (answer, error) {
	var err error
	if a.answer, err = g.sign(a.answer, now); err != nil {
		return a, err
	}
	switch {
	case a.referral:
		cut := a.authority[0].Header().Name
		proof := v.records(z, v.at(z, lower(cut)), cut, dns.TypeDS)
		if len(proof) == 0 { // RFC 4035 §3.1.4
			proof = []dns.RR{v.nsec(g, z, cut, a)}
		}
		if proof, err = g.sign(proof, now); err != nil {
			return a, err
		}
		a.authority = append(slices.Clone(a.authority), proof...) // the NS are the child's
	case len(a.authority) > 0: // negative, about the end of the chain
		end := q.question.name
		for _, rr := range a.answer {
			if cname, ok := rr.(*dns.CNAME); ok {
				end = cname.Target
			}
		}
		proof := append(slices.Clone(a.authority), v.nsec(g, z, end, a))
		if a.authority, err = g.sign(proof, now); err != nil {
			return a, err
		}
		if !q.co {
			a.rcode = dns.RcodeSuccess // RFC 9824 §2: the name exists as far as a validator can tell
		}
	}
	return a, nil
}

// sign returns records with their signatures behind each rrset. The records of
// an rrset stand together.
func (g *zoneSigner) sign(records []dns.RR, now time.Time) ([]dns.RR, error) {
	var out []dns.RR
	for len(records) > 0 {
		first := records[0].Header()
		n := 1
		for n < len(records) && records[n].Header().Rrtype == first.Rrtype && records[n].Header().Name == first.Name {
			n++
		}
		signatures, err := g.signer.Sign(records[:n], now)
		if err != nil {
			return nil, err
		}
		out = append(append(out, records[:n]...), signatures...)
		records = records[n:]
	}
	return out, nil
}

// nsec says of a name, as it is spelled, which types it has, and that there is
// none between it and the next that could be.
func (v *view) nsec(g *zoneSigner, z *zone, owner string, a answer) *dns.NSEC {
	ttl := v.states[z.index].negative.Hdr.Ttl
	n := &dns.NSEC{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: ttl}, NextDomain: successor(lower(owner))}
	n.TypeBitMap = []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	if a.rcode == dns.RcodeNameError {
		n.TypeBitMap = append(n.TypeBitMap, dns.TypeNXNAME)
		return n
	}
	f := v.find(z, lower(owner))
	cut := lower(owner) != z.name && v.cutAbove(z, lower(owner)) == lower(owner)
	has := func(rrtype uint16) {
		if !cut || rrtype == dns.TypeNS || rrtype == dns.TypeDS { // else the child's (RFC 4035 §2.3)
			n.TypeBitMap = append(n.TypeBitMap, rrtype)
		}
	}
	if f.node != nil {
		for rrtype := range f.node.rrsets {
			has(rrtype)
		}
	}
	for set := range f.leaf.sets() {
		has(set.rrtype)
	}
	if lower(owner) == z.name {
		for rrtype := range g.added {
			has(rrtype)
		}
	}
	slices.Sort(n.TypeBitMap)
	n.TypeBitMap = slices.Compact(n.TypeBitMap)
	return n
}

// longestName is the most that a name has on the wire, in bytes.
const longestName = 255

// successor is the first name after one in the order of RFC 4034 §6.1.
func successor(name string) string {
	wire := make([]byte, longestName)
	if n, err := dns.PackDomainName(name, wire, 0, nil, false); err == nil && n > longestName-2 {
		// There is no room for a label: a longer first label comes next too.
		label, rest, _ := strings.Cut(name, ".")
		return label + `\000.` + rest
	}
	if name == "." {
		return `\000.`
	}
	return `\000.` + name
}
