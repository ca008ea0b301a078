package tencentsim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// authority is two hierarchies of a root and an intermediate: one as browsers
// know them, one of SM2.
type authority struct{ standard, sm2 issuer }

type issuer struct {
	root, certificate *smx509.Certificate // the intermediate
	key               crypto.Signer
}

const (
	year       = 365 * 24 * time.Hour
	day        = 24 * time.Hour
	lifeOfRoot = 20 * year
)

func newAuthority(now time.Time) (*authority, error) {
	standard, err := newIssuer("Simulated Standard", now, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		return nil, err
	}
	national, err := newIssuer("Simulated SM2", now, func() (crypto.Signer, error) { return sm2.GenerateKey(rand.Reader) })
	return &authority{standard, national}, err
}

func newIssuer(name string, now time.Time, generate func() (crypto.Signer, error)) (issuer, error) {
	var made [2]*smx509.Certificate
	var keys [2]crypto.Signer
	for n, level := range []string{"Root CA", "Intermediate CA"} {
		var err error
		if keys[n], err = generate(); err != nil {
			return issuer{}, err
		}
		template := &smx509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Simulated"}, CommonName: name + " " + level},
			NotBefore: now.Add(-3 * year), NotAfter: now.Add(lifeOfRoot), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign,
		}
		parent := template
		if n > 0 {
			parent = made[0]
		}
		der, err := smx509.CreateCertificate(rand.Reader, template, parent, keys[n].Public(), keys[0])
		if err != nil {
			return issuer{}, err
		}
		if made[n], err = smx509.ParseCertificate(der); err != nil {
			return issuer{}, err
		}
	}
	return issuer{made[0], made[1], keys[1]}, nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return n
}

// The usages of the certificates of an SM2 pair (GB/T 20518).
const (
	usageSigning    = smx509.KeyUsageDigitalSignature | smx509.KeyUsageContentCommitment
	usageEncryption = smx509.KeyUsageKeyEncipherment | smx509.KeyUsageDataEncipherment | smx509.KeyUsageKeyAgreement
)

// issue makes a certificate and returns its DER.
func (i issuer) issue(public any, subject pkix.Name, names []string, from, until time.Time, usage smx509.KeyUsage) ([]byte, error) {
	return smx509.CreateCertificate(rand.Reader, &smx509.Certificate{
		SerialNumber: serial(), Subject: subject, DNSNames: names, NotBefore: from, NotAfter: until,
		KeyUsage: usage, ExtKeyUsage: []smx509.ExtKeyUsage{smx509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}, i.certificate, public, i.key)
}

// chain is a certificate with its intermediate, as PEM.
func (i issuer) chain(der []byte) string {
	return certificatePEM(der) + certificatePEM(i.certificate.Raw)
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// keyPEM is a private key in PKCS#8.
func keyPEM(key crypto.Signer) (string, error) {
	der, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// generateKey makes the key of an order whose signing request the CA makes.
func generateKey(algorithm, parameter string) (crypto.Signer, error) {
	switch {
	case algorithm == "SM2":
		return sm2.GenerateKey(rand.Reader)
	case algorithm == "ECC" && parameter == "prime256v1":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algorithm == "RSA" && parameter == "2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case algorithm == "RSA" && parameter == "4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, refuse("InvalidParameterValue", "there is no key of algorithm %q with the parameter %q", algorithm, parameter)
}

// readRequest reads a signing request and holds it against its signature.
func readRequest(text string) (*smx509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is no PEM")
	}
	request, err := smx509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return request, request.CheckSignature()
}

// Roots are the roots of both hierarchies, PEM: standard and SM2.
func (s *Simulator) Roots() (standard, national []byte) {
	return []byte(certificatePEM(s.ca.standard.root.Raw)), []byte(certificatePEM(s.ca.sm2.root.Raw))
}

// envelope wraps a private key for the owner of another one, as PEM.
func envelope(key *sm2.PrivateKey, owner any) (string, error) {
	public, ok := owner.(*ecdsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("%T is no public key of SM2", owner)
	}
	der, err := sm2.MarshalEnvelopedPrivateKey(rand.Reader, public, key)
	if err != nil {
		return "", fmt.Errorf("wrap a private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "SM2 ENVELOPED PRIVATE KEY", Bytes: der})), nil
}

// newRequest is a signing request for a key, as PEM.
func newRequest(key crypto.Signer, domain string, names []string) (string, error) {
	der, err := smx509.CreateCertificateRequest(rand.Reader, &smx509.CertificateRequest{Subject: pkix.Name{CommonName: domain}, DNSNames: names}, key)
	if err != nil {
		return "", fmt.Errorf("make a signing request: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
