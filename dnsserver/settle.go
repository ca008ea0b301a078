package dnsserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// followers are those of all zones. The writer wakes them, a reload replaces
// them.
type followers struct {
	mu     sync.Mutex
	all    map[string][]*follower // by apex
	cancel map[*follower]context.CancelFunc
}

// of returns the followers of a zone.
func (f *followers) of(apex string) []*follower {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[apex]
}

// wake tells those of a zone that it changed.
func (f *followers) wake(apex string) {
	for _, one := range f.of(apex) {
		one.wake()
	}
}

// wakeFollowers tells those of the zones that a batch gave a serial; after a
// change without a batch, all.
func (s *Server) wakeFollowers(d *draft, b Batch) {
	if b.empty() {
		for apex := range d.view.zones {
			s.followers.wake(apex)
		}
		return
	}
	for _, doc := range b.Documents {
		if _, apex, ok := strings.Cut(doc.Key, "/"); ok && (strings.HasPrefix(doc.Key, serialPrefix) || isCopyKey(doc.Key)) {
			s.followers.wake(apex)
		}
	}
}

// useFollowers makes the followers those of a configuration: what stays the same goes on.
func (s *Server) useFollowers(ctx context.Context, want map[string]following) {
	f := &s.followers
	f.mu.Lock()
	defer f.mu.Unlock()
	next := map[string][]*follower{}
	kept := map[*follower]bool{}
	for apex, of := range want {
		for _, to := range of.secondaries {
			i := slices.IndexFunc(f.all[apex], func(old *follower) bool { return old.name == to.name && old.address == to.address })
			if i >= 0 && sameKey(f.all[apex][i].key, to.key) {
				next[apex] = append(next[apex], f.all[apex][i])
				kept[f.all[apex][i]] = true
				continue
			}
			one := newFollower(apex, to)
			own, cancel := context.WithCancel(ctx)
			if f.cancel == nil {
				f.cancel = map[*follower]context.CancelFunc{}
			}
			f.cancel[one], kept[one] = cancel, true
			next[apex] = append(next[apex], one)
			s.running.Go(func() { s.tend(own, one) })
		}
	}
	for one, cancel := range f.cancel {
		if !kept[one] {
			cancel()
			delete(f.cancel, one)
		}
	}
	f.all = next
}

// sameKey reports whether two keys sign alike.
func sameKey(a, b *key) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Same(b.Key)
}

// Serial is the serial of the zone that name is in. The error wraps ErrNotInZone
// or ErrStopped.
func (s *Server) Serial(name string) (zone string, serial uint32, err error) {
	canonical, err := canonicalName(name)
	if err != nil {
		return "", 0, fmt.Errorf("find the zone: %w", err)
	}
	v := s.view.Load()
	if v == nil {
		return "", 0, ErrStopped
	}
	z := v.zoneOf(canonical, 0)
	if z == nil {
		return "", 0, fmt.Errorf("%w: %s; this server has %s", ErrNotInZone, display(canonical), v.zoneNames())
	}
	return z.name, v.states[z.index].serial, nil
}

// Settled waits until every secondary of a zone answers with this serial or a
// later one, and every server that shares the storage shows it. When ctx ends
// first it returns those that do not, and ctx's error. A zone without either is
// settled.
func (s *Server) Settled(ctx context.Context, zone string, serial uint32) ([]client.Lag, error) {
	apex, err := canonicalName(zone)
	if err != nil {
		return nil, fmt.Errorf("wait for the secondaries: %w", err)
	}
	all := s.followers.of(apex)
	behind, peersErr := s.peersBehind(ctx)
	for _, f := range all {
		if err := f.await(ctx, serial); err != nil {
			return append(lagging(all, serial), behind...), fmt.Errorf("wait for the secondaries of %s: %w", display(apex), err)
		}
	}
	if peersErr != nil {
		return behind, fmt.Errorf("wait for the servers that share the storage: %w", peersErr)
	}
	return nil, nil
}

// peersBehind waits until all servers that share the storage show what this one
// shows, and returns those that do not when ctx ends.
func (s *Server) peersBehind(ctx context.Context) ([]client.Lag, error) {
	if s.shared == nil {
		return nil, nil
	}
	sequence := s.shared.Condition().Sequence
	peers, err := s.shared.Await(ctx, sequence)
	var lags []client.Lag
	for _, p := range peers {
		lags = append(lags, client.Lag{
			Secondary: p.Name,
			Problem:   fmt.Sprintf("it shares the storage, and showed change %d, not %d, when it was seen at %s", p.Sequence, sequence, exact(p.Seen)),
		})
	}
	return lags, err
}

// await waits until the secondary has a serial.
func (f *follower) await(ctx context.Context, serial uint32) error {
	for {
		seen, news, _ := f.state()
		if has(seen, serial) {
			return nil
		}
		f.wake()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lagging are those that do not have a serial.
func lagging(all []*follower, serial uint32) []client.Lag {
	var lags []client.Lag
	for _, f := range all {
		seen, _, problem := f.state()
		if has(seen, serial) {
			continue
		}
		l := client.Lag{Secondary: f.name, Address: f.address.String(), Serial: seen}
		if problem != nil {
			l.Problem = problem.Error()
		}
		lags = append(lags, l)
	}
	return lags
}

// writeFollowers says how far the secondaries are.
func (s *Server) writeFollowers(m *metric.Writer) {
	f := &s.followers
	f.mu.Lock()
	all := maps.Clone(f.all)
	f.mu.Unlock()
	apexes := sortedKeys(all, strings.Clone)
	m.Family("certificate_dns_secondary_lag", metric.Gauge, "By how many serials a secondary is behind; -1 while it has not answered.")
	for _, apex := range apexes {
		for _, one := range all[apex] {
			m.Sample(one.lag(s), "zone", display(apex), "secondary", one.name)
		}
	}
	m.Family("certificate_dns_secondary_up", metric.Gauge, "Whether a secondary answered when it was asked last.")
	for _, apex := range apexes {
		for _, one := range all[apex] {
			seen, _, problem := one.state()
			m.Sample(boolean(problem == nil && seen != 0), "zone", display(apex), "secondary", one.name)
		}
	}
}

// lag is how many serials the secondary is behind, -1 when it is not known.
func (f *follower) lag(s *Server) float64 {
	serial, ok := s.serialAt(f.apex)
	seen, _, _ := f.state()
	switch {
	case !ok || seen == 0:
		return -1
	case has(seen, serial):
		return 0
	}
	return float64(serial - seen)
}
