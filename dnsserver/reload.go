package dnsserver

import (
	"context"
	"reflect"
)

// Reload puts another Config into force while queries are answered: zones,
// tokens, limits and what is logged. The number of entries that the query log
// holds stays. Its error joins one *ConfigError for each problem, or wraps
// ErrStopped, and then the old Config stays in force, whole.
func (s *Server) Reload(ctx context.Context, config Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := s.reload(ctx, config)
	if err != nil {
		s.ReloadFailed()
		return err
	}
	s.counters.reloads.Add(1)
	return nil
}

// ReloadFailed counts a new configuration that was not even given to Reload.
func (s *Server) ReloadFailed() { s.counters.failedReloads.Add(1) }

func (s *Server) reload(ctx context.Context, config Config) error {
	zones, tokens, problems := config.compile()
	if err := joined(problems); err != nil {
		return err
	}
	// The writer makes the new view, so no change is lost between two of them.
	err := s.update(ctx, func(d *draft) error {
		if !sameZones(d.view.zones, zones) {
			d.rezone(zones)
			d.view = d.view.withExpiry(s.clock.now())
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.settings.Store(newSettings(config, tokens))
	s.mu.Lock()
	if s.background != nil {
		s.useFollowers(s.background, s.settings.Load().following)
		s.useCopiers(s.background, s.settings.Load().primaries)
	}
	s.mu.Unlock()
	s.conns.limit(orDefault(config.MaxConnections, DefaultMaxConnections), orDefault(config.MaxPerClient, DefaultMaxPerClient))
	s.idleTimeout.Store(int64(orDefault(config.IdleTimeout, DefaultIdleTimeout)))
	if !samePolicy(s.replies, config) {
		s.replies = config
		next := config.policy()
		next.signers = s.policy.Load().signers
		s.policy.Store(next) // with other secrets for cookies, unless they are configured
	}
	s.signing = config.DNSSEC
	if err := s.useKeys(ctx); err != nil {
		s.log.Error("keys of signed zones are at fault", "error", err)
	}
	if s.queries != nil {
		s.queries.privacy.Store(&config.QueryLog.Addresses)
	}
	return nil
}

// samePolicy reports whether two Configs give replies under the same terms.
func samePolicy(a, b Config) bool {
	return a.NSID == b.NSID && reflect.DeepEqual(a.Cookies, b.Cookies) && reflect.DeepEqual(a.RateLimit, b.RateLimit)
}

// sameZones reports whether two configurations answer the same.
func sameZones(a, b map[string]*zone) bool {
	if len(a) != len(b) {
		return false
	}
	for name, z := range a {
		other := b[name]
		if other == nil || z.copied != other.copied || z.signed != other.signed || z.dynamicTTL != other.dynamicTTL || z.soa.Serial != other.soa.Serial || z.fingerprint() != other.fingerprint() {
			return false
		}
	}
	return true
}

// rezone makes the view anew for other zones, with all that is kept: records
// that these have no place for are set aside, and others that were come back.
func (d *draft) rezone(zones map[string]*zone) {
	next := newView(zones)
	next.documents = d.view.documents
	var b Batch
	for l := range d.view.table.all() {
		for set := range l.sets() {
			for r := range set.records() {
				b.Changes = append(b.Changes, Change{Name: l.name(), Type: set.rrtype, TTL: r.ttl, Data: r.data, Expires: r.expires})
			}
		}
	}
	for _, c := range d.view.parked {
		b.Changes = append(b.Changes, c)
	}
	before := d.view
	d.view = next.loaded(b)
	d.reserial()
	for apex := range moved(before, d.view, b.Changes) {
		old, z := before.zones[apex], d.view.zones[apex]
		if old == nil || z == nil || z.copied || before.states[old.index].serial != d.view.states[z.index].serial {
			continue
		}
		d.keys[d.bump(z).Key] = struct{}{} // secondaries have to hear of it
	}
}

// moved are the apexes of zones that records came to, or went from, because
// there are other zones now.
func moved(before, after *view, records []Change) map[string]struct{} {
	in := func(v *view, c Change) string {
		if _, parked := v.parked[c.key()]; parked {
			return ""
		}
		return v.zoneOf(c.Name, c.Type).apex()
	}
	apexes := map[string]struct{}{}
	for _, c := range records {
		if from, to := in(before, c), in(after, c); from != to {
			apexes[from], apexes[to] = struct{}{}, struct{}{}
		}
	}
	return apexes
}
