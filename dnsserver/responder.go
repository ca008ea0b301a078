package dnsserver

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// responder answers messages for one socket or connection, one at a time.
type responder struct {
	server *Server
	tap    *tap
	terms  terms
	hot    hot
}

func (s *Server) responder(t *tap, limit int) *responder {
	return &responder{server: s, tap: t, terms: terms{policy: s.policy.Load(), limit: limit}}
}

// reply answers a message: by the fast path, which appends to room, or else by
// the slow one.
func (r *responder) reply(ctx context.Context, v *view, msg, room []byte) reply {
	if r.hot.read(msg) {
		if wire, kind, proven, ok := v.fast(&r.hot, msg, room, &r.terms); ok {
			return reply{wire: wire[len(room):], zone: r.hot.zone, class: kind, proven: proven, rcode: int(wire[len(room)+3] & 0xf), query: query{asked: true}}
		}
	}
	slow := r.slow(ctx, v, msg)
	if v != nil && slow.query.asked {
		slow.zone = v.zoneOf(lower(slow.query.question.name), slow.query.question.rrtype)
	}
	return slow
}

// datagram appends to room, which is empty, the reply to a datagram. An empty
// one is not sent.
func (r *responder) datagram(ctx context.Context, v *view, msg, room []byte, client netip.AddrPort, now time.Time) []byte {
	r.terms.client, r.terms.port, r.terms.now = client.Addr(), client.Port(), now
	reply := r.reply(ctx, v, msg, room)
	wire := reply.wire
	if len(wire) > 0 {
		if opcodeOf(msg) == dns.OpcodeQuery {
			r.server.logQuery(ctx, r.tap.transport, client, msg, reply)
		}
		if !reply.proven {
			wire = r.limited(msg, wire, client, reply.class)
		}
	}
	if len(wire) == 0 {
		r.tap.refused()
		return nil
	}
	if opcodeOf(msg) == dns.OpcodeQuery {
		r.tap.answered(reply.zone.apex(), client, wire, now)
	}
	return wire
}

// limited is what of a reply is sent to a client that could be anybody.
func (r *responder) limited(msg, wire []byte, client netip.AddrPort, kind class) []byte {
	switch r.terms.policy.limiter.judge(client.Addr(), kind, r.terms.now) {
	case drop:
		return nil
	case truncate:
		return r.insteadOf(msg, wire[3])
	}
	return wire
}

// apex is the name of the zone, "" for none.
func (z *zone) apex() string {
	if z == nil {
		return ""
	}
	return z.name
}

// message appends to out the reply to a message over a connection, with its
// length before it; nothing when there is none. Whoever has a connection has
// proven its address and is not limited.
func (r *responder) message(ctx context.Context, msg, out []byte, client netip.AddrPort) []byte {
	r.terms.client, r.terms.port, r.terms.now, r.terms.policy = client.Addr(), client.Port(), r.server.clock.now(), r.server.policy.Load()
	out = append(out, 0, 0)
	reply := r.reply(ctx, r.server.view.Load(), msg, out)
	if len(reply.wire) == 0 {
		r.tap.refused()
		return out[:len(out)-2]
	}
	if opcodeOf(msg) == dns.OpcodeQuery { // an update is counted as one
		r.tap.answered(reply.zone.apex(), client, reply.wire, r.terms.now)
		r.tap.took(1, r.server.clock.now().Sub(r.terms.now))
		r.server.logQuery(ctx, r.tap.transport, client, msg, reply)
	}
	binary.BigEndian.PutUint16(out[len(out)-2:], uint16(len(reply.wire)))
	return append(out, reply.wire...) // in place already, where the fast path had room
}

// insteadOf is what a client gets that is limited: its question, with TC, so
// that it asks over TCP, where its address is proven. One that knows cookies
// has a shorter way to prove it: BADCOOKIE brings it one (RFC 7873 §5.2.3).
func (r *responder) insteadOf(msg []byte, flags byte) []byte {
	q, err := readQuery(msg)
	if err != nil || !q.asked {
		return nil // no resolver's question
	}
	out := append(make([]byte, 0, q.end+optSize+4+clientCookieSize+serverCookieSize), msg[:q.end]...)
	clear(out[6:headerSize])
	out[2] = 0x80 | msg[2]&0x79 // QR, and opcode and RD of the question
	rcode := int(flags & 0xf)
	if q.cookie != nil && r.terms.policy.cookies != nil {
		rcode = dns.RcodeBadCookie
	} else {
		out[2] |= 2 // TC
	}
	out[3] = byte(rcode & 0xf)
	if q.edns {
		binary.BigEndian.PutUint16(out[10:], 1)
		out, _ = q.appendOPT(out, &r.terms, rcode)
	}
	return out
}
