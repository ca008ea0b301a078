package dnsserver

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// quotas counts by minute, of each name apart. What it holds is bounded by what
// came in one minute.
type quotas struct {
	mu     sync.Mutex
	minute int64
	counts map[string]int
}

// maxLimited bounds how many names quotas tell apart.
const maxLimited = 100000

// allows counts one more, and reports whether it is within limit.
func (l *quotas) allows(name string, limit int, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Unix() / 60; minute != l.minute || l.counts == nil {
		l.minute, l.counts = minute, map[string]int{}
	}
	n, known := l.counts[name]
	if n >= limit || !known && len(l.counts) >= maxLimited {
		return false
	}
	l.counts[name] = n + 1
	return true
}

// clientOf is who sent a request: where its connection comes from or, when that
// is a trusted proxy, whom the proxy names last that is none itself.
func (s *Server) clientOf(r *http.Request) netip.Addr {
	addr := remoteAddr(r)
	trusted := s.settings.Load().trustedProxies
	if !inNetworks(trusted, addr) {
		return addr
	}
	var named []string
	for _, header := range r.Header.Values("X-Forwarded-For") {
		named = append(named, strings.Split(header, ",")...)
	}
	for i := len(named) - 1; i >= 0; i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(named[i]))
		if err != nil {
			return addr
		}
		addr = next.Unmap().WithZone("")
		if !inNetworks(trusted, addr) {
			return addr
		}
	}
	return addr
}
