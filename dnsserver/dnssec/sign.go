package dnssec

import (
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Times of signatures. A server that stops is believed for at least a few days
// by who has its answers; a clock may be wrong by an hour.
const (
	validity  = 7 * 24 * time.Hour
	early     = time.Hour          // how long before now it is valid
	renewal   = 4 * 24 * time.Hour // a signature that ends sooner is made anew
	jitter    = 24 * time.Hour     // by which the ends of signatures differ
	cacheSize = 20000              // signatures, in each of two generations
)

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// Signer makes the signatures of a zone and keeps those that are asked for
// often. It is safe for concurrent use.
type Signer struct {
	zone string
	data *Key   // signs the zone
	all  []*Key // sign the keys themselves, as far as they are here

	seed  maphash.Seed
	mu    sync.Mutex // guards what follows
	fresh map[uint64]*dns.RRSIG
	stale map[uint64]*dns.RRSIG // the generation before
}

// NewSigner returns what signs a zone with one key, and the keys of the zone
// with all of them.
func NewSigner(zone string, data *Key, all []*Key) *Signer {
	return &Signer{zone: zone, data: data, all: all, seed: maphash.MakeSeed(), fresh: map[uint64]*dns.RRSIG{}}
}

// Same reports whether two signers have the same keys in the same roles, so that
// either's signatures do.
func (s *Signer) Same(other *Signer) bool {
	same := func(a, b *Key) bool { return a.Public.PublicKey == b.Public.PublicKey && a.Signs() == b.Signs() }
	return same(s.data, other.data) && slices.EqualFunc(s.all, other.all, same)
}

// Sign returns the signatures of an rrset at a time. The records have one owner,
// in any spelling, type and TTL.
func (s *Signer) Sign(set []dns.RR, now time.Time) ([]dns.RR, error) {
	keys := []*Key{s.data}
	if set[0].Header().Rrtype == dns.TypeDNSKEY {
		keys = s.all
	}
	var signatures []dns.RR
	for _, key := range keys {
		if !key.Signs() {
			continue
		}
		signature, err := s.sign(key, set, now)
		if err != nil {
			return nil, fmt.Errorf("sign %s: %w", set[0].Header().Name, err)
		}
		signatures = append(signatures, signature)
	}
	return signatures, nil
}

func (s *Signer) sign(key *Key, set []dns.RR, now time.Time) (*dns.RRSIG, error) {
	id, err := s.identify(key, set)
	if err != nil {
		return nil, err
	}
	signature := s.recall(id, now)
	if signature == nil {
		end := now.Add(validity + time.Duration(id%uint64(jitter)))
		signature = &dns.RRSIG{
			Algorithm: algorithm, SignerName: s.zone, KeyTag: key.Tag(),
			Inception: uint32(now.Add(-early).Unix()), Expiration: uint32(end.Unix()),
		}
		if err := signature.Sign(key.signer, set); err != nil {
			return nil, err
		}
		s.keep(id, signature)
	}
	shown := *signature
	shown.Hdr.Name = set[0].Header().Name
	return &shown, nil
}

// identify is a hash of the key and the records, whatever the spelling of the
// owner. It is seeded, so that nobody can choose records that collide.
func (s *Signer) identify(key *Key, set []dns.RR) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(key.Public.PublicKey) // never fails
	_, _ = h.WriteString(dns.CanonicalName(set[0].Header().Name))
	buf := make([]byte, 0, 512)
	for _, rr := range set {
		rr = dns.Copy(rr)
		rr.Header().Name = "."
		if size := dns.Len(rr); size > cap(buf) {
			buf = make([]byte, 0, size)
		}
		end, err := dns.PackRR(rr, buf[:cap(buf)], 0, nil, false)
		if err != nil {
			return 0, err
		}
		_, _ = h.Write(buf[:end])
	}
	return h.Sum64(), nil
}

func (s *Signer) recall(id uint64, now time.Time) *dns.RRSIG {
	s.mu.Lock()
	defer s.mu.Unlock()
	signature := s.fresh[id]
	if signature == nil {
		if signature = s.stale[id]; signature != nil {
			s.fresh[id] = signature
		}
	}
	if signature == nil || time.Unix(int64(signature.Expiration), 0).Sub(now) < renewal || now.Before(time.Unix(int64(signature.Inception), 0)) {
		return nil
	}
	return signature
}

// keep remembers a signature. When a generation is full, the one before is
// forgotten.
func (s *Signer) keep(id uint64, signature *dns.RRSIG) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fresh) >= cacheSize {
		s.fresh, s.stale = map[uint64]*dns.RRSIG{}, s.fresh
	}
	s.fresh[id] = signature
}
