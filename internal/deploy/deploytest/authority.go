// Package deploytest has what tests of deployments need: certificate chains and
// a real nginx of their own.
//
// It is for tests only. Its invariant: everything it makes lives in the test's
// temporary directory and on loopback, and is gone when the test ends.
package deploytest

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Authority is a root and an intermediate below it.
type Authority struct {
	Root, Intermediate *x509.Certificate

	key pki.Key // of the intermediate
}

// NewAuthority makes an authority valid from an hour before now for ten years.
func NewAuthority(t testing.TB, now time.Time) *Authority {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "Test Root"}, NotAfter: now.AddDate(10, 0, 0), IsCA: true}
	a := &Authority{key: key}
	a.Root = sign(t, now, root, root, rootKey, rootKey)
	a.Intermediate = sign(t, now, &x509.Certificate{Subject: pkix.Name{CommonName: "Test Intermediate"}, NotAfter: now.AddDate(10, 0, 0), IsCA: true}, a.Root, key, rootKey)
	return a
}

// Issue makes a key and a leaf for 90 days with the DNS names, and returns the
// leaf with the intermediate after it. Changes are applied to the leaf before it
// is signed.
func (a *Authority) Issue(t testing.TB, now time.Time, names []string, changes ...func(*x509.Certificate)) ([]*x509.Certificate, pki.Key) {
	t.Helper()
	key := newKey(t)
	return a.IssueTo(t, now, names, key, changes...), key
}

// IssueTo is Issue for a key that there is.
func (a *Authority) IssueTo(t testing.TB, now time.Time, names []string, key pki.Key, changes ...func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: now.AddDate(0, 0, 90),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, change := range changes {
		change(leaf)
	}
	return []*x509.Certificate{sign(t, now, leaf, a.Intermediate, key, a.key), a.Intermediate}
}

func newKey(t testing.TB) pki.Key {
	t.Helper()
	key, err := pki.GenerateKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, now time.Time, template, parent *x509.Certificate, key, parentKey pki.Key) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if template.IsCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = now.Add(-time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), parentKey.Signer())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
