package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// copiedZone is what the primaries have. The SOA's times are its arguments.
const copiedZone = `$TTL 300
@        SOA   ns1 hostmaster %d %s 5
@        NS    ns1
@        NS    ns2.elsewhere.test.
@        MX    10 mail
@        CAA   0 issue "ca.example"
ns1      A     127.0.0.1
www  60  A     192.0.2.1
www  60  AAAA  2001:db8::1
www  60  TXT   "one" "two"
alias    CNAME www
*.wild   TXT   "wild"
deep.er.and.deeper A 192.0.2.2
sub      NS    ns.sub
ns.sub   A     192.0.2.54
_sip._tcp SRV  1 2 5060 www
private  TYPE65280 \# 2 abcd
`

func bindPrimary(folder string, own, secondary netip.AddrPort) (map[string]string, []string) {
	conf := bindOptions(folder, own) + fmt.Sprintf(`zone "example.com" {
	type primary; file "zone";
	update-policy { grant "follow" zonesub ANY; };
	allow-transfer { key "follow"; };
	also-notify { 127.0.0.1 port %d key "follow"; };
};
`, secondary.Port())
	return map[string]string{"named.conf": conf}, []string{"-g", "-4", "-n", "1", "-c", filepath.Join(folder, "named.conf")}
}

func knotPrimary(folder string, own, secondary netip.AddrPort) (map[string]string, []string) {
	conf := knotOptions(folder, own) + fmt.Sprintf(`remote:
  - id: secondary
    address: 127.0.0.1@%d
    key: follow
acl:
  - id: all
    key: follow
    action: [transfer, update]
zone:
  - domain: example.com
    file: zone
    notify: secondary
    acl: all
`, secondary.Port())
	return map[string]string{"knot.conf": conf}, []string{"-c", filepath.Join(folder, "knot.conf")}
}

func nsdPrimary(folder string, own, secondary netip.AddrPort) (map[string]string, []string) {
	conf := nsdOptions(folder, own) + fmt.Sprintf(`zone:
    name: example.com
    zonefile: zone
    notify: 127.0.0.1@%d follow
    provide-xfr: 127.0.0.1 follow
    store-ixfr: yes
    create-ixfr: yes
`, secondary.Port())
	return map[string]string{"nsd.conf": conf}, []string{"-d", "-c", filepath.Join(folder, "nsd.conf")}
}

// followKey is the key of the peers.
func followKey(t testing.TB) *tsig.Key {
	t.Helper()
	k, err := tsig.NewKey("follow", "", tsig.NewSecret(updateSecret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// copyConfig is that of a secondary of example.com at this primary.
func copyConfig(of netip.AddrPort) Config {
	return Config{
		Zones: []Zone{
			{Name: "example.com", Primaries: []Primary{{Address: of.String(), Key: "follow"}}, TransferFrom: []string{"127.0.0.0/8"}},
			{Name: "other.test", NameServers: []string{"ns.elsewhere.test"}},
		},
		Keys:   []TSIGKey{{Name: "follow", Secret: tsig.NewSecret(updateSecret), Updates: []string{"*.example.com"}}},
		Tokens: []Token{{Name: "all", SHA256: hashOf("all-token"), Names: []string{"*.example.com"}}},
	}
}

// startPrimary starts a primary with a zone file of this serial and SOA times.
func startPrimary(t testing.TB, p peer, own, secondary netip.AddrPort, serial int, times string) *daemon {
	t.Helper()
	path := program(t, p.program, p.debian)
	folder := t.TempDir()
	files, args := p.primary(folder, own, secondary)
	files["zone"] = fmt.Sprintf(copiedZone, serial, times)
	return startDaemon(t, path, own, files, folder, args...)
}

// sameContents waits until the copy has what the primary has.
func sameContents(t testing.TB, copyAt, primaryAt netip.AddrPort, d *daemon) []string {
	t.Helper()
	var got []string
	settles(t, time.Minute, func() error {
		want, rcode := transferred(t, primaryAt, axfr(), followKey(t))
		if rcode != dns.RcodeSuccess {
			return fmt.Errorf("the primary answers %s\n%s", dns.RcodeToString[rcode], d.log())
		}
		serial, err := soaSerial(copyAt, "example.com.")
		if err != nil {
			return err
		}
		if now := want[0].(*dns.SOA).Serial; serial != now {
			return fmt.Errorf("the copy has %d, the primary %d", serial, now)
		}
		lines := map[string]bool{}
		for _, rr := range want[1 : len(want)-1] {
			lines[strings.ToLower(strings.Join(strings.Fields(rr.String()), " "))] = true
		}
		if got = zoneOfServer(t, copyAt, "example.com."); !slices.Equal(got, slices.Sorted(maps.Keys(lines))) {
			return errors.New("the copy differs:\n" + diffLines(got, slices.Sorted(maps.Keys(lines))))
		}
		return nil
	})
	return got
}

// The server is a secondary of BIND, Knot and NSD: it copies the zone, is told of
// changes, and takes them by IXFR.
func TestCopy_ofRealServers(t *testing.T) {
	primaries := map[string]func(string, netip.AddrPort, netip.AddrPort) (map[string]string, []string){"BIND": bindPrimary, "Knot": knotPrimary, "NSD": nsdPrimary}
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			program(t, p.program, p.debian)
			p.primary = primaries[p.name]
			own := reservePort(t)
			s := startServer(t, copyConfig(own), NewMemoryStore())
			if m := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("www.example.com. A")))); m.Rcode != dns.RcodeServerFailure {
				t.Errorf("before the first copy: %s, want SERVFAIL", dns.RcodeToString[m.Rcode])
			}
			d := startPrimary(t, p, own, s.Addr(), 1, "3600 600 86400")
			settles(t, time.Minute, func() error { _, err := soaSerial(own, "example.com."); return err })
			got := sameContents(t, s.Addr(), own, d)
			if len(got) < 15 {
				t.Errorf("%q, want the whole zone", got)
			}
			for n := range 10 {
				p.change(t, d, n)
				sameContents(t, s.Addr(), own, d)
			}
			c := s.copiers.of("example.com.")
			if c.axfr.Load() != 1 || c.ixfr.Load() < 5 {
				t.Errorf("%d AXFR, %d IXFR; want the changes by IXFR\n%s", c.axfr.Load(), c.ixfr.Load(), d.log())
			}
			for question, want := range map[string]string{
				"www.example.com. A":        "NOERROR aa\nanswer: www.example.com. 60 IN A 192.0.2.1\n",
				"x.wild.example.com. TXT":   "NOERROR aa\nanswer: x.wild.example.com. 300 IN TXT \"wild\"\n",
				"and.deeper.example.com. A": "NOERROR aa\nauthority: example.com. 5 IN SOA",
				"nothing.example.com. A":    "NXDOMAIN aa\nauthority: example.com. 5 IN SOA",
				"a.sub.example.com. A":      "NOERROR\nauthority: sub.example.com. 300 IN NS ns.sub.example.com.\nadditional: ns.sub.example.com. 300 IN A 192.0.2.54\n",
				"alias.example.com. AAAA":   "NOERROR aa\nanswer: alias.example.com. 300 IN CNAME www.example.com.\nanswer: www.example.com. 60 IN AAAA 2001:db8::1\n",
			} {
				for _, network := range []string{"udp", "tcp"} {
					if got := sections(unwire(t, exchange(t, network, s.Addr().String(), wire(t, ask(question))))); !strings.HasPrefix(got, want) {
						t.Errorf("%s %s:\n%swant\n%s", network, question, got, want)
					}
				}
			}
			refusesChanges(t, s)
		})
	}
}

// refusesChanges checks that a copy cannot be changed here.
func refusesChanges(t *testing.T, s *Server) {
	t.Helper()
	if err := s.PutTXT(t.Context(), "a.example.com", "v"); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "primary server") {
		t.Errorf("put: %v, want ErrConflict and the way to the primary", err)
	}
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, "a.example.com. 60 TXT v"))
	if reply := sendUpdate(t, s, "tcp", followKey(t), m); reply.Rcode != dns.RcodeRefused {
		t.Errorf("update: %s, want REFUSED", dns.RcodeToString[reply.Rcode])
	}
}

// change changes the zone at a primary: by a dynamic update, or in its file.
func (p peer) change(t testing.TB, d *daemon, n int) {
	t.Helper()
	if p.name == "NSD" {
		text := fmt.Sprintf(copiedZone, n+2, "3600 600 86400") + fmt.Sprintf("n%d TXT v%d\n", n%3, n)
		if err := os.WriteFile(filepath.Join(d.folder, "zone"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Duration(n+1) * time.Second) // NSD compares times in seconds
		if err := errors.Join(os.Chtimes(filepath.Join(d.folder, "zone"), later, later), d.process.Signal(syscall.SIGHUP)); err != nil {
			t.Fatal(err)
		}
		settles(t, time.Minute, func() error {
			serial, err := soaSerial(d.address, "example.com.")
			if err == nil && serial != uint32(n+2) {
				err = fmt.Errorf("the primary still has %d\n%s", serial, d.log())
			}
			return err
		})
		return
	}
	m := new(dns.Msg).SetUpdate("example.com.")
	m.Insert(parseRecords(t, fmt.Sprintf("n%d.example.com. %d TXT v%d", n%3, 60+n, n)))
	if n > 3 {
		m.RemoveRRset(parseRecords(t, fmt.Sprintf("n%d.example.com. TXT x", (n+1)%3)))
	}
	signed, _ := followKey(t).Sign(wire(t, m), nil, time.Now())
	if reply := unwire(t, exchange(t, "tcp", d.address.String(), signed)); reply.Rcode != dns.RcodeSuccess {
		t.Fatalf("update at %s: %s\n%s", p.name, dns.RcodeToString[reply.Rcode], d.log())
	}
}

// A copy that its primary has not confirmed for too long is not given away, and
// comes back with it. Until then a restart keeps it.
func TestCopy_expires(t *testing.T) {
	p := peers()[0]
	path := program(t, p.program, p.debian)
	p.primary = bindPrimary
	store, err := OpenWAL(filepath.Join(t.TempDir(), "records"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	own := reservePort(t)
	s := startServer(t, copyConfig(own), store)
	d := startPrimary(t, p, own, s.Addr(), 7, "2 1 8")
	settles(t, time.Minute, func() error { _, err := soaSerial(own, "example.com."); return err })
	sameContents(t, s.Addr(), own, d)
	d.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, copyConfig(own), store)
	if serial, err := soaSerial(s.Addr(), "example.com."); err != nil || serial != 7 {
		t.Errorf("after a restart without the primary: %d, %v; want 7", serial, err)
	}
	rcodeOfCopy := func(want int) func() error {
		return func() error {
			for _, network := range []string{"udp", "tcp"} {
				for _, q := range []string{"www.example.com. A", "none.example.com. TXT", "example.com. SOA"} {
					if m := unwire(t, exchange(t, network, s.Addr().String(), wire(t, ask(q)))); (m.Rcode == dns.RcodeServerFailure) != (want == dns.RcodeServerFailure) {
						return fmt.Errorf("%s: %s", q, dns.RcodeToString[m.Rcode])
					}
				}
			}
			return nil
		}
	}
	settles(t, time.Minute, rcodeOfCopy(dns.RcodeServerFailure))
	v := s.view.Load()
	if note := s.copyNote(v, v.zones["example.com."]); !strings.Contains(note, own.String()+", expired: the primary was last reached") {
		t.Errorf("the page says %q, want that the copy expired", note)
	}
	if m := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("other.test. SOA")))); m.Rcode != dns.RcodeSuccess {
		t.Errorf("another zone: %s", dns.RcodeToString[m.Rcode])
	}
	d.run(t, path, "-g", "-4", "-n", "1", "-c", filepath.Join(d.folder, "named.conf"))
	settles(t, time.Minute, rcodeOfCopy(dns.RcodeSuccess))
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
