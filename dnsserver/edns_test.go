package dnsserver

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func optionsOf(m *dns.Msg) (nsid string, ede []uint16) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			switch o := o.(type) {
			case *dns.EDNS0_NSID:
				b, _ := hex.DecodeString(o.Nsid)
				nsid = string(b)
			case *dns.EDNS0_EDE:
				ede = append(ede, o.InfoCode)
			}
		}
	}
	return nsid, ede
}

func TestEDNS_row19_NSID(t *testing.T) {
	config := testConfig()
	config.NSID = "ns1 of example"
	s := startServer(t, config, NewMemoryStore())
	silent := startServer(t, testConfig(), NewMemoryStore())
	m := ask("www.example.com. A")
	m.SetEdns0(1232, false)
	plain := wire(t, m)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	asking := wire(t, m)
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			title   string
			server  *Server
			request []byte
			want    string
		}{
			{"asked", s, asking, "ns1 of example"},
			{"not asked", s, plain, ""},
			{"without one", silent, asking, ""},
		} {
			reply := unwire(t, exchange(t, network, c.server.Addr().String(), c.request))
			if got, _ := optionsOf(reply); got != c.want || len(reply.Answer) != 1 {
				t.Errorf("%s, %s: %q and %d answers, want %q and one", network, c.title, got, len(reply.Answer), c.want)
			}
		}
	}
}

func TestEDNS_row19_extendedErrors(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	for question, want := range map[string]string{
		"www.example.org. A":     "REFUSED [20]", // not authoritative
		"example.com. AXFR":      "REFUSED [18]", // prohibited
		"www.example.com. A":     "NOERROR []",
		"missing.example.com. A": "NXDOMAIN []",
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(question)
			plain := unwire(t, exchange(t, network, s.Addr().String(), wire(t, m)))
			if plain.IsEdns0() != nil {
				t.Errorf("%s %s: EDNS to a client without", network, question)
			}
			m.SetEdns0(1232, false)
			reply := unwire(t, exchange(t, network, s.Addr().String(), wire(t, m)))
			if got := explained(reply); got != want {
				t.Errorf("%s %s: %s, want %s", network, question, got, want)
			}
		}
	}
	var nothing *view
	m := ask("www.example.com. A")
	m.SetEdns0(1232, false)
	if got, want := explained(unwire(t, nothing.respond(wire(t, m), &terms{limit: tcpSize}).wire)), "SERVFAIL [14]"; got != want {
		t.Errorf("before the records are loaded: %s, want %s", got, want)
	}
	m.Opcode = dns.OpcodeStatus
	if got, want := explained(unwire(t, nothing.respond(wire(t, m), &terms{limit: tcpSize}).wire)), "NOTIMP [21]"; got != want {
		t.Errorf("another opcode: %s, want %s", got, want)
	}
}

func explained(m *dns.Msg) string {
	_, ede := optionsOf(m)
	return fmt.Sprintf("%s %v", dns.RcodeToString[m.Rcode], ede)
}

// TestEDNS_row16_cookies sends what clients do, over both transports.
func TestEDNS_row16_cookies(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	config := testConfig()
	config.Cookies.Disabled = true
	without := startServer(t, config, NewMemoryStore())
	const theirs = "0102030405060708"
	for _, network := range []string{"udp", "tcp"} {
		ask := func(server *Server, cookie string) *dns.Msg {
			return unwire(t, exchange(t, network, server.Addr().String(), wire(t, withCookie(ask("www.example.com. A"), cookie))))
		}
		first := ask(s, theirs)
		cookie := cookieOf(first)
		if !strings.HasPrefix(cookie, theirs) || len(cookie) != 48 || len(first.Answer) != 1 {
			t.Fatalf("%s: %v, want the answer and a cookie", network, first)
		}
		if again := ask(s, cookie); cookieOf(again) != cookie {
			t.Errorf("%s: a fresh cookie becomes %s, want %s", network, cookieOf(again), cookie)
		}
		if foreign := ask(s, theirs+strings.Repeat("00", 32)); len(foreign.Answer) != 1 || len(cookieOf(foreign)) != 48 {
			t.Errorf("%s: with another server's cookie: %v, want the answer and a cookie of ours", network, foreign)
		}
		for _, malformed := range []string{"", "01", theirs + "01", theirs + strings.Repeat("00", 33)} {
			if m := ask(s, malformed); m.Rcode != dns.RcodeFormatError {
				t.Errorf("%s: a cookie of %d bytes: %s, want FORMERR", network, len(malformed)/2, dns.RcodeToString[m.Rcode])
			}
		}
		if m := ask(without, theirs); cookieOf(m) != "" || len(m.Answer) != 1 {
			t.Errorf("%s: without cookies: %v, want the answer and no cookie", network, m)
		}
	}
}

func TestConfig_checksThePolicy(t *testing.T) {
	config := testConfig()
	config.NSID = strings.Repeat("n", maxNSID+1)
	config.Cookies.Secrets = []CookieSecret{{}}
	if problems := config.Problems(); len(problems) != 2 || problems[0].Field != "nsid" || problems[1].Field != "cookies" {
		t.Errorf("%v, want one about nsid and one about cookies", problems)
	}
	config = testConfig()
	config.RateLimit.Exempt = []netip.Prefix{}
	if problems := config.Problems(); len(problems) > 0 {
		t.Error(problems)
	}
}
