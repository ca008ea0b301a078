package order

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// CheckIssued tells whether the certificate in a journal is what was ordered:
// the key and names of the request, not expired, and a chain in order. It may
// begin in the future: more clocks are slow than CAs early. The error wraps
// ErrUnacceptable.
func CheckIssued(j Journal, now time.Time) error {
	chain, err := pki.ParseCertificates(j.Certificate)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnacceptable, err)
	}
	leaf := chain[0]
	if err := checkOrdered(leaf, j); err != nil {
		return fmt.Errorf("%w: %w", ErrUnacceptable, err)
	}
	if err := pki.CheckChain(chain); err != nil {
		return fmt.Errorf("%w: %w", ErrUnacceptable, err)
	}
	if !now.Before(leaf.NotAfter) {
		return fmt.Errorf("%w: it expired on %s (now is %s)", ErrUnacceptable, leaf.NotAfter, now)
	}
	if err := checkEncryption(leaf, j); err != nil {
		return fmt.Errorf("%w: %w", ErrUnacceptable, err)
	}
	return nil
}

// checkEncryption holds the other certificate of an SM2 pair, if there is one,
// against the first.
func checkEncryption(leaf *x509.Certificate, j Journal) error {
	if len(j.Encryption) == 0 {
		return nil
	}
	encryption, err := pki.ParseCertificates(j.Encryption)
	if err != nil {
		return fmt.Errorf("the encryption certificate: %w", err)
	}
	if err := pki.CheckChain(encryption); err != nil {
		return fmt.Errorf("the encryption certificate: %w", err)
	}
	return pki.CheckPair(leaf, encryption[0])
}

// checkOrdered holds a certificate against the signing request; without one,
// since the CA made the key, against the names.
func checkOrdered(leaf *x509.Certificate, j Journal) error {
	if len(j.Request) > 0 {
		return pki.CheckIssued(leaf, j.Request)
	}
	if got, want := pki.NameSet(pki.Names(leaf)), pki.NameSet(j.Intent.Names); !slices.Equal(got, want) {
		return fmt.Errorf("it is for %q, ordered was %q", got, want)
	}
	return nil
}
