package deploy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Way is how an endpoint is asked. The zero value is TLS from the first byte, from
// this machine, for the certificate that the server prefers.
type Way struct {
	StartTLS StartTLS
	Dialer   transport.Dialer // connects instead of this machine
	TLCP     bool             // as servers with a pair of SM2 speak; they have no other kind
	// Key is the kind of key whose certificate is asked for: a server can have one
	// for each. Unknown is any.
	Key x509.PublicKeyAlgorithm
}

// Probe is Inspect with little patience, for a server that is known to be near.
func Probe(ctx context.Context, endpoint Endpoint) (Served, error) {
	return Way{}.probe(ctx, endpoint)
}

// Inspect is Way.Inspect in the plain way.
func Inspect(ctx context.Context, endpoint Endpoint) (Served, error) {
	return Way{}.Inspect(ctx, endpoint)
}

func (w Way) probe(ctx context.Context, endpoint Endpoint) (Served, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return w.Inspect(ctx, endpoint)
}

// Inspect makes a new connection, completes the handshake and returns what the
// server sent. Whether to trust that is not its question.
//
// Where the server sends a certificate of another kind than w.Key, it is asked
// again in TLS 1.2 with the cipher suites that need one of that kind. In TLS 1.3
// suites say nothing of the certificate (RFC 8446 §4.4.2.2), the signature
// algorithms do, and crypto/tls lets nobody choose those: of a server that speaks
// TLS 1.3 alone the one certificate it sends is all there is to see.
func (w Way) Inspect(ctx context.Context, endpoint Endpoint) (Served, error) {
	served, err := w.shake(ctx, endpoint, &tls.Config{})
	if err != nil || w.TLCP || w.Key == x509.UnknownPublicKeyAlgorithm || suitesOf(served.Chain[0].PublicKeyAlgorithm) == suitesOf(w.Key) {
		return served, err
	}
	other, err := w.shake(ctx, endpoint, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suites(w.Key)}) //nolint:gosec // asks what is served there, see above
	if err == nil {
		return other, nil
	}
	if _, err := w.shake(ctx, endpoint, &tls.Config{MaxVersion: tls.VersionTLS12}); err != nil { //nolint:gosec // as above
		served.Hidden = true
	}
	return served, ctx.Err()
}

// suitesOf names the suites of TLS 1.2 that a certificate is used in.
func suitesOf(key x509.PublicKeyAlgorithm) string {
	if key == x509.ECDSA || key == x509.Ed25519 { // RFC 8422 §5.10
		return "ECDSA"
	}
	return key.String()
}

// suites are those that need a certificate of the kind of key.
func suites(key x509.PublicKeyAlgorithm) []uint16 {
	var ids []uint16
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		kind, _, ok := strings.Cut(suite.Name, "_WITH_")
		if kind = kind[strings.LastIndex(kind, "_")+1:]; ok && kind == suitesOf(key) {
			ids = append(ids, suite.ID)
		}
	}
	return ids
}

// doubt says what a certificate of another kind leaves open; empty when nothing.
func (s Served) doubt(wanted *x509.Certificate) string {
	if !s.Hidden {
		return ""
	}
	return fmt.Sprintf("; the server speaks TLS 1.3 alone, in which it cannot be made to show an %s certificate beside that one: allow TLS 1.2, or prove by verify.command", suitesOf(wanted.PublicKeyAlgorithm))
}

// shake makes one connection and completes one handshake.
func (w Way) shake(ctx context.Context, endpoint Endpoint, config *tls.Config) (Served, error) {
	raw, err := w.dial(ctx, endpoint.Address)
	if err != nil {
		return Served{}, fmt.Errorf("connect to %s: %w", endpoint.Address, err)
	}
	// The deferred close is the last use of a connection that carried no data.
	defer func() { _ = raw.Close() }()
	if err := w.StartTLS.begin(ctx, raw); err != nil {
		return Served{}, fmt.Errorf("%s: %w", endpoint.Address, err)
	}
	if w.TLCP {
		served, err := inspectTLCP(ctx, raw, endpoint.ServerName)
		served.Address = endpoint.Address
		if err != nil {
			err = errors.Join(ctx.Err(), fmt.Errorf("TLCP handshake with %s (server name %q): %w", endpoint.Address, endpoint.ServerName, err))
		}
		return served, err
	}
	served, err := inspect(ctx, raw, endpoint.ServerName, config)
	if err != nil {
		return Served{}, errors.Join(ctx.Err(), fmt.Errorf("TLS handshake with %s (server name %q): %w", endpoint.Address, endpoint.ServerName, err))
	}
	served.Address = endpoint.Address
	return served, nil
}

func (w Way) dial(ctx context.Context, address string) (net.Conn, error) {
	if w.Dialer != nil {
		return w.Dialer.Dial(ctx, address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// inspect completes a handshake that accepts every certificate. It looks at what
// is served, expired and self-signed included, and sends nothing over the
// connection afterwards, so no trust is placed in it. The peer's possession of
// the key is verified all the same: the handshake does not complete without it.
func inspect(ctx context.Context, raw net.Conn, serverName string, config *tls.Config) (Served, error) {
	var served Served
	config.InsecureSkipVerify = true // inspects and trusts nothing, see above
	config.ServerName = serverName
	config.MinVersion = tls.VersionTLS10
	config.SessionTicketsDisabled = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return pki.ErrNoCertificate
		}
		served = Served{Chain: state.PeerCertificates, Fingerprint: pki.Fingerprint(state.PeerCertificates[0]), Version: tls.VersionName(state.Version)}
		return nil
	}
	if err := tls.Client(raw, config).HandshakeContext(ctx); err != nil {
		return Served{}, err
	}
	return served, nil
}
