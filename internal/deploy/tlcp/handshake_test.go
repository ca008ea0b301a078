package tlcp_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/tjfoc/gmsm/gmtls"
	othersm2 "github.com/tjfoc/gmsm/sm2"
	otherx509 "github.com/tjfoc/gmsm/x509"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/tlcp"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

const name = "www.sm2.test"

// holder is a certificate and its key.
type holder struct {
	certificate *x509.Certificate
	key         pki.Key
}

// certifies makes a certificate; an empty holder one that signs itself.
func (h holder) certifies(t testing.TB, usage smx509.KeyUsage, names ...string) holder {
	t.Helper()
	key, err := pki.GenerateKey(pki.SM2)
	if err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: strings.Join(append(names, "CA"), " ")}, DNSNames: names, KeyUsage: usage, BasicConstraintsValid: true, IsCA: len(names) == 0,
	}
	parent, signer := template, key.Signer()
	if h.certificate != nil {
		if parent, err = smx509.ParseCertificate(h.certificate.Raw); err != nil {
			t.Fatal(err)
		}
		signer = h.key.Signer()
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return holder{certificate, key}
}

// pair is what a server has.
type pair struct{ signing, encryption, ca holder }

func newPair(t testing.TB) pair {
	t.Helper()
	ca := holder{}.certifies(t, smx509.KeyUsageCertSign)
	return pair{ca.certifies(t, smx509.KeyUsageDigitalSignature, name), ca.certifies(t, smx509.KeyUsageKeyEncipherment, name), ca}
}

// foreign is the key in the terms of another implementation.
func foreign(t testing.TB, key pki.Key) *othersm2.PrivateKey {
	t.Helper()
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	private, err := otherx509.ReadPrivateKeyFromPem(text, nil)
	if err != nil {
		t.Fatalf("hand the key over: %v", err)
	}
	return private
}

// serve runs the server of another implementation with a pair and returns its
// address. Seen gets the names clients ask for.
func serve(t testing.TB, p pair, seen chan<- string) string {
	t.Helper()
	config := &gmtls.Config{
		GMSupport: gmtls.NewGMSupport(),
		Certificates: []gmtls.Certificate{
			{Certificate: [][]byte{p.signing.certificate.Raw}, PrivateKey: foreign(t, p.signing.key)},
			{Certificate: [][]byte{p.encryption.certificate.Raw, p.ca.certificate.Raw}, PrivateKey: foreign(t, p.encryption.key)},
		},
	}
	return listen(t, func(conn net.Conn) {
		server := gmtls.Server(conn, config)
		if server.Handshake() == nil && seen != nil {
			seen <- server.ConnectionState().ServerName
		}
	})
}

// listen serves connections until the test ends.
func listen(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// shake makes one connection.
func shake(t testing.TB, address, name string) (tlcp.Peer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return tlcp.Handshake(ctx, conn, name)
}

func TestHandshake_withAnotherImplementation(t *testing.T) {
	t.Parallel()
	p, seen := newPair(t), make(chan string, 1)
	peer, err := shake(t, serve(t, p, seen), name)
	if err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != name {
		t.Errorf("the server was asked for %q, want %q", got, name)
	}
	want := []*x509.Certificate{p.signing.certificate, p.encryption.certificate, p.ca.certificate}
	if len(peer.Certificates) != len(want) || peer.Suite != "ECC_SM4_CBC_SM3" {
		t.Fatalf("%d certificates by %s, want %d by ECC_SM4_CBC_SM3", len(peer.Certificates), peer.Suite, len(want))
	}
	for n := range want {
		if !peer.Certificates[n].Equal(want[n]) {
			t.Errorf("certificate %d is for %s, want %s", n+1, peer.Certificates[n].Subject, want[n].Subject)
		}
	}
	for _, none := range []string{"", "127.0.0.1"} {
		if _, err := shake(t, serve(t, p, seen), none); err != nil || <-seen != "" {
			t.Errorf("%q: %v, want a handshake without a name", none, err)
		}
	}
}

func TestHandshake_provesBothKeys(t *testing.T) {
	t.Parallel()
	p, other := newPair(t), newPair(t)
	for sentence, server := range map[string]pair{
		"another signing key":    {holder{p.signing.certificate, other.signing.key}, p.encryption, p.ca},
		"another encryption key": {p.signing, holder{p.encryption.certificate, other.encryption.key}, p.ca},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			peer, err := shake(t, serve(t, server, nil), name)
			if err == nil || peer.Certificates != nil {
				t.Errorf("the handshake completes with %d certificates", len(peer.Certificates))
			}
			if strings.Contains(sentence, "signing") && !errors.Is(err, tlcp.ErrSignature) {
				t.Errorf("error %v, want %v", err, tlcp.ErrSignature)
			}
		})
	}
}

// A handshake that ends anywhere, or says anything else, is an error and no hang.
func TestHandshake_cutOff(t *testing.T) {
	t.Parallel()
	address := serve(t, newPair(t), nil)
	for limit := 0; ; limit += 97 {
		cut := listen(t, func(conn net.Conn) {
			server, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			go func() { _, _ = io.Copy(server, conn) }()
			_, _ = io.CopyN(conn, server, int64(limit))
		})
		_, err := shake(t, cut, name)
		if err == nil {
			if limit < 500 {
				t.Errorf("completes after %d bytes", limit)
			}
			return
		}
		if limit > 1<<14 {
			t.Fatalf("never completes: %v", err)
		}
	}
}

func TestHandshake_otherServers(t *testing.T) {
	t.Parallel()
	certificate, err := tls.X509KeyPair(ecdsaPair(t))
	if err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct {
		serve func(net.Conn)
		want  error
	}{
		"one of TLS": {func(conn net.Conn) {
			_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
		}, tlcp.Alert(70)},
		"one of HTTP": {func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, tlcp.ErrMessage},
		"one that says nothing": {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, context.DeadlineExceeded},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := net.Dial("tcp", listen(t, test.serve))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := tlcp.Handshake(ctx, conn, name); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

// TEST_TLCP_SERVER is host:port of a Tongsuo or Tengine with a pair, where one
// runs.
func TestHandshake_withAServerOfTheProduct(t *testing.T) {
	address := os.Getenv("TEST_TLCP_SERVER")
	if address == "" {
		return // there is none to be had as a package: see docs/design/0013-sm2.md
	}
	peer, err := shake(t, address, os.Getenv("TEST_TLCP_NAME"))
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.CheckPair(peer.Certificates[0], peer.Certificates[1]); err != nil {
		t.Error(err)
	}
}

func ecdsaPair(t testing.TB) (certificate, key []byte) {
	t.Helper()
	made, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, made.Signer().Public(), made.Signer())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = made.PEM(); err != nil {
		t.Fatal(err)
	}
	return pki.EncodeCertificates(parsed), key
}
