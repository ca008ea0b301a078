package dnsserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// variedView has every kind of name and record that comes and goes, beside the
// configured ones, in zones whose SOA is compressed in different ways.
func variedView(t testing.TB) *view {
	t.Helper()
	config := testConfig()
	config.Zones = append(config.Zones,
		Zone{Name: "plain.test", NameServers: []string{"ns.other.net"}, Hostmaster: "who@other.net", Serial: 0xfffffff0},
		Zone{Name: "x", NameServers: []string{"ns1.sub.x"}, Hostmaster: "a.b.sub.x", Records: "ns1.sub A 192.0.2.1\n* A 192.0.2.2\n"},
		Zone{Name: "deep.zone.of.example.org", NameServers: []string{"deep.zone.of.example.org"}, Hostmaster: "deep.zone.of.example.org", Records: "@ A 192.0.2.1\n"},
	)
	zones, _, problems := config.compile()
	if err := joined(problems); err != nil {
		t.Fatal(err)
	}
	v := newView(zones)
	for _, line := range strings.Split(strings.TrimSpace(`
_acme-challenge.example.com. 5 TXT "one"
_acme-challenge.example.com. 5 TXT "two" "parts"
_acme-challenge.www.example.com. 60 TXT "value"
www.example.com. 5 TXT "beside the configured"
new.www.example.com. 5 A 192.0.2.77
new.www.example.com. 5 AAAA 2001:db8::77
new.www.example.com. 5 MX 10 mail.example.com.
new.www.example.com. 5 SRV 1 2 3 www.example.com.
new.www.example.com. 5 CAA 0 issue "ca.test"
new.www.example.com. 5 TLSA 3 1 1 abcd
moved.example.com. 5 CNAME new.www.example.com.
*.dyn.example.com. 5 TXT "any"
a.b.c.dyn2.example.com. 5 TXT "deep"
host.dyn.example.com. 5 A 192.0.2.78
cut.plain.test. 5 NS ns.cut.plain.test.
ns.cut.plain.test. 5 A 192.0.2.79
val.plain.test. 5 TXT "v"
*.plain.test. 5 TXT "wild"
any.x. 5 TXT "v"
t.deep.zone.of.example.org. 5 TXT "v"
`), "\n") {
		v = withLine(t, v, line)
	}
	for i := range 30 {
		v = withLine(t, v, fmt.Sprintf("many.example.com. 5 TXT %q", strings.Repeat(string(rune('a'+i)), 40)))
	}
	return v
}

func withLine(t testing.TB, v *view, line string) *view {
	t.Helper()
	rr, err := dns.NewRR(line)
	if err != nil {
		t.Fatal(err)
	}
	data, err := rdata(rr)
	if err != nil {
		t.Fatal(err)
	}
	v, err = v.with(Change{Name: rr.Header().Name, Type: rr.Header().Rrtype, TTL: rr.Header().Ttl, Data: data})
	if err != nil {
		t.Fatal(line, err)
	}
	return v
}

// checkBothPaths holds the fast path against the slow one and reports whether
// the fast one took the message.
func checkBothPaths(t testing.TB, v *view, q *hot, msg []byte, terms *terms) bool {
	t.Helper()
	before := bytes.Clone(msg)
	if !q.read(msg) {
		return false
	}
	got, kind, proven, ok := v.fast(q, msg, nil, terms)
	if !bytes.Equal(msg, before) {
		t.Fatal("the request was altered")
	}
	if !ok {
		return false
	}
	want := v.respond(msg, terms)
	if !bytes.Equal(got, want.wire) {
		t.Fatalf("for %x\n fast %x\n slow %x\n%v\n%v", msg, got, want.wire, unwire(t, got), unwire(t, want.wire))
	}
	if kind != want.class || proven != want.proven || int(got[3]&0xf) != want.rcode {
		t.Fatalf("for %x: class %d, cookie %t, rcode %d; want %d, %t, %d", msg, kind, proven, got[3]&0xf, want.class, want.proven, want.rcode)
	}
	return true
}

// labelsOf are what random names are made of.
func labelsOf() []string {
	return strings.Fields(`www _acme-challenge example com child test plain x deep zone of org ns1 ns sub * dyn dyn2 wild cwild a b c
		host new many moved alias alias2 out dangling loop1 empty private mail hostmaster cut val any t missing x.y \(odd\) 0 -`)
}

// randomQuestion writes a question that may be about anything.
func randomQuestion(r *rand.Rand, apexes []string) []byte {
	labels := labelsOf()
	var name []string
	for range r.IntN(5) {
		name = append(name, labels[r.IntN(len(labels))])
	}
	msg := raw(uint16(r.IntN(2))<<8, [4]uint16{1, 0, 0, 0}, "")
	full := strings.Join(append(name, apexes[r.IntN(len(apexes))]), ".")
	buf := make([]byte, 300)
	if n, err := dns.PackDomainName(dns.Fqdn(full), buf, 0, nil, false); err == nil {
		buf = buf[:n]
	} else {
		buf = []byte{0}
	}
	for i, c := range buf {
		if c >= 'a' && c <= 'z' && r.IntN(4) == 0 {
			buf[i] = c &^ 0x20
		}
	}
	msg = append(msg, buf...)
	types := []uint16{1, 2, 5, 6, 15, 16, 16, 16, 16, 28, 33, 43, 48, 52, 65, 255, 257, 65280, uint16(r.IntN(300))}
	msg = binary.BigEndian.AppendUint16(msg, types[r.IntN(len(types))])
	msg = append(msg, 0, 1)
	if r.IntN(2) == 0 {
		msg = appendRandomOPT(r, msg)
	}
	if r.IntN(10) == 0 {
		msg[r.IntN(len(msg))] ^= byte(1 << r.IntN(8))
	}
	if r.IntN(50) == 0 {
		msg = msg[:r.IntN(len(msg))]
	}
	return msg
}

func appendRandomOPT(r *rand.Rand, msg []byte) []byte {
	msg[11] = 1
	sizes := []uint16{0, 400, 512, 513, 700, 1232, 4096, 65535}
	var options []byte
	switch r.IntN(4) {
	case 0:
		n := []int{8, 8, 24, 16, 40, 7, 41, 0}[r.IntN(8)]
		options = append([]byte{0, 10, 0, byte(n)}, make([]byte, n)...)
	case 1:
		options = []byte{0, 3, 0, 0} // NSID
	}
	msg = append(msg, 0, 0, 41)
	msg = binary.BigEndian.AppendUint16(msg, sizes[r.IntN(len(sizes))])
	msg = append(msg, 0, 0, byte(r.IntN(2)<<7), 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(options)))
	return append(msg, options...)
}

func testTerms(limit int) *terms {
	config := testConfig()
	config.NSID = "test"
	return &terms{policy: config.policy(), limit: limit, client: netip.MustParseAddr("192.0.2.1"), now: time.Unix(1700000000, 0)}
}

// TestFast_saysWhatTheSlowPathSays asks for seconds what strangers might.
func TestFast_saysWhatTheSlowPathSays(t *testing.T) {
	v := variedView(t)
	var apexes []string
	for apex := range v.zones {
		apexes = append(apexes, apex)
	}
	apexes = append(apexes, "test.", ".")
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	udp, tcp := testTerms(edns0UDPSize), testTerms(tcpSize)
	var q hot
	const total = 200000
	taken := 0
	for i := range total {
		msg := randomQuestion(r, apexes)
		terms := udp
		if i%4 == 0 {
			terms = tcp
		}
		if checkBothPaths(t, v, &q, msg, terms) {
			taken++
		}
		if i%1000 == 0 { // serials pass through zero
			v = v.withState(v.zones["plain.test."], v.zones["plain.test."].state(nextSerial(v.states[v.zones["plain.test."].index].serial), v.states[v.zones["plain.test."].index].cuts))
		}
	}
	if taken < total/5 {
		t.Errorf("the fast path took %d of %d questions, want at least a fifth", taken, total)
	}
	t.Logf("the fast path took %d of %d questions", taken, total)
}

// TestFast_takesWhatIsHot fails when a usual question leaves the fast path.
func TestFast_takesWhatIsHot(t *testing.T) {
	v := variedView(t)
	for _, question := range []string{
		"_acme-challenge.example.com. TXT", "_ACME-challenge.Example.com. TXT", "_acme-challenge.example.com. A", "_acme-challenge.example.com. CAA",
		"missing.example.com. TXT", "a.b.missing.example.com. AAAA", "b.c.dyn2.example.com. A", "example.com. SOA", "example.com. CAA", "example.com. MX",
		"www.example.com. A", "new.www.example.com. AAAA", "t.deep.zone.of.example.org. TXT", "val.plain.test. TXT",
	} {
		for title, m := range map[string]*dns.Msg{
			"plain": ask(question), "with a cookie": withCookie(ask(question), "0102030405060708"),
			"with EDNS and DO": ask(question).SetEdns0(1232, true),
		} {
			var q hot
			if !checkBothPaths(t, v, &q, wire(t, m), testTerms(edns0UDPSize)) {
				t.Errorf("%s, %s: goes the slow way", question, title)
			}
		}
	}
}

// TestFast_allocatesNothing also covers the limiter and the cookie.
func TestFast_allocatesNothing(t *testing.T) {
	config := testConfig()
	config.RateLimit = RateLimit{PerSecond: 1 << 30, Exempt: []netip.Prefix{}}
	s, err := New(config, NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := variedView(t)
	s.view.Store(v)
	r := s.responder(s.taps.add("udp", s.queries), edns0UDPSize)
	room := make([]byte, 0, edns0UDPSize)
	client, now := netip.MustParseAddrPort("192.0.2.1:53"), time.Unix(1700000000, 0)
	for _, question := range []string{"_acme-challenge.example.com. TXT", "missing.example.com. TXT", "www.example.com. A"} {
		msg := wire(t, withCookie(ask(question), "0102030405060708"))
		if n := testing.AllocsPerRun(100, func() {
			if len(r.datagram(t.Context(), v, msg, room, client, now)) == 0 {
				t.Fatal("no reply")
			}
		}); n != 0 {
			t.Errorf("%s: %.0f allocations, want none", question, n)
		}
	}
}

// FuzzFast holds the fast path against the slow one for any message.
func FuzzFast(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	v := variedView(f)
	for range 300 {
		f.Add(randomQuestion(r, []string{"example.com.", "child.example.com.", "plain.test.", "x.", "deep.zone.of.example.org."}))
	}
	udp, tcp := testTerms(edns0UDPSize), testTerms(tcpSize)
	f.Fuzz(func(t *testing.T, msg []byte) {
		var q hot
		checkBothPaths(t, v, &q, msg, udp)
		checkBothPaths(t, v, &q, msg, tcp)
	})
}

func BenchmarkFast(b *testing.B) {
	v := variedView(b)
	terms := testTerms(edns0UDPSize)
	for _, question := range []string{"_acme-challenge.example.com. TXT", "missing.example.com. TXT"} {
		b.Run(question, func(b *testing.B) {
			msg := wire(b, withCookie(ask(question), "0102030405060708"))
			room := make([]byte, 0, edns0UDPSize)
			var q hot
			b.ReportAllocs()
			for b.Loop() {
				if !q.read(msg) {
					b.Fatal("not hot")
				}
				if _, _, _, ok := v.fast(&q, msg, room, terms); !ok {
					b.Fatal("not hot")
				}
			}
		})
	}
}

func TestPlain_mapsWhatNeedsNoEscape(t *testing.T) {
	if len(plain) != 256 {
		t.Fatalf("the table has %d characters, want 256", len(plain))
	}
	for i := range len(plain) {
		want := byte(0)
		switch c := byte(i); {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_*/+=", c) >= 0:
			want = c
		case c >= 'A' && c <= 'Z':
			want = c - 'A' + 'a'
		}
		if plain[i] != want {
			t.Errorf("%q is %q, want %q", rune(i), plain[i], want)
		}
	}
}
