package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
)

// Package crypto/x509 does not know SM2 (GB/T 32918, GB/T 20518), but all else
// that such certificates and requests hold. So it reads them with their key made
// one of an algorithm it passes over, and what depends on the key is done here.

func oidECPublicKey() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1} }

func oidSM2() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301} }

// oidSM2Signature is SM2 with SM3.
func oidSM2Signature() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 501}
}

// curveOf is an AlgorithmIdentifier of RFC 5480 §2.1.1. That of another kind of
// key has no curve.
type curveOf struct {
	ID    asn1.ObjectIdentifier
	Curve asn1.ObjectIdentifier `asn1:"optional"`
}

func (c curveOf) sm2() bool { return c.ID.Equal(oidECPublicKey()) && c.Curve.Equal(oidSM2()) }

type publicKeyInfo struct {
	Algorithm curveOf
	Key       asn1.BitString
}

// privateKeyInfo is that of RFC 5208.
type privateKeyInfo struct {
	Version   int
	Algorithm curveOf
	Key       []byte
}

// ecPrivateKey is that of RFC 5915.
type ecPrivateKey struct {
	Version int
	Key     []byte
	Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
}

// IsSM2 reports whether a public key is one of SM2.
func IsSM2(public crypto.PublicKey) bool { return sm2.IsSM2PublicKey(public) }

// marshalPublic is x509.MarshalPKIXPublicKey for SM2 too.
func marshalPublic(public crypto.PublicKey) ([]byte, error) {
	if !IsSM2(public) {
		return x509.MarshalPKIXPublicKey(public)
	}
	point, err := pointOf(public)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(publicKeyInfo{curveOf{oidECPublicKey(), oidSM2()}, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
}

func pointOf(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%T is no key of SM2", public)
	}
	point, err := sm2.PublicKeyToECDH(key)
	if err != nil {
		return nil, err
	}
	return point.Bytes(), nil
}

// ParsePublicKey reads a SubjectPublicKeyInfo in DER.
func ParsePublicKey(der []byte) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err == nil {
		return public, nil
	}
	var info publicKeyInfo
	if rest, parseErr := asn1.Unmarshal(der, &info); parseErr != nil || len(rest) > 0 || !info.Algorithm.sm2() {
		return nil, err
	}
	key, err := sm2.NewPublicKey(info.Key.RightAlign())
	if err != nil {
		return nil, fmt.Errorf("read an SM2 public key: %w", err)
	}
	return key, nil
}

// marshalSM2 writes a private key as PKCS#8.
func marshalSM2(key *sm2.PrivateKey) ([]byte, error) {
	secret, err := key.ECDH()
	if err != nil {
		return nil, err
	}
	point, err := pointOf(key.Public())
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(ecPrivateKey{Version: 1, Key: secret.Bytes(), Public: asn1.BitString{Bytes: point, BitLength: 8 * len(point)}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(privateKeyInfo{Algorithm: curveOf{oidECPublicKey(), oidSM2()}, Key: inner})
}

var errNotSM2 = errors.New("it is no private key of SM2")

// parseSM2PKCS8 and parseSM2EC read private keys. Their errors quote nothing.
func parseSM2PKCS8(der []byte) (*sm2.PrivateKey, error) {
	var info privateKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 || !info.Algorithm.sm2() {
		return nil, errNotSM2
	}
	return parseSM2EC(info.Key, true)
}

func parseSM2EC(der []byte, named bool) (*sm2.PrivateKey, error) {
	var key ecPrivateKey
	if rest, err := asn1.Unmarshal(der, &key); err != nil || len(rest) > 0 || !named && !key.Curve.Equal(oidSM2()) {
		return nil, errNotSM2
	}
	const size = 32
	if len(key.Key) > size {
		return nil, errNotSM2
	}
	private, err := sm2.NewPrivateKey(append(make([]byte, size-len(key.Key)), key.Key...))
	if err != nil {
		return nil, errNotSM2
	}
	return private, nil
}

// OpenEnveloped reads the private key of an encryption certificate that the CA
// has wrapped for the owner of the signing key k (SM2EnvelopedKey of GB/T 35276
// §7.4): PEM of any type, base64, or DER. A key that is not wrapped is read too.
// The errors show nothing of a key.
func (k Key) OpenEnveloped(text []byte) (Key, error) {
	if plain, err := ParseKey(text); err == nil {
		return plain, nil
	}
	owner, ok := k.Signer().(*sm2.PrivateKey)
	if !ok {
		return Key{}, errors.New("only a signing key of SM2 opens the envelope of an encryption key")
	}
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	} else if decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil))); err == nil {
		der = decoded
	}
	private, err := sm2.ParseEnvelopedPrivateKey(owner, der)
	if err != nil {
		return Key{}, errors.New("the envelope of the encryption key is damaged, or made for another signing key")
	}
	return newKey(private), nil
}

// located is where a certificate or request has its parts in its DER.
type located struct{ signed, key, algorithm [2]int }

// locate finds the part that is signed, the key in it, so many elements after
// its beginning, and the name of the key's algorithm.
func locate(der []byte, before int) (located, bool) {
	var where located
	at := 0
	next := func() (asn1.RawValue, bool) {
		var value asn1.RawValue
		_, err := asn1.Unmarshal(der[at:], &value)
		return value, err == nil
	}
	enter := func() bool {
		value, ok := next()
		at += len(value.FullBytes) - len(value.Bytes)
		return ok && value.Tag == asn1.TagSequence
	}
	if !enter() {
		return where, false
	}
	whole, ok := next()
	where.signed = [2]int{at, at + len(whole.FullBytes)}
	if !ok || !enter() {
		return where, false
	}
	for n := 0; n < before; n++ {
		value, ok := next()
		if !ok {
			return where, false
		}
		if n == 0 && value.Class == asn1.ClassContextSpecific {
			n-- // the version of a certificate may be left out
		}
		at += len(value.FullBytes)
	}
	info, ok := next()
	where.key = [2]int{at, at + len(info.FullBytes)}
	if !ok || !enter() || !enter() {
		return where, false
	}
	name, ok := next()
	where.algorithm = [2]int{at, at + len(name.FullBytes)}
	return where, ok
}

// Elements before the key of a certificate, its version not counted, and of a
// request.
const (
	beforeKeyOfCertificate = 5
	beforeKeyOfRequest     = 2
)

// maskKey returns a copy whose key is of an algorithm that nobody has, and
// the key; false where it is none of SM2.
func maskKey(der []byte, before int) (masked []byte, key crypto.PublicKey, where located, ok bool) {
	where, ok = locate(der, before)
	if !ok {
		return nil, nil, where, false
	}
	key, err := ParsePublicKey(der[where.key[0]:where.key[1]])
	if err != nil || !IsSM2(key) {
		return nil, nil, where, false
	}
	masked = bytes.Clone(der)
	masked[where.algorithm[1]-1] = 0x7f
	return masked, key, where, true
}

// ParseCertificate is x509.ParseCertificate for certificates of SM2 too. Their
// SignatureAlgorithm stays unknown; CheckChain knows it.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	certificate, err := x509.ParseCertificate(der)
	if err == nil {
		return certificate, nil
	}
	masked, key, where, ok := maskKey(der, beforeKeyOfCertificate)
	if !ok {
		return nil, err
	}
	if certificate, err = x509.ParseCertificate(masked); err != nil {
		return nil, err
	}
	certificate.Raw = bytes.Clone(der)
	certificate.RawTBSCertificate = certificate.Raw[where.signed[0]:where.signed[1]]
	certificate.RawSubjectPublicKeyInfo = certificate.Raw[where.key[0]:where.key[1]]
	certificate.PublicKey, certificate.PublicKeyAlgorithm = key, x509.ECDSA
	return certificate, nil
}

// signedBy is CheckSignatureFrom for certificates of SM2 too.
func signedBy(c, parent *x509.Certificate) error {
	if !IsSM2(parent.PublicKey) {
		return c.CheckSignatureFrom(parent)
	}
	noCA := parent.Version == 3 && !parent.BasicConstraintsValid || parent.BasicConstraintsValid && !parent.IsCA
	if noCA || parent.KeyUsage != 0 && parent.KeyUsage&x509.KeyUsageCertSign == 0 {
		return x509.ConstraintViolationError{}
	}
	return checkSM2(c.Raw, c.RawTBSCertificate, c.Signature, parent.PublicKey)
}

var errSignature = errors.New("the signature by SM2 does not hold")

// checkSM2 holds a signed structure against its signature.
func checkSM2(der, signed, signature []byte, public crypto.PublicKey) error {
	var outer struct {
		Signed    asn1.RawValue
		Algorithm struct{ ID asn1.ObjectIdentifier }
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return fmt.Errorf("read a signature: %w", err)
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || !outer.Algorithm.ID.Equal(oidSM2Signature()) {
		return fmt.Errorf("%w: its algorithm is %s", errSignature, outer.Algorithm.ID)
	}
	if !sm2.VerifyASN1WithSM2(key, nil, signed, signature) {
		return errSignature
	}
	return nil
}

// signSM2 signs with SM3 and the identity that everybody uses (GB/T 35276 §10).
func signSM2(key crypto.Signer, message []byte) ([]byte, error) {
	return key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
}
