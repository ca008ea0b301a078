package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/emmansun/gmsm/sm2"
)

// Algorithm names a key type and size the way configuration spells it.
type Algorithm string

// The algorithms a key can be generated with.
const (
	RSA2048   Algorithm = "RSA_2048"
	RSA3072   Algorithm = "RSA_3072"
	RSA4096   Algorithm = "RSA_4096"
	RSA8192   Algorithm = "RSA_8192"
	ECDSAP256 Algorithm = "ECDSA_P256"
	ECDSAP384 Algorithm = "ECDSA_P384"
	Ed25519   Algorithm = "ED25519"
	SM2       Algorithm = "SM2" // for CAs of GB/T 20518
)

// Algorithms lists what GenerateKey accepts, the default first.
func Algorithms() []Algorithm {
	return []Algorithm{ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096, RSA8192, Ed25519, SM2}
}

// ErrNoKey says that a PEM text holds no private key.
var ErrNoKey = errors.New("no private key in the PEM text")

// ErrKeyMismatch says that a certificate's public key is not that of the
// private key beside it.
var ErrKeyMismatch = errors.New("the private key does not belong to the certificate")

const redacted = "[private key]"

// Key is a private key that does not show itself: every format verb and slog
// print a placeholder. The zero Key is empty.
type Key struct {
	// reveal is a function because fmt calls no method of a Key in an
	// unexported field: it looks into it, but not into a function.
	reveal func() crypto.Signer
}

func newKey(signer crypto.Signer) Key { return Key{func() crypto.Signer { return signer }} }

// GenerateKey makes a new key from the system's random source.
func GenerateKey(a Algorithm) (Key, error) {
	var signer crypto.Signer
	var err error
	switch a {
	case RSA2048:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		signer, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		signer, err = rsa.GenerateKey(rand.Reader, 4096)
	case RSA8192:
		signer, err = rsa.GenerateKey(rand.Reader, 8192)
	case ECDSAP256:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		signer, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case SM2:
		signer, err = sm2.GenerateKey(rand.Reader)
	default:
		return Key{}, fmt.Errorf("unknown key algorithm %q, use one of %q", a, Algorithms())
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate %s key: %w", a, err)
	}
	return newKey(signer), nil
}

// ParseKey reads the first private key of a PEM text: PKCS#8, PKCS#1 or SEC 1,
// not encrypted. It returns ErrNoKey when there is none.
func ParseKey(text []byte) (Key, error) {
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return Key{}, ErrNoKey
		}
		if block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" {
			return Key{}, errors.New("the private key is encrypted with a passphrase; decrypt it first (openssl pkey)")
		}
		var parsed any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			if parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
				parsed, err = parseSM2PKCS8(block.Bytes)
			}
		case "RSA PRIVATE KEY":
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			if parsed, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				parsed, err = parseSM2EC(block.Bytes, false)
			}
		case "SM2 PRIVATE KEY":
			parsed, err = parseSM2EC(block.Bytes, true)
		default:
			continue
		}
		if err != nil {
			// The parser's words can quote bytes of the key: keep only the type.
			return Key{}, fmt.Errorf("the %q block is damaged", block.Type)
		}
		signer, ok := parsed.(crypto.Signer)
		if !ok {
			return Key{}, fmt.Errorf("the %q block holds a key that cannot sign (%T)", block.Type, parsed)
		}
		return newKey(signer), nil
	}
}

// Empty reports whether there is no key.
func (k Key) Empty() bool { return k.reveal == nil }

// Signer returns the key for use in a signature, nil for the zero Key.
func (k Key) Signer() crypto.Signer {
	if k.Empty() {
		return nil
	}
	return k.reveal()
}

// PEM returns the key as one PKCS#8 "PRIVATE KEY" block (RFC 5958).
func (k Key) PEM() ([]byte, error) {
	if k.Empty() {
		return nil, ErrNoKey
	}
	der, err := marshalPKCS8(k.reveal())
	if err != nil {
		return nil, fmt.Errorf("encode %s key: %w", k.Algorithm(), err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func marshalPKCS8(signer crypto.Signer) ([]byte, error) {
	if key, ok := signer.(*sm2.PrivateKey); ok {
		return marshalSM2(key)
	}
	return x509.MarshalPKCS8PrivateKey(signer)
}

// Algorithm names the key's type and size; empty for one GenerateKey does not
// make.
func (k Key) Algorithm() Algorithm {
	if k.Empty() {
		return ""
	}
	return AlgorithmOf(k.reveal().Public())
}

// AlgorithmOf names the type and size of a public key; empty for one
// GenerateKey does not make.
func AlgorithmOf(public crypto.PublicKey) Algorithm {
	if IsSM2(public) {
		return SM2
	}
	var a Algorithm
	switch p := public.(type) {
	case *rsa.PublicKey:
		a = Algorithm(fmt.Sprintf("RSA_%d", p.N.BitLen()))
	case *ecdsa.PublicKey:
		a = Algorithm(fmt.Sprintf("ECDSA_P%d", p.Params().BitSize))
	case ed25519.PublicKey:
		a = Ed25519
	}
	if !slices.Contains(Algorithms(), a) {
		return ""
	}
	return a
}

// Hash identifies the key by its public part: the SHA-256 of its
// SubjectPublicKeyInfo in lower-case hex; empty for an empty key.
func (k Key) Hash() string {
	if k.Empty() {
		return ""
	}
	return PublicHash(k.Signer().Public())
}

// PublicHash is Key.Hash of the key with this public part; empty for a type that
// no certificate has.
func PublicHash(public crypto.PublicKey) string {
	der, err := marshalPublic(public)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Matches returns ErrKeyMismatch unless the certificate was made for the key.
func (k Key) Matches(certificate *x509.Certificate) error {
	if k.Empty() {
		return ErrNoKey
	}
	return samePublicKey(k.reveal().Public(), certificate.PublicKey)
}

func samePublicKey(a, b crypto.PublicKey) error {
	public, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(b) {
		return ErrKeyMismatch
	}
	return nil
}

// String implements fmt.Stringer without the key.
func (Key) String() string { return redacted }

// GoString implements fmt.GoStringer without the key.
func (Key) GoString() string { return redacted }

// Format implements fmt.Formatter without the key, whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer without the key.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON keeps the key out of JSON.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
