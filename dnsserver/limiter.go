package dnsserver

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Response rate limiting keeps the server from being used to flood others:
// whoever can be made to look like the sender of queries gets so many replies a
// second and no more. Over that, one reply in slip is empty and says TC, so a
// resolver that really asks comes again over TCP, and is never shut out.

// limiterCells is how many clients are told apart at once. The memory is this
// times 8 bytes, whatever comes.
const limiterCells = 1 << 16

// class is the kind of a reply; each has a rate of its own.
type class uint8

const (
	classAnswer   class = iota // there is data
	classNegative              // there is none
	classError                 // any other RCODE
)

// verdict is what a limiter makes of a reply.
type verdict uint8

const (
	pass verdict = iota
	drop
	truncate
)

// limiter counts replies by client and class. It allocates nothing and takes no
// lock.
type limiter struct {
	rate   uint32 // replies a second
	slip   uint32
	exempt []netip.Prefix
	seed   maphash.Seed
	cells  []atomic.Uint64 // tag (16 bits), second (16), count (32)
}

// newLimiter returns nil, which passes everything, for no limit.
func newLimiter(conf RateLimit) *limiter {
	if conf.Disabled {
		return nil
	}
	exempt := conf.Exempt
	if exempt == nil {
		exempt = ownNetworks()
	}
	return &limiter{
		rate: orDefault(conf.PerSecond, DefaultResponsesPerSecond), slip: orDefault(conf.Slip, DefaultSlip),
		exempt: exempt, seed: maphash.MakeSeed(), cells: make([]atomic.Uint64, limiterCells),
	}
}

// judge counts a reply to client at second now.
func (l *limiter) judge(client netip.Addr, kind class, now time.Time) verdict {
	if l == nil || slices.ContainsFunc(l.exempt, func(p netip.Prefix) bool { return p.Contains(client) }) {
		return pass
	}
	over := l.count(client, kind, now)
	switch {
	case over == 0:
		return pass
	case over%l.slip == 0:
		return truncate
	}
	return drop
}

// count counts one more, and returns by how many the rate is exceeded. Clients
// whose hashes collide share a cell of two; the one that asked less often
// starts again.
func (l *limiter) count(client netip.Addr, kind class, now time.Time) uint32 {
	hash := l.hash(client, kind)
	second := uint64(now.Unix()) & 0xffff
	tag := hash >> 48
	cell := &l.cells[hash%(limiterCells/2)*2]
	for i := range 2 {
		other := &l.cells[hash%(limiterCells/2)*2+uint64(i)]
		value := other.Load()
		if value>>48 == tag {
			cell = other
			break
		}
		if value>>32&0xffff != second || uint32(value) < uint32(cell.Load()) {
			cell = other
		}
	}
	for {
		old := cell.Load()
		count := uint32(1)
		if old>>48 == tag && old>>32&0xffff == second {
			count = uint32(old) + 1
			if count == 0 {
				count-- // stays at the top
			}
		}
		if cell.CompareAndSwap(old, tag<<48|second<<32|uint64(count)) {
			return count - min(count, l.rate)
		}
	}
}

// hash is of the network a client can choose addresses in: for IPv4 a /24, for
// IPv6 a /56.
func (l *limiter) hash(client netip.Addr, kind class) uint64 {
	var key [9]byte
	if client.Is4() {
		ip := client.As4()
		copy(key[:], ip[:3])
		key[7] = 4
	} else {
		ip := client.As16()
		binary.BigEndian.PutUint64(key[:], binary.BigEndian.Uint64(ip[:8])&^0xff)
	}
	key[8] = byte(kind)
	return maphash.Bytes(l.seed, key[:])
}
