package dnsserver

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Transports that answer queries.
const (
	overUDP = "udp"
	overTCP = "tcp"
	overTLS = "tls"
)

// countedTypes are the types that are counted by themselves; others share a
// place.
func countedTypes() []uint16 {
	return []uint16{
		dns.TypeTXT, dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeCNAME, dns.TypeCAA, dns.TypeMX, dns.TypeDS,
		dns.TypeDNSKEY, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeHTTPS,
	}
}

const (
	typePlaces  = 15 // of countedTypes, and one for others
	rcodePlaces = 24 // RFC 6895 §2.3: up to BADCOOKIE; the last is for others too
)

// latencyBounds are those of the histogram of answers, in seconds.
func latencyBounds() []float64 {
	return []float64{5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 0.1}
}

const latencyPlaces = 13 // of latencyBounds, and one for what is longer

// tally is what was answered in one zone.
type tally [typePlaces][rcodePlaces]atomic.Uint64

// tap sees every reply that leaves one socket. Each socket has its own, so that
// counting shares no cache line between processors; they are added up when
// somebody asks. Nothing here waits for a lock but the first query of a zone,
// and those that the query log takes.
type tap struct {
	transport string
	typePlace map[uint16]int
	bounds    []float64
	log       *queryLog

	growing sync.Mutex
	zones   atomic.Pointer[map[string]*tally] // by apex; "" for questions outside all zones

	latency [latencyPlaces]atomic.Uint64
	seconds atomic.Uint64 // nanoseconds, in truth
	dropped atomic.Uint64

	quota quota
}

// taps are all of a server's.
type taps struct {
	mu  sync.Mutex
	all []*tap
}

// add makes the tap of one more socket.
func (t *taps) add(transport string, log *queryLog) *tap {
	n := &tap{transport: transport, typePlace: map[uint16]int{}, bounds: latencyBounds(), log: log}
	for i, rrtype := range countedTypes() {
		n.typePlace[rrtype] = i
	}
	n.zones.Store(&map[string]*tally{})
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, n)
	return n
}

func (t *taps) list() []*tap {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[:len(t.all):len(t.all)]
}

// answered takes note of one reply: that of the zone with this apex ("" for
// none), to this client, as it is sent. It keeps no reference to wire. It may be
// called by several goroutines, but is fastest for one.
func (t *tap) answered(zone string, client netip.AddrPort, wire []byte, now time.Time) {
	rrtype, rcode := outcome(wire)
	place, ok := t.typePlace[rrtype]
	if !ok {
		place = typePlaces - 1
	}
	t.tallyOf(zone)[place][min(rcode, rcodePlaces-1)].Add(1)
	t.log.take(&t.quota, t.transport, client, wire, now)
}

// took takes note that n replies, which came and left together, took so long.
func (t *tap) took(n int, d time.Duration) {
	t.seconds.Add(uint64(n) * uint64(max(d, 0)))
	i, _ := slices.BinarySearch(t.bounds, d.Seconds())
	t.latency[i].Add(uint64(n))
}

// refused takes note of a message that got no reply.
func (t *tap) refused() { t.dropped.Add(1) }

func (t *tap) tallyOf(zone string) *tally {
	if n := (*t.zones.Load())[zone]; n != nil {
		return n
	}
	t.growing.Lock()
	defer t.growing.Unlock()
	old := *t.zones.Load()
	if n := old[zone]; n != nil {
		return n
	}
	next := maps.Clone(old)
	n := &tally{}
	next[zone] = n
	t.zones.Store(&next)
	return n
}

// outcome reads type and rcode from a reply; a reply without a question has
// type 0. The rcode is that of the header and, where an OPT ends the message
// as ours do, of its upper bits (RFC 6891 §6.1.3).
func outcome(wire []byte) (rrtype uint16, rcode int) {
	if len(wire) < headerSize {
		return 0, 0
	}
	rcode = int(wire[3] & 0xf)
	off := headerSize
	if binary.BigEndian.Uint16(wire[4:]) == 1 {
		for off < len(wire) && wire[off] != 0 {
			off += 1 + int(wire[off])
		}
		if off+5 > len(wire) {
			return 0, rcode
		}
		rrtype = binary.BigEndian.Uint16(wire[off+1:])
		off += 5
	}
	// Only a reply without records can be BADVERS or BADCOOKIE.
	if wire[7]|wire[9]|wire[6]|wire[8] == 0 && off+11 <= len(wire) && wire[off] == 0 && binary.BigEndian.Uint16(wire[off+1:]) == dns.TypeOPT {
		rcode |= int(wire[off+5]) << 4
	}
	return rrtype, rcode
}
