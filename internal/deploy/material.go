package deploy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Material is what gets deployed.
type Material struct {
	Chain []*x509.Certificate // as a server sends it: the leaf first
	Key   pki.Key             // empty when the key already lives on the machine
}

// ParseMaterial reads a certificate and its chain from PEM. The chain may be
// empty when certificatePEM holds it too. The order is kept: Deploy refuses a
// wrong one.
func ParseMaterial(certificatePEM, chainPEM []byte, key pki.Key) (Material, error) {
	chain, err := pki.ParseCertificates(certificatePEM)
	if err != nil {
		return Material{}, fmt.Errorf("read the certificate: %w", err)
	}
	more, err := pki.ParseCertificates(chainPEM)
	if err != nil && !errors.Is(err, pki.ErrNoCertificate) {
		return Material{}, fmt.Errorf("read the chain: %w", err)
	}
	for _, c := range more {
		// A full chain given where the chain alone belongs is no mistake worth an error.
		if !slices.ContainsFunc(chain, c.Equal) {
			chain = append(chain, c)
		}
	}
	return Material{chain, key}, nil
}

// Why Deploy refuses a certificate before anything is touched.
var (
	ErrNotCovered = errors.New("the certificate does not cover the server name")
	ErrNotValid   = errors.New("the certificate is not valid now")
	ErrNotServer  = errors.New("the certificate is not for servers")
)

// CheckMaterial finds every reason not to deploy that needs no machine: a broken
// or incomplete chain (pki.ErrChainBroken), a key that is another one's
// (pki.ErrKeyMismatch; an empty key is passed over), dates that exclude now, a
// usage that excludes servers, and names that do not cover serverName, if one is
// given.
func CheckMaterial(m Material, serverName string, now time.Time) error {
	if err := pki.CheckChain(m.Chain); err != nil {
		return err
	}
	leaf := m.Chain[0]
	var problems []error
	if !m.Key.Empty() {
		problems = append(problems, m.Key.Matches(leaf))
	}
	for _, c := range m.Chain {
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			problems = append(problems, fmt.Errorf("%w: %q is valid from %s to %s, now is %s", ErrNotValid, c.Subject,
				c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
		}
	}
	if !forServers(leaf) {
		problems = append(problems, fmt.Errorf("%w: its extended key usage lacks server authentication", ErrNotServer))
	}
	if serverName != "" {
		if err := leaf.VerifyHostname(serverName); err != nil {
			problems = append(problems, fmt.Errorf("%w: %w", ErrNotCovered, err))
		}
	}
	return errors.Join(problems...)
}

// forServers follows RFC 5280 §4.2.1.12: no extension allows every use.
func forServers(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// describe names a certificate so that a person finds it again.
func describe(c *x509.Certificate) string {
	return fmt.Sprintf("fingerprint %s, subject %q, valid until %s", pki.Fingerprint(c), c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
}
