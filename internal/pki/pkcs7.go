package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/smallstep/pkcs7"
)

// ErrPKCS7 says that a text is no PKCS#7 bundle of certificates.
var ErrPKCS7 = errors.New("not a PKCS#7 bundle of certificates")

// EncodePKCS7 writes certificates as a PKCS#7 bundle (p7b, RFC 2315), PEM; it
// has no order.
func EncodePKCS7(certificates ...*x509.Certificate) ([]byte, error) {
	var all []byte
	for _, c := range certificates {
		if IsSM2(c.PublicKey) {
			return nil, fmt.Errorf("%w: it is not written with certificates of SM2; take PEM", ErrPKCS7)
		}
		all = append(all, c.Raw...)
	}
	der, err := pkcs7.DegenerateCertificate(all)
	if err != nil {
		return nil, fmt.Errorf("write a PKCS#7 bundle: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), nil
}

// ParsePKCS7 reads the certificates of a PKCS#7 bundle, PEM or DER, in the order
// a server sends them where they form a chain.
func ParsePKCS7(text []byte) ([]*x509.Certificate, error) {
	der := bytes.TrimSpace(text)
	if block, _ := pem.Decode(text); block != nil {
		if block.Type != "PKCS7" {
			return nil, fmt.Errorf("%w: it is %q", ErrPKCS7, block.Type)
		}
		der = block.Bytes
	}
	bundle, err := pkcs7.Parse(der)
	if err != nil || len(bundle.Certificates) == 0 {
		return nil, ErrPKCS7
	}
	if chain, err := OrderChain(bundle.Certificates); err == nil {
		return chain, nil
	}
	return bundle.Certificates, nil
}
