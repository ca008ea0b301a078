package dnsserver

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/miekg/dns"
)

// optSize is that of an OPT record without options, in bytes.
const optSize = 11

// extension is what a query says with EDNS (RFC 6891).
type extension struct {
	edns    bool
	version uint8
	udpSize uint16 // what the client says it takes, 0 without EDNS
	do      bool
	co      bool   // takes compact denial with its own RCODE (RFC 9824 §4)
	nsid    bool   // asks who answers (RFC 5001)
	cookie  []byte // the option's data (RFC 7873), nil without; part of the message
}

// readOPT reads the pseudo-record (RFC 6891 §6.1.2). There may be one, at the
// root. Unknown options are passed over.
func (x *extension) readOPT(record []byte) error {
	if x.edns || record[0] != 0 {
		return errMalformed
	}
	x.edns = true
	x.udpSize = binary.BigEndian.Uint16(record[3:])
	x.version = record[6]
	x.do = record[7]&0x80 != 0
	x.co = record[7]&0x40 != 0
	for options := record[optSize:]; len(options) > 0; {
		if len(options) < 4 {
			return errMalformed
		}
		n := 4 + int(binary.BigEndian.Uint16(options[2:]))
		if n > len(options) {
			return errMalformed
		}
		switch data := options[4:n]; {
		case binary.BigEndian.Uint16(options) == dns.EDNS0NSID:
			x.nsid = true
		case binary.BigEndian.Uint16(options) == dns.EDNS0COOKIE && x.cookie == nil: // RFC 7873 §5.2: the first counts
			if !goodCookie(data) {
				return errMalformed // RFC 7873 §5.2.2
			}
			x.cookie = data
		}
		options = options[n:]
	}
	return nil
}

// size is the longest reply that client and transport take.
func (x *extension) size(limit int) int {
	switch {
	case limit == tcpSize:
		return limit
	case !x.edns:
		return plainUDPSize
	}
	return min(max(int(x.udpSize), plainUDPSize), limit) // RFC 6891 §6.2.3
}

// serverCookie appends the data of the cookie option of a reply; nothing when
// the client sent none. proven: the client's cookie is one of ours.
func (x *extension) serverCookie(out []byte, t *terms) (data []byte, proven bool) {
	if x.cookie == nil || t.policy == nil || t.policy.cookies == nil {
		return out, false
	}
	return t.policy.cookies.check(out, x.cookie, t.client, t.now)
}

// opt returns the OPT record of a reply, with the options that the client
// understands.
func (x *extension) opt(t *terms, ede uint16) (opt *dns.OPT, proven bool) {
	opt = &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(edns0UDPSize)
	opt.SetDo(x.do) // RFC 3225 §3: copied
	if x.nsid && t.policy != nil && len(t.policy.nsid) > 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString(t.policy.nsid)})
	}
	data, proven := x.serverCookie(nil, t)
	if len(data) > 0 {
		opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(data)})
	}
	if ede != noEDE {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: ede})
	}
	return opt, proven
}

// appendOPT appends the OPT record of a reply without the library: with no
// option but the cookie, and the high bits of an RCODE.
func (x *extension) appendOPT(out []byte, t *terms, rcode int) (wire []byte, proven bool) {
	flags := byte(0)
	if x.do {
		flags = 0x80
	}
	out = append(out, 0, 0, byte(dns.TypeOPT), edns0UDPSize>>8, edns0UDPSize&0xff, byte(rcode>>4), 0, flags, 0, 0, 0)
	if x.cookie == nil || t.policy == nil || t.policy.cookies == nil {
		return out, false
	}
	out[len(out)-1] = 4 + clientCookieSize + serverCookieSize
	out = append(out, 0, dns.EDNS0COOKIE, 0, clientCookieSize+serverCookieSize)
	return x.serverCookie(out, t)
}

// noEDE is an answer that needs no explanation. 0 is a code of its own.
const noEDE = 0xffff

// explanation is the extended error (RFC 8914) that says more than the RCODE:
// why there is no answer, where another server or a later time would help.
func (q query) explanation(a answer) uint16 {
	switch {
	case a.refusal != 0:
		return a.refusal
	case a.rcode == dns.RcodeNotImplemented:
		return dns.ExtendedErrorCodeNotSupported
	case a.rcode == dns.RcodeRefused:
		return dns.ExtendedErrorCodeNotAuthoritative
	}
	return noEDE
}
