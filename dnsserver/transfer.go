package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

const (
	// maxTransfers is how many transfers go on at once; who asks for more is
	// refused and asks again.
	maxTransfers = 16
	// transferPatience is how long a secondary may take nothing of a transfer:
	// while it writes to its disk, it reads nothing.
	transferPatience = time.Minute
	// transferMessage is how long the messages of a transfer become, in bytes,
	// unless one record needs more.
	transferMessage = 16 << 10
)

// transferType is AXFR or IXFR when the message asks for a transfer, else 0.
func transferType(msg []byte) uint16 {
	if len(msg) < headerSize || msg[2]&0xf8 != 0 || binary.BigEndian.Uint16(msg[4:]) != 1 {
		return 0
	}
	off := headerSize
	for off < len(msg) && msg[off] != 0 {
		if msg[off] > 63 {
			return 0
		}
		off += 1 + int(msg[off])
	}
	if off+5 > len(msg) {
		return 0
	}
	if rrtype := binary.BigEndian.Uint16(msg[off+1:]); rrtype == dns.TypeAXFR || rrtype == dns.TypeIXFR {
		return rrtype
	}
	return 0
}

// What a transfer was.
const (
	kindAXFR    = "AXFR"
	kindIXFR    = "IXFR"
	kindInstead = "AXFR instead of IXFR"
	kindCurrent = "IXFR, up to date"
)

// transferCounters count transfers to secondaries.
type transferCounters struct{ axfr, ixfr, instead, current, failed atomic.Uint64 }

func (c *transferCounters) noted(kind string, err error) {
	switch {
	case err != nil:
		c.failed.Add(1)
	case kind == kindAXFR:
		c.axfr.Add(1)
	case kind == kindIXFR:
		c.ixfr.Add(1)
	case kind == kindInstead:
		c.instead.Add(1)
	default:
		c.current.Add(1)
	}
}

// write writes them.
func (c *transferCounters) write(m *metric.Writer) {
	m.Family("certificate_dns_transfers_total", metric.Counter, "Zone transfers to secondaries: whole ones, changes, whole ones for lack of changes, and questions with nothing new.")
	m.Sample(float64(c.axfr.Load()), "kind", "axfr")
	m.Sample(float64(c.ixfr.Load()), "kind", "ixfr")
	m.Sample(float64(c.instead.Load()), "kind", "axfr_instead")
	m.Sample(float64(c.current.Load()), "kind", "current")
	m.Sample(float64(c.failed.Load()), "kind", "failed")
}

// transfer is one answer to AXFR or IXFR, of many messages.
type transfer struct {
	send   func(msg []byte) error
	now    func() time.Time
	query  query
	head   []byte       // header and question
	stream *tsig.Stream // nil: not signed
	room   int          // of a message, for what comes behind the records
	msg    []byte
	count  int // records in msg
	total  int // records sent
}

// transfer answers a message that asks for a transfer, or returns false for one
// that is refused like any other question.
func (s *Server) transfer(ctx context.Context, conn net.Conn, msg []byte, client netip.AddrPort, r *responder) (done bool, err error) {
	t := &r.terms
	t.client, t.port, t.now, t.policy, t.reserved = client.Addr(), client.Port(), s.clock.now(), s.policy.Load(), 0
	q, readErr := readQuery(msg)
	who, whoErr := s.identify(msg, t)
	v := s.view.Load()
	if readErr != nil || whoErr != nil || v == nil || q.class != dns.ClassINET || q.edns && q.version != 0 {
		return false, nil
	}
	z := v.zones[lower(q.question.name)]
	if z == nil || !s.mayTransfer(z, who, client.Addr()) || v.states[z.index].expired {
		return false, nil
	}
	select {
	case s.transfers <- struct{}{}:
		defer func() { <-s.transfers }()
	default:
		return false, nil
	}
	out := &transfer{send: func(msg []byte) error { return sendWithin(conn, msg, transferPatience) }, now: s.clock.now, query: q}
	out.begin(msg, q, who)
	kind, err := s.sendZone(ctx, out, v, z, q, msg)
	if err == nil {
		err = out.flush()
	}
	r.tap.answered(z.name, client, out.head, t.now)
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(ctx, level, "zone transfer", slog.String("zone", display(z.name)), slog.String("client", client.String()),
		slog.String("kind", kind), slog.Uint64("serial", uint64(v.states[z.index].serial)), slog.Int("records", out.total), slog.Any("error", err))
	s.counters.transfers.noted(kind, err)
	return true, err
}

// begin prepares the first message.
func (t *transfer) begin(msg []byte, q query, who identity) {
	t.head = slices.Clone(msg[:q.end])
	clear(t.head[6:headerSize])
	t.head[2], t.head[3] = 0x84|msg[2]&1, 0 // QR, AA
	if q.edns {
		t.room += optSize
	}
	if who.signature != nil {
		t.stream = tsig.NewStream(who.key.Key, who.signature.MAC)
		t.room += who.key.Size()
	}
	t.msg = append(make([]byte, 2, transferMessage+tcpSize), t.head...)
}

// add adds one record.
func (t *transfer) add(record []byte) error {
	full := len(t.msg) + len(record) + t.room
	if t.count > 0 && (full > transferMessage || t.count == 65535) {
		if err := t.flush(); err != nil {
			return err
		}
	}
	t.msg = append(t.msg, record...)
	t.count++
	t.total++
	return nil
}

// addAll adds records that stand one after another.
func (t *transfer) addAll(records []byte) error {
	for len(records) > 0 {
		end, _, err := readRecord(records, 0)
		if err != nil {
			return err
		}
		if err := t.add(records[:end]); err != nil {
			return err
		}
		records = records[end:]
	}
	return nil
}

// flush sends what is there.
func (t *transfer) flush() error {
	if t.count == 0 {
		return nil
	}
	msg := t.msg[2:]
	binary.BigEndian.PutUint16(msg[6:], uint16(t.count))
	if t.query.edns {
		binary.BigEndian.PutUint16(msg[10:], 1)
		msg, _ = t.query.withoutCookie().appendOPT(msg, &terms{}, 0)
	}
	if t.stream != nil {
		msg = t.stream.Sign(msg, t.now())
	}
	if len(msg) > tcpSize {
		return errors.New("a record does not fit a message with its signature")
	}
	out := append(t.msg[:2], msg...) // in place, where there was room
	binary.BigEndian.PutUint16(out, uint16(len(msg)))
	if err := t.send(out); err != nil {
		return err
	}
	t.msg, t.count = append(t.msg[:2], t.head...), 0
	return nil
}

// withoutCookie is the query without its cookie: a transfer brings none back.
func (q query) withoutCookie() *extension {
	x := q.extension
	x.cookie = nil
	return &x
}

// sendZone sends what the query wants: what changed, or the whole zone.
func (s *Server) sendZone(ctx context.Context, out *transfer, v *view, z *zone, q query, msg []byte) (kind string, err error) {
	state := v.states[z.index]
	soa := state.record
	if q.question.rrtype == dns.TypeIXFR {
		serial, ok := clientSerial(msg, q)
		switch {
		case ok && !newerSerial(state.serial, serial):
			return kindCurrent, out.add(soa) // RFC 1995 §2
		case ok:
			if d, known := s.journals.of(z.name).between(serial, state.serial); known {
				return kindIXFR, out.addDelta(soa, d)
			}
		}
		return kindInstead, out.addZone(ctx, v, z, soa)
	}
	return kindAXFR, out.addZone(ctx, v, z, soa)
}

// clientSerial is that of the SOA in the authority section of an IXFR question.
func clientSerial(msg []byte, q query) (uint32, bool) {
	if binary.BigEndian.Uint16(msg[6:]) != 0 || binary.BigEndian.Uint16(msg[8:]) != 1 {
		return 0, false
	}
	rr, _, err := dns.UnpackRR(msg, q.end)
	if soa, ok := rr.(*dns.SOA); err == nil && ok {
		return soa.Serial, true
	}
	return 0, false
}

// addDelta adds a change (RFC 1995 §4).
func (t *transfer) addDelta(soa []byte, d delta) error {
	for _, part := range [][]byte{soa, d.before, d.gone, d.after, d.come, soa} {
		if err := t.addAll(part); err != nil {
			return err
		}
	}
	return nil
}

// addZone adds the whole zone between two copies of its SOA (RFC 5936 §2.2).
// Configured names come first. It stops when ctx ends.
func (t *transfer) addZone(ctx context.Context, v *view, z *zone, soa []byte) error {
	if err := t.add(soa); err != nil {
		return err
	}
	for name, n := range z.nodes {
		for rrtype := range n.rrsets {
			if rrtype == dns.TypeSOA {
				continue
			}
			if err := t.addSet(v, z, name, rrtype); err != nil {
				return err
			}
		}
	}
	sent := 0
	for l := range v.table.all() {
		if !within(l.name(), z.name) {
			continue
		}
		if sent++; sent%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for set := range l.sets() {
			if v.zoneOf(l.name(), set.rrtype) != z || len(z.configured(l.name(), set.rrtype)) > 0 {
				continue
			}
			for r := range set.records() {
				if err := t.add(z.appendRecord(nil, l.name(), set.rrtype, r.ttl, r.data)); err != nil {
					return err
				}
			}
		}
	}
	return t.add(soa)
}

func (t *transfer) addSet(v *view, z *zone, name string, rrtype uint16) error {
	for _, r := range v.setOf(z, name, rrtype) {
		if err := t.add(z.appendRecord(nil, name, rrtype, r.ttl, r.data)); err != nil {
			return err
		}
	}
	return nil
}

// overTCP answers IXFR over UDP for who may have the zone: with the SOA alone,
// which says to ask again over TCP where it is newer (RFC 1995 §2).
func (s *Server) overTCP(v *view, msg []byte, who identity, t *terms) reply {
	q, err := readQuery(msg)
	if err != nil || v == nil || q.class != dns.ClassINET || q.edns && q.version != 0 {
		return v.respond(msg, t)
	}
	z := v.zones[lower(q.question.name)]
	if z == nil || v.states[z.index].expired || !s.mayTransfer(z, who, t.client) {
		return v.respond(msg, t)
	}
	out := pack(q, answer{authoritative: true, refusal: noEDE, answer: []dns.RR{v.states[z.index].soa}}, t)
	if len(out.wire) >= q.end {
		copy(out.wire[headerSize:q.end], msg[headerSize:q.end]) // as the client spells it
	}
	return out
}
