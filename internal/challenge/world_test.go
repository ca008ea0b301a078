package challenge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

// nameserver is a DNS server on an address of its own that tells what it has
// been told.
type nameserver struct {
	addr string

	mu      sync.Mutex
	records map[string][]dns.RR // by lower-case name
	soa     dns.RR
	asked   int                               // TXT questions
	seen    chan struct{}                     // one for each of them
	twist   func(q, answer *dns.Msg) *dns.Msg // may replace the answer; nil as a result: no answer
	clients map[string]bool                   // where questions came from
}

func newNameserver(addr string) *nameserver {
	return &nameserver{addr: addr, records: map[string][]dns.RR{}, seen: make(chan struct{}, 1000), clients: map[string]bool{}}
}

// newServers starts servers on 127.0.0.1, 127.0.0.2, … with one port.
func newServers(t testing.TB, count int) []*nameserver {
	t.Helper()
	for range 20 {
		if servers, ok := tryServers(t, count); ok {
			return servers
		}
	}
	t.Fatal("found no port that is free on all addresses")
	return nil
}

func tryServers(t testing.TB, count int) (servers []*nameserver, ok bool) {
	t.Helper()
	var listening []*dns.Server
	port := 0
	for n := range count {
		host := fmt.Sprintf("127.0.0.%d", n+1)
		udp, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return nil, false
		}
		udpAddr, ok := udp.LocalAddr().(*net.UDPAddr)
		if !ok {
			t.Fatal("no UDP address")
		}
		port = udpAddr.Port
		s := newNameserver(udp.LocalAddr().String())
		t.Cleanup(func() { _ = udp.Close() })
		tcp, err := net.Listen("tcp", s.addr)
		if err != nil {
			return nil, false
		}
		t.Cleanup(func() { _ = tcp.Close() })
		listening = append(listening, &dns.Server{PacketConn: udp, Handler: s}, &dns.Server{Listener: tcp, Handler: s})
		servers = append(servers, s)
	}
	for _, server := range listening {
		serve(t, server)
	}
	return servers, true
}

// serve runs a server for the rest of the test.
func serve(t testing.TB, server *dns.Server) {
	t.Helper()
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
}

// add adds records in zone-file text. An SOA becomes that of negative answers.
func (n *nameserver) add(t testing.TB, lines ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			n.soa = rr
		}
		name := strings.ToLower(rr.Header().Name)
		n.records[name] = append(n.records[name], rr)
	}
}

func (n *nameserver) put(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = dns.Fqdn(name)
	n.records[name] = append(n.records[name], &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value}})
}

func (n *nameserver) remove(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[dns.Fqdn(name)] = slices.DeleteFunc(n.records[dns.Fqdn(name)], func(rr dns.RR) bool {
		txt, ok := rr.(*dns.TXT)
		return ok && strings.Join(txt.Txt, "") == value
	})
}

func (n *nameserver) set(twist func(q, answer *dns.Msg) *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.twist = twist
}

// ServeDNS implements dns.Handler.
func (n *nameserver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	answer, twist := n.answer(q), n.twist
	n.clients[w.RemoteAddr().String()] = true
	if q.Question[0].Qtype == dns.TypeTXT {
		n.asked++
		n.seen <- struct{}{}
	}
	n.mu.Unlock()
	if twist != nil {
		answer = twist(q, answer)
	}
	if answer == nil {
		return
	}
	if w.LocalAddr().Network() == "udp" {
		answer.Truncate(512)
	}
	_ = w.WriteMsg(answer)
}

func (n *nameserver) answer(q *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(q)
	answer.Authoritative = true
	question := q.Question[0]
	at, ok := n.records[strings.ToLower(question.Name)]
	for _, rr := range at {
		if rr.Header().Rrtype == question.Qtype {
			answer.Answer = append(answer.Answer, rr)
		}
	}
	if len(answer.Answer) == 0 && n.soa != nil && dns.IsSubDomain(n.soa.Header().Name, question.Name) {
		answer.Ns = []dns.RR{n.soa}
	}
	if !ok {
		answer.Rcode = dns.RcodeNameError
	}
	return answer
}

// both writes to several servers, as a primary with secondaries does at its
// best.
type both []*nameserver

func (b both) Publish(_ context.Context, name, value string) error {
	for _, n := range b {
		n.put(name, value)
	}
	return nil
}

func (b both) Withdraw(_ context.Context, name, value string) error {
	for _, n := range b {
		n.remove(name, value)
	}
	return nil
}

const soa = " SOA ns1.test. hostmaster.test. 1 3600 600 86400 5"

// newZone is the zone example.test at two servers, and a resolver that knows
// where it is.
func newZone(t testing.TB) (r *Resolver, first, second *nameserver) {
	t.Helper()
	servers := newServers(t, 3)
	recursive, first, second := servers[0], servers[1], servers[2]
	recursive.add(t, "example.test."+soa, "example.test. NS ns1.test.", "example.test. NS ns2.test.", "ns1.test. A 127.0.0.2", "ns2.test. A 127.0.0.3")
	_, port, err := net.SplitHostPort(first.addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &Resolver{Servers: []string{recursive.addr}, AuthoritativePort: number}, first, second
}

func newSolver(r *Resolver, p Publisher, patience time.Duration) *DNSSolver {
	return &DNSSolver{Publisher: p, Resolver: r, Logger: slog.New(slog.DiscardHandler), Patience: patience}
}

func record(domain, value string) Record {
	return Record{Type: DNS01, Domain: domain, Name: Name(domain), Target: Name(domain), Value: value}
}

const token = "secret-token-of-the-responder"

// newCompanion is the real responder for the zone auth.test, with its API.
// It takes dynamic updates too, with companionSecret.
func newCompanion(t testing.TB) (server *dnsserver.Server, api *httptest.Server, r *Resolver) {
	t.Helper()
	sum := sha256.Sum256([]byte(token))
	server, err := dnsserver.New(dnsserver.Config{
		Zones: []dnsserver.Zone{{
			Name: "auth.test", NameServers: []string{"ns1.auth.test"},
			Records: "ns1 A 127.0.0.1\n_acme-challenge.linked CNAME here\n_acme-challenge.loop CNAME _acme-challenge.loop2\n_acme-challenge.loop2 CNAME _acme-challenge.loop\n",
		}, {Name: "other.test", NameServers: []string{"ns1.auth.test"}}},
		Tokens: []dnsserver.Token{{Name: "t", SHA256: hex.EncodeToString(sum[:]), Names: []string{"*.auth.test"}}},
		Keys: []dnsserver.TSIGKey{{
			Name: "terraform", Secret: tsig.NewSecret(companionSecret), Updates: []string{"*.auth.test"}, Types: []string{"TXT", "CNAME"},
		}},
	}, dnsserver.NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	api = httptest.NewServer(server.Handler())
	t.Cleanup(api.Close)
	return server, api, &Resolver{Servers: []string{server.Addr().String()}, AuthoritativePort: int(server.Addr().Port())}
}

const companionSecret = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="

func newResponder(t testing.TB, url, token string) *Responder {
	t.Helper()
	r, err := NewResponder(url, token)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var errInjected = errors.New("injected")

// flaky is a Publisher that fails for some values and notes all it was asked.
type flaky struct {
	mu        sync.Mutex
	fails     map[string]bool
	withdrawn map[string]bool
}

func (f *flaky) Publish(_ context.Context, _, value string) error {
	if f.fails[value] {
		return fmt.Errorf("publish %s: %w", value, errInjected)
	}
	return nil
}

func (f *flaky) Withdraw(_ context.Context, _, value string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.withdrawn == nil {
		f.withdrawn = map[string]bool{}
	}
	f.withdrawn[value] = true
	if f.fails[value] {
		return fmt.Errorf("withdraw %s: %w", value, errInjected)
	}
	return nil
}

func (f *flaky) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.withdrawn))
}

func wantParts(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want %q in it", err, part)
		}
	}
}

// deaf is a handler that answers when the request is given up, which a server
// notices only after it has read the body.
func deaf(arrived chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
	}
}
