package dnsserver

import (
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
)

// Sizes of messages in bytes.
const (
	headerSize   = 12
	plainUDPSize = 512   // RFC 1035 §4.2.1, without EDNS
	edns0UDPSize = 1232  // RFC 9715 §3.1: what no path fragments
	tcpSize      = 65535 // RFC 1035 §4.2.2
)

// query is a request as far as it could be read.
type query struct {
	id       uint16
	opcode   int
	rd       bool
	asked    bool // there is exactly one question and it is well-formed
	question question
	class    uint16
	end      int // of the question
	extension
}

// Errors of a request that cannot be read; both are FORMERR to the client.
var (
	errMalformed = errors.New("message is malformed")
	errQuestions = errors.New("message has not exactly one question") // RFC 9619 §4
)

// reply is what a request gets.
type reply struct {
	wire   []byte // nil: nothing is sent
	query  query
	zone   *zone // that answered, nil for none
	rcode  int
	class  class
	proven bool // the client has a cookie of ours, so its address is its own
}

// respond answers one message. It is pure.
func (v *view) respond(msg []byte, t *terms) reply {
	if len(msg) < headerSize || msg[2]&0x80 != 0 {
		return reply{} // no header, or itself a reply: answering could loop
	}
	q, err := readQuery(msg)
	a := answer{}
	switch {
	case q.opcode != dns.OpcodeQuery:
		a.rcode = dns.RcodeNotImplemented
	case err != nil:
		a.rcode = dns.RcodeFormatError
	case q.edns && q.version != 0:
		a.rcode = dns.RcodeBadVers // RFC 6891 §6.1.3
	case q.class != dns.ClassINET:
		a.rcode = dns.RcodeRefused
	default:
		a = v.answer(q.question)
		if z := v.signedZone(q.question); z != nil {
			a = v.complete(t.signer(z), z, q, a, t.now)
		}
	}
	r := pack(q, a, t)
	if q.asked && len(r.wire) >= q.end {
		copy(r.wire[headerSize:q.end], msg[headerSize:q.end]) // as the client spells it
	}
	return r
}

// pack makes the message. What is optional is left out when it does not fit;
// when the rest does not either, the reply is empty and says TC (RFC 2181 §9).
func pack(q query, a answer, t *terms) reply {
	limit := q.size(t.limit) - t.reserved
	m, proven := q.header(a, t)
	r := reply{query: q, rcode: a.rcode, class: a.class(), proven: proven}
	m.Answer, m.Ns = a.answer, a.authority
	m.Extra = append(a.additional[:len(a.additional):len(a.additional)], m.Extra...)
	wire, err := m.Pack()
	if err == nil && len(wire) > limit && !a.referral && len(a.additional) > 0 {
		m.Extra = m.Extra[len(a.additional):]
		wire, err = m.Pack()
	}
	if err == nil && len(wire) <= limit {
		r.wire = wire
		return r
	}
	a.answer, a.authority, a.additional = nil, nil, nil
	truncated := err == nil && t.limit < tcpSize
	if !truncated {
		a.rcode, a.authoritative = dns.RcodeServerFailure, false // no transport carries it
		r.rcode, r.class = a.rcode, classError
	}
	m, _ = q.header(a, t)
	m.Truncated = truncated
	if wire, err = m.Pack(); err != nil {
		return reply{query: q, rcode: dns.RcodeServerFailure, class: classError}
	}
	r.wire = wire
	return r
}

// header returns the reply without records: ID, opcode, RD and question of the
// request, RA and the other bits clear, and OPT if the request had one. The
// question is in lower case, so that what is compressed against it does not
// depend on its spelling.
func (q query) header(a answer, t *terms) (m *dns.Msg, proven bool) {
	m = &dns.Msg{Compress: true}
	m.Id, m.Opcode, m.Response, m.RecursionDesired = q.id, q.opcode, true, q.rd
	m.Authoritative, m.Rcode = a.authoritative, a.rcode
	if q.asked {
		m.Question = []dns.Question{{Name: lower(q.question.name), Qtype: q.question.rrtype, Qclass: q.class}}
	}
	if q.edns {
		var opt *dns.OPT
		opt, proven = q.opt(t, q.explanation(a))
		m.Extra = []dns.RR{opt}
	}
	return m, proven
}

// readQuery reads what a reply needs of a message with a whole header. It
// looks into no record but OPT. On error q holds what was read until then.
func readQuery(msg []byte) (q query, err error) {
	q.id = binary.BigEndian.Uint16(msg)
	q.opcode = int(msg[2] >> 3 & 0xf)
	q.rd = msg[2]&1 != 0
	if binary.BigEndian.Uint16(msg[4:]) != 1 {
		return q, errQuestions
	}
	off, err := q.readQuestion(msg)
	if err != nil {
		return q, err
	}
	others := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	for range others {
		if off, _, err = readRecord(msg, off); err != nil {
			return q, err
		}
	}
	for range int(binary.BigEndian.Uint16(msg[10:])) {
		start := off
		var rrtype uint16
		if off, rrtype, err = readRecord(msg, off); err != nil {
			return q, err
		}
		if rrtype == dns.TypeOPT {
			if err := q.readOPT(msg[start:off]); err != nil {
				return q, err
			}
		}
	}
	if off != len(msg) {
		return q, errMalformed
	}
	return q, nil
}

// readQuestion reads the question. A compression pointer in it could only
// point into the header, so it is an error.
func (q *query) readQuestion(msg []byte) (int, error) {
	off := headerSize
	for {
		if off >= len(msg) {
			return 0, errMalformed
		}
		n := int(msg[off])
		if n > 63 || off-headerSize+n+2 > 255 && n > 0 { // RFC 1035 §2.3.4, with the root
			return 0, errMalformed
		}
		off += 1 + n
		if n == 0 {
			break
		}
	}
	if off+4 > len(msg) {
		return 0, errMalformed
	}
	name, _, err := dns.UnpackDomainName(msg[:off], headerSize)
	if err != nil {
		return 0, errMalformed
	}
	q.asked = true
	q.question = question{name, binary.BigEndian.Uint16(msg[off:])}
	q.class = binary.BigEndian.Uint16(msg[off+2:])
	q.end = off + 4
	return q.end, nil
}

// readRecord returns where the record at off ends, and its type.
func readRecord(msg []byte, off int) (end int, rrtype uint16, err error) {
	for {
		if off >= len(msg) {
			return 0, 0, errMalformed
		}
		n := int(msg[off])
		off++
		if n == 0 {
			break
		}
		if n >= 0xc0 { // a pointer ends the name
			off++
			break
		}
		if n > 63 {
			return 0, 0, errMalformed
		}
		off += n
	}
	if off+10 > len(msg) {
		return 0, 0, errMalformed
	}
	rrtype = binary.BigEndian.Uint16(msg[off:])
	end = off + 10 + int(binary.BigEndian.Uint16(msg[off+8:]))
	if end > len(msg) {
		return 0, 0, errMalformed
	}
	return end, rrtype, nil
}
