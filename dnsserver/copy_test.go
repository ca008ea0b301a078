package dnsserver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// bothTransports listens over UDP and TCP at one port: the kernel, which picks
// it for one, knows nothing of the other.
func bothTransports(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for try := 1; ; try++ {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close() // another one is tried
		if try == portTries {
			t.Fatal(err)
		}
	}
}

// fakePrimary answers SOA over UDP and transfers over TCP with these records,
// signed when sign is set and the question was.
func fakePrimary(t testing.TB, sign bool, records ...string) netip.AddrPort {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		rrs := parseRecords(t, records...)
		m.Answer = rrs
		if q.Question[0].Qtype == dns.TypeSOA {
			m.Answer = rrs[:1]
		}
		wire, err := m.Pack()
		if err != nil {
			return
		}
		if s := q.IsTsig(); sign && s != nil {
			raw, _ := q.Pack()
			if found, _ := tsig.Find(raw); found != nil {
				wire, _ = signerOfFollow().Sign(wire, found.MAC, time.Now())
			}
		}
		_, _ = w.Write(wire)
	})
	packets, listener := bothTransports(t)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}} {
		done := make(chan error, 1)
		go func() { done <- server.ActivateAndServe() }()
		t.Cleanup(func() { _, _ = server.Shutdown(), <-done })
	}
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}

func signerOfFollow() *tsig.Key {
	k, _ := tsig.NewKey("follow", "", tsig.NewSecret(updateSecret))
	return k
}

const (
	copySOA = "example.com. 300 SOA ns1.example.com. hostmaster.example.com. 7 3600 600 86400 5"
	copyNS  = "example.com. 300 NS ns1.example.com."
)

func TestCopy_refusesWhatIsNotTheZone(t *testing.T) {
	for sentence, test := range map[string]struct {
		sign    bool
		records []string
		want    error
		most    int64
	}{
		"good":                  {true, []string{copySOA, copyNS, copySOA}, nil, 1 << 20},
		"too long":              {true, []string{copySOA, copyNS, copySOA}, ErrFull, 100},
		"a record elsewhere":    {true, []string{copySOA, copyNS, "example.org. 300 A 192.0.2.1", copySOA}, nil, 1 << 20},
		"not signed":            {false, []string{copySOA, copyNS, copySOA}, tsig.ErrUnsigned, 1 << 20},
		"no SOA at first":       {true, []string{copyNS, copySOA}, errTransfer, 1 << 20},
		"another zone's":        {true, []string{strings.Replace(copySOA, "example.com.", "example.org.", 1), copyNS, copySOA}, errTransfer, 1 << 20},
		"another SOA at last":   {true, []string{copySOA, copyNS, strings.Replace(copySOA, " 7 ", " 8 ", 1)}, errTransfer, 1 << 20},
		"records after the end": {true, []string{copySOA, copyNS, copySOA, copyNS}, errTransfer, 1 << 20},
		"a signed zone":         {true, []string{copySOA, copyNS, "example.com. 300 NSEC a.example.com. NS SOA", copySOA}, errSigned, 1 << 20},
		"no end":                {true, []string{copySOA, copyNS}, io.EOF, 1 << 20},
	} {
		config := copyConfig(fakePrimary(t, test.sign, test.records...))
		zones, _, problems := config.compile()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		keys, _ := compileKeys(config.Keys, zones)
		primaries, _ := compilePrimaries(config.Zones, keys)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		now := time.Now
		if errors.Is(test.want, io.EOF) { // the primary would wait for the next question
			now = func() time.Time { return time.Now().Add(500*time.Millisecond - receivePatience) }
		}
		got, err := primaries["example.com."][0].fetch(ctx, zones["example.com."], nil, test.most, now)
		cancel()
		switch {
		case errors.Is(test.want, io.EOF):
			if err == nil {
				t.Errorf("%s: %+v, want an error", sentence, got)
			}
		case !errors.Is(err, test.want):
			t.Errorf("%s: %v, want %v", sentence, err, test.want)
		case err == nil && (got.soa.Serial != 7 || len(got.content) != 1):
			t.Errorf("%s: %+v, want the zone", sentence, got)
		}
	}
}

func TestCopy_notifyIsForThePrimary(t *testing.T) {
	primary := fakePrimary(t, true, copySOA, copyNS, copySOA)
	config := copyConfig(primary)
	config.Keys = append(config.Keys, TSIGKey{Name: "reader", Secret: tsig.NewSecret(updateSecret)})
	config.Zones = append(config.Zones, Zone{Name: "keyless.test", Primaries: []Primary{{Address: "127.0.0.1:1"}}}, Zone{Name: "far.test", Primaries: []Primary{{Address: "192.0.2.1"}}})
	s := startServer(t, config, NewMemoryStore())
	for sentence, test := range map[string]struct {
		zone, key string
		rcode     int
	}{
		"with the key":               {"example.com.", "follow", dns.RcodeSuccess},
		"with another key":           {"example.com.", "reader", dns.RcodeRefused},
		"without a key":              {"example.com.", "", dns.RcodeRefused},
		"from the primary's address": {"keyless.test.", "", dns.RcodeSuccess},
		"from elsewhere":             {"far.test.", "", dns.RcodeRefused},
		"a zone that is no copy":     {"other.test.", "follow", dns.RcodeNotAuth},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := new(dns.Msg).SetNotify(test.zone)
			msg := wire(t, m)
			if test.key != "" {
				k, err := tsig.NewKey(test.key, "", tsig.NewSecret(updateSecret))
				if err != nil {
					t.Fatal(err)
				}
				msg, _ = k.Sign(msg, nil, time.Now())
			}
			reply := unwire(t, exchange(t, network, s.Addr().String(), msg))
			if reply.Rcode != test.rcode || reply.Opcode != dns.OpcodeNotify || (reply.IsTsig() != nil) != (test.key != "") {
				t.Errorf("%s over %s: %v, want %s", sentence, network, reply, dns.RcodeToString[test.rcode])
			}
		}
	}
}

// What changes only how answers are given has nothing to be stored, and is in
// force nevertheless.
func TestReload_changesThatAreNotStored(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	config := testConfig()
	config.Zones[0].DynamicTTL = 77
	if err := s.Reload(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a.dyn.example.com", "v")
	if m := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("a.dyn.example.com. TXT")))); m.Answer[0].Header().Ttl != 77 {
		t.Errorf("%v, want the TTL of the new configuration", m.Answer)
	}
}

// A zone that records leave for a new zone below it has other contents, so its
// secondaries have to hear of it.
func TestReload_recordsThatMoveChangeTheSerial(t *testing.T) {
	s := startServer(t, transferConfig(), NewMemoryStore())
	put(t, s, "a.dyn.example.com", "v")
	_, serial, _ := s.Serial("example.com")
	config := transferConfig()
	config.Zones = append(config.Zones, Zone{Name: "dyn.example.com", NameServers: []string{"ns.elsewhere.test"}})
	for range 2 { // a second time nothing moves
		if err := s.Reload(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if _, now, _ := s.Serial("example.com"); now != nextSerial(serial) {
			t.Errorf("the serial was %d and is %d, want the next", serial, now)
		}
	}
	all, rcode := transferred(t, s.Addr(), ixfr(serial), signer(t, "transfer"))
	if rcode != dns.RcodeSuccess || len(all) < 20 {
		t.Errorf("%s %q, want the whole zone", dns.RcodeToString[rcode], brief(all))
	}
}

// FuzzReceive checks that no transfer of a stranger's makes the reader panic.
func FuzzReceive(f *testing.F) {
	pack := func(lines ...string) []byte {
		m := new(dns.Msg)
		m.Answer = parseRecords(f, lines...)
		return wire(f, m)
	}
	f.Add(pack(copySOA, copyNS, copySOA), false)
	f.Add(pack(copySOA, strings.Replace(copySOA, " 7 ", " 6 ", 1), copyNS, copySOA, copyNS, copySOA), true)
	z := &zone{name: "example.com.", copied: true}
	f.Fuzz(func(t *testing.T, msg []byte, incremental bool) {
		m := new(dns.Msg)
		if m.Unpack(msg) != nil {
			return
		}
		r := &reader{z: z, asked: dns.TypeAXFR}
		if incremental {
			r.asked, r.serial = dns.TypeIXFR, 6
		}
		for _, rr := range m.Answer {
			if r.take(rr) != nil {
				return
			}
		}
		if r.done && r.out.soa == nil {
			t.Fatal("it ended without an SOA")
		}
		for name := range r.out.content {
			if !within(name, z.name) {
				t.Fatalf("%q is outside the zone", name)
			}
		}
		_ = binary.BigEndian.Uint16(msg)
	})
}

// A zone that is signed as it is asked has nothing to transfer that validates.
func TestConfig_signedZonesAreNotTransferred(t *testing.T) {
	folder := t.TempDir()
	for want, alter := range map[string]func(*Config){
		"a secondary would serve it without signatures": func(c *Config) { c.Zones[0].Secondaries = []Secondary{{Name: "ns2", Address: "192.0.2.1"}} },
		"without signatures, and whoever checks":        func(c *Config) { c.Zones[0].TransferFrom = []string{"192.0.2.0/24"} },
		"a transfer of it has no signatures":            func(c *Config) { c.Keys = transferConfig().Keys },
	} {
		config := testConfig()
		config.Zones[0].Signed, config.DNSSEC.Folder = true, folder
		alter(&config)
		found := false
		for _, p := range config.Problems() {
			found = found || strings.Contains(p.Problem, want)
		}
		if !found {
			t.Errorf("%v, want %q", config.Problems(), want)
		}
	}
}
