package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// ErrChainBroken says that certificates do not form one chain from the leaf.
var ErrChainBroken = errors.New("the certificates do not form one chain")

// maxPool bounds how many certificates OrderChain tries to fit together.
const maxPool = 10

// OrderChain sorts certificates into the order a TLS server sends them (RFC
// 8446 §4.4.2): the leaf first, each next one having signed the one before it.
// The input may have any order and repeat certificates. It returns
// ErrChainBroken when there is not exactly one leaf or a certificate belongs to
// no place in the chain.
func OrderChain(certificates []*x509.Certificate) ([]*x509.Certificate, error) {
	pool := slices.Clone(certificates)
	slices.SortStableFunc(pool, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	pool = slices.CompactFunc(pool, func(a, b *x509.Certificate) bool { return a.Equal(b) })
	if len(pool) > maxPool {
		return nil, fmt.Errorf("%w: %d certificates are too many, a chain has at most %d", ErrChainBroken, len(pool), maxPool)
	}
	var leaves []*x509.Certificate
	for _, c := range pool {
		if !signsAnother(c, pool) {
			leaves = append(leaves, c)
		}
	}
	if len(leaves) != 1 {
		return nil, fmt.Errorf("%w: %d certificates of %d sign no other one, want exactly the leaf", ErrChainBroken, len(leaves), len(pool))
	}
	chain, end := longestChain(leaves, pool)
	if len(chain) < len(pool) {
		return nil, fmt.Errorf("%w: %q was signed by %q, and no certificate that continues from there has a place for all %d", ErrChainBroken,
			end.Subject, end.Issuer, len(pool))
	}
	return chain, nil
}

// longestChain continues a chain with certificates of the pool until it holds
// all of them. A key with two certificates, its own and a cross-signed one,
// gives it a choice. Where none leads through the whole pool it returns the
// longest chain and its end.
func longestChain(chain, pool []*x509.Certificate) (longest []*x509.Certificate, end *x509.Certificate) {
	longest, end = chain, chain[len(chain)-1]
	for _, next := range issuersOf(chain[len(chain)-1], pool) {
		if slices.ContainsFunc(chain, next.Equal) {
			continue
		}
		found, last := longestChain(append(slices.Clone(chain), next), pool)
		if len(found) > len(longest) {
			longest, end = found, last
		}
		if len(longest) == len(pool) {
			break
		}
	}
	return longest, end
}

// CheckChain tells whether certificates are a chain in the order a server
// sends: leaf first, each signed by the next. A chain of one that is not
// self-signed lacks its intermediate and is refused too.
func CheckChain(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	for i, c := range chain[:len(chain)-1] {
		if signedBy(c, chain[i+1]) == nil {
			continue
		}
		if _, err := OrderChain(chain); err == nil {
			return fmt.Errorf("%w: they are in the wrong order at position %d, want the leaf first and each one's signer after it", ErrChainBroken, i+2)
		}
		return fmt.Errorf("%w: %q was signed by %q, but %q follows it", ErrChainBroken, c.Subject, c.Issuer, chain[i+1].Subject)
	}
	if leaf := chain[0]; len(chain) == 1 && !selfSigned(leaf) {
		return fmt.Errorf("%w: the intermediate %q that signed %q is missing", ErrChainBroken, leaf.Issuer, leaf.Subject)
	}
	return nil
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func signsAnother(c *x509.Certificate, pool []*x509.Certificate) bool {
	return slices.ContainsFunc(pool, func(other *x509.Certificate) bool {
		return !other.Equal(c) && signedBy(other, c) == nil
	})
}

func issuersOf(c *x509.Certificate, pool []*x509.Certificate) []*x509.Certificate {
	var issuers []*x509.Certificate
	for _, candidate := range pool {
		if !candidate.Equal(c) && signedBy(c, candidate) == nil {
			issuers = append(issuers, candidate)
		}
	}
	return issuers
}
