package deploy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Parts says which parts of a Material a file holds.
type Parts struct{ Leaf, Chain, Key bool }

// certificates picks the certificates a file with these parts holds.
func (p Parts) certificates(chain []*x509.Certificate) []*x509.Certificate {
	var picked []*x509.Certificate
	if p.Leaf && len(chain) > 0 {
		picked = append(picked, chain[0])
	}
	if p.Chain && len(chain) > 1 {
		picked = append(picked, chain[1:]...)
	}
	return picked
}

// Format is a kind of file certificates and keys are kept in. Two files with
// different bytes can hold the same, so files are compared by what Decode
// returns.
type Format interface {
	Parts() Parts
	// Encode writes the material. Held is what the file has now, nil when there
	// is none: a keystore keeps what else is in it.
	Encode(m Material, held []byte) ([]byte, error)
	Decode(data []byte) (Material, error) // its errors show nothing of a key
}

// Locked is a Format that may lack the password to read a file. A refresh has no
// passwords, and passes over such files.
type Locked interface{ Locked() bool }

// PEM is text with one block for each part: leaf, then chain, then key.
type PEM Parts

var (
	_ Format = PEM{}
	_ Format = DER{}
	_ Format = PKCS7{}
)

// Parts implements Format.
func (p PEM) Parts() Parts { return Parts(p) }

// Encode implements Format.
func (p PEM) Encode(m Material, _ []byte) ([]byte, error) {
	text := pki.EncodeCertificates(p.Parts().certificates(m.Chain)...)
	if !p.Key {
		return text, nil
	}
	key, err := m.Key.PEM()
	return append(text, key...), err
}

// Decode implements Format.
func (p PEM) Decode(data []byte) (Material, error) {
	var m Material
	var err error
	if p.Leaf || p.Chain {
		m.Chain, err = pki.ParseCertificates(data)
		if errors.Is(err, pki.ErrNoCertificate) && !p.Leaf { // the chain of a self-signed leaf is empty
			err = nil
		}
	}
	if p.Key && err == nil {
		m.Key, err = pki.ParseKey(data)
	}
	return m, err
}

// DER is the leaf alone, in binary.
type DER struct{}

// Parts implements Format.
func (DER) Parts() Parts { return Parts{Leaf: true} }

// Encode implements Format.
func (DER) Encode(m Material, _ []byte) ([]byte, error) { return m.Chain[0].Raw, nil }

// Decode implements Format.
func (DER) Decode(data []byte) (Material, error) {
	leaf, err := pki.ParseCertificate(data)
	if err != nil {
		return Material{}, fmt.Errorf("read a certificate in DER: %w", err)
	}
	return Material{Chain: []*x509.Certificate{leaf}}, nil
}

// PKCS7 is a bundle of the leaf and its chain (p7b).
type PKCS7 struct{}

// Parts implements Format.
func (PKCS7) Parts() Parts { return Parts{Leaf: true, Chain: true} }

// Encode implements Format.
func (PKCS7) Encode(m Material, _ []byte) ([]byte, error) { return pki.EncodePKCS7(m.Chain...) }

// Decode implements Format.
func (PKCS7) Decode(data []byte) (Material, error) {
	chain, err := pki.ParsePKCS7(data)
	return Material{Chain: chain}, err
}

// holds tells whether a file's content is what the slot is to hold of m. When m
// has no key, the file's own must belong to the leaf.
func (s Slot) holds(data []byte, m Material) bool {
	m = s.of(m)
	held, err := s.Format.Decode(data)
	if err != nil {
		return false
	}
	parts := s.Format.Parts()
	if (parts.Leaf || parts.Chain) && !slices.EqualFunc(held.Chain, parts.certificates(m.Chain), (*x509.Certificate).Equal) {
		return false
	}
	return !parts.Key || held.Key.Matches(m.Chain[0]) == nil
}
