package dnsserver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/delegation"
	"github.com/certiform/terraform-provider-certificate/dnsserver/dnssec"
)

// ringPrefix is that of the documents that have the keys of a zone, without
// their private halves.
const ringPrefix = "dnssec/"

// DefaultParentTTL is how long others are taken to keep a parent's DS.
const DefaultParentTTL = 48 * time.Hour

// DNSSEC says where the keys of signed zones are. Servers that share a storage
// need the same files.
type DNSSEC struct {
	Folder    string        // with files as BIND has them; private halves have mode 0600
	ParentTTL time.Duration // how long others may keep a parent's DS; 0 means DefaultParentTTL
}

// tendEvery is how often what is due with keys is looked for.
const tendEvery = time.Minute

// ErrUnsigned says that a zone is not signed.
var ErrUnsigned = errors.New("the zone is not signed; set dnssec = true in its block") // HTTP 409

// beginKeys has signed zones signed, and their keys looked after until
// background ends.
func (s *Server) beginKeys(ctx, background context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.useKeys(ctx); err != nil {
		return fmt.Errorf("sign the zones: %w", err)
	}
	s.running.Go(func() { s.tendKeys(background) })
	return nil
}

// tendKeys looks after the keys until ctx ends.
func (s *Server) tendKeys(ctx context.Context) {
	for {
		at, stop := s.clock.timer(s.clock.now().Add(tendEvery))
		select {
		case <-ctx.Done():
			stop()
			return
		case <-at:
		}
		s.reloading.Lock()
		if err := s.useKeys(ctx); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "keys of signed zones are at fault", slog.Any("error", err))
		}
		s.reloading.Unlock()
	}
}

// useKeys takes the steps that are due with the keys of each signed zone, makes
// first keys, and has the zones signed with what there is. Whoever calls it
// holds reloading.
func (s *Server) useKeys(ctx context.Context) error {
	v := s.view.Load()
	if v == nil {
		return ErrStopped
	}
	var errs []error
	signers := map[string]*zoneSigner{}
	for _, apex := range sortedKeys(v.zones, strings.Clone) {
		z := v.zones[apex]
		if !z.signed {
			continue
		}
		ring, err := s.step(ctx, v, z)
		if err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", display(apex), err))
		}
		all, signs, err := ring.Keys(s.signing.Folder)
		if err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", display(apex), err))
		}
		signers[apex] = newZoneSigner(apex, z.soa.Hdr.Ttl, ring, all, signs)
		if before := s.policy.Load().signers[apex]; before != nil && before.same(signers[apex]) {
			signers[apex] = before // with the signatures that it has
		}
	}
	next := *s.policy.Load()
	next.signers = signers
	s.policy.Store(&next)
	return errors.Join(errs...)
}

// same reports whether two signers have the same keys in the same roles.
func (g *zoneSigner) same(other *zoneSigner) bool {
	return g.signer != nil && other.signer != nil && g.signer.Same(other.signer) &&
		slices.EqualFunc(g.added[dns.TypeCDS], other.added[dns.TypeCDS], dns.IsDuplicate)
}

// ring reads the keys of a zone; false when it has none yet.
func (v *view) ring(apex string) (ring dnssec.Ring, text string, ok bool, err error) {
	if text, ok = v.document(ringPrefix + apex); ok {
		err = json.Unmarshal([]byte(text), &ring)
	}
	return ring, text, ok, err
}

// step takes the step that is due with a zone's keys.
func (s *Server) step(ctx context.Context, v *view, z *zone) (dnssec.Ring, error) {
	ring, text, ok, err := v.ring(z.name)
	if err != nil {
		return ring, err
	}
	now := s.clock.now()
	if !ok {
		first, err := s.firstKey(z)
		if err != nil {
			return ring, err
		}
		return s.keepRing(ctx, z, "", dnssec.NewRing(first, now))
	}
	if len(ring.Entries) == 1 {
		return ring, nil
	}
	times := dnssec.Times{
		Keys: time.Duration(z.soa.Hdr.Ttl) * time.Second, Zone: v.longestTTL(z), Parent: cmp.Or(s.signing.ParentTTL, DefaultParentTTL),
	}
	next, changed := ring.Step(now, times, func(record *dns.DNSKEY) bool { return s.parentHas(ctx, z, record) })
	if !changed {
		return ring, nil
	}
	for i, e := range next.Entries {
		s.log.LogAttrs(ctx, slog.LevelInfo, "key of a signed zone", slog.String("zone", display(z.name)), slog.Int("key", i), slog.String("state", string(e.State)))
	}
	return s.keepRing(ctx, z, text, next)
}

// firstKey is the one that somebody put into the folder, or a new one.
func (s *Server) firstKey(z *zone) (*dnssec.Key, error) {
	found, err := dnssec.Find(s.signing.Folder, z.name)
	switch {
	case err != nil:
		return nil, err
	case len(found) > 1:
		return nil, fmt.Errorf("%s has %d keys of it; leave the one that the parent's DS is of", s.signing.Folder, len(found))
	case len(found) == 1:
		return found[0], nil
	}
	return s.newKey(z)
}

func (s *Server) newKey(z *zone) (*dnssec.Key, error) {
	key, err := dnssec.NewKey(z.name, z.soa.Hdr.Ttl)
	if err == nil {
		err = key.Save(s.signing.Folder)
	}
	return key, err
}

// keepRing stores a ring in the place of one that was read as text; where
// another server has been faster it returns that one's.
func (s *Server) keepRing(ctx context.Context, z *zone, text string, next dnssec.Ring) (dnssec.Ring, error) {
	fresh, err := json.Marshal(next)
	if err != nil {
		return next, err
	}
	kept := next
	err = s.update(ctx, func(d *draft) error {
		there, now, _, err := d.view.ring(z.name)
		if err != nil {
			return err
		}
		if now != text {
			kept = there
			return nil
		}
		d.keep(Document{Key: ringPrefix + z.name, Value: bytes.Clone(fresh)})
		return nil
	})
	return kept, err
}

// parentHas reports whether every server of the parent has a DS of a key.
func (s *Server) parentHas(ctx context.Context, z *zone, record *dns.DNSKEY) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sets, err := delegation.Checker{Resolver: s.settings.Load().resolver, Dial: s.dial}.DS(ctx, z.name)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "the parent cannot be asked for the DS", slog.String("zone", display(z.name)), slog.Any("error", err))
		return false
	}
	return !slices.ContainsFunc(sets, func(set []*dns.DS) bool {
		return !slices.ContainsFunc(set, func(ds *dns.DS) bool {
			made := record.ToDS(ds.DigestType)
			return made != nil && ds.KeyTag == made.KeyTag && strings.EqualFold(ds.Digest, made.Digest)
		})
	})
}

// longestTTL is that of the zone.
func (v *view) longestTTL(z *zone) time.Duration {
	longest := max(z.soa.Hdr.Ttl, z.dynamicTTL)
	for _, n := range z.nodes {
		for _, set := range n.rrsets {
			longest = max(longest, set[0].Header().Ttl)
		}
	}
	for l := range v.table.all() {
		for set := range l.sets() {
			longest = max(longest, set.ttl()) // of all zones: longer is safe
		}
	}
	return time.Duration(longest) * time.Second
}

// RollOver begins the way to another key of a signed zone: it makes the key and
// publishes it. What follows takes its time, and waits for the parent's DS. The
// error wraps ErrNotInZone, ErrUnsigned, dnssec.ErrRolling, or what PutTXT's do.
func (s *Server) RollOver(ctx context.Context, name string) error {
	apex, err := canonicalName(name)
	if err != nil {
		return fmt.Errorf("roll over: %w", err)
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	v := s.view.Load()
	switch {
	case v == nil:
		return ErrStopped
	case v.zones[apex] == nil:
		return fmt.Errorf("roll over: %w: %s is no zone of this server", ErrNotInZone, display(apex))
	case !v.zones[apex].signed:
		return fmt.Errorf("roll over %s: %w", display(apex), ErrUnsigned)
	}
	z := v.zones[apex]
	ring, text, _, err := v.ring(apex)
	if err != nil {
		return err
	}
	if len(ring.Entries) != 1 {
		return fmt.Errorf("roll over %s: %w", display(apex), dnssec.ErrRolling)
	}
	key, err := s.newKey(z)
	if err != nil {
		return err
	}
	next, err := ring.Begin(key, s.clock.now())
	if err == nil {
		_, err = s.keepRing(ctx, z, text, next)
	}
	if err != nil {
		return err
	}
	return s.useKeys(ctx)
}

// problems are those of signed zones.
func (d DNSSEC) problems(zones []Zone) []*ConfigError {
	var all []*ConfigError
	for i, z := range zones {
		problem := func(fix, why string) {
			all = append(all, &ConfigError{Block: "zone", Index: i, Name: z.Name, Field: "dnssec", Problem: why, Fix: fix})
		}
		switch {
		case !z.Signed:
		case d.Folder == "":
			problem("name a folder for them", "there is no folder for the keys")
		case len(z.Primaries) > 0:
			problem("remove dnssec = true, or primary", "a zone that is copied cannot be signed here")
		case len(z.Secondaries) > 0:
			problem("let servers that share a storage answer for it, or remove secondary", "signatures are made when they are asked for, so secondaries would answer without them")
		}
	}
	return all
}
