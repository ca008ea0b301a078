package dnsserver

import (
	"slices"

	"github.com/miekg/dns"
)

// maxChain is how many CNAMEs of one zone are followed for one question.
const maxChain = 8

// question is what a query asks, in class IN.
type question struct {
	name   string // as the client spells it
	rrtype uint16
}

// answer is what to say, apart from any socket or message.
type answer struct {
	rcode                         int
	authoritative                 bool   // RFC 1035 §4.1.1: about the first owner name
	referral                      bool   // additional is glue and must not be left out
	refusal                       uint16 // why, as an extended error (RFC 8914); 0 where the rcode says it
	answer, authority, additional []dns.RR
}

// answer decides what to say. It is pure; a nil view is a server that does not
// know its records, and it must not claim that a name does not exist.
func (v *view) answer(q question) answer {
	if v == nil {
		return answer{rcode: dns.RcodeServerFailure, refusal: dns.ExtendedErrorCodeNotReady}
	}
	name := lower(q.name)
	z := v.zoneOf(name, q.rrtype)
	switch {
	case z == nil:
		return answer{rcode: dns.RcodeRefused}
	case q.rrtype == dns.TypeAXFR || q.rrtype == dns.TypeIXFR:
		return answer{rcode: dns.RcodeRefused, refusal: dns.ExtendedErrorCodeProhibited} // RFC 5936 §2.2.1: policy
	}
	if v.states[z.index].expired {
		return answer{rcode: dns.RcodeServerFailure, refusal: dns.ExtendedErrorCodeNotReady}
	}
	a := answer{authoritative: true}
	owner := name
	for range maxChain {
		if cut := v.cutAbove(z, name); cut != "" && (q.rrtype != dns.TypeDS || name != cut) {
			return a.refer(v, z, cut)
		}
		f := v.find(z, name)
		cname := f.cname(owner)
		if cname == nil || q.rrtype == dns.TypeCNAME {
			return a.finish(v, z, f, owner, q.rrtype)
		}
		a.answer = append(a.answer, spelled(owner, []dns.RR{cname})...)
		owner, name = cname.Target, lower(cname.Target)
		if q.rrtype == dns.TypeANY || v.zoneOf(name, dns.TypeANY) != z || a.has(name) {
			return a
		}
	}
	return a
}

// class is the kind of the answer, for whoever limits how many there are.
func (a answer) class() class {
	switch {
	case a.rcode == dns.RcodeSuccess && (a.referral || len(a.answer) > 0):
		return classAnswer
	case a.rcode == dns.RcodeSuccess || a.rcode == dns.RcodeNameError:
		return classNegative
	}
	return classError
}

// has reports whether the chain has been at name before.
func (a answer) has(name string) bool {
	return slices.ContainsFunc(a.answer, func(rr dns.RR) bool { return lower(rr.Header().Name) == name })
}

// finish answers with what exists at the end of the chain. Without data of the
// type it is negative and carries the SOA (RFC 2308 §2).
func (a answer) finish(v *view, z *zone, f found, owner string, rrtype uint16) answer {
	if !f.exists {
		a.rcode = dns.RcodeNameError
		a.authority = []dns.RR{v.states[z.index].negative}
		return a
	}
	set := v.records(z, f, owner, rrtype)
	if rrtype == dns.TypeANY {
		set = anything(f, z, owner)
	}
	if len(set) == 0 {
		a.authority = []dns.RR{v.states[z.index].negative}
		return a
	}
	a.answer = append(a.answer, set...)
	if rrtype == dns.TypeNS {
		a.additional = v.glue(z, set)
	}
	return a
}

// refer points to the servers a name is delegated to. After a CNAME of ours
// the answer stays authoritative, for it is about the first name.
func (a answer) refer(v *view, z *zone, cut string) answer {
	a.authoritative = len(a.answer) > 0
	a.referral = true
	a.authority = v.records(z, v.at(z, cut), cut, dns.TypeNS)
	a.additional = v.glue(z, a.authority)
	return a
}

// glue returns the addresses the zone knows of the hosts in an NS rrset.
func (v *view) glue(z *zone, set []dns.RR) []dns.RR {
	var out []dns.RR
	for _, rr := range set {
		if ns, ok := rr.(*dns.NS); ok && within(lower(ns.Ns), z.name) {
			host := lower(ns.Ns)
			f := v.at(z, host)
			out = append(out, v.records(z, f, host, dns.TypeA)...)
			out = append(out, v.records(z, f, host, dns.TypeAAAA)...)
		}
	}
	return out
}

// anything answers ANY where data exists with one synthesised HINFO: what
// asks ANY is mostly an attack that wants a large answer (RFC 8482 §4.2).
func anything(f found, z *zone, owner string) []dns.RR {
	if !f.has() {
		return nil
	}
	h := dns.RR_Header{Name: owner, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: z.soa.Hdr.Ttl}
	return []dns.RR{&dns.HINFO{Hdr: h, Cpu: "RFC8482"}}
}

// spelled gives records the owner name as the question spells it, which lets
// the message point to the question and gives a wildcard's records their name.
func spelled(owner string, set []dns.RR) []dns.RR {
	if len(set) == 0 || set[0].Header().Name == owner {
		return set
	}
	out := make([]dns.RR, len(set))
	for i, rr := range set {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = owner
	}
	return out
}
