package dnsserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// startTLS starts a server that answers over TLS too, and returns what trusts
// its certificate.
func startTLS(t *testing.T, config Config) (*Server, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ns.example.com"}, DNSNames: []string{"ns.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(config, NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.UseTLS(&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, "127.0.0.1:0")
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return s, roots
}

func TestTLS_answersAsOverTCP(t *testing.T) {
	s, roots := startTLS(t, testConfig())
	put(t, s, "a.example.com", "v")
	big := strings.Repeat("x", 250)
	for i := range 40 { // more than fits a datagram
		put(t, s, "big.example.com", big+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	secure := &dns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{RootCAs: roots, ServerName: "ns.example.com", NextProtos: []string{"dot"}, MinVersion: tls.VersionTLS12}}
	plain := &dns.Client{Net: "tcp"}
	conn, err := secure.DialContext(t.Context(), s.TLSAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "dot" {
		t.Errorf("protocol %q, want dot", got)
	}
	for _, question := range []string{"a.example.com. TXT", "big.example.com. TXT", "www.example.com. A", "none.example.com. A", "example.com. SOA", "example.org. A", "x.sub.example.com. A"} {
		m := ask(question)
		want, _, err := plain.Exchange(m, s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := secure.ExchangeWithConnContext(t.Context(), m, conn) // one connection for all
		if err != nil || got.String() != want.String() {
			t.Errorf("%s: %v, %v; want %v", question, got, err, want)
		}
	}
	var asked bool
	for _, e := range s.queries.matching(func(string) bool { return true }, time.Time{}, 100) {
		asked = asked || e.Transport == "tls" && e.Name == "a.example.com"
	}
	if !asked {
		t.Error("the query log has no query over TLS")
	}
}

// A shutdown does not wait for a client in the middle of its handshake, nor for
// one that says nothing after it.
func TestTLS_shutdownEndsHandshakes(t *testing.T) {
	s, roots := startTLS(t, testConfig())
	address := s.TLSAddrs()[0].String()
	half, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Write([]byte{22, 3, 1}); err != nil { // the begin of a record
		t.Fatal(err)
	}
	whole, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "ns.example.com", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	for s.conns.count() < 2 {
		<-time.After(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than a handshake may take
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shut down: %v", err)
	}
}

// Strangers that speak no TLS are cut off and counted, and what is bounded over
// TCP is bounded here.
func TestTLS_isBounded(t *testing.T) {
	config := testConfig()
	config.MaxPerClient = 2
	s, roots := startTLS(t, config)
	address := s.TLSAddrs()[0].String()
	stranger, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := stranger.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	for err == nil {
		_, err = stranger.Read(buf)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || s.counters.failedHandshakes.Load() != 1 {
		t.Errorf("who speaks no TLS: %v, %d counted; want the end, and 1", err, s.counters.failedHandshakes.Load())
	}
	trusting := &tls.Config{RootCAs: roots, ServerName: "ns.example.com", MinVersion: tls.VersionTLS12}
	for s.conns.count() > 0 {
		<-time.After(time.Millisecond)
	}
	for range 2 {
		conn, err := tls.Dial("tcp", address, trusting)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if conn, err := tls.Dial("tcp", address, trusting); err == nil {
		_ = conn.Close()
		t.Error("a third connection of a client is taken, and two are allowed")
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, ServerName: "ns.example.com", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is taken")
	}
}

// kdig is another implementation of a client.
func TestTLS_kdig(t *testing.T) {
	program, err := exec.LookPath("kdig")
	if err != nil {
		t.Skip("kdig is not installed: apt-get install -y --no-install-recommends knot-dnsutils")
	}
	s, _ := startTLS(t, testConfig())
	put(t, s, "a.example.com", "seen over TLS")
	address := s.TLSAddrs()[0]
	output, err := exec.CommandContext(t.Context(), program, "-d", "@"+address.Addr().String(), "-p", address.String()[strings.LastIndexByte(address.String(), ':')+1:],
		"+tls", "+tls-sni=ns.example.com", "+retry=0", "+timeout=20", "a.example.com", "TXT").CombinedOutput()
	if err != nil || !strings.Contains(string(output), `"seen over TLS"`) || !slices.Contains(strings.Fields(string(output)), "NOERROR;") {
		t.Errorf("%v\n%s", err, output)
	}
}
