package challenge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// alpnProtocol is what the CA negotiates (RFC 8737 §6.2).
const alpnProtocol = "acme-tls/1"

var errNotForUs = errors.New("only the protocol " + alpnProtocol + " is spoken here")

// tlsConfig completes handshakes of the CA alone.
func (s *ListenSolver) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8737 §4
		NextProtos: []string{alpnProtocol}, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if !slices.Contains(hello.SupportedProtos, alpnProtocol) {
				return nil, errNotForUs
			}
			r, ok := s.at(strings.ToLower(hello.ServerName))
			s.logger.DebugContext(hello.Context(), "asked for a validation certificate", "name", hello.ServerName, "from", hello.Conn.RemoteAddr(), "known", ok)
			if !ok {
				return nil, fmt.Errorf("no validation of %q is open", hello.ServerName)
			}
			return validationCertificate(r.Domain, r.Value)
		},
	}
}

// validationCertificate shows the digest of a key authorization for one name or
// address (RFC 8737 §3, RFC 8738 §6).
func validationCertificate(domain, digest string) (*tls.Certificate, error) {
	sum, err := hex.DecodeString(digest)
	if err != nil {
		return nil, fmt.Errorf("read the digest for %s: %w", domain, err)
	}
	identifier, err := asn1.Marshal(sum)
	if err != nil {
		return nil, fmt.Errorf("encode the digest for %s: %w", domain, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for the validation of %s: %w", domain, err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ACME challenge"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{{
			Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}, Critical: true, Value: identifier,
		}},
	}
	if ip := net.ParseIP(domain); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{domain}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate for the validation of %s: %w", domain, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
