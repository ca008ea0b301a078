package pki

import (
	"crypto/x509"
	"time"
)

// Verify tells whether a client that trusts roots would accept a chain, leaf
// first, from the server called name (a DNS name or an IP address) at a moment.
func Verify(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: name, CurrentTime: now})
	return err
}
