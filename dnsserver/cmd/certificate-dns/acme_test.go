package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// forwarder is a name server that asks another one over TCP, as Pebble asks it.
type forwarder struct {
	address string
	to      chan string // has the other one once it is known
}

func newForwarder(t *testing.T) *forwarder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	f := &forwarder{address: listener.Addr().String(), to: make(chan string, 1)}
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		to := <-f.to
		f.to <- to
		answer, _, err := (&dns.Client{Net: "tcp"}).Exchange(question, to)
		if err != nil {
			answer = new(dns.Msg).SetRcode(question, dns.RcodeServerFailure)
		}
		_ = w.WriteMsg(answer) // who asked may be gone
	})}
	go func() { _ = server.ActivateAndServe() }() // until the listener is closed
	return f
}

// The API gets a certificate by records that the server itself answers, is
// trusted, and has the same one after a restart.
func TestServe_apiHasACertificateOfItsOwn(t *testing.T) {
	world := newForwarder(t)
	l, err := lab.Start(t.Context(), lab.Options{Resolver: world.address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	config := writeConfig(t)
	bundle := filepath.Join(filepath.Dir(config), "ca.pem")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `api { listen = "127.0.0.1:0" }`, `api {
  listen = "127.0.0.1:0"
  acme {
    names          = ["auth.example.com"]
    agree_to_terms = true
    directory_url  = "`+l.DirectoryURL+`"
    ca_bundle_file = "`+bundle+`"
  }
}
tls { listen = ["127.0.0.1:0"] }`, 1)
	if err := os.WriteFile(bundle, l.CABundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.Roots)
	served := func(address string) *x509.Certificate {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(address, "https://"), &tls.Config{RootCAs: roots, ServerName: "auth.example.com", MinVersion: tls.VersionTLS12})
			if err == nil {
				leaf := conn.ConnectionState().PeerCertificates[0]
				_ = conn.Close()
				return leaf
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	p := startProcess(t, config)
	world.to <- p.dns
	first := served(p.api)
	if over := served(p.tls); !bytes.Equal(over.Raw, first.Raw) {
		t.Error("DNS over TLS has another certificate than the API")
	}
	if left := p.txt(t, "_acme-challenge.auth.example.com"); len(left) != 0 {
		t.Errorf("records are left: %q", left)
	}
	p.end(t, syscall.SIGTERM, 10*time.Second)
	p = startProcess(t, config)
	if again := served(p.api); !bytes.Equal(again.Raw, first.Raw) {
		t.Error("after a restart another certificate is served")
	}
	if got := l.CA.Count("issued"); got != 1 {
		t.Errorf("%d certificates were issued, want 1", got)
	}
}

func TestConfig_acme(t *testing.T) {
	with := func(api string) string { return policyConfig(t, "api {\n  listen = \"0.0.0.0:443\"\n"+api+"\n}\n") }
	good := "  acme {\n    names = [\"api.example.com\"]\n    agree_to_terms = true\n  }"
	conf, err := readConfig(with(good))
	if err != nil || conf.own.Folder != "identity" || !conf.api.tls() {
		t.Fatalf("%+v, %v; want a folder beside the storage", conf.own, err)
	}
	for sentence, c := range map[string]struct {
		api  string
		want []string
	}{
		"a name of others":       {strings.Replace(good, "api.example.com", "api.example.net", 1), []string{":9: api: acme:", `"api.example.net" is in no zone of this server`}},
		"no name":                {strings.Replace(good, `"api.example.com"`, "", 1), []string{":9:", "there is no name"}},
		"terms not agreed to":    {strings.Replace(good, "true", "false", 1), []string{":10:", "agree_to_terms = true"}},
		"files too":              {good + "\n  certificate_file = \"a\"\n  key_file = \"b\"", []string{"not both"}},
		"a directory in clear":   {strings.Replace(good, "  }", "    directory_url = \"http://ca.example\"\n  }", 1), []string{":11:", "no https URL"}},
		"an address that is not": {strings.Replace(good, "  }", "    email = \"nobody\"\n  }", 1), []string{":11:", "no mail address"}},
		"a bundle that is not":   {strings.Replace(good, "  }", "    ca_bundle_file = \"/nowhere\"\n  }", 1), []string{":11:", "/nowhere"}},
		"a key that is not":      {strings.Replace(good, "  }", "    external_account {\n      key_id = \"a\"\n      hmac_key = \"!\"\n    }\n  }", 1), []string{"hmac_key", "base64url"}},
	} {
		_, err := readConfig(with(c.api))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", sentence, err, want)
			}
		}
	}
}
