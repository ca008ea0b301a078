package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/watch"
)

// expiring is a server whose certificate ends in half a day.
func expiring(t *testing.T) (address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "www.example.com"}, DNSNames: []string{"www.example.com"},
		NotBefore: time.Now().AddDate(0, 0, -89), NotAfter: time.Now().Add(12 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }(conn)
		}
	}()
	return l.Addr().String()
}

// A certificate that nobody renewed is told of once, also across a restart, and
// shows in the metrics.
func TestServe_tellsOfCertificatesNobodyRenewed(t *testing.T) {
	told := make(chan watch.Notice, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n watch.Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || r.Header.Get("X-Certificate-Dns-Signature") == "" {
			t.Errorf("notice: %v, headers %v", err, r.Header)
		}
		told <- n
	}))
	t.Cleanup(hook.Close)
	config := writeConfig(t)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `api { listen = "127.0.0.1:0" }`, "api {\n  listen = \"127.0.0.1:0\"\n  metrics_from = [\"127.0.0.0/8\"]\n}", 1) + `
watch {
  endpoint "www" {
    address     = "` + expiring(t) + `"
    server_name = "www.example.com"
  }
  webhook {
    url = "` + hook.URL + `"
    key = "a key"
  }
}
`
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, config)
	select {
	case n := <-told:
		if n.Name != "www" || n.Stage != watch.StageDay || n.Subject != "CN=www.example.com" {
			t.Errorf("told %+v", n)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was told")
	}
	p.wantWatched(t)
	p.end(t, syscall.SIGTERM, 10*time.Second)
	p = startProcess(t, config)
	p.wantWatched(t)
	p.end(t, syscall.SIGTERM, 10*time.Second)
	if len(told) > 0 {
		t.Errorf("told again after a restart: %+v", <-told)
	}
}

// wantWatched waits until the metrics have the expiry: the endpoint was looked at.
func (p *process) wantWatched(t *testing.T) {
	t.Helper()
	for begun := time.Now(); ; {
		response, err := http.Get(p.api + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("metrics: %s, %v", response.Status, err)
		}
		if strings.Contains(string(text), `certificate_dns_watch_not_after_seconds{name="www"`) {
			return
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("the endpoint is not in the metrics:\n%s", text)
		}
		<-time.After(10 * time.Millisecond)
	}
}
