package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// How a secondary is told of a change, and asked whether it has it.
const (
	notifyGap     = 100 * time.Millisecond // between two NOTIFYs, however fast the zone changes
	renotifyAfter = 30 * time.Second       // when it was told and does not follow
	askFirst      = 10 * time.Millisecond  // after it was told; then twice as long, up to
	askLast       = 2 * time.Second
	askIdle       = time.Minute // when it has everything
	replyPatience = 2 * time.Second
	notifyTries   = 5 // RFC 1996 §3.6
)

// follower tells one secondary of one zone's changes, and knows how far it is.
type follower struct {
	apex string
	secondary
	poke chan struct{} // has room for one: the zone changed, or somebody waits

	mu      sync.Mutex
	seen    uint32 // the serial it answered with last; 0 for none
	at      time.Time
	problem error
	news    chan struct{} // closed when one of these changes
}

func newFollower(apex string, to secondary) *follower {
	return &follower{apex: apex, secondary: to, poke: make(chan struct{}, 1), news: make(chan struct{})}
}

// wake has the follower look at once.
func (f *follower) wake() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// state is what is known of the secondary, and a channel that is closed when
// there is more.
func (f *follower) state() (seen uint32, news <-chan struct{}, problem error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen, f.news, f.problem
}

// learn notes what an attempt told, and returns whether the secondary began or
// ceased to answer.
func (f *follower) learn(seen uint32, problem error, now time.Time) (turned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	turned = (problem == nil) != (f.problem == nil)
	f.problem = problem
	if problem == nil {
		f.seen, f.at = seen, now
	}
	close(f.news)
	f.news = make(chan struct{})
	return turned
}

// has reports whether a serial is that or a later one.
func has(seen, serial uint32) bool { return seen != 0 && (seen == serial || newerSerial(seen, serial)) }

// tend follows it until ctx ends.
func (s *Server) tend(ctx context.Context, f *follower) {
	var told uint32           // the serial it was told last
	var toldAt time.Time      // when
	delay := time.Duration(0) // until it is asked again
	for {
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-f.poke:
			timer.Stop()
		case <-timer.C:
		}
		serial, ok := s.serialAt(f.apex)
		if !ok {
			delay = askIdle
			continue
		}
		seen, _, _ := f.state()
		now := time.Now()
		if !has(seen, serial) && (told != serial || now.Sub(toldAt) > renotifyAfter) {
			if wait := notifyGap - now.Sub(toldAt); wait > 0 {
				pause(ctx, wait) // what changes meanwhile is told with it
				serial, _ = s.serialAt(f.apex)
			}
			if err := f.notify(ctx, serial, s.soaAt(f.apex)); err != nil {
				s.learned(ctx, f, 0, err)
			}
			told, toldAt, delay = serial, time.Now(), askFirst/2
		}
		seen, err := askSerial(ctx, f.address, f.apex, nil)
		if ctx.Err() != nil {
			return
		}
		s.learned(ctx, f, seen, err)
		switch serial, _ = s.serialAt(f.apex); {
		case err == nil && has(seen, serial):
			delay = askIdle
		default:
			delay = min(max(2*delay, askFirst), askLast)
		}
	}
}

// learned notes what became of an attempt, and logs a turn of it.
func (s *Server) learned(ctx context.Context, f *follower, seen uint32, err error) {
	if ctx.Err() != nil || !f.learn(seen, err, time.Now()) {
		return
	}
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a secondary does not follow", slog.String("zone", display(f.apex)),
			slog.String("secondary", f.name), slog.String("address", f.address.String()), slog.Any("error", err))
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "a secondary answers", slog.String("zone", display(f.apex)), slog.String("secondary", f.name))
}

// serialAt is the serial of a zone, false while it is unknown.
func (s *Server) serialAt(apex string) (uint32, bool) {
	v := s.view.Load()
	if v == nil || v.zones[apex] == nil {
		return 0, false
	}
	state := v.states[v.zones[apex].index]
	return state.serial, !state.expired
}

func (s *Server) soaAt(apex string) *dns.SOA {
	v := s.view.Load()
	if v == nil || v.zones[apex] == nil {
		return nil
	}
	return v.states[v.zones[apex].index].soa
}

// notify tells the secondary that there is a change, until it says that it heard
// (RFC 1996 §3.6).
func (f *follower) notify(ctx context.Context, serial uint32, soa *dns.SOA) error {
	m := new(dns.Msg).SetNotify(f.apex)
	if soa != nil {
		hint := *soa
		hint.Serial = serial
		m.Answer = []dns.RR{&hint}
	}
	var err error
	for try := range notifyTries {
		var reply *dns.Msg
		reply, err = exchangeUDP(ctx, f.address, m, f.key, replyPatience<<try/2)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNotImplemented):
			return nil
		case err == nil:
			return fmt.Errorf("it answers NOTIFY with %s; let this server notify it", dns.RcodeToString[reply.Rcode])
		case !isTimeout(err) && try > 0:
			return err
		}
	}
	return err
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// askSerial asks a server for its serial of a zone, as anybody does, or signed.
func askSerial(ctx context.Context, address netip.AddrPort, apex string, k *key) (uint32, error) {
	m := new(dns.Msg).SetQuestion(apex, dns.TypeSOA)
	m.RecursionDesired = false
	reply, err := exchangeUDP(ctx, address, m, k, replyPatience)
	if err != nil {
		return 0, err
	}
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*dns.SOA); ok && reply.Authoritative && lower(soa.Hdr.Name) == apex {
			return soa.Serial, nil
		}
	}
	return 0, fmt.Errorf("it answers %s and no SOA with authority; configure the zone there", dns.RcodeToString[reply.Rcode])
}

// exchangeUDP sends a message and returns the answer to it. A message that is
// signed has to be answered signed.
func exchangeUDP(ctx context.Context, address netip.AddrPort, m *dns.Msg, k *key, patience time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m.Id = dns.Id()
	msg, err := m.Pack()
	if err != nil {
		return nil, err
	}
	var mac []byte
	if k != nil {
		msg, mac = k.Sign(msg, nil, time.Now())
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", address.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be sent
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			if isTimeout(err) {
				err = fmt.Errorf("no answer within %s: %w", patience, err)
			}
			return nil, err
		}
		reply := new(dns.Msg)
		if n < headerSize || binary.BigEndian.Uint16(buf) != m.Id || buf[2]&0x80 == 0 || reply.Unpack(buf[:n]) != nil {
			continue // not the answer
		}
		return reply, proven(buf[:n], k, mac)
	}
}

// proven reports what is wrong with the signature of an answer to a message that
// was signed by k, which may be nil.
func proven(msg []byte, k *key, mac []byte) error {
	if k == nil {
		return nil
	}
	signature, err := tsig.Find(msg)
	switch {
	case err != nil:
		return err
	case signature == nil:
		return tsig.ErrUnsigned
	case signature.Error != 0:
		return fmt.Errorf("it refuses the signature: %s", tsigErrorName(signature.Error))
	}
	return k.Verify(msg, signature, mac, time.Now())
}

func tsigErrorName(code uint16) string {
	if name, ok := dns.RcodeToString[int(code)]; ok && code != dns.RcodeBadSig {
		return name
	}
	return "BADSIG"
}
