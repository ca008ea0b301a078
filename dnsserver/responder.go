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
	server    *Server
	transport string
	terms     terms
}

func (s *Server) responder(transport string, limit int) *responder {
	return &responder{server: s, transport: transport, terms: terms{policy: s.policy, limit: limit}}
}

// datagram appends to room the reply to a datagram. An empty one is not sent.
func (r *responder) datagram(ctx context.Context, v *view, msg, room []byte, client netip.AddrPort, now time.Time) []byte {
	r.terms.client, r.terms.now = client.Addr(), now
	reply := v.respond(msg, &r.terms)
	r.server.logQuery(ctx, r.transport, client, reply)
	if len(reply.wire) == 0 || reply.proven {
		return reply.wire
	}
	switch r.terms.policy.limiter.judge(client.Addr(), reply.class, now) {
	case drop:
		return nil
	case truncate:
		return reply.query.insteadOf(reply.wire, room, &r.terms)
	}
	return reply.wire
}

// message appends to out the reply to a message over a connection, with its
// length before it; nothing when there is none. Whoever has a connection has
// proven its address and is not limited.
func (r *responder) message(ctx context.Context, msg, out []byte, client netip.AddrPort) []byte {
	r.terms.client, r.terms.now = client.Addr(), r.server.now()
	reply := r.server.view.Load().respond(msg, &r.terms)
	r.server.logQuery(ctx, r.transport, client, reply)
	if len(reply.wire) == 0 {
		return out
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(reply.wire)))
	return append(out, reply.wire...)
}

// insteadOf appends what a client gets that is limited: its question, with TC,
// so that it asks over TCP, where its address is proven. One that knows cookies
// has a shorter way to prove it: BADCOOKIE brings it one (RFC 7873 §5.2.3).
func (q *query) insteadOf(wire, out []byte, t *terms) []byte {
	end := q.end
	if !q.asked || len(wire) < end {
		return nil // no resolver's question
	}
	out = append(out, wire[:end]...)
	clear(out[6:headerSize])
	rcode := int(wire[3] & 0xf)
	if q.cookie != nil && t.policy.cookies != nil {
		rcode = dns.RcodeBadCookie
		out[2] &^= 4 // AA
	} else {
		out[2] |= 2 // TC
	}
	out[3] = out[3]&^0xf | byte(rcode&0xf)
	if q.edns {
		binary.BigEndian.PutUint16(out[10:], 1)
		out, _ = q.appendOPT(out, t, rcode)
	}
	return out
}
