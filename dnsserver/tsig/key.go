// Package tsig signs DNS messages with shared secrets and verifies them (RFC
// 8945), on their bytes as they are sent.
//
// It knows no policy: which key may do what, and whether a message was seen
// before, is its caller's. Its invariant: a message that Verify lets pass was
// signed with the key by its whole MAC, within the time allowed, and nothing in
// it has changed since but its ID.
package tsig

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// MinSecret is how long a secret is at least, in bytes (RFC 8945 §10: 128 bits).
const MinSecret = 16

// Algorithms are the names that NewKey knows, the usual one first.
func Algorithms() []string { return []string{"hmac-sha256", "hmac-sha384", "hmac-sha512"} }

// Secret reveals a key's secret, in base64, when called, and does not print it.
type Secret func() string

// NewSecret hides s.
func NewSecret(s string) Secret { return func() string { return s } }

// String hides the secret.
func (Secret) String() string { return "[redacted]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[redacted]" }

// Key is a shared secret with its name. It is immutable.
type Key struct {
	name      string // absolute, lower case
	algorithm string // as in Algorithms
	wire      []byte // the name in wire form
	algoWire  []byte
	digested  []byte // what is signed of every record: name, class, TTL and algorithm
	macSize   int    // bytes
	secret    func() []byte
	macs      *sync.Pool // of hash.Hash: making one costs more than a message
}

// NewKey makes a key of its name, one of Algorithms ("" means the first) and
// its secret in base64. The error says which of them is wrong, and not what the
// secret is.
func NewKey(name, algorithm string, secret Secret) (*Key, error) {
	k := &Key{name: strings.ToLower(dns.Fqdn(name)), algorithm: strings.ToLower(strings.TrimSuffix(algorithm, "."))}
	if k.algorithm == "" {
		k.algorithm = Algorithms()[0]
	}
	var newHash func() hash.Hash
	switch k.algorithm {
	case "hmac-sha256":
		newHash = sha256.New
	case "hmac-sha384":
		newHash = sha512.New384
	case "hmac-sha512":
		newHash = sha512.New
	default:
		return nil, fmt.Errorf("%w: %q is none of %s", ErrAlgorithm, algorithm, strings.Join(Algorithms(), ", "))
	}
	var err error
	if k.wire, err = wireName(k.name); err != nil || name == "" || name == "." {
		return nil, fmt.Errorf("%w: %q is no name in DNS", ErrName, name)
	}
	if k.algoWire, err = wireName(k.algorithm + "."); err != nil {
		return nil, err
	}
	text := ""
	if secret != nil {
		text = strings.TrimSpace(secret())
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil || len(raw) == 0:
		return nil, fmt.Errorf("%w: it is not base64", ErrSecret)
	case len(raw) < MinSecret:
		return nil, fmt.Errorf("%w: it has %d bytes, and at least %d are needed", ErrSecret, len(raw), MinSecret)
	}
	k.secret = func() []byte { return raw }
	k.digested = slices.Concat(k.wire, binary.BigEndian.AppendUint16(nil, classANY), make([]byte, 4), k.algoWire)
	k.macSize = newHash().Size()
	k.macs = &sync.Pool{New: func() any { return hmac.New(newHash, raw) }}
	return k, nil
}

// What NewKey finds wrong.
var (
	ErrName      = errors.New("the key's name is wrong")
	ErrAlgorithm = errors.New("the key's algorithm is unknown")
	ErrSecret    = errors.New("the key's secret is wrong")
)

// Name is the key's name, absolute and in lower case.
func (k *Key) Name() string { return k.name }

// Algorithm is one of Algorithms.
func (k *Key) Algorithm() string { return k.algorithm }

// String is the key without its secret.
func (k *Key) String() string { return strings.TrimSuffix(k.name, ".") + " (" + k.algorithm + ")" }

// Is reports whether the signature names this key: by name and algorithm (RFC
// 8945 §5.2.1).
func (k *Key) Is(s *Signature) bool {
	return k.name == s.Name && k.algorithm+"." == s.Algorithm
}

// Size is how many bytes a signature of the key adds to a message.
func (k *Key) Size() int {
	return len(k.wire) + recordHeader + len(k.algoWire) + variables + k.macSize
}

// mac begins a MAC, which release takes back.
func (k *Key) mac() hash.Hash {
	sum := k.macs.Get().(hash.Hash) // nothing else is in the pool
	sum.Reset()
	return sum
}

func (k *Key) release(sum hash.Hash) { k.macs.Put(sum) }

// wireName is the wire form of a name.
func wireName(name string) ([]byte, error) {
	wire := make([]byte, 255)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		return nil, err
	}
	return slices.Clip(wire[:n]), nil
}

// Same reports whether two keys are the same, secret and all.
func (k *Key) Same(other *Key) bool {
	return k.name == other.name && k.algorithm == other.algorithm && hmac.Equal(k.secret(), other.secret())
}
