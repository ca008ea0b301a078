package challenge

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.add(t, "here.test. TXT x", "_acme-challenge.one.test. CNAME HERE.test.",
		"a.test. CNAME b.test.", "b.test. CNAME c.test.", "c.test. CNAME gone.elsewhere.",
		"loop1.test. CNAME loop2.test.", "loop2.test. CNAME loop1.test.", "self.test. CNAME self.test.")
	for n := range 11 {
		server.add(t, fmt.Sprintf("chain%d.test. CNAME chain%d.test.", n, n+1))
	}
	r := talk(t, &Resolver{Servers: []string{server.addr}})
	for sentence, test := range map[string]struct{ name, want, problem string }{
		"no CNAME":                      {"here.test", "here.test", ""},
		"no such name":                  {"_acme-challenge.new.test", "_acme-challenge.new.test", ""},
		"one CNAME":                     {"_acme-challenge.one.test", "here.test", ""},
		"in another case":               {"_ACME-challenge.One.test", "here.test", ""},
		"a chain to a name that is not": {"a.test", "gone.elsewhere", ""},
		"ten CNAMEs":                    {"chain1.test", "chain11.test", ""},
		"eleven CNAMEs":                 {"chain0.test", "", "chain0.test: more than 10"},
		"a loop":                        {"loop1.test", "", "is there a loop?"},
		"a name that leads to itself":   {"self.test", "", "is there a loop?"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, _, err := r.follow(t.Context(), test.name)
			if got != test.want || (err == nil) != (test.problem == "") {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
			if test.problem != "" {
				wantParts(t, err, test.problem)
			}
		})
	}
}

func TestLookup_asksTheNextResolver(t *testing.T) {
	t.Parallel()
	servers := newServers(t, 3)
	servers[0].set(func(_, answer *dns.Msg) *dns.Msg { answer.Rcode = dns.RcodeServerFailure; return answer })
	servers[1].set(func(_, answer *dns.Msg) *dns.Msg { answer.Rcode = dns.RcodeRefused; return answer })
	servers[2].add(t, "a.test. CNAME b.test.")
	all := &Resolver{Servers: []string{servers[0].addr, servers[1].addr, servers[2].addr}}
	if got, _, err := talk(t, all).follow(t.Context(), "a.test"); got != "b.test" || err != nil {
		t.Errorf("%q, %v, want b.test", got, err)
	}
	failing := &Resolver{Servers: all.Servers[:2]}
	_, _, err := talk(t, failing).follow(t.Context(), "a.test")
	wantParts(t, err, servers[0].addr, "SERVFAIL", servers[1].addr, "REFUSED", "CNAME a.test")
	_, _, err = talk(t, &Resolver{}).follow(t.Context(), "a.test")
	wantParts(t, err, "no resolver is known")
}

func TestZone(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.add(t, "Example.test."+soa, "www.example.test. A 192.0.2.1")
	silent := newServers(t, 1)[0] // knows of no zone
	r := talk(t, &Resolver{Servers: []string{server.addr}})
	for name, want := range map[string]string{
		"example.test":                         "example.test.",
		"www.example.test":                     "example.test.",
		"_acme-challenge.example.test":         "example.test.",
		"_acme-challenge.not.yet.example.test": "example.test.",
		"_ACME-Challenge.EXAMPLE.test.":        "example.test.",
	} {
		if got, err := r.zone(t.Context(), name); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	_, err := talk(t, &Resolver{Servers: []string{silent.addr}}).zone(t.Context(), "a.b.test")
	wantParts(t, err, "a.b.test", "no SOA record")
}

// Some servers leave the SOA out of negative answers; the zone is found above.
func TestZone_climbsWhereTheSOAIsMissing(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.add(t, "example.test."+soa)
	server.set(func(_, answer *dns.Msg) *dns.Msg { answer.Ns = nil; return answer })
	r := talk(t, &Resolver{Servers: []string{server.addr}})
	if got, err := r.zone(t.Context(), "_acme-challenge.a.b.example.test"); got != "example.test." || err != nil {
		t.Errorf("%q, %v, want example.test.", got, err)
	}
}

// The SOA of another zone in an answer is not believed.
func TestZone_ignoresAForeignSOA(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.add(t, "example.test."+soa)
	foreign, err := dns.NewRR("elsewhere.test." + soa)
	if err != nil {
		t.Fatal(err)
	}
	server.set(func(q, answer *dns.Msg) *dns.Msg {
		if q.Question[0].Name != "example.test." {
			answer.Ns = []dns.RR{foreign}
		}
		return answer
	})
	r := talk(t, &Resolver{Servers: []string{server.addr}})
	if got, err := r.zone(t.Context(), "www.example.test"); got != "example.test." || err != nil {
		t.Errorf("%q, %v, want example.test.", got, err)
	}
}

func TestZone_realResponder(t *testing.T) {
	t.Parallel()
	_, _, resolver := newCompanion(t)
	r := talk(t, resolver)
	if got, err := r.zone(t.Context(), "_acme-challenge.not.yet.auth.test"); got != "auth.test." || err != nil {
		t.Errorf("%q, %v, want auth.test.", got, err)
	}
	if got, _, err := r.follow(t.Context(), "_acme-challenge.linked.auth.test"); got != "here.auth.test" || err != nil {
		t.Errorf("%q, %v, want here.auth.test", got, err)
	}
	if _, _, err := r.follow(t.Context(), "_acme-challenge.loop.auth.test"); err == nil {
		t.Error("a loop was followed to an end")
	}
}

func TestNameServers(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.add(t, "good.test. NS ns1.test.", "ns1.test. A 127.0.0.2", "ns1.test. AAAA ::2",
		"gone.test. NS nowhere.test.", "bare.test. NS bare-ns.test.", "bare-ns.test. TXT x", "none.test. TXT x")
	r := talk(t, &Resolver{Servers: []string{server.addr}, AuthoritativePort: 5})
	servers, err := r.nameServers(t.Context(), "good.test.")
	if got, want := fmt.Sprint(servers), "[{ns1.test. [127.0.0.2:5 [::2]:5]}]"; got != want || err != nil {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	_, err = r.nameServers(t.Context(), "gone.test.")
	wantParts(t, err, "nowhere.test.", "gone.test.", "does not exist")
	_, err = r.nameServers(t.Context(), "bare.test.")
	wantParts(t, err, "bare-ns.test.", "no address")
	_, err = r.nameServers(t.Context(), "none.test.")
	wantParts(t, err, "none.test.", "no NS records")
}

// talk opens a conversation for the length of a test.
func talk(t testing.TB, r *Resolver) *conversation {
	t.Helper()
	c := r.converse()
	t.Cleanup(c.close)
	return c
}

// unreachable makes a resolver that has no route to some addresses.
func unreachable(r *Resolver, addresses ...string) *Resolver {
	r.dialer.Control = func(_, address string, _ syscall.RawConn) error {
		for _, a := range addresses {
			if a == address {
				return syscall.ENETUNREACH
			}
		}
		return nil
	}
	return r
}
