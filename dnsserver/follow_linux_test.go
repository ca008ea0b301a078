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
)

// peer is a real name server that can be a secondary and a primary.
type peer struct {
	name, program, debian string
	// secondary returns its files and arguments as a secondary of example.com.
	secondary func(folder string, own, primary netip.AddrPort) (files map[string]string, args []string)
	// primary does, as the primary of example.com, whose zone file is "zone".
	primary func(folder string, own, secondary netip.AddrPort) (files map[string]string, args []string)
}

func peers() []peer {
	return []peer{
		{"BIND", "named", "bind9", bindSecondary, nil},
		{"Knot", "knotd", "knot", knotSecondary, nil},
		{"NSD", "nsd", "nsd", nsdSecondary, nil},
	}
}

func bindSecondary(folder string, own, primary netip.AddrPort) (map[string]string, []string) {
	conf := bindOptions(folder, own) + fmt.Sprintf(`zone "example.com" {
	type secondary;
	primaries { 127.0.0.1 port %d key "follow"; };
	file "zone"; masterfile-format text;
	allow-notify { key "follow"; };
	allow-transfer { any; };
};
`, primary.Port())
	return map[string]string{"named.conf": conf}, []string{"-g", "-4", "-n", "1", "-c", filepath.Join(folder, "named.conf")}
}

func bindOptions(folder string, own netip.AddrPort) string {
	return fmt.Sprintf(`options {
	directory %q; pid-file none; session-keyfile none;
	listen-on port %d { 127.0.0.1; };
	recursion no; dnssec-validation no; notify explicit; notify-delay 0; startup-notify-rate 1000; notify-rate 1000; serial-query-rate 1000;
};
controls { };
key "follow" { algorithm hmac-sha256; secret %q; };
`, folder, own.Port(), updateSecret)
}

func knotSecondary(folder string, own, primary netip.AddrPort) (map[string]string, []string) {
	conf := knotOptions(folder, own) + fmt.Sprintf(`remote:
  - id: primary
    address: 127.0.0.1@%d
    key: follow
acl:
  - id: told
    address: 127.0.0.1
    key: follow
    action: notify
  - id: given
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.com
    master: primary
    acl: [told, given]
`, primary.Port())
	return map[string]string{"knot.conf": conf}, []string{"-c", filepath.Join(folder, "knot.conf")}
}

func knotOptions(folder string, own netip.AddrPort) string {
	return fmt.Sprintf(`server:
    rundir: %[1]q
    listen: 127.0.0.1@%[2]d
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %[1]q
log:
  - target: stderr
    any: info
key:
  - id: follow
    algorithm: hmac-sha256
    secret: %[3]s
template:
  - id: default
    storage: %[1]q
`, folder, own.Port(), updateSecret)
}

func nsdSecondary(folder string, own, primary netip.AddrPort) (map[string]string, []string) {
	conf := nsdOptions(folder, own) + fmt.Sprintf(`zone:
    name: example.com
    zonefile: secondary.zone
    allow-notify: 127.0.0.1 follow
    request-xfr: 127.0.0.1@%d follow
    provide-xfr: 127.0.0.1 NOKEY
`, primary.Port())
	return map[string]string{"nsd.conf": conf}, []string{"-d", "-c", filepath.Join(folder, "nsd.conf")}
}

func nsdOptions(folder string, own netip.AddrPort) string {
	return fmt.Sprintf(`server:
    ip-address: 127.0.0.1@%[2]d
    username: ""
    chroot: ""
    zonesdir: %[1]q
    database: ""
    zonelistfile: "%[1]s/zone.list"
    pidfile: ""
    xfrdfile: "%[1]s/xfrd.state"
    xfrdir: %[1]q
    server-count: 1
    xfrd-reload-timeout: 0
    verbosity: 2
remote-control:
    control-enable: no
key:
    name: follow
    algorithm: hmac-sha256
    secret: %[3]q
`, folder, own.Port(), updateSecret)
}

// zoneOfServer transfers a zone and returns its records, sorted, but for the SOA.
func zoneOfServer(t testing.TB, address netip.AddrPort, zone string) []string {
	t.Helper()
	records, err := zoneAt(address, zone)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// zoneOfPeer is zoneOfServer for a server of others, which is asked again when it
// resets the connection: NSD does as a reload replaces the process that has it.
func zoneOfPeer(t testing.TB, address netip.AddrPort, zone string) []string {
	t.Helper()
	var records []string
	var err error
	settles(t, 10*time.Second, func() error {
		if records, err = zoneAt(address, zone); errors.Is(err, syscall.ECONNRESET) {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func zoneAt(address netip.AddrPort, zone string) ([]string, error) {
	in, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(zone), address.String())
	if err != nil {
		return nil, fmt.Errorf("transfer from %s: %w", address, err)
	}
	all := map[string]bool{}
	for envelope := range in {
		if envelope.Error != nil {
			return nil, fmt.Errorf("transfer from %s: %w", address, envelope.Error)
		}
		for _, rr := range envelope.RR {
			if rr.Header().Rrtype != dns.TypeSOA {
				// Knot keeps names in lower case, those in data too.
				all[strings.ToLower(strings.Join(strings.Fields(rr.String()), " "))] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// followTime is how long secondaries follow: a minute in CI, a few seconds
// elsewhere, or as long as the variable says.
func followTime(t testing.TB) time.Duration {
	t.Helper()
	text := os.Getenv("CERTIFICATE_DNS_FOLLOW")
	switch {
	case text == "" && os.Getenv("CI") != "":
		return time.Minute
	case text == "":
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// BIND, Knot and NSD follow while records of all kinds come and go, have the same
// in the end, and were told all but the first by IXFR.
func TestTransfer_row15_secondariesFollow(t *testing.T) {
	for _, p := range peers() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			path := program(t, p.program, p.debian)
			own := reservePort(t)
			config := updateConfig()
			config.Keys = append(config.Keys, TSIGKey{Name: "follow", Secret: config.Keys[0].Secret})
			config.Zones[0].Secondaries = []Secondary{{Name: p.name, Address: own.String(), Key: "follow"}}
			config.Zones[0].TransferFrom = []string{"127.0.0.0/8"}
			s := startServer(t, config, NewMemoryStore())
			folder := t.TempDir()
			files, args := p.secondary(folder, own, s.Addr())
			d := startDaemon(t, path, own, files, folder, args...)
			settles(t, time.Minute, func() error { _, err := soaSerial(own, "example.com."); return err })

			rounds := churn(t, s, followTime(t))
			serial, _ := s.serialAt("example.com.")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if lags, err := s.Settled(ctx, "example.com", serial); err != nil {
				t.Fatalf("%v: %+v\n%s", err, lags, d.log())
			}
			got, want := zoneOfPeer(t, own, "example.com."), zoneOfServer(t, s.Addr(), "example.com.")
			if !slices.Equal(got, want) {
				t.Errorf("%s differs:\n%s", p.name, diffLines(got, want))
			}
			c := &s.counters.transfers
			t.Logf("%d rounds: %d IXFR, %d AXFR instead, %d up to date", rounds, c.ixfr.Load(), c.instead.Load(), c.current.Load())
			if c.ixfr.Load() < 3 || c.instead.Load() > 1 || c.failed.Load() > 0 {
				t.Errorf("%d IXFR, %d AXFR instead of it, %d failed; want IXFR only\n%s", c.ixfr.Load(), c.instead.Load(), c.failed.Load(), d.log())
			}
		})
	}
}

// churn lets records come and go for some time, and returns how many updates
// there were.
func churn(t testing.TB, s *Server, d time.Duration) int {
	t.Helper()
	k := signer(t, "all")
	end := time.Now().Add(d)
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	n := 0
	for ; time.Now().Before(end); n++ {
		<-pace.C
		m := new(dns.Msg).SetUpdate("example.com.")
		m.Id = uint16(n) // else two in one second could be the same
		name := fmt.Sprintf("n%d.dyn.example.com.", n%50)
		switch n % 7 {
		case 0, 1, 2:
			m.Insert(parseRecords(t, fmt.Sprintf("%s 60 TXT v%d", name, n)))
		case 3:
			m.RemoveRRset(parseRecords(t, name+" TXT x"))
		case 4:
			m.Insert(parseRecords(t, fmt.Sprintf("%s %d TXT v%d", name, n%100, n), name+" 60 MX 10 Mail.Example.com."))
		case 5: // beside what is configured, whose TTL it lowers
			m.Insert(parseRecords(t, fmt.Sprintf("www.example.com. %d TXT v%d", 10+n%40, n)))
		case 6:
			m.RemoveName(parseRecords(t, fmt.Sprintf("n%d.dyn.example.com. TXT x", (n-20)%50)))
			m.Remove(parseRecords(t, fmt.Sprintf("www.example.com. TXT v%d", n-8)))
		}
		if reply := sendUpdate(t, s, "udp", k, m); reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("update %d: %s", n, dns.RcodeToString[reply.Rcode])
		}
	}
	return n
}

// diffLines is what one list has and the other has not.
func diffLines(got, want []string) string {
	var b strings.Builder
	for _, line := range got {
		if !slices.Contains(want, line) {
			b.WriteString("too much: " + line + "\n")
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			b.WriteString("missing:  " + line + "\n")
		}
	}
	return b.String()
}
