package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// How often a primary is asked, whatever its SOA says.
const (
	shortestRefresh = time.Second
	firstRetry      = 2 * time.Second // while there is no copy; then twice as long, up to
	lastRetry       = time.Minute
	recordRefresh   = time.Minute // how often it is stored that a copy is still current
)

// copier keeps the copy of one zone current.
type copier struct {
	apex      string
	primaries []primary
	told      chan struct{} // has room for one: the primary says that there is a change
	problem   atomic.Pointer[string]
	axfr      atomic.Uint64
	ixfr      atomic.Uint64
}

// copiers are those of all copied zones. A reload replaces them.
type copiers struct {
	mu     sync.Mutex
	all    map[string]*copier // by apex
	cancel map[string]context.CancelFunc
}

func (c *copiers) of(apex string) *copier {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[apex]
}

// useCopiers makes the copiers those of a configuration.
func (s *Server) useCopiers(ctx context.Context, want map[string][]primary) {
	c := &s.copiers
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all, c.cancel = map[string]*copier{}, map[string]context.CancelFunc{}
	}
	same := func(a, b primary) bool { return a.address == b.address && sameKey(a.key, b.key) }
	for apex, old := range c.all {
		if !slices.EqualFunc(old.primaries, want[apex], same) {
			c.cancel[apex]()
			delete(c.all, apex)
			delete(c.cancel, apex)
		}
	}
	for apex, primaries := range want {
		if c.all[apex] != nil {
			continue
		}
		one := &copier{apex: apex, primaries: primaries, told: make(chan struct{}, 1)}
		own, cancel := context.WithCancel(ctx)
		c.all[apex], c.cancel[apex] = one, cancel
		s.running.Go(func() { s.keepCopy(own, one) })
	}
}

// keepCopy runs until ctx ends: it asks the primaries when the SOA says so, or
// they do, and stops giving the zone away when it is too old (RFC 1034 §4.3.5).
func (s *Server) keepCopy(ctx context.Context, c *copier) {
	retry := firstRetry
	next := s.clock.now() // when the primaries are asked
	if have, ok := s.copyOf(c.apex); ok {
		next = have.refreshed.Add(seconds(have.soa.Refresh))
	}
	for {
		wake := next
		have, ok := s.copyOf(c.apex)
		if ok && have.expires().Before(wake) && s.clock.now().Before(have.expires()) {
			wake = have.expires()
		}
		timer, stop := s.clock.timer(wake)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-c.told:
			next = s.clock.now()
		case <-timer:
		}
		stop()
		s.expireCopy(ctx, c, have, ok)
		if s.clock.now().Before(next) {
			continue
		}
		err := s.refresh(ctx, c)
		if ctx.Err() != nil {
			return
		}
		have, ok = s.copyOf(c.apex)
		switch {
		case err == nil && ok:
			next, retry = s.clock.now().Add(seconds(have.soa.Refresh)), firstRetry
		case ok:
			next = s.clock.now().Add(seconds(have.soa.Retry))
			s.expireCopy(ctx, c, have, ok)
		default:
			next, retry = s.clock.now().Add(retry), min(2*retry, lastRetry)
		}
	}
}

// seconds is a time of an SOA.
func seconds(n uint32) time.Duration { return max(time.Duration(n)*time.Second, shortestRefresh) }

// copyOf is what is kept of a copied zone.
func (s *Server) copyOf(apex string) (copied, bool) {
	v := s.view.Load()
	if v == nil || v.zones[apex] == nil {
		return copied{}, false
	}
	return v.copiedOf(v.zones[apex])
}

// expireCopy stops giving a copy away that is too old.
func (s *Server) expireCopy(ctx context.Context, c *copier, have copied, ok bool) {
	if !ok || s.clock.now().Before(have.expires()) {
		return
	}
	if serial, fresh := s.serialAt(c.apex); fresh {
		s.log.LogAttrs(ctx, slog.LevelError, "a copied zone expired, and is answered with SERVFAIL until its primary is reached",
			slog.String("zone", display(c.apex)), slog.Uint64("serial", uint64(serial)), slog.Time("current_until", have.refreshed))
	}
	err := s.update(ctx, func(d *draft) error {
		d.view = d.view.withExpiry(s.clock.now())
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("a copied zone cannot be marked as expired", "zone", display(c.apex), "error", err)
	}
}

// refresh asks the primaries, one after another, whether there is something new,
// and copies it.
func (s *Server) refresh(ctx context.Context, c *copier) error {
	var errs []error
	for _, p := range c.primaries {
		err := s.refreshFrom(ctx, c, p)
		if err == nil {
			if c.problem.Swap(nil) != nil {
				s.log.Info("a primary answers again", "zone", display(c.apex), "primary", p.address.String())
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.address, err))
	}
	err := errors.Join(errs...)
	text := err.Error()
	if old := c.problem.Swap(&text); old == nil || *old != text {
		s.log.Warn("a copied zone cannot be brought up to date", "zone", display(c.apex), "error", err)
	}
	return err
}

// refreshFrom brings the copy up to date with one primary.
func (s *Server) refreshFrom(ctx context.Context, c *copier, p primary) error {
	v := s.view.Load()
	z := v.zones[c.apex]
	if z == nil {
		return ErrStopped
	}
	have, ok := v.copiedOf(z)
	if ok {
		serial, err := askSerial(ctx, p.address, c.apex, p.key)
		if err != nil {
			return err
		}
		if !newerSerial(serial, have.soa.Serial) {
			return s.stillCurrent(ctx, z, have)
		}
	} else {
		have.soa = nil
	}
	most := s.settings.Load().limits.MaxBytes
	got, err := p.fetch(ctx, z, have.soa, most, s.clock.now)
	if err != nil {
		return err
	}
	if got.current {
		return s.stillCurrent(ctx, z, have)
	}
	if err = s.takeOver(ctx, c, got, have.soa); errors.Is(err, errDiverged) {
		s.log.Warn("changes of a primary do not fit the copy, so all of the zone is copied", "zone", display(c.apex))
		if got, err = p.fetch(ctx, z, nil, most, s.clock.now); err == nil {
			err = s.takeOver(ctx, c, got, nil)
		}
	}
	return err
}

// stillCurrent notes that there is nothing new. It is stored now and then.
func (s *Server) stillCurrent(ctx context.Context, z *zone, have copied) error {
	now := s.clock.now()
	if now.Sub(have.refreshed) < min(recordRefresh, seconds(have.soa.Expire)/4) && !s.view.Load().states[z.index].expired {
		return nil
	}
	return s.update(ctx, func(d *draft) error {
		in := d.view.zones[z.name]
		if in == nil || !in.copied {
			return nil
		}
		return d.current(in, have.soa, now)
	})
}

// takeOver makes the copy what the primary told.
func (s *Server) takeOver(ctx context.Context, c *copier, got received, have *dns.SOA) error {
	kind := kindIXFR
	err := s.update(withActor(ctx, "primary", netip.Addr{}), func(d *draft) error {
		z := d.view.zones[c.apex]
		if z == nil || !z.copied {
			return nil // a reload came before
		}
		if state := d.view.states[z.index]; !state.expired && has(state.serial, got.soa.Serial) {
			return nil // a server that shares the storage was first
		}
		if got.content != nil {
			kind = kindAXFR
			return d.replace(z, got.soa, got.content, s.clock.now())
		}
		return d.amend(z, have.Serial, got.soa, got.changes, s.clock.now())
	})
	if err != nil {
		return err
	}
	if kind == kindAXFR {
		c.axfr.Add(1)
	} else {
		c.ixfr.Add(1)
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "zone copied", slog.String("zone", display(c.apex)), slog.String("kind", kind), slog.Uint64("serial", uint64(got.soa.Serial)))
	return nil
}

// answerNotify answers a primary that says that a zone changed (RFC 1996 §3.11).
func (s *Server) answerNotify(v *view, msg []byte, who identity, t *terms) reply {
	q, err := readQuery(msg)
	a := answer{refusal: noEDE}
	switch {
	case err != nil:
		a.rcode = dns.RcodeFormatError
	case q.edns && q.version != 0:
		a.rcode = dns.RcodeBadVers
	default:
		a.rcode = s.takeNotify(q, who, t)
	}
	a.authoritative = a.rcode == dns.RcodeSuccess
	out := pack(q, a, t)
	if q.asked && len(out.wire) >= q.end {
		copy(out.wire[headerSize:q.end], msg[headerSize:q.end]) // as the client spells it
	}
	if v != nil && q.asked {
		out.zone = v.zones[lower(q.question.name)]
	}
	return out
}

func (s *Server) takeNotify(q query, who identity, t *terms) int {
	c := s.copiers.of(lower(q.question.name))
	if c == nil || q.class != dns.ClassINET || q.question.rrtype != dns.TypeSOA {
		return dns.RcodeNotAuth
	}
	allowed := slices.ContainsFunc(c.primaries, func(p primary) bool {
		if p.key != nil {
			return who.key != nil && who.key.Name() == p.key.Name()
		}
		return p.address.Addr() == t.client.Unmap().WithZone("")
	})
	if !allowed {
		return dns.RcodeRefused
	}
	select {
	case c.told <- struct{}{}:
	default: // it is being looked at
	}
	return dns.RcodeSuccess
}

// copyNote says of a copied zone where it is from and how old, on the page.
func (s *Server) copyNote(v *view, z *zone) string {
	if !z.copied {
		return ""
	}
	note := " (a copy"
	if c := s.copiers.of(z.name); c != nil && len(c.primaries) > 0 {
		note += " of " + c.primaries[0].address.String()
	}
	have, ok := v.copiedOf(z)
	switch {
	case !ok:
		note += ", not yet transferred"
	case v.states[z.index].expired:
		note += ", expired: the primary was last reached " + exact(have.refreshed)
	default:
		note += ", current as of " + exact(have.refreshed)
	}
	return note + ")"
}

// writeCopies says how old the copies are.
func (s *Server) writeCopies(m *metric.Writer) {
	c := &s.copiers
	c.mu.Lock()
	defer c.mu.Unlock()
	apexes := sortedKeys(c.all, strings.Clone)
	m.Family("certificate_dns_copy_refreshed_timestamp_seconds", metric.Gauge, "When a copied zone was last known to be its primary's, as Unix time; 0 for never.")
	for _, apex := range apexes {
		at := 0.0
		if have, ok := s.copyOf(apex); ok {
			at = float64(have.refreshed.Unix())
		}
		m.Sample(at, "zone", display(apex))
	}
	m.Family("certificate_dns_copy_served", metric.Gauge, "Whether a copied zone is answered; it is not when it expired.")
	for _, apex := range apexes {
		_, fresh := s.serialAt(apex)
		m.Sample(boolean(fresh), "zone", display(apex))
	}
	m.Family("certificate_dns_copy_transfers_total", metric.Counter, "Transfers of a copied zone from its primary.")
	for _, apex := range apexes {
		m.Sample(float64(c.all[apex].axfr.Load()), "zone", display(apex), "kind", "axfr")
		m.Sample(float64(c.all[apex].ixfr.Load()), "zone", display(apex), "kind", "ixfr")
	}
}
