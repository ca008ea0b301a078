package dnsserver

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/tsig"
)

var updateSecret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

// updateConfig has keys of several kinds.
func updateConfig() Config {
	config := testConfig()
	secret := tsig.NewSecret(updateSecret)
	config.Keys = []TSIGKey{
		{Name: "all", Secret: secret, Updates: []string{"example.com", "*.example.com"}, Types: []string{"ANY"}},
		{Name: "txt", Algorithm: "hmac-sha512", Secret: secret, Updates: []string{"*.dyn.example.com", "_acme-challenge.www.example.com"}},
		{Name: "_acme-challenge.self.example.com", Algorithm: "hmac-sha384", Secret: secret, Self: true},
		{Name: "reader", Secret: secret},
	}
	return config
}

// signer is the client's side of a key of updateConfig.
func signer(t testing.TB, name string) *tsig.Key {
	t.Helper()
	for _, conf := range transferConfig().Keys {
		if conf.Name == name {
			k, err := tsig.NewKey(conf.Name, conf.Algorithm, conf.Secret)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
	t.Fatalf("there is no key %q", name)
	return nil
}

// records parses lines of a zone file.
func parseRecords(t testing.TB, lines ...string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// sendUpdate signs and sends a message, and verifies and returns the reply.
func sendUpdate(t testing.TB, s *Server, network string, k *tsig.Key, m *dns.Msg) *dns.Msg {
	t.Helper()
	signed, mac := k.Sign(wire(t, m), nil, time.Now())
	reply := exchange(t, network, s.Addr().String(), signed)
	signature, err := tsig.Find(reply)
	if err != nil || signature == nil {
		t.Fatalf("the reply has no signature: %v", err)
	}
	if signature.Error == 0 {
		if err := k.Verify(reply, signature, mac, time.Now()); err != nil {
			t.Fatalf("the reply's signature: %v", err)
		}
	}
	return unwire(t, reply)
}

// shown lists the records of a name, without TTL and owner.
func shown(t testing.TB, s *Server, name string) []string {
	t.Helper()
	v := s.view.Load()
	var all []string
	for set := range v.table.get(name).sets() {
		for r := range set.records() {
			rr, err := newRR(name, set.rrtype, r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, shownRecord(rr))
		}
	}
	slices.Sort(all)
	return all
}

// updateCase is an update at a name that has a TXT "old" and an A, and what is
// answered and there afterwards.
type updateCase struct {
	title string
	key   string // "all" when empty
	make  func(t *testing.T, m *dns.Msg)
	rcode int
	want  string // records at a.dyn.example.com
}

const before = "A 192.0.2.7, TXT old"

func add(lines ...string) func(*testing.T, *dns.Msg) {
	return func(t *testing.T, m *dns.Msg) { m.Insert(parseRecords(t, lines...)) }
}

func updateCases() []updateCase {
	name := "a.dyn.example.com."
	prereq := func(what func(*dns.Msg, []dns.RR), line string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) {
			what(m, parseRecords(t, line))
			m.Insert(parseRecords(t, name+" 60 TXT new"))
		}
	}
	remove := func(what func(*dns.Msg, []dns.RR), lines ...string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) { what(m, parseRecords(t, lines...)) }
	}
	edited := func(edit func(rr dns.RR), line string) func(*testing.T, *dns.Msg) {
		return func(t *testing.T, m *dns.Msg) {
			m.Insert(parseRecords(t, line))
			edit(m.Ns[len(m.Ns)-1])
		}
	}
	class := func(c uint16) func(dns.RR) { return func(rr dns.RR) { rr.Header().Class = c } }
	return []updateCase{
		{"add a value", "txt", add(name + " 60 TXT new"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"add what is there", "", add(name + " 5 TXT old"), dns.RcodeSuccess, before},
		{"the case of names does not matter", "txt", add("A.dYn.example.com. 60 TXT New"), dns.RcodeSuccess, "A 192.0.2.7, TXT New, TXT old"},
		{"a long value", "", add(name + ` 60 TXT "` + strings.Repeat("x", 200) + `" "` + strings.Repeat("y", 200) + `"`), dns.RcodeSuccess, before + ", TXT " + strings.Repeat("x", 200) + strings.Repeat("y", 200)},
		{"other types", "", add(name+" 60 MX 10 mail.example.com.", name+` 60 TYPE65280 \# 2 abcd`), dns.RcodeSuccess, "A 192.0.2.7, MX 10 mail.example.com., TXT old, TYPE65280 280\t\\# 2 abcd"},
		{"a type that the key may not", "txt", add(name + " 60 A 192.0.2.8"), dns.RcodeRefused, before},
		{"a name that the key may not", "txt", add("b.example.com. 60 TXT new"), dns.RcodeRefused, before},
		{"all or nothing", "txt", add(name+" 60 TXT new", "b.example.com. 60 TXT new"), dns.RcodeRefused, before},
		{"a key without rights", "reader", add(name + " 60 TXT new"), dns.RcodeRefused, before},
		{"a key of its name elsewhere", "_acme-challenge.self.example.com", add(name + " 60 TXT new"), dns.RcodeRefused, before},
		{"a key of its name", "_acme-challenge.self.example.com", add("_acme-challenge.self.example.com. 60 TXT new"), dns.RcodeSuccess, before},
		{"outside the zone", "", add("a.example.org. 60 TXT new"), dns.RcodeNotZone, before},
		{"in a zone below", "", add("a.child.example.com. 60 TXT new"), dns.RcodeNotZone, before},
		{"below a delegation", "", add("a.sub.example.com. 60 TXT new"), dns.RcodeRefused, before},
		{"a CNAME beside others is passed over", "", add(name + " 60 CNAME www.example.com."), dns.RcodeSuccess, before},
		{"a signature is no record to keep", "", add(name + " 60 NSEC a.example.com. A"), dns.RcodeRefused, before},
		{"an SOA that is old", "", add("example.com. 60 SOA a. b. 1 1 1 1 1"), dns.RcodeSuccess, before},
		{"an SOA that is newer", "", add("example.com. 60 SOA a. b. 1000 1 1 1 1"), dns.RcodeRefused, before},

		{"delete a value", "txt", remove((*dns.Msg).Remove, name+" TXT old"), dns.RcodeSuccess, "A 192.0.2.7"},
		{"delete a value that is not there", "", remove((*dns.Msg).Remove, name+" TXT none"), dns.RcodeSuccess, before},
		{"delete a type", "", remove((*dns.Msg).RemoveRRset, name+" TXT ignored"), dns.RcodeSuccess, "A 192.0.2.7"},
		{"delete a name", "", remove((*dns.Msg).RemoveName, name+" TXT ignored"), dns.RcodeSuccess, ""},
		{"delete a name with a type that the key may not", "txt", remove((*dns.Msg).RemoveName, name+" TXT ignored"), dns.RcodeRefused, before},
		{"delete a configured value", "", remove((*dns.Msg).Remove, `www.example.com. TXT "static text"`), dns.RcodeRefused, before},
		{"delete a configured set", "", remove((*dns.Msg).RemoveRRset, "www.example.com. A 192.0.2.1"), dns.RcodeRefused, before},
		{"delete a configured name", "", remove((*dns.Msg).RemoveName, "www.example.com. A 192.0.2.1"), dns.RcodeRefused, before},
		{"delete the SOA", "", remove((*dns.Msg).RemoveRRset, "example.com. SOA a. b. 1 1 1 1 1"), dns.RcodeSuccess, before},
		{"delete the NS of the apex", "", remove((*dns.Msg).RemoveRRset, "example.com. NS ns1.example.com."), dns.RcodeSuccess, before},

		{"a name is in use, and it is", "", prereq((*dns.Msg).NameUsed, name+" TXT x"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"a name is in use, and it is not", "", prereq((*dns.Msg).NameUsed, "b.dyn.example.com. TXT x"), dns.RcodeNameError, before},
		{"a name above is none that is in use", "", prereq((*dns.Msg).NameUsed, "dyn.example.com. TXT x"), dns.RcodeNameError, before},
		{"a configured name is in use", "", prereq((*dns.Msg).NameUsed, "www.example.com. TXT x"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"a name is free, and it is not", "", prereq((*dns.Msg).NameNotUsed, name+" TXT x"), dns.RcodeYXDomain, before},
		{"a name is free, and it is", "", prereq((*dns.Msg).NameNotUsed, "b.dyn.example.com. TXT x"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"a set is there, and it is not", "", prereq((*dns.Msg).RRsetUsed, name+" MX 1 a."), dns.RcodeNXRrset, before},
		{"a set is not there, and it is", "", prereq((*dns.Msg).RRsetNotUsed, name+" A 192.0.2.7"), dns.RcodeYXRrset, before},
		{"a set is as it is", "", prereq((*dns.Msg).Used, name+" 0 A 192.0.2.7"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"a set is another", "", prereq((*dns.Msg).Used, name+" 0 A 192.0.2.9"), dns.RcodeNXRrset, before},
		{"a configured set is as it is", "", prereq((*dns.Msg).Used, "www.example.com. 0 A 192.0.2.1"), dns.RcodeSuccess, "A 192.0.2.7, TXT new, TXT old"},
		{"a prerequisite outside the zone", "", prereq((*dns.Msg).NameUsed, "a.example.org. TXT x"), dns.RcodeNotZone, before},

		{"an unknown class", "", edited(class(17), name+" 60 TXT new"), dns.RcodeFormatError, before},
		{"class ANY with data", "", edited(class(dns.ClassANY), name+" 0 TXT new"), dns.RcodeFormatError, before},
		{"class NONE with a TTL", "", edited(class(dns.ClassNONE), name+" 60 TXT old"), dns.RcodeFormatError, before},
		{"a prerequisite with a TTL", "", func(t *testing.T, m *dns.Msg) {
			m.Used(parseRecords(t, name+" A 192.0.2.7"))
			m.Answer[0].Header().Ttl = 5
		}, dns.RcodeFormatError, before},
		{"a record without data", "", func(_ *testing.T, m *dns.Msg) {
			m.Ns = append(m.Ns, &dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}})
		}, dns.RcodeFormatError, before},
		{"a question type", "", func(_ *testing.T, m *dns.Msg) {
			m.Ns = append(m.Ns, &dns.ANY{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeAXFR, Class: dns.ClassANY}})
		}, dns.RcodeFormatError, before},
		{"a zone that is none", "", func(_ *testing.T, m *dns.Msg) { m.Question[0].Name = "dyn.example.com." }, dns.RcodeNotAuth, before},
		{"no SOA in the zone section", "", func(_ *testing.T, m *dns.Msg) { m.Question[0].Qtype = dns.TypeTXT }, dns.RcodeFormatError, before},
	}
}

func TestUpdate_row12(t *testing.T) {
	for _, c := range updateCases() {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+"/"+c.title, func(t *testing.T) {
				s := startServer(t, updateConfig(), NewMemoryStore())
				put(t, s, "a.dyn.example.com", "old")
				if err := s.Change(t.Context(), Change{Name: "a.dyn.example.com", Type: dns.TypeA, TTL: 5, Data: "\xc0\x00\x02\x07"}); err != nil {
					t.Fatal(err)
				}
				serial := s.view.Load().states[s.view.Load().zones["example.com."].index].serial
				m := new(dns.Msg).SetUpdate("example.com.")
				c.make(t, m)
				reply := sendUpdate(t, s, network, signer(t, orDefault(c.key, "all")), m)
				if reply.Rcode != c.rcode || reply.Opcode != dns.OpcodeUpdate || len(reply.Question) != 1 {
					t.Errorf("%s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.rcode])
				}
				if got := strings.Join(shown(t, s, "a.dyn.example.com."), ", "); got != c.want {
					t.Errorf("there is %s, want %s", got, c.want)
				}
				now := s.view.Load().states[s.view.Load().zones["example.com."].index].serial
				changed := c.want != before || c.title == "a key of its name"
				if changed != (now == nextSerial(serial)) || !changed && now != serial {
					t.Errorf("the serial was %d and is %d", serial, now)
				}
			})
		}
	}
}

func TestUpdate_row13_badSignatures(t *testing.T) {
	s := startServer(t, updateConfig(), NewMemoryStore())
	unknown, err := tsig.NewKey("unknown", "", tsig.NewSecret(updateSecret))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := tsig.NewKey("all", "", tsig.NewSecret(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("f", 32)))))
	if err != nil {
		t.Fatal(err)
	}
	otherAlgorithm, err := tsig.NewKey("all", "hmac-sha512", tsig.NewSecret(updateSecret))
	if err != nil {
		t.Fatal(err)
	}
	good := signer(t, "all")
	for _, network := range []string{"udp", "tcp"} {
		for title, test := range map[string]struct {
			key    *tsig.Key
			at     time.Duration
			error  uint16
			signed bool
		}{
			"an unknown key":     {unknown, 0, dns.RcodeBadKey, false},
			"another algorithm":  {otherAlgorithm, 0, dns.RcodeBadKey, false},
			"another secret":     {forged, 0, dns.RcodeBadSig, false},
			"signed long ago":    {good, -time.Hour, dns.RcodeBadTime, true},
			"signed in an hour":  {good, time.Hour, dns.RcodeBadTime, true},
			"before the start":   {good, -time.Minute, dns.RcodeBadTime, true},
			"a query, forged":    {forged, 1, dns.RcodeBadSig, false},
			"a query, long ago":  {good, -time.Hour + 1, dns.RcodeBadTime, true},
			"a query, of nobody": {unknown, 1, dns.RcodeBadKey, false},
		} {
			m := new(dns.Msg).SetUpdate("example.com.")
			m.Insert(parseRecords(t, "a.dyn.example.com. 60 TXT new"))
			if strings.HasPrefix(title, "a query") {
				m = new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
			}
			signed, mac := test.key.Sign(wire(t, m), nil, time.Now().Add(test.at))
			reply := exchange(t, network, s.Addr().String(), signed)
			signature, err := tsig.Find(reply)
			if err != nil || signature == nil {
				t.Fatalf("%s: no TSIG: %v", title, err)
			}
			if got := unwire(t, reply); got.Rcode != dns.RcodeNotAuth || signature.Error != test.error || len(got.Answer) > 0 {
				t.Errorf("%s: %s %d, want NOTAUTH %d", title, dns.RcodeToString[got.Rcode], signature.Error, test.error)
			}
			if test.signed != (test.key.Verify(reply, signature, mac, time.Unix(int64(signature.Time), 0)) == nil) {
				t.Errorf("%s: want it signed: %t", title, test.signed)
			}
			if test.error == dns.RcodeBadTime && len(signature.Other) != 6 {
				t.Errorf("%s: the server's time is not said: %q", title, signature.Other)
			}
		}
	}
	if got := shown(t, s, "a.dyn.example.com."); len(got) > 0 {
		t.Errorf("there is %q, want nothing", got)
	}
}

// certbot signs its SOA query, and refuses an answer that is not signed.
func TestQuery_row13_isAnsweredSigned(t *testing.T) {
	s := startServer(t, updateConfig(), NewMemoryStore())
	for i := range 12 {
		put(t, s, "many.dyn.example.com", strings.Repeat(string(rune('a'+i)), 100))
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, key := range []string{"all", "txt", "reader"} {
			reply := sendUpdate(t, s, network, signer(t, key), ask("example.com. SOA"))
			if len(reply.Answer) != 1 || !reply.Authoritative {
				t.Errorf("%s, %s: %v, want the SOA", network, key, reply)
			}
		}
		m := ask("many.dyn.example.com. TXT")
		m.SetEdns0(1232, false)
		reply := sendUpdate(t, s, network, signer(t, "txt"), m)
		if reply.Truncated != (network == "udp") || network == "tcp" && len(reply.Answer) != 12 {
			t.Errorf("%s: TC %t with %d answers; the signature has to fit too", network, reply.Truncated, len(reply.Answer))
		}
	}
}

// FuzzUpdate checks that no body of an update that is signed makes the server
// panic or alters what is configured, and that every one is answered.
func FuzzUpdate(f *testing.F) {
	for _, c := range updateCases() {
		m := new(dns.Msg).SetUpdate("example.com.")
		c.make(&testing.T{}, m)
		f.Add(wire(f, m))
	}
	v := testView(f)
	s := &Server{zones: v.zones}
	keys, problems := compileKeys(updateConfig().Keys, v.zones)
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	configured := v.zones["example.com."].fingerprint()
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) < headerSize {
			return
		}
		q, err := readQuery(msg)
		if err != nil {
			return
		}
		before := bytes.Clone(msg)
		m, err := readUpdate(msg, q, 100)
		if err != nil {
			return
		}
		z := v.zones[m.zone]
		if z == nil || m.prescan(v, z, keys["all."]) != nil {
			return
		}
		d := newDraft(v)
		if m.check(v, z) == nil {
			_ = rcodeOf(m.apply(d, z, keys["all."], 100))
		}
		d.finish()
		if !bytes.Equal(before, msg) {
			t.Fatal("the message was altered")
		}
		if s.zones["example.com."].fingerprint() != configured {
			t.Fatal("what is configured was altered")
		}
	})
}
