package dnsserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// What the query log of a zero QueryLog holds.
const (
	DefaultLogEntries = 10000
	maxLogEntries     = 1000000
)

// Privacy settings of a QueryLog.
const (
	PrivacyFull      = "full"      // addresses as they are
	PrivacyTruncated = "truncated" // the /24 of an IPv4 and the /56 of an IPv6 address
	PrivacyNone      = "none"      // no address
)

// QueryLog says how much is remembered, in memory only, of who asked what. It
// is what a person opens when a validation fails.
type QueryLog struct {
	Entries   int    // queries and changes that are remembered, each; 0 means DefaultLogEntries, less than 0 none
	Addresses string // PrivacyFull, which "" means, PrivacyTruncated or PrivacyNone
}

// problems are those of the block.
func (q QueryLog) problems() []*ConfigError {
	var all []*ConfigError
	problem := func(field, fix, format string, args ...any) {
		all = append(all, &ConfigError{Block: "query_log", Field: field, Problem: fmt.Sprintf(format, args...), Fix: fix})
	}
	if q.Entries > maxLogEntries {
		problem("entries", fmt.Sprintf("write at most %d, or log queries to a file with log_queries", maxLogEntries), "%d would take too much memory", q.Entries)
	}
	switch q.Addresses {
	case "", PrivacyFull, PrivacyTruncated, PrivacyNone:
	default:
		problem("addresses", `write "full", "truncated" or "none"`, "%q is none of the settings", q.Addresses)
	}
	return all
}

// keptWire bounds what is remembered of one reply, in bytes; of a longer one
// the first answers are.
const keptWire = 1400

// queryLog remembers the last queries in two rings, those with an answer and
// those without, so that a flood of questions for what is not there cannot push
// out who asked for what is. A nil one remembers nothing.
type queryLog struct {
	privacy  atomic.Pointer[string]
	answered ring
	negative ring
	skipped  atomic.Uint64 // not taken, for there were too many at once
}

// ring holds the last replies; its slots are used again.
type ring struct {
	mu    sync.Mutex
	slots []seen
	next  int
	count int
}

// seen is one reply.
type seen struct {
	at        int64 // Unix nanoseconds
	client    netip.Addr
	transport string
	wire      []byte
	cut       bool
}

func newQueryLog(conf QueryLog) *queryLog {
	entries := orDefault(conf.Entries, DefaultLogEntries)
	if entries < 0 {
		return nil
	}
	half := max(entries/2, 1)
	l := &queryLog{answered: ring{slots: make([]seen, half)}, negative: ring{slots: make([]seen, half)}}
	l.privacy.Store(&conf.Addresses)
	return l
}

// Limits of what the log takes, so that a flood costs little: from clients that
// share a place in a table, and in all, for each socket and second.
const (
	quotaPlaces    = 1024
	quotaPerClient = 50
	quotaPerSocket = 2000
)

// quota counts what one socket has given to the log in this second. Its counts
// are approximate where several goroutines share it.
type quota struct {
	all     atomic.Uint64 // second in the upper 32 bits, count in the lower
	clients [quotaPlaces]atomic.Uint64
}

func (q *quota) allows(client netip.Addr, now time.Time) bool {
	second := uint64(now.Unix()) << 32
	bytes := client.As16()
	h := binary.BigEndian.Uint64(bytes[:]) ^ binary.BigEndian.Uint64(bytes[8:])
	h *= 0x9e3779b97f4a7c15 // spreads neighbours
	return below(&q.clients[h>>54%quotaPlaces], second, quotaPerClient) && below(&q.all, second, quotaPerSocket)
}

// below counts one more in this second and reports whether there was room.
func below(place *atomic.Uint64, second, limit uint64) bool {
	v := place.Load()
	if v&^uint64(1<<32-1) != second {
		place.Store(second | 1)
		return true
	}
	if v-second >= limit {
		return false
	}
	place.Store(v + 1)
	return true
}

// take remembers a reply, if there is room for it in this second.
func (l *queryLog) take(q *quota, transport string, client netip.AddrPort, wire []byte, now time.Time) {
	if l == nil || len(wire) < headerSize || binary.BigEndian.Uint16(wire[4:]) != 1 {
		return
	}
	addr := client.Addr().Unmap()
	if !q.allows(addr, now) {
		l.skipped.Add(1)
		return
	}
	r := &l.negative
	if binary.BigEndian.Uint16(wire[6:]) > 0 {
		r = &l.answered
	}
	r.put(now, private(addr, *l.privacy.Load()), transport, wire)
}

func (r *ring) put(now time.Time, client netip.Addr, transport string, wire []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.slots[r.next]
	r.next = (r.next + 1) % len(r.slots)
	r.count = min(r.count+1, len(r.slots))
	s.at, s.client, s.transport, s.cut = now.UnixNano(), client, transport, len(wire) > keptWire
	s.wire = append(s.wire[:0], wire[:min(len(wire), keptWire)]...)
}

// each calls what with every reply, the latest first. The reply is valid during
// the call only.
func (r *ring) each(what func(*seen)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.count {
		what(&r.slots[(r.next-1-i+2*len(r.slots))%len(r.slots)])
	}
}

// private is what is remembered of an address.
func private(addr netip.Addr, privacy string) netip.Addr {
	switch privacy {
	case PrivacyNone:
		return netip.Addr{}
	case PrivacyTruncated:
		size := 56
		if addr.Is4() {
			size = 24
		}
		if p, err := addr.WithZone("").Prefix(size); err == nil {
			return p.Addr()
		}
		return netip.Addr{}
	}
	return addr
}

// shownClient is an address for people, with what was cut off said.
func shownClient(addr netip.Addr, privacy string) string {
	switch {
	case !addr.IsValid():
		return ""
	case privacy != PrivacyTruncated:
		return addr.String()
	case addr.Is4():
		return addr.String() + "/24"
	}
	return addr.String() + "/56"
}

// matching returns the remembered queries whose name keeps, the latest first,
// at most limit of each kind.
func (l *queryLog) matching(keeps func(name string) bool, since time.Time, limit int) []client.Event {
	if l == nil {
		return nil
	}
	var events []client.Event
	privacy := *l.privacy.Load()
	for _, r := range []*ring{&l.answered, &l.negative} {
		found := 0
		r.each(func(s *seen) {
			if found == limit || s.at < since.UnixNano() {
				return
			}
			if name, ok := askedName(s.wire); ok && keeps(lower(name)) {
				events = append(events, s.event(privacy))
				found++
			}
		})
	}
	return events
}

func askedName(wire []byte) (string, bool) {
	name, _, err := dns.UnpackDomainName(wire, headerSize)
	return name, err == nil
}

// event reads a reply again: question, rcode and as many answers as were kept.
func (s *seen) event(privacy string) client.Event {
	rrtype, rcode := outcome(s.wire)
	e := client.Event{
		Time: time.Unix(0, s.at).UTC(), Kind: client.EventQuery, Type: dns.Type(rrtype).String(), Transport: s.transport,
		Client: shownClient(s.client, privacy), Rcode: rcodeName(rcode), Truncated: s.wire[2]&2 != 0,
	}
	name, off, err := dns.UnpackDomainName(s.wire, headerSize)
	if err != nil {
		return e
	}
	e.Name = display(lower(name))
	off += 4
	for range binary.BigEndian.Uint16(s.wire[6:]) {
		rr, next, err := dns.UnpackRR(s.wire, off)
		if err != nil {
			e.More = s.cut
			break
		}
		off = next
		e.Answers = append(e.Answers, shownRecord(rr))
	}
	return e
}

// shownRecord is type and data of a record, a TXT as its value.
func shownRecord(rr dns.RR) string {
	if txt, ok := rr.(*dns.TXT); ok {
		value := ""
		for _, part := range txt.Txt {
			value += unescapeTXT(part)
		}
		return "TXT " + value
	}
	return dns.Type(rr.Header().Rrtype).String() + " " + rr.String()[len(rr.Header().String()):]
}

func rcodeName(rcode int) string {
	switch name, ok := dns.RcodeToString[rcode]; {
	case rcode == dns.RcodeBadVers:
		return "BADVERS" // 16 is BADSIG in TSIG records only
	case ok:
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}
