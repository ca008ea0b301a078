package dnsserver

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Whoever asks in the name of another cannot have the server send that one more
// than it was sent, but for the first moment: answers to ANY are small, what is
// large says TC, and what is over the rate is dropped or says TC.
func TestAmplification_isBounded(t *testing.T) {
	config := testConfig()
	config.RateLimit = RateLimit{PerSecond: 10, Exempt: []netip.Prefix{}}
	s := startServer(t, config, NewMemoryStore())
	for i := range 40 {
		put(t, s, "many.example.com", strings.Repeat("x", 40)+string(rune('a'+i)))
	}
	victim := netip.MustParseAddrPort("198.51.100.7:5353")
	for _, c := range []struct {
		question string
		first    float64 // most that one answer has of its question's size
	}{
		{"many.example.com. ANY", 4},
		{"many.example.com. TXT", 4}, // does not fit: TC
		{"example.com. ANY", 4},
		{"www.example.com. TXT", 4},
		{"none.example.com. TXT", 4},
		{"example.com. SOA", 4},
		{"example.org. A", 4},
	} {
		m := ask(c.question)
		m.SetEdns0(4096, true)
		query := wire(t, m)
		r := s.responder(s.taps.add(overUDP, nil), edns0UDPSize)
		now := time.Now()
		sent, received := 0, 0
		for i := range 2000 { // over ten seconds
			out := r.datagram(t.Context(), s.view.Load(), query, nil, victim, now.Add(time.Duration(i)*5*time.Millisecond))
			if i == 0 && float64(len(out)) > c.first*float64(len(query)) {
				t.Errorf("%s: %d bytes for %d", c.question, len(out), len(query))
			}
			sent, received = sent+len(out), received+len(query)
		}
		if sent > received {
			t.Errorf("%s: %d bytes out for %d in", c.question, sent, received)
		}
	}
}

// Whatever stands in records of a zone, New finds it good or says which line is
// not, and what is good is answered.
func FuzzZone(f *testing.F) {
	for _, seed := range []string{
		"www A 192.0.2.1", "@ MX 10 mail\nmail A 192.0.2.2", "*.wild TXT \"a\" \"b\"", "sub NS ns.sub\nns.sub A 192.0.2.3", "a CNAME b",
		"$ORIGIN x.example.com.\ny TXT v", "$TTL 5\n@ CAA 0 issue \";\"", "$INCLUDE /etc/passwd", "$GENERATE 1-3 n$ A 192.0.2.$", "h ( A\n192.0.2.1 ) ; c", "t TYPE65534 \\# 2 abcd",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, records string) {
		config := Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.net"}, Records: records}}}
		s, err := New(config, NewMemoryStore(), nil)
		if err != nil {
			for _, p := range config.Problems() {
				if p.Problem == "" || p.Fix == "" || strings.Contains(p.Error(), "root:") {
					t.Errorf("%q: the problem %v", records, p)
				}
			}
			return
		}
		v := newView(s.zones)
		for name, n := range s.zones["example.com."].nodes {
			for rrtype := range n.rrsets {
				a := v.answer(question{name, rrtype})
				if a.rcode != dns.RcodeSuccess {
					t.Errorf("%q: %s %s is configured and answered with %s", records, name, dns.Type(rrtype), dns.RcodeToString[a.rcode])
				}
				if r := pack(query{asked: true, question: question{name, rrtype}, class: dns.ClassINET}, a, &terms{limit: tcpSize}); len(r.wire) == 0 {
					t.Errorf("%q: %s %s has no answer on the wire", records, name, dns.Type(rrtype))
				}
			}
		}
	})
}
