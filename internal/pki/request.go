package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// ErrNoRequest says that a PEM text holds no certificate signing request.
var ErrNoRequest = errors.New("no certificate signing request in the PEM text")

// NewRequest makes a PKCS#10 signing request (RFC 2986) for DNS names and IP
// addresses, as DER; with mustStaple it asks for the TLS feature
// "status_request" (RFC 7633). The subject has no common name: CAs of the web
// take the names from the extension, and a common name over 64 bytes is refused.
func NewRequest(key Key, names []string, subject Subject, mustStaple bool) ([]byte, error) {
	if key.Empty() {
		return nil, ErrNoKey
	}
	hosts, addresses := SplitNames(names)
	template := &x509.CertificateRequest{Subject: subject.name(), DNSNames: hosts, IPAddresses: addresses}
	if mustStaple {
		template.ExtraExtensions = []pkix.Extension{{
			Id:    asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24},
			Value: []byte{0x30, 0x03, 0x02, 0x01, 0x05}, // SEQUENCE { INTEGER 5 }
		}}
	}
	create := func() ([]byte, error) { return x509.CreateCertificateRequest(rand.Reader, template, key.Signer()) }
	if key.Algorithm() == SM2 {
		create = func() ([]byte, error) { return newSM2Request(key, template) }
	}
	der, err := create()
	if err != nil {
		return nil, fmt.Errorf("create signing request for %q: %w", names, err)
	}
	return der, nil
}

// ParseRequest reads a PEM "CERTIFICATE REQUEST" block and checks its own
// signature.
func ParseRequest(text []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(text)
	if block == nil || (block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST") {
		return nil, ErrNoRequest
	}
	request, err := parseRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse signing request: %w", err)
	}
	if err := checkRequest(request); err != nil {
		return nil, fmt.Errorf("signing request: %w", err)
	}
	return request, nil
}

// RequestNames lists the DNS names and IP addresses a signing request asks for:
// its subject alternative names, and a common name that is a host's (RFC 8555
// §7.4 has CAs read both).
func RequestNames(request *x509.CertificateRequest) []string {
	names := append(slices.Clone(request.DNSNames), addressNames(request.IPAddresses)...)
	common, err := NormalizeIdentifier(request.Subject.CommonName)
	if err == nil && !slices.Contains(NameSet(names), common) {
		names = append(names, common)
	}
	return names
}

// CheckIssued tells whether a certificate is what a signing request in DER
// asked for: the same public key, and exactly the same names and addresses.
func CheckIssued(certificate *x509.Certificate, request []byte) error {
	asked, err := parseRequest(request)
	if err != nil {
		return fmt.Errorf("parse signing request: %w", err)
	}
	if err := samePublicKey(asked.PublicKey, certificate.PublicKey); err != nil {
		return err
	}
	if got, want := NameSet(Names(certificate)), NameSet(RequestNames(asked)); !slices.Equal(got, want) {
		return fmt.Errorf("the certificate is for %q, asked was %q", got, want)
	}
	return nil
}
