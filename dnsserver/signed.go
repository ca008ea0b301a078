package dnsserver

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// identity is who signed a message: nobody without a signature.
type identity struct {
	key       *key // set when the signature was verified, or failed for its time
	signature *tsig.Signature
}

// updateCounters count messages with signatures, and updates.
type updateCounters struct {
	rcodes  [rcodePlaces]atomic.Uint64 // of updates
	dropped atomic.Uint64              // updates, for there were too many
	badKey, badSignature, badTime, badTruncation,
	malformed, replayed atomic.Uint64
}

// noted counts what was wrong with a signature.
func (c *updateCounters) noted(err error) {
	switch {
	case errors.Is(err, tsig.ErrKey):
		c.badKey.Add(1)
	case errors.Is(err, tsig.ErrSignature):
		c.badSignature.Add(1)
	case errors.Is(err, errReplayed):
		c.replayed.Add(1)
	case errors.Is(err, tsig.ErrTime):
		c.badTime.Add(1)
	case errors.Is(err, tsig.ErrShort):
		c.badTruncation.Add(1)
	default:
		c.malformed.Add(1)
	}
}

// write writes them.
func (c *updateCounters) write(m *metric.Writer) {
	m.Family("certificate_dns_updates_total", metric.Counter, "Dynamic updates (RFC 2136) by what was answered.")
	for rcode := range c.rcodes {
		if n := c.rcodes[rcode].Load(); n > 0 {
			m.Sample(float64(n), "rcode", rcodeLabel(rcode))
		}
	}
	m.Single("certificate_dns_updates_dropped_total", metric.Counter, "Dynamic updates that got no answer, for too many were being made.", float64(c.dropped.Load()))
	m.Family("certificate_dns_tsig_errors_total", metric.Counter, "Signed messages that were refused, by what was wrong with the signature.")
	m.Sample(float64(c.badKey.Load()), "error", "BADKEY")
	m.Sample(float64(c.badSignature.Load()), "error", "BADSIG")
	m.Sample(float64(c.badTime.Load()), "error", "BADTIME")
	m.Sample(float64(c.badTruncation.Load()), "error", "BADTRUNC")
	m.Sample(float64(c.malformed.Load()), "error", "malformed")
	m.Sample(float64(c.replayed.Load()), "error", "replayed")
}

// errReplayed is a signature that was seen before. To the client it is too old.
var errReplayed = errors.New("the update was made before, or signed before the server began")

// identify verifies the signature of a request. The error is one of package
// tsig; then the identity is not proven.
func (s *Server) identify(msg []byte, t *terms) (identity, error) {
	signature, err := tsig.Find(msg)
	who := identity{signature: signature}
	if signature == nil {
		return who, err
	}
	k := s.settings.Load().keys[signature.Name]
	if k == nil {
		return who, tsig.ErrKey
	}
	who.key = k
	return who, k.Verify(msg, signature, nil, t.now)
}

// slow answers what the fast path does not: over connections, updates too.
func (r *responder) slow(ctx context.Context, v *view, msg []byte) reply {
	if len(msg) < headerSize || msg[2]&0x80 != 0 {
		return reply{} // no header, or itself a reply: answering could loop
	}
	r.terms.reserved = 0
	who, err := r.server.identify(msg, &r.terms)
	if err != nil {
		return r.unproven(ctx, msg, who, err)
	}
	if who.signature != nil {
		r.terms.reserved = who.key.Size()
	}
	var out reply
	switch {
	case opcodeOf(msg) == dns.OpcodeUpdate:
		if out, err = r.server.answerUpdate(ctx, v, msg, who, &r.terms); err != nil {
			return r.unproven(ctx, msg, who, err)
		}
	case opcodeOf(msg) == dns.OpcodeNotify:
		out = r.server.answerNotify(v, msg, who, &r.terms)
	case transferType(msg) == dns.TypeIXFR && r.terms.limit != tcpSize:
		out = r.server.overTCP(v, msg, who, &r.terms)
	default:
		out = v.respond(msg, &r.terms)
	}
	if who.signature != nil && len(out.wire) > 0 {
		out.wire, _ = who.key.Sign(out.wire, who.signature.MAC, r.terms.now)
		out.proven = true
	}
	return out
}

func opcodeOf(msg []byte) int { return int(msg[2] >> 3 & 0xf) }

// deferred reports whether an answer may have to wait for the disk, so that
// nobody else should wait for it.
func deferred(msg []byte) bool {
	return len(msg) >= headerSize && msg[2]&0xf8 == dns.OpcodeUpdate<<3
}

// later answers a datagram while others are answered. Over the limit it is
// dropped, and the client asks again.
func (r *responder) later(ctx context.Context, msg []byte, client netip.AddrPort, send func([]byte) error) {
	s := r.server
	if s.updating.Add(1) > int64(s.settings.Load().updates.MaxPending) {
		s.updating.Add(-1)
		s.counters.updates.dropped.Add(1)
		r.tap.refused()
		return
	}
	tap, policy := r.tap, r.terms.policy
	s.running.Go(func() {
		defer s.updating.Add(-1)
		own := &responder{server: s, tap: tap, terms: terms{
			policy: policy, limit: edns0UDPSize, client: client.Addr(), port: client.Port(), now: s.clock.now(),
		}}
		out := own.slow(ctx, s.view.Load(), msg)
		wire := out.wire
		if len(wire) > 0 && !out.proven && policy.limiter.judge(client.Addr(), classError, own.terms.now) != pass {
			wire = nil
		}
		if len(wire) == 0 {
			tap.refused()
			return
		}
		if err := send(wire); err != nil {
			s.log.LogAttrs(ctx, slog.LevelDebug, "udp write", slog.Any("error", err))
		}
	})
}

// unproven answers a request whose signature is wrong (RFC 8945 §5.2).
func (r *responder) unproven(ctx context.Context, msg []byte, who identity, err error) reply {
	s := r.server
	s.counters.updates.noted(err)
	s.counters.authFailures.Add(1)
	name := ""
	if who.signature != nil {
		name = display(who.signature.Name)
	}
	if r.mayWarn() {
		s.log.LogAttrs(ctx, slog.LevelWarn, "signed message refused",
			slog.String("client", r.terms.client.String()), slog.String("key", name), slog.Any("error", err))
	}
	q, readErr := readQuery(msg)
	a := answer{rcode: dns.RcodeNotAuth, refusal: noEDE}
	if errors.Is(err, tsig.ErrFormat) || readErr != nil {
		a.rcode = dns.RcodeFormatError
	}
	r.terms.reserved = 0
	if a.rcode == dns.RcodeNotAuth {
		r.terms.reserved = tsigRoom(who)
	}
	out := pack(q, a, &r.terms)
	if q.asked && len(out.wire) >= q.end {
		copy(out.wire[headerSize:q.end], msg[headerSize:q.end]) // as the client spells it
	}
	if opcodeOf(msg) == dns.OpcodeUpdate {
		s.counters.updates.rcodes[a.rcode].Add(1)
	}
	switch {
	case a.rcode != dns.RcodeNotAuth || len(out.wire) == 0:
	case errors.Is(err, tsig.ErrTime) || errors.Is(err, tsig.ErrShort):
		out.wire = who.key.SignError(out.wire, who.signature, err, r.terms.now)
	case errors.Is(err, errReplayed):
		out.wire = who.key.SignError(out.wire, who.signature, tsig.ErrTime, r.terms.now)
	default:
		out.wire = tsig.Refuse(out.wire, who.signature, err, r.terms.now)
	}
	return out
}

// tsigRoom is how many bytes the signature of an error may take.
func tsigRoom(who identity) int {
	if who.key != nil {
		return who.key.Size() + 6
	}
	return 2*255 + 32
}

// mayWarn keeps strangers from filling the log.
func (r *responder) mayWarn() bool {
	return r.server.warnings.allows(r.terms.client.String(), 10, r.terms.now)
}

// answerUpdate answers an UPDATE (RFC 2136 §3). The error is errReplayed.
func (s *Server) answerUpdate(ctx context.Context, v *view, msg []byte, who identity, t *terms) (reply, error) {
	q, readErr := readQuery(msg)
	if who.signature != nil && readErr == nil {
		fresh, running := s.replays.begin(who.signature, t.now)
		if running && t.limit != tcpSize {
			return reply{}, nil // the first of the two is answered
		}
		if !fresh {
			return reply{}, errReplayed
		}
		defer s.replays.end(who.signature)
	}
	var err error
	switch {
	case readErr != nil:
		err = refuseUpdate(dns.RcodeFormatError, "%v", readErr)
	case q.edns && q.version != 0:
		err = refuseUpdate(dns.RcodeBadVers, "its version of EDNS is unknown")
	default:
		err = s.takeUpdate(ctx, v, msg, q, who, t)
	}
	rcode := rcodeOf(err)
	s.counters.updates.rcodes[min(rcode, rcodePlaces-1)].Add(1)
	if err != nil {
		s.logRefusal(ctx, q, who, t, err)
	}
	out := pack(q, answer{rcode: rcode, refusal: refusalCode(rcode)}, t)
	if q.asked && len(out.wire) >= q.end {
		copy(out.wire[headerSize:q.end], msg[headerSize:q.end])
	}
	return out, nil
}

// refusalCode explains an RCODE (RFC 8914).
func refusalCode(rcode int) uint16 {
	if rcode == dns.RcodeRefused {
		return dns.ExtendedErrorCodeProhibited
	}
	return noEDE
}

// takeUpdate makes the changes of an UPDATE. What is wrong with it is a
// *refusal or an error of a change.
func (s *Server) takeUpdate(ctx context.Context, v *view, msg []byte, q query, who identity, t *terms) error {
	limits := s.settings.Load().updates
	m, err := readUpdate(msg, q, limits.MaxRecords)
	if err != nil {
		return err
	}
	if v == nil {
		return ErrStopped
	}
	z := v.zones[m.zone]
	switch {
	case z == nil || q.class != dns.ClassINET:
		return refuseUpdate(dns.RcodeNotAuth, "%s is no zone of this server; it has %s", display(m.zone), v.zoneNames())
	case who.signature == nil:
		return refuseUpdate(dns.RcodeRefused, "the update is not signed; sign it with a key of this server")
	case len(msg) > limits.MaxBytes:
		return refuseUpdate(dns.RcodeRefused, "it has %d bytes, and updates.max_bytes allows %d; send several", len(msg), limits.MaxBytes)
	}
	ctx = withActor(ctx, who.key.label(), t.client)
	if err = m.prescan(v, z, who.key); err == nil {
		err = s.makeUpdate(ctx, &m, who.key, limits.MaxValues)
	}
	if err != nil {
		s.history.refuse(actorOf(ctx), m.changes(), err)
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "records updated", slog.String("client", t.client.String()),
		slog.String("key", display(who.key.Name())), slog.String("zone", display(z.name)), slog.Int("changes", len(m.updates)))
	return nil
}

// makeUpdate makes the changes of an UPDATE that was scanned.
func (s *Server) makeUpdate(ctx context.Context, m *updateMessage, k *key, most int) error {
	return s.update(ctx, func(d *draft) error {
		now := d.view.zones[m.zone] // after a reload it may be another
		if now == nil {
			return refuseUpdate(dns.RcodeNotAuth, "%s is no zone of this server any more", display(m.zone))
		}
		if err := m.check(d.view, now); err != nil {
			return err
		}
		return m.apply(d, now, k, most)
	})
}

// logRefusal says why an update is not made. A prerequisite that does not hold
// is a usual answer.
func (s *Server) logRefusal(ctx context.Context, q query, who identity, t *terms, err error) {
	level, name := slog.LevelWarn, ""
	switch rcodeOf(err) {
	case dns.RcodeYXDomain, dns.RcodeYXRrset, dns.RcodeNXRrset, dns.RcodeNameError:
		level = slog.LevelDebug
	}
	if who.signature != nil {
		name = display(who.signature.Name)
	} else {
		s.counters.authFailures.Add(1)
	}
	if level == slog.LevelWarn && !s.warnings.allows(t.client.String(), 10, t.now) {
		return
	}
	s.log.LogAttrs(ctx, level, "update refused", slog.String("client", t.client.String()), slog.String("key", name),
		slog.String("zone", display(lower(q.question.name))), slog.Any("error", err))
}
