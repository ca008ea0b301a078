package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// ErrPair says that two certificates are no pair of SM2: one to sign with, and
// one to encrypt to (GB/T 38636 §6.4.5.3).
var ErrPair = errors.New("the certificates are no SM2 pair")

// The usages that the certificates of a pair need one of (GB/T 20518).
const (
	usesOfSigning    = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	usesOfEncryption = x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement
)

// CheckPair tells whether two certificates are a pair: both of SM2, for the same
// names, with different keys, the first one to sign with and the second one to
// encrypt to.
func CheckPair(signing, encryption *x509.Certificate) error {
	for what, c := range map[string]*x509.Certificate{"signing": signing, "encryption": encryption} {
		if !IsSM2(c.PublicKey) {
			return fmt.Errorf("%w: the key of the %s certificate is not of SM2", ErrPair, what)
		}
	}
	if got, want := NameSet(Names(encryption)), NameSet(Names(signing)); !slices.Equal(got, want) {
		return fmt.Errorf("%w: the encryption certificate is for %q, the signing certificate for %q", ErrPair, got, want)
	}
	if samePublicKey(signing.PublicKey, encryption.PublicKey) == nil {
		return fmt.Errorf("%w: both have one key", ErrPair)
	}
	if signing.KeyUsage&usesOfSigning == 0 {
		return fmt.Errorf("%w: the key usage of the signing certificate does not allow signatures; are the two swapped?", ErrPair)
	}
	if encryption.KeyUsage&usesOfEncryption == 0 {
		return fmt.Errorf("%w: the key usage of the encryption certificate does not allow encryption; are the two swapped?", ErrPair)
	}
	return nil
}
