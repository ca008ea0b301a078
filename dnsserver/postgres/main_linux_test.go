package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// shared is the PostgreSQL server of most tests: those that stop theirs have
// one of their own.
var shared postgrestest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// patience bounds every wait for something that is to happen.
const patience = 60 * time.Second

// eventually waits until what is true.
func eventually(t *testing.T, title string, what func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !what() {
		if sleep(ctx, 5*time.Millisecond) != nil {
			t.Fatalf("%s: not in %s", title, patience)
		}
	}
}

// open opens a store with short times, which tests may alter before it joins.
func open(t *testing.T, address, server string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: address, Server: server, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.times.heartbeat, s.times.firstWait, s.times.lastWait = 200*time.Millisecond, 10*time.Millisecond, 100*time.Millisecond
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// join opens a store that servers may use.
func join(t *testing.T, address, server string) *Store {
	t.Helper()
	s := open(t, address, server)
	if err := s.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// testLog logs to the test, as long as it runs.
func testLog(t *testing.T) *slog.Logger {
	w := &testWriter{t: t}
	t.Cleanup(func() { w.stop() })
	return slog.New(slog.NewTextHandler(w, nil))
}

type testWriter struct {
	mu sync.Mutex
	t  *testing.T
}

func (w *testWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}

// Write implements io.Writer.
func (w *testWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(string(bytes.TrimSpace(text)))
	}
	return len(text), nil
}

// through is an address with another host and port.
func through(t *testing.T, address, host string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}

func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func config() dnsserver.Config {
	sum := sha256.Sum256([]byte("token"))
	return dnsserver.Config{
		Zones: []dnsserver.Zone{{
			Name: "auth.example.com", NameServers: []string{"ns1.auth.example.com"}, Records: "ns1 A 192.0.2.1\n",
			TransferFrom: []string{"127.0.0.0/8"},
		}},
		Tokens:      []dnsserver.Token{{Name: "test", SHA256: hex.EncodeToString(sum[:]), Rights: []string{"admin"}}},
		Accounts:    dnsserver.Accounts{AcmeDNS: true},
		MetricsFrom: []string{"127.0.0.0/8"},
	}
}

// serve starts a server on a store.
func serve(t *testing.T, store dnsserver.Store) *dnsserver.Server {
	t.Helper()
	s, err := dnsserver.New(config(), store, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s *dnsserver.Server, name, value string) {
	t.Helper()
	if err := s.PutTXT(t.Context(), name, value); err != nil {
		t.Fatal(err)
	}
}

// values are the TXT values that a server shows, as one word.
func values(t *testing.T, s *dnsserver.Server, name string) string {
	t.Helper()
	all, err := s.TXT(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// serial is that of the zone as a server answers it.
func serial(t *testing.T, s *dnsserver.Server) uint32 {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("auth.example.com.", dns.TypeSOA)
	reply, err := dns.Exchange(m, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range reply.Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial
		}
	}
	t.Fatalf("no SOA: %v", reply)
	return 0
}
