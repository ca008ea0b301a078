package pki

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// signedRequest is CertificationRequest of RFC 2986 §4.
type signedRequest struct {
	Info      requestInfo
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

type requestInfo struct {
	Version            int
	Subject, PublicKey asn1.RawValue
	Attributes         asn1.RawValue
}

// newSM2Request writes a request with a key of another kind, and then puts the
// right key into it and signs it.
func newSM2Request(key Key, template *x509.CertificateRequest) ([]byte, error) {
	_, stand, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, stand)
	if err != nil {
		return nil, err
	}
	var request signedRequest
	if _, err := asn1.Unmarshal(der, &request); err != nil {
		return nil, fmt.Errorf("read what was written: %w", err)
	}
	public, err := marshalPublic(key.Signer().Public())
	if err != nil {
		return nil, err
	}
	request.Info.PublicKey = asn1.RawValue{FullBytes: public}
	signed, err := asn1.Marshal(request.Info)
	if err != nil {
		return nil, err
	}
	signature, err := signSM2(key.Signer(), signed)
	if err != nil {
		return nil, err
	}
	request.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidSM2Signature()}
	request.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(request)
}

// parseRequest is x509.ParseCertificateRequest for requests of SM2 too.
func parseRequest(der []byte) (*x509.CertificateRequest, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err == nil {
		return request, nil
	}
	masked, key, where, ok := maskKey(der, beforeKeyOfRequest)
	if !ok {
		return nil, err
	}
	if request, err = x509.ParseCertificateRequest(masked); err != nil {
		return nil, err
	}
	request.Raw = bytes.Clone(der)
	request.RawTBSCertificateRequest = request.Raw[where.signed[0]:where.signed[1]]
	request.RawSubjectPublicKeyInfo = request.Raw[where.key[0]:where.key[1]]
	request.PublicKey, request.PublicKeyAlgorithm = key, x509.ECDSA
	return request, nil
}

// checkRequest holds a request against its own signature.
func checkRequest(request *x509.CertificateRequest) error {
	if IsSM2(request.PublicKey) {
		return checkSM2(request.Raw, request.RawTBSCertificateRequest, request.Signature, request.PublicKey)
	}
	return request.CheckSignature()
}
