package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
)

func TestServes(t *testing.T) {
	now := time.Now()
	ca := deploytest.NewAuthority(t, now)
	chain, _ := ca.Issue(t, now, []string{name})
	other, _ := ca.Issue(t, now, []string{name})
	whole := []*x509.Certificate{chain[0], chain[1], ca.Root}
	tests := map[string]struct {
		served, want []*x509.Certificate
		err          error
	}{
		"the whole chain":          {chain, chain, nil},
		"the root is left out":     {chain, whole, nil},
		"the root is sent too":     {whole, chain, nil},
		"the intermediate lacks":   {chain[:1], chain, ErrIncompleteChain},
		"another leaf":             {other, chain, ErrOtherServed},
		"the leaf alone is wanted": {chain, chain[:1], nil},
		"self-signed":              {[]*x509.Certificate{ca.Root}, []*x509.Certificate{ca.Root}, nil},
		"another intermediate":     {[]*x509.Certificate{chain[0], ca.Root}, chain, ErrIncompleteChain},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			if err := serves(Endpoint{}, test.want)(Served{Chain: test.served}); !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("serves = %v, want %v", err, test.err)
			}
		})
	}
}

func TestProve_alternatingServer(t *testing.T) {
	f := newApp(t)
	fresh := f.current.Load()
	var calls atomic.Int32
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if calls.Add(1)%3 == 0 {
				return nil, errors.New("every third fails")
			}
			return fresh, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go serve(listener)
	endpoint := Endpoint{listener.Addr().String(), name}
	want := serves(endpoint, f.old.Chain)
	if _, err := Prove(t.Context(), Proof{Endpoint: endpoint, Consecutive: 2, Steady: -1, Timeout: time.Second}, want); err != nil {
		t.Errorf("two in a row: %v", err)
	}
	served, err := Prove(t.Context(), Proof{Endpoint: endpoint, Consecutive: 3, Steady: -1, Timeout: 300 * time.Millisecond}, want)
	if err == nil || served.Chain != nil {
		t.Errorf("three in a row were proven: %+v", served)
	}
}

func TestProbe_silentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Probe(ctx, Endpoint{listener.Addr().String(), name}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("probe = %v, want context.DeadlineExceeded", err)
	}
}

// A server without the key of its certificate is what a fingerprint alone does
// not find out.
func TestProbe_serverWithoutTheKey(t *testing.T) {
	f := newApp(t)
	mixed := &tls.Certificate{Certificate: [][]byte{f.fresh.Chain[0].Raw, f.fresh.Chain[1].Raw}, PrivateKey: f.old.Key.Signer()}
	f.current.Store(mixed)
	if served, err := Probe(t.Context(), Endpoint{f.address, name}); err == nil {
		t.Errorf("a handshake completed: %+v", served)
	}
}

// After a reload nginx is seen to answer with the new certificate several times
// before the old one comes once more.
func TestProve_shortRowIsNotEnough(t *testing.T) {
	f := newApp(t)
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	old := f.current.Load()
	fresh := &tls.Certificate{Certificate: [][]byte{f.fresh.Chain[0].Raw, f.fresh.Chain[1].Raw}, PrivateKey: f.fresh.Key.Signer()}
	var calls atomic.Int32
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if calls.Add(1) == 5 {
				return old, nil
			}
			return fresh, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go serve(listener)
	endpoint := Endpoint{listener.Addr().String(), name}
	proof := Proof{Endpoint: endpoint, Consecutive: 3, Steady: 20 * time.Second, Timeout: 3 * time.Second}
	if _, err := Prove(t.Context(), proof, serves(endpoint, f.fresh.Chain)); !errors.Is(err, ErrOtherServed) {
		t.Errorf("a row shorter than Steady: %v, want the old certificate to be noticed", err)
	}
	proof.Steady = 50 * time.Millisecond
	if _, err := Prove(t.Context(), proof, serves(endpoint, f.fresh.Chain)); err != nil {
		t.Errorf("a steady row: %v", err)
	}
}
