package delegation_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/delegation"
)

// serve serves a zone on loopback and returns where.
func serve(t *testing.T, name, records string) netip.AddrPort {
	t.Helper()
	s, err := dnsserver.New(dnsserver.Config{Zones: []dnsserver.Zone{{
		Name: name, NameServers: []string{"ns1.hoster.test", "ns2.hoster.test"}, Records: records,
	}}}, dnsserver.NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

// resolver answers from fixed records and asks the servers of zones.
func resolver(t *testing.T, zones map[string]netip.AddrPort, records ...string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
				continue
			}
			if h := rr.Header(); strings.EqualFold(h.Name, q.Question[0].Name) && h.Rrtype == q.Question[0].Qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		for zone, addr := range zones {
			if len(reply.Answer) == 0 && dns.IsSubDomain(zone, strings.ToLower(q.Question[0].Name)) {
				c := dns.Client{Timeout: 2 * time.Second}
				if r, _, err := c.Exchange(q, addr.String()); err == nil {
					reply = r
				}
			}
		}
		_ = w.WriteMsg(reply)
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

func TestCheck(t *testing.T) {
	const name, target = "_acme-challenge.www.example.com.", "abc.auth.example.net."
	lead := serve(t, "example.com", "_acme-challenge.www CNAME abc.auth.example.net.\n_acme-challenge.via CNAME hop.example.org.\n"+
		"_acme-challenge.wrong CNAME other.auth.example.net.\n_acme-challenge.away CNAME x.example.org.\n_acme-challenge.txt TXT a")
	lags := serve(t, "example.com", "")
	hop := serve(t, "example.org", "hop CNAME abc.auth.example.net.")
	nobody := netip.MustParseAddrPort("127.0.0.1:1")
	here := delegation.Here{Zones: []string{"auth.example.net."}, NameServers: []string{"ns1.auth.example.net."}}
	for _, c := range []struct {
		title, name, target string
		second              netip.AddrPort // the second server of example.com
		verified            bool
		problem, fix        string
	}{
		{"every server leads here", name, target, lead, true, "", ""},
		{"anywhere here will do", name, "", lead, true, "", ""},
		{"over another name", "_acme-challenge.via.example.com.", target, lead, true, "", ""},
		{"one server lags", name, target, lags, false, "1 of 2 servers of example.com do not lead here: ns2.hoster.test (127.0.0.3): NXDOMAIN", "wait until all"},
		{"one server is away", name, target, nobody, false, "1 of 2 servers", "wait until all"},
		{"there is no CNAME", "_acme-challenge.none.example.com.", target, lead, false, "NXDOMAIN", "create _acme-challenge.none.example.com CNAME abc.auth.example.net in example.com"},
		{"there is a TXT instead", "_acme-challenge.txt.example.com.", target, lead, false, "no CNAME", "create"},
		{"it leads to another account", "_acme-challenge.wrong.example.com.", target, lead, false, "which is here and not abc.auth.example.net", "create"},
		{"it leads elsewhere", "_acme-challenge.away.example.com.", target, lead, false, "CNAME x.example.org, which is elsewhere", "create"},
		{"nothing is registered", "_acme-challenge.none.example.com.", "", lead, false, "NXDOMAIN", "register the domain"},
		{"the zone is nowhere", "_acme-challenge.example.invalid.", target, lead, false, "could not be found", "check that the domain"},
		{"its own zone", "x.auth.example.net.", "", lead, true, "", ""},
	} {
		t.Run(c.title, func(t *testing.T) {
			checker := delegation.Checker{
				Resolver: resolver(t, map[string]netip.AddrPort{"example.com.": lead, "example.org.": hop},
					"ns1.hoster.test. A 127.0.0.2", "ns2.hoster.test. A 127.0.0.3", "auth.example.net. NS ns1.auth.example.net."),
				Dial: func(addr netip.Addr) netip.AddrPort {
					if addr == netip.MustParseAddr("127.0.0.3") {
						return c.second
					}
					return lead
				},
			}
			got := checker.Check(t.Context(), c.name, c.target, here)
			if got.Verified != c.verified || !strings.Contains(got.Problem, c.problem) || !strings.Contains(got.Fix, c.fix) {
				t.Errorf("got %+v\nwant verified %t, %q, %q", got, c.verified, c.problem, c.fix)
			}
			if got.Verified != (got.Problem == "") {
				t.Errorf("verified %t with problem %q", got.Verified, got.Problem)
			}
		})
	}
}

func TestCheck_zoneThatIsNotDelegatedHere(t *testing.T) {
	checker := delegation.Checker{Resolver: resolver(t, nil, "auth.example.net. NS ns.old.test.")}
	here := delegation.Here{Zones: []string{"auth.example.net."}, NameServers: []string{"ns1.auth.example.net."}}
	got := checker.Check(t.Context(), "auth.example.net.", "", here)
	if got.Verified || !strings.Contains(got.Fix, "create NS for auth.example.net to ns1.auth.example.net") {
		t.Errorf("got %+v", got)
	}
}
