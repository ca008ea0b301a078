package dnsserver

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// zone is one configured zone, compiled. It is immutable.
type zone struct {
	name       string
	index      int      // of its state in a view
	soa        *dns.SOA // with the serial it begins with
	mark       string   // its fingerprint
	dynamicTTL uint32
	nodes      map[string]*node // by canonical name; empty non-terminals are there too
	cuts       bool             // there are delegations among them
	tail       *negativeTail    // nil: negative answers are not prebuilt
	signed     bool             // by DNSSEC, when it is asked
	copied     bool             // from a primary: all it has are records that come and go
}

// node is what is configured at one name; an empty non-terminal has no rrsets.
type node struct {
	rrsets map[uint16][]dns.RR
	data   map[uint16][]string // of the rrsets, in wire form
	txt    []string            // the values of the TXT rrset, strings joined
	cut    bool                // a delegation: NS below the apex

	known atomic.Pointer[[]learned] // answers that are prebuilt
}

// cname returns the CNAME at the node, or nil.
func (n *node) cname() *dns.CNAME {
	if n == nil {
		return nil
	}
	for _, rr := range n.rrsets[dns.TypeCNAME] {
		if c, ok := rr.(*dns.CNAME); ok {
			return c
		}
	}
	return nil
}

// zoneBuilder compiles one Zone and gathers its problems.
type zoneBuilder struct {
	conf     Zone
	index    int
	zone     *zone
	lines    map[string]int // the line that first named an owner
	problems []*ConfigError
}

func (b *zoneBuilder) problem(field string, line int, fix, format string, args ...any) {
	b.problems = append(b.problems, &ConfigError{
		Block: "zone", Index: b.index, Name: b.conf.Name, Field: field, Line: line,
		Problem: fmt.Sprintf(format, args...), Fix: fix,
	})
}

// compileZones returns the zones by apex, and what is wrong with them.
func compileZones(confs []Zone) (map[string]*zone, []*ConfigError) {
	zones := map[string]*zone{}
	var builders []*zoneBuilder
	for i, conf := range confs {
		b := &zoneBuilder{conf: conf, index: i, lines: map[string]int{}}
		builders = append(builders, b)
		if !b.begin() {
			continue
		}
		if zones[b.zone.name] != nil {
			b.problem("name", 0, "merge the two blocks", "the zone is configured twice")
			continue
		}
		b.zone.index = len(zones)
		zones[b.zone.name] = b.zone
	}
	var problems []*ConfigError
	for _, b := range builders {
		if b.zone != nil && b.zone.copied {
			b.zone.mark = b.zone.fingerprint()
		} else if b.zone != nil {
			b.readRecords(zones)
			b.fillAncestors()
			b.checkNodes()
			b.checkNameServers()
			b.zone.mark = b.zone.fingerprint()
			b.zone.tail = newNegativeTail(b.zone.name, b.zone.state(1, 0).negative)
		}
		problems = append(problems, b.problems...)
	}
	return zones, problems
}

// begin makes the zone with its SOA and NS. It reports false when there is no
// usable apex.
func (b *zoneBuilder) begin() bool {
	apex, err := canonicalName(b.conf.Name)
	if err != nil {
		b.problem("name", 0, "write a domain name such as auth.example.com", "%v", err)
		return false
	}
	ttl := orDefault(b.conf.TTL, DefaultTTL)
	negativeTTL := orDefault(b.conf.NegativeTTL, DefaultNegativeTTL)
	if len(b.conf.Primaries) > 0 {
		b.zone = &zone{name: apex, copied: true, dynamicTTL: DefaultDynamicTTL, nodes: map[string]*node{apex: {rrsets: map[uint16][]dns.RR{}}}}
		// Never shown: it stands for the primary's.
		b.zone.soa = &dns.SOA{Hdr: b.header(apex, dns.TypeSOA, DefaultTTL), Ns: ".", Mbox: "."}
		b.add(b.zone.soa)
		return true
	}
	b.zone = &zone{
		name: apex, signed: b.conf.Signed, dynamicTTL: orDefault(b.conf.DynamicTTL, DefaultDynamicTTL),
		nodes: map[string]*node{apex: {rrsets: map[uint16][]dns.RR{}}},
	}
	for field, v := range map[string]uint32{"ttl": ttl, "dynamic_ttl": b.zone.dynamicTTL, "negative_ttl": negativeTTL} {
		if v > maxTTL {
			b.problem(field, 0, fmt.Sprintf("write at most %d seconds", maxTTL), "%d is too long", v)
		}
	}
	rname, err := canonicalName(mailbox(orDefault(b.conf.Hostmaster, "hostmaster."+apex)))
	if err != nil {
		b.problem("hostmaster", 0, "write a mail address such as hostmaster@example.com", "%v", err)
		rname = "."
	}
	primary := "."
	for i, ns := range b.conf.NameServers {
		host, err := canonicalName(ns)
		if err != nil {
			b.problem("nameservers", 0, "write a host name such as ns1.example.com", "%v", err)
			continue
		}
		if i == 0 {
			primary = host
		}
		b.add(&dns.NS{Hdr: b.header(apex, dns.TypeNS, ttl), Ns: host})
	}
	if len(b.conf.NameServers) == 0 {
		b.problem("nameservers", 0, "name the hosts this server answers as, such as ns1."+display(apex), "there is none")
	}
	b.zone.soa = &dns.SOA{
		Hdr: b.header(apex, dns.TypeSOA, ttl), Ns: primary, Mbox: rname, Serial: orDefault(b.conf.Serial, 1),
		Refresh: 3600, Retry: 600, Expire: 1209600, Minttl: negativeTTL,
	}
	b.add(b.zone.soa)
	return true
}

func (b *zoneBuilder) header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// add puts rr into its rrset. A repeated record is kept once, and an rrset has
// one TTL, the lowest (RFC 2181 §5, §5.2).
func (b *zoneBuilder) add(rr dns.RR) {
	h := rr.Header()
	h.Name = lower(h.Name)
	n := b.zone.nodes[h.Name]
	if n == nil {
		n = &node{rrsets: map[uint16][]dns.RR{}}
		b.zone.nodes[h.Name] = n
	}
	set := n.rrsets[h.Rrtype]
	if slices.ContainsFunc(set, func(other dns.RR) bool { return dns.IsDuplicate(rr, other) }) {
		return
	}
	set = append(set, rr)
	lowest := h.Ttl
	for _, other := range set {
		lowest = min(lowest, other.Header().Ttl)
	}
	for _, other := range set {
		other.Header().Ttl = lowest
	}
	n.rrsets[h.Rrtype] = set
	if data, err := rdata(rr); err == nil { // admit refused what has none
		if n.data == nil {
			n.data = map[uint16][]string{}
		}
		n.data[h.Rrtype] = append(n.data[h.Rrtype], data)
	}
	if txt, ok := rr.(*dns.TXT); ok {
		var value strings.Builder
		for _, part := range txt.Txt {
			value.WriteString(unescapeTXT(part))
		}
		n.txt = append(n.txt, value.String())
	}
}

// fillAncestors makes the empty non-terminals exist (RFC 4592 §2.2.2).
func (b *zoneBuilder) fillAncestors() {
	var names []string
	for name := range b.zone.nodes {
		names = append(names, name)
	}
	for _, name := range names {
		for name != b.zone.name {
			up, ok := parent(name)
			if !ok {
				break
			}
			if b.zone.nodes[up] == nil {
				b.zone.nodes[up] = &node{}
			}
			name = up
		}
	}
}

// cutAbove returns the highest delegation at or above name, "" for none.
func (z *zone) cutAbove(name string) string {
	found := ""
	for name != z.name {
		if n := z.nodes[name]; n != nil && n.cut {
			found = name
		}
		up, ok := parent(name)
		if !ok {
			break
		}
		name = up
	}
	return found
}

// addresses returns the configured A and AAAA records of a host.
func (z *zone) addresses(host string) []dns.RR {
	n := z.nodes[lower(host)]
	if n == nil {
		return nil
	}
	return append(slices.Clone(n.rrsets[dns.TypeA]), n.rrsets[dns.TypeAAAA]...)
}
