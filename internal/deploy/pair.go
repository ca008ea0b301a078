package deploy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/tlcp"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// A server of TLCP (GB/T 38636) has a pair of SM2: a certificate to sign with,
// which is a job's material, and one to encrypt to, each with a key of its own.
// The target carries the second one, in formats of its files that hold nothing
// else, so that four files are replaced, tested and rolled back like two.

// Pair is the certificate to encrypt to.
type Pair struct {
	Chain []*x509.Certificate // the leaf first
	Key   pki.Key             // empty to look only
}

// PairFiles are where a server has it; the zero value is nowhere.
type PairFiles struct {
	FullchainPath, PrivateKeyPath string

	pair Pair
}

// Errors about pairs that come before anything is touched.
var (
	// ErrPairMissing says that a certificate of SM2 comes alone.
	ErrPairMissing = errors.New("an SM2 certificate is served together with its encryption certificate")
	// ErrPairUnwanted says that a target has no place for the second one.
	ErrPairUnwanted = errors.New("the target has no place for an encryption certificate")
)

// PairTarget is a Target that can have a place for a pair.
type PairTarget interface {
	Target
	// Pair returns where the pair goes, and what it is so far.
	Pair() PairFiles
	// WithPair returns the target with a pair to deploy.
	WithPair(p Pair) Target
}

// check refuses half of the paths.
func (f PairFiles) check(name string) error {
	if (f.FullchainPath == "") != (f.PrivateKeyPath == "") {
		return fmt.Errorf("%w: %s needs both encryption_fullchain_path and encryption_private_key_path, or neither", ErrPath, name)
	}
	return nil
}

// checkOpen refuses a pair for a target that finds its paths by itself: it finds
// those of one certificate.
func (f PairFiles) checkOpen(name string) error {
	if f.FullchainPath != "" || f.PrivateKeyPath != "" {
		return fmt.Errorf("%w: for a pair %s needs all four of them", ErrPath, name)
	}
	return nil
}

func (f PairFiles) with(p Pair) PairFiles {
	f.pair = p
	return f
}

// slots are the files; none without paths.
func (f PairFiles) slots() []Slot {
	if f.FullchainPath == "" {
		return nil
	}
	return []Slot{
		{Path: f.PrivateKeyPath, Format: pairPEM{PEM{Key: true}, f.pair}},
		{Path: f.FullchainPath, Format: pairPEM{PEM{Leaf: true, Chain: true}, f.pair}},
	}
}

// pairPEM is PEM of the other half, whatever material the job has.
type pairPEM struct {
	PEM
	pair Pair
}

// Encode implements Format.
func (p pairPEM) Encode(_ Material, held []byte) ([]byte, error) {
	return p.PEM.Encode(Material(p.pair), held)
}

// of is what of a job's material a slot is about.
func (s Slot) of(m Material) Material {
	if p, ok := s.Format.(pairPEM); ok {
		return Material(p.pair)
	}
	return m
}

// pairOf is the pair that a target is to deploy; empty without one.
func pairOf(target Target) Pair {
	if able, ok := target.(PairTarget); ok {
		return able.Pair().pair
	}
	return Pair{}
}

// isPaired reports whether a target has a pair to deploy.
func isPaired(target Target) bool { return len(pairOf(target).Chain) > 0 }

// WithPair gives a target the pair to deploy, or tells why it does not fit: the
// target has no place for it, or a certificate of SM2 comes alone. Asked says
// that a handshake will be made.
func WithPair(target Target, m Material, p Pair, asked bool) (Target, error) {
	able, ok := target.(PairTarget)
	place := ok && able.Pair().FullchainPath != ""
	sm2 := len(m.Chain) > 0 && pki.IsSM2(m.Chain[0].PublicKey)
	switch {
	case len(p.Chain) > 0 && !ok:
		return nil, fmt.Errorf("%w: deploy to nginx or apache, or write it with a files deployment of its own, not to %s", ErrPairUnwanted, target.Name())
	case len(p.Chain) > 0 && !place:
		return nil, fmt.Errorf("%w: set encryption_fullchain_path and encryption_private_key_path of %s", ErrPairUnwanted, target.Name())
	case len(p.Chain) == 0 && place:
		return nil, fmt.Errorf("%w: %s has paths for it, so set encryption_fullchain_pem and encryption_private_key_id", ErrPairMissing, target.Name())
	case len(p.Chain) == 0 && sm2 && (ok || asked):
		return nil, fmt.Errorf("%w: set encryption_fullchain_pem and encryption_private_key_id, and the paths of the target", ErrPairMissing)
	case len(p.Chain) == 0:
		return target, nil
	}
	return able.WithPair(p), nil
}

// CheckPair finds every reason not to deploy a pair beside a job's material:
// those that CheckMaterial has for any certificate, and that the two do not
// belong together. An empty key is passed over.
func CheckPair(m Material, p Pair, now time.Time) error {
	if len(p.Chain) == 0 {
		return nil
	}
	err := CheckMaterial(Material(p), "", now)
	if err == nil && len(m.Chain) > 0 {
		err = pki.CheckPair(m.Chain[0], p.Chain[0])
	}
	if err != nil {
		return fmt.Errorf("the encryption certificate: %w", err)
	}
	return nil
}

// checkTarget is CheckPair for what a job deploys. The key of the encryption
// certificate comes from the CA: it is not on the machine before.
func (j Job) checkTarget() error {
	pair := pairOf(j.Target)
	if len(pair.Chain) > 0 && pair.Key.Empty() {
		return fmt.Errorf("the encryption certificate: %w: set encryption_private_key_id", pki.ErrNoKey)
	}
	return CheckPair(j.Material, pair, j.Now)
}

// onWire is what a server sends of a chain: with a pair the signing certificate,
// the encryption certificate, and then the rest (GB/T 38636 §6.4.5.3).
func onWire(slots []Slot, chain []*x509.Certificate) []*x509.Certificate {
	for _, slot := range slots {
		if p, ok := slot.Format.(pairPEM); ok && len(p.pair.Chain) > 0 {
			return append([]*x509.Certificate{chain[0], p.pair.Chain[0]}, chain[1:]...)
		}
	}
	return chain
}

// inspectTLCP is inspect for a server with a pair. It trusts nothing either, and
// completes only for whoever has both keys.
func inspectTLCP(ctx context.Context, raw net.Conn, serverName string) (Served, error) {
	peer, err := tlcp.Handshake(ctx, raw, serverName)
	if err != nil {
		return Served{}, err
	}
	return Served{Chain: peer.Certificates, Fingerprint: pki.Fingerprint(peer.Certificates[0]), Version: "TLCP 1.1"}, nil
}

// encryption is the fingerprint of the other certificate of a pair that is
// served; empty where there is none.
func (s Served) encryption() string {
	if len(s.Chain) < 2 || pki.CheckPair(s.Chain[0], s.Chain[1]) != nil {
		return ""
	}
	return pki.Fingerprint(s.Chain[1])
}

// known adds what is served to fingerprints.
func (s Served) known(fingerprints map[string]bool) {
	fingerprints[s.Fingerprint] = true
	if other := s.encryption(); other != "" {
		fingerprints[other] = true
	}
}

// isOneOf reports whether what is served is among fingerprints: both of a pair.
func (s Served) isOneOf(fingerprints map[string]bool) bool {
	other := s.encryption()
	return fingerprints[s.Fingerprint] && (other == "" || fingerprints[other])
}

// servesPair is serves with words of its own for a pair that is half there.
func servesPair(endpoint Endpoint, chain []*x509.Certificate) func(Served) error {
	whole := serves(endpoint, chain)
	return func(served Served) error {
		other := served.encryption()
		if len(chain) > 1 && other != "" && served.Chain[0].Equal(chain[0]) && !served.Chain[1].Equal(chain[1]) {
			return fmt.Errorf("%w: %s (server name %q) serves the expected signing certificate beside another encryption certificate, %s; expected fingerprint %s",
				ErrOtherServed, endpoint.Address, endpoint.ServerName, describe(served.Chain[1]), pki.Fingerprint(chain[1]))
		}
		return whole(served)
	}
}
