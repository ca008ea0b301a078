package dnsserver

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// mustReload reloads a config that is good.
func mustReload(t *testing.T, s *Server, config Config) {
	t.Helper()
	if err := s.Reload(t.Context(), config); err != nil {
		t.Fatalf("reload: %v", err)
	}
}

func TestReload_zonesComeAndGoAndKeepTheirRecords(t *testing.T) {
	both := testConfig()
	store := NewMemoryStore()
	s := startServer(t, both, store)
	put(t, s, "_acme-challenge.child.example.com", "kept")
	serial := func(zone string) uint32 { return s.view.Load().states[s.view.Load().zones[zone].index].serial }
	before := serial("example.com.")

	one := testConfig()
	one.Zones = one.Zones[:1]
	one.Zones[0].Records += "\nadded A 192.0.2.77\n"
	mustReload(t, s, one)
	if got := ask1(t, s, "udp", "added.example.com. A"); len(got.Answer) != 1 {
		t.Errorf("a record that came with the configuration: %v", got)
	}
	if got := serial("example.com."); !newerSerial(got, before) {
		t.Errorf("serial %d after %d: secondaries would not hear of it", got, before)
	}
	if got := ask1(t, s, "udp", "ns.elsewhere.test.child.example.com. A").Rcode; got != dns.RcodeNameError {
		t.Errorf("a name of the zone that went: %s", dns.RcodeToString[got])
	}
	added := testConfig()
	added.Zones = append(added.Zones, Zone{Name: "example.net", NameServers: []string{"ns.elsewhere.test"}})
	mustReload(t, s, added)
	if got, err := s.TXT("_acme-challenge.child.example.com"); err != nil || !slices.Equal(got, []string{"kept"}) {
		t.Errorf("once the zone is back: %q, %v", got, err)
	}
	put(t, s, "a.example.net", "new")
	if got := ask1(t, s, "tcp", "a.example.net. TXT"); len(got.Answer) != 1 {
		t.Errorf("in the new zone: %v", got)
	}
	if got, want := contents(t, store), 2+3; len(got) != want {
		t.Errorf("the store has %q, want two records and three serials", got)
	}
	again := s.view.Load()
	mustReload(t, s, added)
	if s.view.Load() != again {
		t.Error("a reload of the same zones made another view")
	}
}

func TestReload_tokensAndLogsChange(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	other := testConfig()
	other.Tokens = []Token{{Name: "new", SHA256: hashOf("new-token"), Names: []string{"*.example.com"}}}
	other.QueryLog.Addresses = PrivacyNone
	other.MetricsFrom = []string{"192.0.2.0/24"}
	mustReload(t, s, other)
	for token, want := range map[string]int{"all-token": 401, "new-token": 200} {
		if got := call(t, s, "GET", "/v1/txt/a.example.com", token, "").Code; got != want {
			t.Errorf("%s: %d, want %d", token, got, want)
		}
	}
	if got := call(t, s, "GET", "/metrics", "", "").Code; got != 200 {
		t.Errorf("metrics: %d, want 200", got)
	}
	if got := *s.queries.privacy.Load(); got != PrivacyNone {
		t.Errorf("addresses are kept as %q", got)
	}
}

func TestReload_aBadConfigChangesNothing(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	bad := testConfig()
	bad.Tokens = nil
	bad.Zones[1].Records = "www A nowhere"
	err := s.Reload(t.Context(), bad)
	var problem *ConfigError
	if !errors.As(err, &problem) || problem.Field != "records" {
		t.Errorf("reload: %v", err)
	}
	if got := call(t, s, "GET", "/v1/txt/a.example.com", "all-token", "").Code; got != 200 {
		t.Errorf("the old token: %d, want 200", got)
	}
	var text strings.Builder
	text.WriteString(call(t, s, "GET", "/metrics", "all-token", "").Body.String())
	if want := `certificate_dns_reloads_total{result="refused"} 1`; !strings.Contains(text.String(), want) {
		t.Errorf("the metrics lack %s", want)
	}
}

// TestReload_dropsNoQueryAndNoConnection asks all the time, over UDP and over
// one connection, and changes records, while configurations take turns.
func TestReload_dropsNoQueryAndNoConnection(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	put(t, s, "_acme-challenge.example.com", "v")
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	request := wire(t, ask("_acme-challenge.example.com. TXT"))
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	asking.Go(func() {
		for ctx.Err() == nil {
			writeTCP(t, conn, request)
			if got := unwire(t, readTCP(t, conn)); len(got.Answer) != 1 {
				t.Errorf("over the connection: %v", got)
				return
			}
		}
	})
	asking.Go(func() {
		for ctx.Err() == nil {
			if got := unwire(t, exchange(t, "udp", s.Addr().String(), request)); len(got.Answer) != 1 {
				t.Errorf("over UDP: %v", got)
				return
			}
		}
	})
	asking.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			value := strings.Repeat("v", 1+i%40)
			if err := s.PutTXT(t.Context(), "b.example.com", value); err != nil {
				t.Errorf("a change: %v", err)
				return
			}
			if got, err := s.TXT("b.example.com"); err != nil || !slices.Contains(got, value) {
				t.Errorf("an acknowledged value is lost: %q, %v", got, err)
				return
			}
		}
	})
	other := testConfig()
	other.Zones = append(other.Zones[:1:1], Zone{Name: "example.net", NameServers: []string{"ns.elsewhere.test"}})
	for i := range 40 {
		mustReload(t, s, []Config{other, testConfig()}[i%2])
	}
	cancel()
	asking.Wait()
}
