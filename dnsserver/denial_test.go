package dnsserver

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

// signedConfig has a signed zone with one of each kind of name.
func signedConfig(t testing.TB) Config {
	t.Helper()
	return Config{
		DNSSEC: DNSSEC{Folder: t.TempDir()},
		Zones: []Zone{
			{Name: "signed.example", Signed: true, NameServers: []string{"ns.signed.example"}, Records: `
ns       A     127.0.0.1
www      A     192.0.2.1
www      AAAA  2001:db8::1
alias    CNAME www
chain    CNAME none
out      CNAME www.example.net.
*.wild   TXT   "from the wildcard"
deep.ent TXT   "below an empty name"
sub      NS    ns.sub
ns.sub   A     127.0.0.1
safe     NS    ns.safe
safe     DS    12345 13 2 49FD46E6C4B45C55D4AC69CBD3CD34AC1AFE51DE49FD46E6C4B45C55D4AC69CB
ns.safe  A     127.0.0.1
`},
			{Name: "plain.example", NameServers: []string{"ns.signed.example"}},
		},
	}
}

// keysOf asks for the keys of the zone.
func keysOf(t testing.TB, s *Server) []*dns.DNSKEY {
	t.Helper()
	var keys []*dns.DNSKEY
	for _, rr := range exchangeDO(t, s, "signed.example.", dns.TypeDNSKEY).Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func exchangeDO(t testing.TB, s *Server, name string, rrtype uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, rrtype)
	m.SetEdns0(1232, true)
	for _, c := range change {
		c(m)
	}
	reply, _, err := (&dns.Client{Net: "tcp"}).Exchange(m, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// checkSigned checks every signature of a section, and that each rrset has one.
func checkSigned(t testing.TB, keys []*dns.DNSKEY, section []dns.RR) {
	t.Helper()
	sets := map[string][]dns.RR{}
	signatures := map[string][]*dns.RRSIG{}
	for _, rr := range section {
		key := func(rrtype uint16) string { return strings.ToLower(rr.Header().Name) + dns.Type(rrtype).String() }
		if signature, ok := rr.(*dns.RRSIG); ok {
			signatures[key(signature.TypeCovered)] = append(signatures[key(signature.TypeCovered)], signature)
			continue
		}
		sets[key(rr.Header().Rrtype)] = append(sets[key(rr.Header().Rrtype)], rr)
	}
	for name, set := range sets {
		if len(signatures[name]) == 0 {
			if rrtype := set[0].Header().Rrtype; rrtype != dns.TypeNS {
				t.Errorf("%s is not signed", name)
			}
			continue
		}
		for _, signature := range signatures[name] {
			i := slices.IndexFunc(keys, func(k *dns.DNSKEY) bool { return k.KeyTag() == signature.KeyTag })
			if i < 0 || signature.Verify(keys[i], set) != nil || !signature.ValidityPeriod(time.Now()) {
				t.Errorf("%s: the signature %v does not verify", name, signature)
			}
		}
		delete(signatures, name)
	}
	for name := range signatures {
		t.Errorf("there are signatures of %s, which is not there", name)
	}
}

// What row 18 of what is correct wants: signatures that verify over everything,
// and compact proofs.
func TestDNSSEC_row18(t *testing.T) {
	s := startServer(t, signedConfig(t), NewMemoryStore())
	put(t, s, "a.signed.example", "comes and goes")
	keys := keysOf(t, s)
	if len(keys) != 1 || keys[0].Algorithm != dns.ECDSAP256SHA256 || keys[0].Flags != 257 {
		t.Fatalf("keys %v, want one to sign with ECDSA P-256", keys)
	}
	for _, c := range []struct {
		name   string
		rrtype uint16
		answer int    // records but signatures
		nsec   string // types that the proof has; "" for none
		rcode  int
	}{
		{"www.signed.example.", dns.TypeA, 1, "", 0},
		{"wWw.SIGNED.example.", dns.TypeAAAA, 1, "", 0},
		{"a.signed.example.", dns.TypeTXT, 1, "", 0},
		{"signed.example.", dns.TypeSOA, 1, "", 0},
		{"signed.example.", dns.TypeNS, 1, "", 0},
		{"signed.example.", dns.TypeDNSKEY, 1, "", 0},
		{"signed.example.", dns.TypeCDS, 1, "", 0},
		{"signed.example.", dns.TypeCDNSKEY, 1, "", 0},
		{"signed.example.", dns.TypeTXT, 0, "NS SOA RRSIG NSEC DNSKEY CDS CDNSKEY", 0},
		{"www.signed.example.", dns.TypeTXT, 0, "A AAAA RRSIG NSEC", 0},
		{"a.signed.example.", dns.TypeCAA, 0, "TXT RRSIG NSEC", 0},
		{"none.signed.example.", dns.TypeTXT, 0, "RRSIG NSEC NXNAME", 0},
		{"NONE.signed.example.", dns.TypeA, 0, "RRSIG NSEC NXNAME", 0},
		{"ent.signed.example.", dns.TypeTXT, 0, "RRSIG NSEC", 0},
		{"x.y.wild.signed.example.", dns.TypeTXT, 1, "", 0},
		{"x.wild.signed.example.", dns.TypeA, 0, "TXT RRSIG NSEC", 0},
		{"alias.signed.example.", dns.TypeA, 2, "", 0},
		{"alias.signed.example.", dns.TypeTXT, 1, "A AAAA RRSIG NSEC", 0},
		{"chain.signed.example.", dns.TypeA, 1, "RRSIG NSEC NXNAME", 0},
		{"out.signed.example.", dns.TypeA, 1, "", 0},
		{"x.sub.signed.example.", dns.TypeA, 0, "NS RRSIG NSEC", 0},
		{"sub.signed.example.", dns.TypeDS, 0, "NS RRSIG NSEC", 0},
		{"x.safe.signed.example.", dns.TypeA, 0, "", 0},
		{"safe.signed.example.", dns.TypeDS, 1, "", 0},
		{"www.signed.example.", dns.TypeNSEC, 1, "", 0},
		{"www.signed.example.", dns.TypeANY, 1, "", 0},
		{"www.signed.example.", dns.TypeNXNAME, 0, "", dns.RcodeFormatError},
	} {
		question := c.name + " " + dns.Type(c.rrtype).String()
		reply := exchangeDO(t, s, c.name, c.rrtype)
		count, proof := 0, ""
		for _, rr := range reply.Answer {
			if rr.Header().Rrtype != dns.TypeRRSIG {
				count++
			}
		}
		for _, rr := range reply.Ns {
			if nsec, ok := rr.(*dns.NSEC); ok {
				var types []string
				for _, rrtype := range nsec.TypeBitMap {
					types = append(types, dns.Type(rrtype).String())
				}
				proof = strings.Join(types, " ")
				if !strings.EqualFold(nsec.NextDomain, `\000.`+nsec.Hdr.Name) {
					t.Errorf("%s: the proof %v covers other names", question, nsec)
				}
			}
		}
		if reply.Rcode != c.rcode || count != c.answer || proof != c.nsec || reply.AuthenticatedData || !reply.IsEdns0().Do() {
			t.Errorf("%s: want %d records, proof %q, rcode %d in\n%v", question, c.answer, c.nsec, c.rcode, reply)
		}
		checkSigned(t, keys, reply.Answer)
		checkSigned(t, keys, reply.Ns)
	}
	if nx := exchangeDO(t, s, "none.signed.example.", dns.TypeA, func(m *dns.Msg) { m.IsEdns0().SetCo() }); nx.Rcode != dns.RcodeNameError {
		t.Errorf("for who takes compact answers: %v, want NXDOMAIN", nx)
	}
}

// Who does not ask for it sees nothing of it, and other zones have none.
func TestDNSSEC_onlyForWhoAsks(t *testing.T) {
	s := startServer(t, signedConfig(t), NewMemoryStore())
	for _, question := range []string{"www.signed.example. A", "none.signed.example. A", "www.signed.example. TXT", "x.sub.signed.example. A"} {
		reply, _, err := (&dns.Client{}).Exchange(ask(question), s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, rr := range slices.Concat(reply.Answer, reply.Ns, reply.Extra) {
			if rrtype := rr.Header().Rrtype; rrtype == dns.TypeRRSIG || rrtype == dns.TypeNSEC {
				t.Errorf("%s without DO has %v", question, rr)
			}
		}
		if strings.HasPrefix(question, "none") && reply.Rcode != dns.RcodeNameError {
			t.Errorf("without DO: %v, want NXDOMAIN", reply)
		}
	}
	if reply := exchangeDO(t, s, "plain.example.", dns.TypeSOA); len(reply.Answer) != 1 {
		t.Errorf("an unsigned zone: %v", reply)
	}
	if reply := exchangeDO(t, s, "plain.example.", dns.TypeDNSKEY); len(reply.Answer) != 0 || reply.Rcode != dns.RcodeSuccess {
		t.Errorf("an unsigned zone: %v", reply)
	}
}

// The keys are made once; a restart signs with the same, and without the file
// the server does not begin.
func TestDNSSEC_keysStay(t *testing.T) {
	config, store := signedConfig(t), NewMemoryStore()
	s := startServer(t, config, store)
	first := keysOf(t, s)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := keysOf(t, startServer(t, config, store)); len(again) != 1 || again[0].PublicKey != first[0].PublicKey {
		t.Errorf("after a restart %v, before %v", again, first)
	}
	config.DNSSEC.Folder = t.TempDir()
	elsewhere, err := New(config, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.Start(t.Context(), "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "copy it from the server that made it") {
		t.Errorf("without the file: %v", err)
	}
	config.Zones[0].Primaries = []Primary{{Address: "192.0.2.1:53"}}
	config.Zones[0].NameServers, config.Zones[0].Records = nil, ""
	if problems := config.Problems(); len(problems) != 1 || problems[0].Field != "dnssec" {
		t.Errorf("a copied zone that is signed here: %v", problems)
	}
	config = signedConfig(t)
	config.DNSSEC.Folder = ""
	if problems := config.Problems(); len(problems) != 1 || problems[0].Field != "dnssec" {
		t.Errorf("without a folder: %v", problems)
	}
}

// Administrators see and begin a rollover over HTTP, others read.
func TestDNSSEC_overHTTP(t *testing.T) {
	config := signedConfig(t)
	config.Tokens = []Token{
		{Name: "root", SHA256: hashOf("root-token"), Rights: []string{"admin", "read"}},
		{Name: "ci", SHA256: hashOf("ci-token"), Names: []string{"*.signed.example"}},
	}
	s := startServer(t, config, NewMemoryStore())
	if w := call(t, s, "POST", "/v1/zones/signed.example/rollover", "ci-token", ""); w.Code != 403 {
		t.Errorf("without the right: %d %s", w.Code, w.Body)
	}
	if w := call(t, s, "POST", "/v1/zones/plain.example/rollover", "root-token", ""); w.Code != 409 || !strings.Contains(w.Body.String(), "dnssec = true") {
		t.Errorf("an unsigned zone: %d %s", w.Code, w.Body)
	}
	var before, after client.ZoneKeys
	if err := json.Unmarshal(call(t, s, "GET", "/v1/zones/signed.example/keys", "ci-token", "").Body.Bytes(), &before); err != nil || len(before.Keys) != 1 || !before.Keys[0].Here || before.DS[0] != before.Keys[0].DS {
		t.Errorf("keys %+v, %v", before, err)
	}
	if err := json.Unmarshal(call(t, s, "POST", "/v1/zones/signed.example/rollover", "root-token", "").Body.Bytes(), &after); err != nil || len(after.Keys) != 2 || after.Keys[1].State != "published" || after.DS[0] != before.DS[0] {
		t.Errorf("keys %+v, %v; want a second one that is published", after, err)
	}
	metrics := call(t, s, "GET", "/metrics", "root-token", "").Body.String()
	if !strings.Contains(metrics, `certificate_dns_dnssec_keys{zone="signed.example",state="published"`) || !strings.Contains(metrics, `certificate_dns_dnssec_keys_missing{zone="signed.example"} 0`) {
		t.Errorf("metrics:\n%s", metrics)
	}
}

// hasten makes what is due with the keys due now.
func hasten(t testing.TB, s *Server) {
	t.Helper()
	text, ok, err := s.Document(ringPrefix + "signed.example.")
	var ring dnssec.Ring
	if err != nil || !ok || json.Unmarshal(text, &ring) != nil {
		t.Fatalf("no keys are kept: %t, %v", ok, err)
	}
	for i := range ring.Entries {
		ring.Entries[i].Since = ring.Entries[i].Since.AddDate(0, -1, 0)
	}
	changed, err := json.Marshal(ring)
	if err == nil {
		err = s.PutDocument(t.Context(), ringPrefix+"signed.example.", changed)
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err == nil {
		err = s.useKeys(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzDNSSEC_answersVerify(f *testing.F) {
	s := startServer(f, signedConfig(f), NewMemoryStore())
	put(f, s, "a.signed.example", "v")
	keys := keysOf(f, s)
	for _, seed := range []string{"www", "none", "*.wild", "x.wild", `\000`, "a.b.c.d", `sp\032ace`, "sub", "x.safe"} {
		f.Add(seed, dns.TypeTXT)
	}
	f.Fuzz(func(t *testing.T, label string, rrtype uint16) {
		name := label + ".signed.example."
		if _, ok := dns.IsDomainName(name); !ok || !dns.IsSubDomain("signed.example.", name) || rrtype == dns.TypeAXFR || rrtype == dns.TypeIXFR || rrtype == dns.TypeNXNAME || rrtype == dns.TypeOPT {
			return
		}
		m := new(dns.Msg).SetQuestion(name, rrtype)
		m.SetEdns0(4096, true)
		wire, err := m.Pack()
		if err != nil {
			return
		}
		r := s.view.Load().respond(wire, &terms{policy: s.policy.Load(), limit: tcpSize, now: time.Now()})
		var reply dns.Msg
		if err := reply.Unpack(r.wire); err != nil || reply.Rcode != dns.RcodeSuccess {
			t.Fatalf("%q %d: %v, %v", name, rrtype, &reply, err)
		}
		checkSigned(t, keys, reply.Answer)
		checkSigned(t, keys, reply.Ns)
	})
}
