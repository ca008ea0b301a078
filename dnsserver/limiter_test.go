package dnsserver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestLimiter_row17_rateAndSlip(t *testing.T) {
	now := time.Unix(1700000000, 0)
	l := newLimiter(RateLimit{PerSecond: 10, Slip: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	ask := func(client string, kind class, at time.Time, times int) (got [3]int) {
		for range times {
			got[l.judge(netip.MustParseAddr(client), kind, at)]++
		}
		return got
	}
	for _, c := range []struct {
		title, client string
		kind          class
		at            time.Time
		want          [3]int // passed, dropped, truncated
	}{
		{"the rate passes, of the rest every second says TC", "192.0.2.1", classAnswer, now, [3]int{10, 5, 5}},
		{"a neighbour in the network shares the rate", "192.0.2.200", classAnswer, now, [3]int{0, 10, 10}},
		{"another kind of reply has its own", "192.0.2.1", classNegative, now, [3]int{10, 5, 5}},
		{"another network does too", "192.0.3.1", classAnswer, now, [3]int{10, 5, 5}},
		{"the next second begins again", "192.0.2.1", classAnswer, now.Add(time.Second), [3]int{10, 5, 5}},
		{"IPv6", "2001:db8::1", classAnswer, now, [3]int{10, 5, 5}},
		{"a neighbour in IPv6's /56", "2001:db8:0:ff::2", classAnswer, now, [3]int{0, 10, 10}},
		{"another /56", "2001:db8:0:100::2", classAnswer, now, [3]int{10, 5, 5}},
		{"an exempt network", "203.0.113.9", classAnswer, now, [3]int{20, 0, 0}},
	} {
		if got := ask(c.client, c.kind, c.at, 20); got != c.want {
			t.Errorf("%s: %v, want %v", c.title, got, c.want)
		}
	}
}

// TestLimiter_row17_memoryIsBounded floods from a million networks: one that is
// limited all the while stays limited.
func TestLimiter_row17_memoryIsBounded(t *testing.T) {
	l := newLimiter(RateLimit{PerSecond: 5, Slip: 1})
	now, victim := time.Unix(1700000000, 0), netip.MustParseAddr("192.0.2.1")
	passed := 0
	for i := range 1 << 20 {
		l.judge(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i), 1}), classAnswer, now)
		if i%100 == 0 && l.judge(victim, classAnswer, now) == pass {
			passed++
		}
	}
	if len(l.cells) != limiterCells || passed > 50 {
		t.Errorf("%d cells, and the limited network got %d of 10,000 replies; want %d and a few", len(l.cells), passed, limiterCells)
	}
}

// limited is a server that answers two questions a second, and the addresses of
// one client.
func limited(t *testing.T) (*responder, netip.AddrPort) {
	t.Helper()
	config := testConfig()
	config.RateLimit = RateLimit{PerSecond: 2, Slip: 2}
	s, err := New(config, NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.view.Store(testView(t))
	return s.responder(s.taps.add("udp", s.queries), edns0UDPSize), netip.MustParseAddrPort("192.0.2.1:5353")
}

func (r *responder) ask(t *testing.T, m *dns.Msg, client netip.AddrPort, now time.Time) *dns.Msg {
	t.Helper()
	request := wire(t, m)
	msg := r.datagram(t.Context(), r.server.view.Load(), request, nil, client, now)
	if len(msg) == 0 {
		return nil
	}
	checkEcho(t, request, msg)
	if len(msg) > len(request)+200 {
		t.Errorf("a reply of %d bytes to a request of %d", len(msg), len(request))
	}
	return unwire(t, msg)
}

func TestPolicy_row17_aResolverComesOverTCP(t *testing.T) {
	r, client := limited(t)
	now := time.Unix(1700000000, 0)
	var got []string
	for _, question := range []string{"www.example.com. A", "missing.example.com. A"} {
		for range 6 {
			switch m := r.ask(t, ask(question), client, now); {
			case m == nil:
				got = append(got, "-")
			case m.Truncated && len(m.Answer)+len(m.Ns) == 0:
				got = append(got, "TC")
			default:
				got = append(got, dns.RcodeToString[m.Rcode])
			}
		}
	}
	if want := "[NOERROR NOERROR - TC - TC NXDOMAIN NXDOMAIN - TC - TC]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	msg := r.server.responder(r.server.taps.add(overTCP, nil), tcpSize).message(t.Context(), wire(t, ask("www.example.com. A")), nil, client)
	if m := unwire(t, msg[2:]); len(m.Answer) != 1 || m.Truncated {
		t.Errorf("over TCP: %v, want the answer", m)
	}
}

// withCookie adds a cookie option.
func withCookie(m *dns.Msg, cookie string) *dns.Msg {
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie}}
	return m
}

func cookieOf(m *dns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

// TestPolicy_row16and17_aCookieIsNotLimited covers the policy: no client is
// asked for a cookie until it is limited, then BADCOOKIE hands it one, with
// which it is not limited any more.
func TestPolicy_row16and17_aCookieIsNotLimited(t *testing.T) {
	r, client := limited(t)
	now := time.Unix(1700000000, 0)
	const theirs = "0102030405060708"
	question := func(cookie string) *dns.Msg { return withCookie(ask("www.example.com. A"), cookie) }
	first := r.ask(t, question(theirs), client, now)
	if first.Rcode != dns.RcodeSuccess || len(first.Answer) != 1 || len(cookieOf(first)) != 48 || cookieOf(first)[:16] != theirs {
		t.Errorf("without pressure: %v, want the answer and a cookie", first)
	}
	var bad *dns.Msg
	for range 10 {
		if m := r.ask(t, question(theirs), client, now); m != nil && m.Rcode == dns.RcodeBadCookie {
			bad = m
		}
	}
	if bad == nil || bad.Truncated || len(bad.Answer) != 0 || len(cookieOf(bad)) != 48 {
		t.Fatalf("under pressure: %v, want BADCOOKIE with a cookie", bad)
	}
	for range 10 {
		m := r.ask(t, question(cookieOf(bad)), client, now)
		if m == nil || m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
			t.Fatalf("with the cookie: %v, want the answer", m)
		}
	}
	elsewhere := netip.MustParseAddrPort("192.0.2.2:5353") // a cookie is for one address
	passed := 0
	for range 10 {
		if m := r.ask(t, question(cookieOf(bad)), elsewhere, now); m != nil && m.Rcode == dns.RcodeSuccess {
			passed++
		}
	}
	if passed > 2 {
		t.Errorf("with the cookie of another address %d of 10 passed", passed)
	}
}
