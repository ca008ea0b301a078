package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// transferConfig has a key that may transfer example.com, and a secondary.
func transferConfig(secondaries ...Secondary) Config {
	config := updateConfig()
	config.Keys = append(config.Keys, TSIGKey{Name: "transfer", Secret: config.Keys[0].Secret, Transfers: []string{"example.com"}})
	config.Zones[0].Secondaries = secondaries
	return config
}

// transferred asks for a zone over TCP, signed or not, and returns all records,
// verified; a refusal is its RCODE.
func transferred(t testing.TB, addr netip.AddrPort, m *dns.Msg, k *tsig.Key) ([]dns.RR, int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	msg := wire(t, m)
	var stream *tsig.Stream
	if k != nil {
		signed, mac := k.Sign(msg, nil, time.Now())
		msg, stream = signed, tsig.NewStream(k, mac)
	}
	writeTCP(t, conn, msg)
	var all []dns.RR
	for soas := 0; ; {
		reply := readTCP(t, conn)
		if stream != nil {
			if err := stream.Verify(reply, time.Now()); err != nil {
				t.Fatalf("after %d records: %v", len(all), err)
			}
		}
		got := unwire(t, reply)
		if got.Rcode != dns.RcodeSuccess {
			return nil, got.Rcode
		}
		if !got.Authoritative && (k == nil || k.Name() != "follow.") || got.Id != m.Id || len(got.Question) != 1 || len(got.Answer) == 0 {
			t.Fatalf("a message of the transfer: %v", got)
		}
		all = append(all, got.Answer...)
		for _, rr := range got.Answer {
			if soa, ok := rr.(*dns.SOA); ok && soa.Serial == all[0].(*dns.SOA).Serial {
				soas++
			}
		}
		incremental := len(all) > 1 && all[1].Header().Rrtype == dns.TypeSOA
		if incremental && soas == 3 || !incremental && soas == 2 || m.Question[0].Qtype == dns.TypeIXFR && len(all) == 1 {
			return all, dns.RcodeSuccess
		}
	}
}

func axfr() *dns.Msg {
	m := new(dns.Msg)
	m.SetAxfr("example.com.")
	return m
}

func ixfr(serial uint32) *dns.Msg {
	m := new(dns.Msg)
	m.SetIxfr("example.com.", serial, "ns1.example.com.", "hostmaster.example.com.")
	return m
}

func lines(rrs []dns.RR) []string {
	var all []string
	for _, rr := range rrs {
		all = append(all, strings.Join(strings.Fields(rr.String()), " "))
	}
	return all
}

func TestTransfer_row15_axfr(t *testing.T) {
	s := startServer(t, transferConfig(), NewMemoryStore())
	long := strings.Repeat("x", 50000)
	put(t, s, "long.dyn.example.com", long)
	put(t, s, "www.example.com", "added", "static text")
	put(t, s, "_acme-challenge.child.example.com", "in the child")
	for n := range 2000 {
		put(t, s, fmt.Sprintf("n%d.dyn.example.com", n), "v")
	}
	for _, edns := range []bool{false, true} {
		m := axfr()
		if edns {
			m.SetEdns0(1232, false)
		}
		all, rcode := transferred(t, s.Addr(), m, signer(t, "transfer"))
		if rcode != dns.RcodeSuccess {
			t.Fatal(dns.RcodeToString[rcode])
		}
		got := lines(all)
		first, last := got[0], got[len(got)-1]
		if first != last || !strings.Contains(first, "IN SOA ns1.example.com. hostmaster.example.com.") {
			t.Errorf("it begins with %q and ends with %q, want the SOA twice", first, last)
		}
		if twice := slices.Sorted(slices.Values(got[1:])); len(slices.Compact(twice)) != len(got)-1 {
			t.Error("records are there twice")
		}
		for _, want := range []string{
			"example.com. 300 IN NS ns1.example.com.", "sub.example.com. 300 IN NS ns.sub.example.com.", "ns.sub.example.com. 300 IN A 192.0.2.54",
			`www.example.com. 5 IN TXT "static" " text"`, `www.example.com. 5 IN TXT "added"`, `*.wild.example.com. 300 IN TXT "wild"`,
			`private.example.com. 300 CLASS1 TYPE65280 \# 2 abcd`, `n1999.dyn.example.com. 5 IN TXT "v"`,
		} {
			if !slices.Contains(got, want) {
				t.Errorf("%q is missing", want)
			}
		}
		if slices.ContainsFunc(got, func(line string) bool {
			return strings.Contains(line, "in the child") || strings.HasPrefix(line, "www.child")
		}) {
			t.Error("records of the zone below are there")
		}
		if n := len(got); n < 2030 || n > 2050 {
			t.Errorf("%d records", n)
		}
	}
}

func TestTransfer_policy(t *testing.T) {
	config := transferConfig()
	config.Zones[1].TransferFrom = []string{"127.0.0.0/8"}
	config.Zones[0].Secondaries = []Secondary{{Name: "elsewhere", Address: "192.0.2.1", Key: "reader"}}
	s := startServer(t, config, NewMemoryStore())
	child := new(dns.Msg)
	child.SetAxfr("child.example.com.")
	forged, err := tsig.NewKey("transfer", "", tsig.NewSecret("Zm9yZ2VkZm9yZ2VkZm9yZ2VkZm9yZ2Vk"))
	if err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		m     *dns.Msg
		k     *tsig.Key
		rcode int
	}{
		"without a key":                   {axfr(), nil, dns.RcodeRefused},
		"with the key":                    {axfr(), signer(t, "transfer"), dns.RcodeSuccess},
		"with a secondary's key":          {axfr(), signer(t, "reader"), dns.RcodeSuccess},
		"with a key for updates":          {axfr(), signer(t, "txt"), dns.RcodeRefused},
		"the key is for another zone":     {child, signer(t, "transfer"), dns.RcodeRefused},
		"from a network without a key":    {child, nil, dns.RcodeSuccess},
		"no zone of ours":                 {&dns.Msg{Question: []dns.Question{{Name: "example.org.", Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}}}, nil, dns.RcodeRefused},
		"changes, without a key":          {ixfr(1), nil, dns.RcodeRefused},
		"not the apex":                    {&dns.Msg{Question: []dns.Question{{Name: "www.example.com.", Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}}}, nil, dns.RcodeRefused},
		"the key's name, but not the key": {axfr(), forged, dns.RcodeNotAuth},
	} {
		if title == "the key's name, but not the key" {
			signed, _ := c.k.Sign(wire(t, c.m), nil, time.Now())
			if got := unwire(t, exchange(t, "tcp", s.Addr().String(), signed)); got.Rcode != c.rcode {
				t.Errorf("%s: %s, want NOTAUTH", title, dns.RcodeToString[got.Rcode])
			}
			continue
		}
		if _, rcode := transferred(t, s.Addr(), c.m, c.k); rcode != c.rcode {
			t.Errorf("%s: %s, want %s", title, dns.RcodeToString[rcode], dns.RcodeToString[c.rcode])
		}
	}
}

func TestTransfer_row15_ixfr(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	store, err := OpenWAL(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, transferConfig(), store)
	put(t, s, "a.dyn.example.com", "one")
	_, from, err := s.Serial("example.com")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a.dyn.example.com", "two", "three")
	if err := errors.Join(s.DeleteTXT(t.Context(), "a.dyn.example.com", "one"), s.DeleteTXT(t.Context(), "a.dyn.example.com", "three")); err != nil {
		t.Fatal(err)
	}
	_, to, _ := s.Serial("example.com")
	want := []string{
		fmt.Sprintf("SOA %d", to), fmt.Sprintf("SOA %d", from), `a.dyn.example.com. 5 IN TXT "one"`,
		fmt.Sprintf("SOA %d", to), `a.dyn.example.com. 5 IN TXT "two"`, fmt.Sprintf("SOA %d", to),
	}
	check := func(sentence string, s *Server) {
		t.Helper()
		all, rcode := transferred(t, s.Addr(), ixfr(from), signer(t, "transfer"))
		if got := brief(all); rcode != dns.RcodeSuccess || !slices.Equal(got, want) {
			t.Errorf("%s: %s %q, want %q", sentence, dns.RcodeToString[rcode], got, want)
		}
	}
	check("what came and went in between is not told", s)
	if all, _ := transferred(t, s.Addr(), ixfr(to), signer(t, "transfer")); len(all) != 1 {
		t.Errorf("nothing is new: %q, want the SOA alone", lines(all))
	}
	if all, _ := transferred(t, s.Addr(), ixfr(from-1), signer(t, "transfer")); len(all) != 5 || all[1].Header().Rrtype != dns.TypeSOA {
		t.Errorf("one serial earlier: %q", brief(all))
	}
	if all, _ := transferred(t, s.Addr(), ixfr(to-100), signer(t, "transfer")); len(all) < 20 || all[1].Header().Rrtype == dns.TypeSOA {
		t.Errorf("a serial that nobody knows: %q, want the whole zone", brief(all))
	}
	signed, _ := signer(t, "transfer").Sign(wire(t, ixfr(from)), nil, time.Now())
	if m := unwire(t, exchange(t, "udp", s.Addr().String(), signed)); len(m.Answer) != 1 || m.Answer[0].(*dns.SOA).Serial != to {
		t.Errorf("over UDP: %v, want the SOA alone", m)
	}
	// The log on the disk tells the same after a restart.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := errors.Join(s.Shutdown(ctx), store.Close()); err != nil {
		t.Fatal(err)
	}
	if store, err = OpenWAL(path, nil); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s = startServer(t, transferConfig(), store)
	check("after a restart", s)
	// Configured records are told whole.
	config := transferConfig()
	config.Zones[0].Records += "more A 192.0.2.99\n"
	if err := s.Reload(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if all, _ := transferred(t, s.Addr(), ixfr(to), signer(t, "transfer")); len(all) < 20 {
		t.Errorf("after another configuration: %q, want the whole zone", brief(all))
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// brief is lines with the SOAs cut down to their serials.
func brief(rrs []dns.RR) []string {
	all := lines(rrs)
	for i, rr := range rrs {
		if soa, ok := rr.(*dns.SOA); ok {
			all[i] = fmt.Sprintf("SOA %d", soa.Serial)
		}
	}
	return all
}

func TestJournal_isBounded(t *testing.T) {
	var j journal
	for n := uint32(1); n < 1000; n++ {
		j.add(delta{from: n, to: n + 1, come: make([]byte, 100)}, 1000)
		if j.size > 1000 || len(j.deltas) > 10 {
			t.Fatalf("%d bytes in %d changes, want 1000 at most", j.size, len(j.deltas))
		}
	}
	if _, ok := j.chain(990, 1000); !ok {
		t.Error("the last ten are not known")
	}
	if _, ok := j.chain(989, 1000); ok {
		t.Error("more than the last ten are known")
	}
	j.add(delta{from: 2000, to: 2001}, 1000)
	if _, ok := j.chain(990, 1000); ok {
		t.Error("there is a gap in what is known")
	}
}

// fakeSecondary answers NOTIFY and SOA as it is told.
type fakeSecondary struct {
	addr     netip.AddrPort
	serial   atomic.Uint32
	notified atomic.Int32
	deaf     atomic.Int32 // how many NOTIFYs are still lost
	signed   atomic.Int32
}

func newFakeSecondary(t testing.TB) *fakeSecondary {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeSecondary{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if out := f.answer(buf[:n]); out != nil {
				_, _ = conn.WriteToUDPAddrPort(out, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return f
}

func (f *fakeSecondary) answer(msg []byte) []byte {
	m := new(dns.Msg)
	if m.Unpack(msg) != nil {
		return nil
	}
	m.Response, m.Authoritative, m.Extra = true, true, nil
	if m.Opcode == dns.OpcodeNotify {
		f.notified.Add(1)
		if f.deaf.Add(-1) >= 0 {
			return nil
		}
		f.serial.Store(m.Answer[0].(*dns.SOA).Serial)
		m.Answer = nil
	} else {
		m.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".", Serial: f.serial.Load()}}
	}
	out, _ := m.Pack()
	if s, _ := tsig.Find(msg); s != nil {
		f.signed.Add(1)
		k, _ := tsig.NewKey("reader", "", tsig.NewSecret(updateSecret))
		out, _ = k.Sign(out, s.MAC, time.Now())
	}
	return out
}

// A NOTIFY that is lost is sent again; the answer has to be signed with the key.
func TestNotify_row15_isRepeated(t *testing.T) {
	secondary := newFakeSecondary(t)
	secondary.deaf.Store(1)
	s := startServer(t, transferConfig(Secondary{Name: "ns2", Address: secondary.addr.String(), Key: "reader"}), NewMemoryStore())
	put(t, s, "a.dyn.example.com", "one")
	_, serial, err := s.Serial("example.com")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if lags, err := s.Settled(ctx, "example.com", serial); err != nil {
		t.Fatal(lags, err)
	}
	if secondary.serial.Load() != serial || secondary.notified.Load() < 2 || secondary.signed.Load() == 0 {
		t.Errorf("it has %d after %d NOTIFYs, %d of them signed; want %d", secondary.serial.Load(), secondary.notified.Load(), secondary.signed.Load(), serial)
	}
}

func TestSettled_row20_namesWhoLags(t *testing.T) {
	quick, stale := newFakeSecondary(t), newFakeSecondary(t)
	stale.deaf.Store(1000)
	stale.serial.Store(1)
	gone := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1)
	s := startServer(t, transferConfig(
		Secondary{Name: "quick", Address: quick.addr.String()}, Secondary{Name: "stale", Address: stale.addr.String()},
		Secondary{Name: "gone", Address: gone.String()}), NewMemoryStore())
	put(t, s, "a.dyn.example.com", "one")
	_, serial, _ := s.Serial("a.dyn.example.com")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	lags, err := s.Settled(ctx, "example.com", serial)
	var names []string
	for _, l := range lags {
		names = append(names, l.Secondary)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(names, []string{"stale", "gone"}) {
		t.Fatalf("%v, %+v; want stale and gone", err, lags)
	}
	if lags[1].Problem == "" || lags[1].Serial != 0 {
		t.Errorf("%+v, want what is wrong", lags[1])
	}
	if _, err := s.Settled(t.Context(), "child.example.com", 1); err != nil {
		t.Errorf("a zone without secondaries: %v", err)
	}
	metrics := metricsOf(t, s)
	for _, want := range []string{
		`certificate_dns_secondary_lag{zone="example.com",secondary="quick"} 0`, `certificate_dns_secondary_up{zone="example.com",secondary="gone"} 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// FuzzTransfer checks that no question for a transfer makes the server panic.
func FuzzTransfer(f *testing.F) {
	f.Add(wire(f, axfr()))
	f.Add(wire(f, ixfr(1)))
	f.Fuzz(func(_ *testing.T, msg []byte) {
		if transferType(msg) == 0 {
			return
		}
		if q, err := readQuery(msg); err == nil {
			_, _ = clientSerial(msg, q)
			_ = binary.BigEndian.Uint16(msg)
		}
	})
}

func metricsOf(t testing.TB, s *Server) string {
	t.Helper()
	var m metric.Writer
	s.WriteMetrics(&m)
	var b strings.Builder
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
