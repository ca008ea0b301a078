package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The server makes a key at its first start, and ds prints what the parent
// needs of it.
func TestDS_isThatOfTheServer(t *testing.T) {
	config := writeConfig(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.Replace(string(text), `zone "auth.example.com" { nameservers = ["ns.example.net"] }`, "zone \"auth.example.com\" {\n  nameservers = [\"ns.example.net\"]\n  dnssec = true\n}", 1)
	if err := os.WriteFile(config, []byte(signed), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"ds", config, "auth.example.com"}, &out, &errs); code != exitFault || !strings.Contains(errs.String(), "start the server once") {
		t.Errorf("before the first start: exit %d, %s", code, errs.String())
	}
	p := startProcess(t, config)
	m := new(dns.Msg).SetQuestion("auth.example.com.", dns.TypeCDS)
	reply, _, err := (&dns.Client{Net: "tcp"}).Exchange(m, p.dns)
	if err != nil || len(reply.Answer) != 1 {
		t.Fatalf("CDS: %v, %v", reply, err)
	}
	p.end(t, syscall.SIGTERM, 10*time.Second)
	if code := run(t.Context(), []string{"ds", config, "Auth.Example.Com"}, &out, &errs); code != exitOK || !strings.Contains(strings.ToUpper(out.String()), strings.ToUpper(reply.Answer[0].(*dns.CDS).Digest)) {
		t.Errorf("exit %d, %q, %q; want the digest of %v", code, out.String(), errs.String(), reply.Answer[0])
	}
	if _, err := readConfig(policyConfig(t, "dnssec {\n  parent_ttl = \"soon\"\n}\n")); err == nil || !strings.Contains(err.Error(), ":6: dnssec: parent_ttl") {
		t.Errorf("a time that is none: %v", err)
	}
}
