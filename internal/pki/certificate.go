package pki

import (
	"crypto/sha1" // the name that Windows gives
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoCertificate says that a PEM text holds no certificate.
var ErrNoCertificate = errors.New("no certificate in the PEM text")

// ParseCertificates reads every "CERTIFICATE" block of a PEM text in its order
// and passes over blocks of other types. It returns ErrNoCertificate when there
// is none.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the PEM text: %w", len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, ErrNoCertificate
	}
	return certificates, nil
}

// EncodeCertificates writes certificates as PEM, in the order given.
func EncodeCertificates(certificates ...*x509.Certificate) []byte {
	var text []byte
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}

// Fingerprint is the SHA-256 of the certificate's DER: 64 lower-case hex digits.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// Thumbprint is the SHA-1 of the certificate's DER, by which Windows names it:
// 40 upper-case hex digits.
func Thumbprint(certificate *x509.Certificate) string {
	sum := sha1.Sum(certificate.Raw) //nolint:gosec // a name, not a proof
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// Serial is the serial number in lower-case hex, as openssl and browsers show
// it: two digits a byte, no separators.
func Serial(certificate *x509.Certificate) string {
	return hex.EncodeToString(certificate.SerialNumber.FillBytes(make([]byte, max(1, (certificate.SerialNumber.BitLen()+7)/8))))
}

// Names lists what the certificate covers: DNS names first, then IP addresses in
// their canonical text form. A certificate without either covers its common name.
func Names(certificate *x509.Certificate) []string {
	if len(certificate.IPAddresses) == 0 {
		return DNSNames(certificate)
	}
	return append(slices.Clone(certificate.DNSNames), addressNames(certificate.IPAddresses)...)
}

// DNSNames lists the DNS names the certificate covers: its subject alternative
// names, or the common name of a certificate that has none.
func DNSNames(certificate *x509.Certificate) []string {
	if len(certificate.DNSNames) > 0 {
		return certificate.DNSNames
	}
	if certificate.Subject.CommonName != "" {
		return []string{certificate.Subject.CommonName}
	}
	return nil
}
