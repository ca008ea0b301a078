package dnsserver

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// lineReader counts lines as the zone parser consumes them: the parser does
// not say which line a record came from.
type lineReader struct {
	text  string
	pos   int
	lines int // line feeds consumed
}

// ReadByte implements io.ByteReader, which keeps the parser from reading ahead.
func (r *lineReader) ReadByte() (byte, error) {
	if r.pos == len(r.text) {
		return 0, io.EOF
	}
	c := r.text[r.pos]
	r.pos++
	if c == '\n' {
		r.lines++
	}
	return c, nil
}

// Read implements io.Reader.
func (r *lineReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// line is the number of the line that the last byte consumed is on.
func (r *lineReader) line() int {
	if r.pos > 0 && r.text[r.pos-1] == '\n' {
		return r.lines
	}
	return r.lines + 1
}

// readRecords parses the zone's text. zones are all zones there are.
func (b *zoneBuilder) readRecords(zones map[string]*zone) {
	// With $TTL a record without a TTL gets the zone's (RFC 2308 §4), without it
	// that of the record before. Its line is not counted.
	prefix := fmt.Sprintf("$TTL %d\n", min(orDefault(b.conf.TTL, DefaultTTL), maxTTL))
	r := &lineReader{text: prefix + b.conf.Records, lines: -1}
	parser := dns.NewZoneParser(r, b.zone.name, "")
	for {
		rr, ok := parser.Next()
		if !ok {
			break
		}
		name, err := canonicalName(rr.Header().Name)
		if err != nil {
			b.problem("records", r.line(), "write a domain name", "the owner %v", err)
			continue
		}
		rr.Header().Name = name
		if b.admit(rr, r.line(), zones) {
			if b.lines[name] == 0 {
				b.lines[name] = r.line()
			}
			b.add(rr)
		}
	}
	if err := parser.Err(); err != nil {
		text, line := parseProblem(err, r.line())
		b.problem("records", line, "write it as in a zone file, owner first, such as: www 300 A 192.0.2.1 (comments begin with ;)",
			"cannot read the record: %s", text)
	}
}

// parseProblem takes the parser's error apart. The line in it is the token's,
// one too high for the $TTL in front; otherwise is the line if there is none.
func parseProblem(err error, otherwise int) (text string, line int) {
	text, at, _ := strings.Cut(strings.TrimPrefix(err.Error(), "dns: "), " at line: ")
	if _, scanErr := fmt.Sscanf(at, "%d:", &line); scanErr != nil {
		return text, otherwise
	}
	return text, line - 1
}

// unpackable reports whether a record has no wire form, or an empty one: the
// parser takes a last line without data for the deletion in an UPDATE.
func unpackable(rr dns.RR) bool {
	wire := make([]byte, tcpSize)
	end, err := dns.PackRR(rr, wire, 0, nil, false)
	if err != nil {
		return true
	}
	_, unknown := rr.(*dns.RFC3597)
	owner, err := dns.PackDomainName(rr.Header().Name, wire, 0, nil, false)
	return err != nil || end == owner+10 && !unknown
}

// admit reports whether rr may stand in the zone, whatever its neighbours are.
func (b *zoneBuilder) admit(rr dns.RR, line int, zones map[string]*zone) bool {
	h := rr.Header()
	kind := dns.Type(h.Rrtype).String()
	owner := display(h.Name)
	switch {
	case unpackable(rr):
		b.problem("records", line, "write its data after the type", "%s %s has no data that fits a record", owner, kind)
	case h.Class != dns.ClassINET:
		b.problem("records", line, "write IN or leave the class out", "class %s is not served", dns.Class(h.Class))
	case !within(h.Name, b.zone.name):
		b.problem("records", line, "leave the final dot off to make it relative to the zone", "%s is outside the zone", owner)
	case h.Ttl > maxTTL:
		b.problem("records", line, "write a shorter one", "the TTL of %s is too long", owner)
	case h.Rrtype == dns.TypeSOA:
		b.problem("records", line, "set nameservers, hostmaster, serial, ttl and negative_ttl instead", "the SOA is not a record here")
	case h.Rrtype == dns.TypeNS && h.Name == b.zone.name:
		b.problem("records", line, "list it in nameservers instead", "the zone's own NS is not a record here")
	case h.Rrtype == dns.TypeDNAME:
		b.problem("records", line, "write a CNAME for each name", "DNAME is not served")
	case slices.Contains([]uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY}, h.Rrtype):
		b.problem("records", line, "remove it", "%s belongs to a signed zone, and this one is not signed", kind)
	case h.Rrtype == dns.TypeOPT || h.Rrtype >= 128 && h.Rrtype <= 255: // RFC 6895 §3.1
		b.problem("records", line, "remove it", "%s is a question, not a record", kind)
	case strings.HasPrefix(h.Name, "*.") && (h.Rrtype == dns.TypeNS || h.Rrtype == dns.TypeDS):
		b.problem("records", line, "delegate each name by itself", "a wildcard cannot be delegated (RFC 4592 section 4.2)")
	case b.belongsToChild(rr, zones) != "":
		b.problem("records", line, "move it there", "%s is answered from zone %q", owner, display(b.belongsToChild(rr, zones)))
	default:
		return true
	}
	return false
}

// belongsToChild names the configured zone below this one that rr belongs to.
// What a parent holds of a child stays here: NS, DS and glue.
func (b *zoneBuilder) belongsToChild(rr dns.RR, zones map[string]*zone) string {
	h := rr.Header()
	switch h.Rrtype {
	case dns.TypeNS, dns.TypeDS, dns.TypeA, dns.TypeAAAA:
		return ""
	}
	for name := h.Name; name != b.zone.name; {
		if zones[name] != nil {
			return name
		}
		up, ok := parent(name)
		if !ok {
			break
		}
		name = up
	}
	return ""
}

// checkNodes finds neighbours that cannot stand together, and marks the
// delegations.
func (b *zoneBuilder) checkNodes() {
	names := slices.Sorted(maps.Keys(b.zone.nodes))
	for _, name := range names {
		n := b.zone.nodes[name]
		n.cut = name != b.zone.name && len(n.rrsets[dns.TypeNS]) > 0
		b.zone.cuts = b.zone.cuts || n.cut
		if len(n.rrsets[dns.TypeCNAME]) > 0 && (len(n.rrsets) > 1 || len(n.rrsets[dns.TypeCNAME]) > 1) {
			b.problem("records", b.lines[name], "keep the CNAME or the rest",
				"%s has a CNAME and something else (RFC 1034 section 3.6.2)", display(name))
		}
	}
	for _, name := range names {
		n := b.zone.nodes[name]
		cut := b.zone.cutAbove(name)
		for rrtype := range n.rrsets {
			kind := dns.Type(rrtype).String()
			switch {
			case rrtype == dns.TypeDS && cut != name:
				b.problem("records", b.lines[name], "add the NS, or remove the DS", "%s has a DS but no delegation", display(name))
			case cut != "" && !delegatable(rrtype, name == cut):
				b.problem("records", b.lines[name], "move it to the servers the name is delegated to",
					"%s lies at or below the delegation of %s, so its %s is never answered", display(name), display(cut), kind)
			}
		}
		if n.cut {
			b.checkGlue(name)
		}
	}
}

// delegatable reports whether a type may stand at (or, as glue, below) a cut.
func delegatable(rrtype uint16, atCut bool) bool {
	switch rrtype {
	case dns.TypeA, dns.TypeAAAA:
		return true
	case dns.TypeNS, dns.TypeDS:
		return atCut
	}
	return false
}

// checkGlue finds delegations that nobody could follow (RFC 9471 §2).
func (b *zoneBuilder) checkGlue(cut string) {
	for _, rr := range b.zone.nodes[cut].rrsets[dns.TypeNS] {
		ns, ok := rr.(*dns.NS)
		if ok && within(lower(ns.Ns), cut) && len(b.zone.addresses(ns.Ns)) == 0 {
			b.problem("records", b.lines[cut], "add its A or AAAA record",
				"%s is delegated to %s, which has no address here", display(cut), display(lower(ns.Ns)))
		}
	}
}

// checkNameServers wants an address for each of the zone's own servers that
// lies in the zone, and not a CNAME (RFC 2181 §10.3).
func (b *zoneBuilder) checkNameServers() {
	for _, rr := range b.zone.nodes[b.zone.name].rrsets[dns.TypeNS] {
		ns, ok := rr.(*dns.NS)
		if ok && within(ns.Ns, b.zone.name) && len(b.zone.addresses(ns.Ns)) == 0 {
			b.problem("nameservers", 0, "add its A or AAAA record to records",
				"%s lies in the zone and has no address", display(ns.Ns))
		}
	}
}
