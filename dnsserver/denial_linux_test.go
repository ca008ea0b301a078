package dnsserver

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

// startUnbound starts a validating resolver that asks servers for their zones,
// and trusts what the anchor says.
func startUnbound(t *testing.T, anchor string, zones map[string]netip.AddrPort) *daemon {
	t.Helper()
	program, err := exec.LookPath("unbound")
	if err != nil {
		program = "/usr/sbin/unbound" // not on everybody's PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("unbound is not installed: apt-get install -y --no-install-recommends unbound")
	}
	address, folder := reservePort(t), t.TempDir()
	config := fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  do-daemonize: no
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor: "%s"
  val-log-level: 2
remote-control:
  control-enable: no
`, address.Port(), folder, anchor)
	for zone, at := range zones {
		config += fmt.Sprintf("stub-zone:\n  name: %q\n  stub-addr: %s@%d\n", zone, at.Addr(), at.Port())
	}
	d := startDaemon(t, program, address, map[string]string{"unbound.conf": config}, folder, "-d", "-c", filepath.Join(folder, "unbound.conf"))
	settles(t, 30*time.Second, func() error {
		reply, err := d.resolve("signed.example.", dns.TypeSOA)
		if err == nil && reply.Rcode == dns.RcodeRefused {
			err = fmt.Errorf("%v", reply)
		}
		return err
	})
	return d
}

func (d *daemon) resolve(name string, rrtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(name, rrtype)
	m.SetEdns0(4096, true)
	reply, _, err := (&dns.Client{Net: "tcp", Timeout: 10 * time.Second}).Exchange(m, d.address.String())
	return reply, err
}

// secure fails unless Unbound has validated an answer.
func (d *daemon) secure(t *testing.T, name string, rrtype uint16, answers bool) {
	t.Helper()
	reply, err := d.resolve(name, rrtype)
	if err != nil || reply.Rcode != dns.RcodeSuccess || !reply.AuthenticatedData || (len(reply.Answer) > 0) != answers {
		t.Errorf("%s %s: %v, %v; want it validated, with an answer: %t\n%s", name, dns.Type(rrtype), reply, err, answers, d.log())
	}
}

// A validator of another maker believes what is signed, and proofs of what is
// not there; with another key it believes nothing.
func TestDNSSEC_unboundValidates(t *testing.T) {
	t.Parallel()
	s := startServer(t, signedConfig(t), NewMemoryStore())
	put(t, s, "_acme-challenge.signed.example", "token")
	child := startServer(t, Config{Zones: []Zone{{Name: "sub.signed.example", NameServers: []string{"ns.example.net"}, Records: "www TXT insecure"}}}, NewMemoryStore())
	key := keysOf(t, s)[0]
	zones := map[string]netip.AddrPort{"signed.example": s.Addr(), "sub.signed.example": child.Addr()}
	unbound := startUnbound(t, key.ToDS(dns.SHA256).String(), zones)
	for _, c := range []struct {
		name    string
		rrtype  uint16
		answers bool
	}{
		{"_acme-challenge.signed.example.", dns.TypeTXT, true},
		{"www.signed.example.", dns.TypeA, true},
		{"x.wild.signed.example.", dns.TypeTXT, true},
		{"alias.signed.example.", dns.TypeAAAA, true},
		{"signed.example.", dns.TypeDNSKEY, true},
		{"signed.example.", dns.TypeCDS, true},
		{"www.signed.example.", dns.TypeCAA, false},
		{"ent.signed.example.", dns.TypeTXT, false},
		{"none.signed.example.", dns.TypeTXT, false},
		{"a.b.none.signed.example.", dns.TypeTXT, false},
		{"sub.signed.example.", dns.TypeDS, false},
	} {
		unbound.secure(t, c.name, c.rrtype, c.answers)
	}
	if reply, err := unbound.resolve("www.sub.signed.example.", dns.TypeTXT); err != nil || len(reply.Answer) != 1 || reply.AuthenticatedData {
		t.Errorf("below an insecure delegation: %v, %v", reply, err)
	}
	put(t, s, "none.signed.example", "now it is there")
	put(t, s, "later.signed.example", "v")
	unbound.secure(t, "later.signed.example.", dns.TypeTXT, true) // no proof before covers it
	stranger, err := dnssec.NewKey("signed.example.", 300)
	if err != nil {
		t.Fatal(err)
	}
	distrustful := startUnbound(t, stranger.DS().String(), zones)
	if reply, err := distrustful.resolve("www.signed.example.", dns.TypeA); err != nil || reply.Rcode != dns.RcodeServerFailure {
		t.Errorf("with another anchor: %v, %v; want SERVFAIL", reply, err)
	}
}

// So does BIND's.
func TestDNSSEC_delvValidates(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("delv")
	if err != nil {
		t.Skip("delv is not installed: apt-get install -y --no-install-recommends bind9-dnsutils")
	}
	s := startServer(t, signedConfig(t), NewMemoryStore())
	key := keysOf(t, s)[0]
	anchor := filepath.Join(t.TempDir(), "anchor")
	text := fmt.Sprintf("trust-anchors { signed.example. static-key %d %d %d \"%s\"; };\n", key.Flags, key.Protocol, key.Algorithm, key.PublicKey)
	if err := os.WriteFile(anchor, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"www.signed.example A":      "; fully validated",
		"www.signed.example MX":     "; negative response, fully validated",
		"none.signed.example A":     "; negative response, fully validated",
		"x.wild.signed.example TXT": "; fully validated",
	} {
		args := append([]string{"@127.0.0.1", "-p", fmt.Sprint(s.Addr().Port()), "-a", anchor, "+root=signed.example"}, strings.Fields(question)...)
		output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(output), want) {
			t.Errorf("%s: %v\n%s", question, err, output)
		}
	}
}

// From one key to the next: at each step a validator with the parent's DS of
// that time believes the zone, and the step is not made before the parent has
// the new DS.
func TestDNSSEC_rollover(t *testing.T) {
	t.Parallel()
	config := signedConfig(t)
	parent := func(ds string) Config {
		return Config{Zones: []Zone{{Name: "example", NameServers: []string{"ns.example"}, Records: "ns A 127.0.0.1\nsigned NS ns.signed\nns.signed A 127.0.0.1\n" + ds}}}
	}
	world := startServer(t, parent(""), NewMemoryStore())
	config.Resolver = world.Addr().String()
	s := startServer(t, config, NewMemoryStore())
	s.dial = func(netip.Addr) netip.AddrPort { return world.Addr() }
	zones := map[string]netip.AddrPort{"signed.example": s.Addr()}
	first := keysOf(t, s)[0]
	believed := func(step string, ds *dns.DNSKEY) {
		t.Helper()
		startUnbound(t, ds.ToDS(dns.SHA256).String(), zones).secure(t, "www.signed.example.", dns.TypeA, true)
		if t.Failed() {
			t.Fatal(step)
		}
	}
	believed("before", first)
	if err := s.RollOver(t.Context(), "Signed.Example"); err != nil {
		t.Fatal(err)
	}
	if err := s.RollOver(t.Context(), "signed.example"); err == nil {
		t.Error("a second rollover begins beside the first")
	}
	keys := keysOf(t, s)
	if len(keys) != 2 {
		t.Fatalf("published are %v, want two", keys)
	}
	second := keys[0]
	if second.PublicKey == first.PublicKey {
		second = keys[1]
	}
	asked := func() string {
		for _, rr := range exchangeDO(t, s, "signed.example.", dns.TypeCDNSKEY).Answer {
			if key, ok := rr.(*dns.CDNSKEY); ok {
				return key.PublicKey
			}
		}
		return ""
	}
	believed("published", first)
	hasten(t, s) // published -> waiting
	if asked() != second.PublicKey {
		t.Error("CDNSKEY does not ask for the new key")
	}
	believed("waiting", first)
	hasten(t, s) // the parent has nothing yet
	hasten(t, s)
	if got := signedBy(t, s); got != first.KeyTag() {
		t.Errorf("before the parent has the DS, key %d signs, want %d", got, first.KeyTag())
	}
	ds := second.ToDS(dns.SHA256)
	if err := world.Reload(t.Context(), parent(fmt.Sprintf("signed DS %d %d %d %s", ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest))); err != nil {
		t.Fatal(err)
	}
	hasten(t, s) // waiting -> seen
	believed("seen, by who has the old DS", first)
	believed("seen", second)
	hasten(t, s) // seen -> active, and the old one retired
	if got := signedBy(t, s); got != second.KeyTag() {
		t.Errorf("key %d signs, want %d", got, second.KeyTag())
	}
	believed("active", second)
	hasten(t, s) // the old one is gone
	if keys := keysOf(t, s); len(keys) != 1 || keys[0].PublicKey != second.PublicKey {
		t.Errorf("in the end there are %v, want the new key alone", keys)
	}
	believed("after", second)
}

// signedBy is the tag of the key that signs the zone.
func signedBy(t *testing.T, s *Server) uint16 {
	t.Helper()
	for _, rr := range exchangeDO(t, s, "www.signed.example.", dns.TypeA).Answer {
		if signature, ok := rr.(*dns.RRSIG); ok {
			return signature.KeyTag
		}
	}
	return 0
}
