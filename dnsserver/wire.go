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
	edns     bool
	version  uint8
	udpSize  uint16 // what the client says it takes, 0 without EDNS
	do       bool
}

// Errors of a request that cannot be read; both are FORMERR to the client.
var (
	errMalformed = errors.New("message is malformed")
	errQuestions = errors.New("message has not exactly one question") // RFC 9619 §4
)

// reply is what a request gets.
type reply struct {
	wire  []byte // nil: nothing is sent
	query query
	rcode int
}

// respond answers one message. It is pure; limit is the largest reply the
// transport carries, tcpSize over TCP and edns0UDPSize over UDP.
func (v *view) respond(msg []byte, limit int) reply {
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
	}
	if limit < tcpSize {
		limit = udpLimit(q, limit)
	}
	return pack(q, a, limit)
}

// udpLimit is the smaller of what the client takes and what we send.
func udpLimit(q query, limit int) int {
	if !q.edns {
		return plainUDPSize
	}
	return min(max(int(q.udpSize), plainUDPSize), limit) // RFC 6891 §6.2.3
}

// pack makes the message. What is optional is left out when it does not fit;
// when the rest does not either, the reply is empty and says TC (RFC 2181 §9).
func pack(q query, a answer, limit int) reply {
	m := q.header(a)
	m.Answer, m.Ns = a.answer, a.authority
	m.Extra = append(a.additional[:len(a.additional):len(a.additional)], m.Extra...)
	wire, err := m.Pack()
	if err == nil && len(wire) > limit && !a.referral && len(a.additional) > 0 {
		m.Extra = m.Extra[len(a.additional):]
		wire, err = m.Pack()
	}
	if err == nil && len(wire) <= limit {
		return reply{wire, q, a.rcode}
	}
	a.answer, a.authority, a.additional = nil, nil, nil
	truncated := err == nil && limit < tcpSize
	if !truncated {
		a.rcode, a.authoritative = dns.RcodeServerFailure, false // no transport carries it
	}
	m = q.header(a)
	m.Truncated = truncated
	if wire, err = m.Pack(); err != nil {
		return reply{query: q, rcode: dns.RcodeServerFailure}
	}
	return reply{wire, q, a.rcode}
}

// header returns the reply without records: ID, opcode, RD and question of the
// request, RA and the other bits clear, and OPT if the request had one.
func (q query) header(a answer) *dns.Msg {
	m := &dns.Msg{Compress: true}
	m.Id, m.Opcode, m.Response, m.RecursionDesired = q.id, q.opcode, true, q.rd
	m.Authoritative, m.Rcode = a.authoritative, a.rcode
	if q.asked {
		m.Question = []dns.Question{{Name: q.question.name, Qtype: q.question.rrtype, Qclass: q.class}}
	}
	if q.edns {
		opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		opt.SetUDPSize(edns0UDPSize)
		opt.SetDo(q.do) // RFC 3225 §3: copied
		m.Extra = []dns.RR{opt}
	}
	return m
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
	return off + 4, nil
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

// readOPT reads the pseudo-record (RFC 6891 §6.1.2). There may be one, at the
// root; options are only checked for their shape, as none is supported.
func (q *query) readOPT(record []byte) error {
	if q.edns || record[0] != 0 {
		return errMalformed
	}
	q.edns = true
	q.udpSize = binary.BigEndian.Uint16(record[3:])
	q.version = record[6]
	q.do = record[7]&0x80 != 0
	for options := record[11:]; len(options) > 0; {
		if len(options) < 4 {
			return errMalformed
		}
		n := 4 + int(binary.BigEndian.Uint16(options[2:]))
		if n > len(options) {
			return errMalformed
		}
		options = options[n:]
	}
	return nil
}
