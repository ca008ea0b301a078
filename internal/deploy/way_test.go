package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// rsaPair issues a certificate for a key of RSA.
func (f *fixture) rsaPair(t *testing.T) Material {
	t.Helper()
	key, err := pki.GenerateKey(pki.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	return Material{f.ca.Sign(t, f.now, []string{name}, key.Signer().Public()), key}
}

// An nginx that has a certificate for each kind of key: the one that is deployed
// is replaced and proven, the other is left alone, whichever of them it prefers.
func TestDeploy_besideAnotherKindOfKey(t *testing.T) {
	f := newFixture(t)
	rsa := f.rsaPair(t)
	rsaFiles := [2]string{filepath.Join(f.tls(), "rsa.pem"), filepath.Join(f.tls(), "rsa.key")}
	put := func(m Material) {
		t.Helper()
		key, err := m.Key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(rsaFiles[0], pki.EncodeCertificates(m.Chain...), 0o644), os.WriteFile(rsaFiles[1], key, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	both := fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s; ", rsaFiles[0], rsaFiles[1])
	want := func(kind x509.PublicKeyAlgorithm, m Material) {
		t.Helper()
		served, err := Way{Key: kind}.probe(t.Context(), f.job.Proof.Endpoint)
		if err != nil || served.Fingerprint != pki.Fingerprint(m.Chain[0]) {
			t.Errorf("of %s it serves %s (%v), want %s", kind, served.Fingerprint, err, pki.Fingerprint(m.Chain[0]))
		}
	}
	put(rsa)
	f.WriteConfig(t, both+"ssl_protocols TLSv1.2 TLSv1.3;")
	f.Reload(t)
	want(x509.ECDSA, f.old)
	if _, err := Prove(t.Context(), f.job.Proof, serves(f.job.Proof.Endpoint, rsa.Chain)); err != nil {
		t.Fatalf("asked for any, it does not serve the one of RSA: %v", err)
	}

	if result, err := Deploy(t.Context(), f.job); err != nil || result.Served.Fingerprint != pki.Fingerprint(f.fresh.Chain[0]) {
		t.Fatalf("deploy = %+v, %v", result, err)
	}
	want(x509.ECDSA, f.fresh)
	want(x509.RSA, rsa)

	// The other one, by a deployment of its own.
	options := f.options()
	options.FullchainPath, options.PrivateKeyPath = rsaFiles[0], rsaFiles[1]
	other := f.jobFor(t, options)
	other.Material = f.rsaPair(t)
	if _, err := Deploy(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	want(x509.ECDSA, f.fresh)
	want(x509.RSA, other.Material)
	for _, job := range []Job{f.job, other} {
		if seen, err := Observe(t.Context(), job); err != nil || len(seen.Drift)+len(seen.Warnings) > 0 {
			t.Errorf("observed %+v, %v; want neither drift nor warnings", seen, err)
		}
	}

	// Of two kinds in TLS 1.3 alone only one can be seen.
	f.WriteConfig(t, both+"ssl_protocols TLSv1.3;")
	f.Reload(t)
	if _, err := Prove(t.Context(), Proof{Endpoint: f.job.Proof.Endpoint}, func(s Served) error {
		if s.Version != "TLS 1.3" {
			return errors.New(s.Version)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.job.Material, f.job.Proof.Timeout = f.issue(t), 2*time.Second
	_, err := Deploy(t.Context(), f.job)
	if _ = wantRollback(t, err, true); err == nil || !strings.Contains(err.Error(), "speaks TLS 1.3 alone") || !strings.Contains(err.Error(), "show an ECDSA certificate") {
		t.Errorf("error = %v, want it to say what cannot be told", err)
	}
	f.job.Material = f.fresh
	if seen, err := Observe(t.Context(), f.job); err != nil || len(seen.Drift) > 0 || len(seen.Warnings) != 1 {
		t.Errorf("observed %+v, %v; want a warning, since nothing can be told", seen, err)
	}
}

// Where there is one certificate, a new kind of key is no obstacle.
func TestDeploy_changesTheKindOfKey(t *testing.T) {
	f := newFixture(t)
	for range 2 {
		f.job.Material = f.rsaPair(t)
		if _, err := Deploy(t.Context(), f.job); err != nil {
			t.Fatal(err)
		}
		f.wantServed(t, f.job.Material)
		f.job.Material = f.issue(t)
		f.WriteConfig(t, "no_such_directive on;")
		if _, err := Deploy(t.Context(), f.job); err == nil || !strings.Contains(err.Error(), "the old certificate is served") {
			t.Errorf("error = %v, want a proven way back to the other kind", err)
		}
		f.WriteConfig(t, "ssl_protocols TLSv1.3;")
		if _, err := Deploy(t.Context(), f.job); err != nil {
			t.Fatal(err)
		}
		f.wantServed(t, f.job.Material)
	}
}

// farm is a member of a name: it serves what it is given.
func farm(t *testing.T, address string, m Material) (string, *atomic.Pointer[tls.Certificate]) {
	t.Helper()
	var current atomic.Pointer[tls.Certificate]
	current.Store(certificateOf(m))
	listener, err := tls.Listen("tcp", address, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go serve(listener)
	return listener.Addr().String(), &current
}

func certificateOf(m Material) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{m.Chain[0].Raw, m.Chain[1].Raw}, PrivateKey: m.Key.Signer()}
}

// All addresses have to serve it, and the error names the one that does not.
func TestProve_everyAddress(t *testing.T) {
	f := newFixture(t)
	first, _ := farm(t, "127.0.0.1:0", f.fresh)
	second, current := farm(t, "127.0.0.1:0", f.old)
	proof := Proof{Endpoint: Endpoint{first, name}, Others: []string{second}, Steady: -1, Timeout: 300 * time.Millisecond}
	_, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain))
	if !errors.Is(err, ErrOtherServed) || !strings.Contains(err.Error(), second+` (server name`) || strings.Contains(err.Error(), first) {
		t.Errorf("prove = %v, want the second address and not the first", err)
	}
	current.Store(certificateOf(f.fresh))
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain)); err != nil {
		t.Errorf("prove = %v", err)
	}
	proof.Others = append(proof.Others, "127.0.0.1:1")
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain)); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("prove = %v, want the address that is silent", err)
	}
}

// Every member behind a name is proven, by the name.
func TestProve_membersOfAName(t *testing.T) {
	f := newFixture(t)
	first, _ := farm(t, "127.0.0.1:0", f.fresh)
	_, port, err := net.SplitHostPort(first)
	if err != nil {
		t.Fatal(err)
	}
	second, current := farm(t, "127.0.0.2:"+port, f.old)
	proof := Proof{
		Endpoint: Endpoint{"web.example.test:" + port, name}, Members: true, Resolver: resolver(t, "127.0.0.1", "127.0.0.2"),
		Steady: -1, Timeout: 500 * time.Millisecond,
	}
	_, err = Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain))
	if !errors.Is(err, ErrOtherServed) || !strings.Contains(err.Error(), second) || strings.Contains(err.Error(), first) {
		t.Errorf("prove = %v, want %s to be named alone", err, second)
	}
	f.job.Proof, f.job.Material = proof, f.fresh
	f.job.Distant = true
	if seen, err := Observe(t.Context(), f.job); err != nil || len(seen.Drift) != 1 || !strings.Contains(seen.Drift[0], second) {
		t.Errorf("observed %+v, %v; want the drift of %s", seen, err, second)
	}
	current.Store(certificateOf(f.fresh))
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain)); err != nil {
		t.Errorf("prove = %v", err)
	}
	proof.Resolver = resolver(t)
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.fresh.Chain)); err == nil || !strings.Contains(err.Error(), "resolve web.example.test") {
		t.Errorf("prove = %v, want that the name does not resolve", err)
	}
}

// resolver answers every question for an address with some.
func resolver(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: connection, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		for _, address := range addresses {
			if question.Question[0].Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{Hdr: dns.RR_Header{Name: question.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(address)})
			}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = connection.Close() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", connection.LocalAddr().String())
	}}
}

// farSide dials for another address than it is asked for.
type farSide struct{ address string }

func (f farSide) Dial(ctx context.Context, _ string) (net.Conn, error) {
	return transport.Local{}.Dial(ctx, f.address)
}

// The machine connects where it is told to, and this one does not.
func TestWay_fromTheMachine(t *testing.T) {
	f := newFixture(t)
	served, err := Way{Dialer: farSide{f.Address}}.probe(t.Context(), Endpoint{"127.0.0.1:1", name})
	if err != nil || served.Fingerprint != pki.Fingerprint(f.old.Chain[0]) {
		t.Errorf("inspect = %s, %v", served.Fingerprint, err)
	}
}

// A command proves what no handshake can, and the result says so.
func TestDeploy_provenByACommand(t *testing.T) {
	f := newFixture(t)
	files := filepath.Join(t.TempDir(), "passes")
	f.job.Proof = Proof{Command: []string{"test", "-e", files}, Timeout: 300 * time.Millisecond}
	before := state(t, f.tls())
	_, err := Deploy(t.Context(), f.job)
	failure := wantRollback(t, err, true)
	if failure != nil && (!strings.Contains(failure.Cause.Error(), "prove by a command: test -e "+files+" exited with 1") || !strings.Contains(failure.Truth, "it is not proven what is served")) {
		t.Errorf("cause = %v, truth = %s", failure.Cause, failure.Truth)
	}
	if after := state(t, f.tls()); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the files are not what they were")
	}
	if err := os.WriteFile(files, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, changed := range []bool{true, false} {
		result, err := Deploy(t.Context(), f.job)
		if err != nil || result.Proven != ByCommand || result.Changed != changed {
			t.Errorf("deploy = %+v, %v; want changed = %t by a command", result, err, changed)
		}
	}
	// A command that passed before has to pass again after a way back.
	f.WriteConfig(t, "no_such_directive on;")
	f.job.Material = f.issue(t)
	_, err = Deploy(t.Context(), f.job)
	if failure := wantRollback(t, err, true); failure != nil && !strings.Contains(failure.Truth, "passes as before") {
		t.Errorf("truth = %s", failure.Truth)
	}
}
