package challenge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

const (
	maxParallel     = 16
	firstLook       = 5 * time.Millisecond
	slowestLook     = 5 * time.Second
	zoneMemory      = 5 * time.Minute
	defaultPatience = 2 * time.Minute
)

// DNSSolver publishes TXT records and waits until they are visible.
type DNSSolver struct {
	Publisher Publisher
	Resolver  *Resolver
	Logger    *slog.Logger
	// Patience bounds the wait for all authoritative servers; 0 means two
	// minutes.
	Patience time.Duration

	mu     sync.Mutex
	zoneOf map[string]string // by target; from Locate to Withdraw
	zones  map[string]*knownZone
}

// knownZone remembers the servers of a zone for the names of later orders.
type knownZone struct {
	turn    chan struct{} // holds one token; its holder may use the rest
	servers []nameServer
	until   time.Time
}

// Type implements Solver.
func (s *DNSSolver) Type() string { return DNS01 }

// Writes implements RecordWriter.
func (s *DNSSolver) Writes(kind string) bool {
	_, alias := s.Publisher.(AliasPublisher)
	return kind == TXT || kind == CNAME && alias
}

// Locate implements Locator by following CNAMEs. A record that is one itself
// belongs where it is asked for.
func (s *DNSSolver) Locate(ctx context.Context, records []Record) ([]Record, error) {
	located := slices.Clone(records)
	talk := s.Resolver.converse()
	defer talk.close()
	group, ctx := parallel(ctx)
	for n := range located {
		if located[n].Type == CNAME {
			located[n].Target = located[n].Name
			continue
		}
		group.Go(func() error {
			target, zone, err := talk.follow(ctx, located[n].Name)
			located[n].Target = target
			s.noteZone(target, zone)
			return err
		})
	}
	return located, group.Wait()
}

// Present implements Solver: it publishes all records at once and returns when
// every authoritative server of their zones answers with all values.
func (s *DNSSolver) Present(ctx context.Context, records []Record) error {
	group, publishing := parallel(ctx)
	for _, record := range records {
		group.Go(func() error { return s.write(publishing, record) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	patience := s.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not every authoritative server answered with the record within %s", patience))
	defer cancel()
	talk := s.Resolver.converse()
	defer talk.close()
	group, waiting := parallel(ctx)
	for _, record := range records {
		group.Go(func() error {
			if err := s.settle(waiting, record); err != nil {
				return err
			}
			return s.await(waiting, talk, record)
		})
	}
	return group.Wait()
}

// settle waits for the servers that the publisher knows to follow: what it is
// told, nobody has to ask for.
func (s *DNSSolver) settle(ctx context.Context, record Record) error {
	settler, ok := s.Publisher.(Settler)
	if !ok {
		return nil
	}
	if err := settler.Settle(ctx, record.Target); err != nil {
		return fmt.Errorf("wait for %s %s: %w", record.rrType(), record.Target, err)
	}
	return nil
}

// Withdraw implements Solver.
func (s *DNSSolver) Withdraw(ctx context.Context, records []Record) error {
	failures := make([]error, len(records))
	group := new(errgroup.Group)
	group.SetLimit(maxParallel)
	for n, record := range records {
		s.noteZone(record.Target, "")
		group.Go(func() error {
			failures[n] = s.erase(ctx, record)
			return nil
		})
	}
	_ = group.Wait() // the failures are kept apart
	return errors.Join(failures...)
}

var errNoAlias = errors.New("the configured validation does not write CNAME records")

func (s *DNSSolver) write(ctx context.Context, record Record) error {
	if record.Type != CNAME {
		return s.Publisher.Publish(ctx, record.Target, record.Value)
	}
	alias, ok := s.Publisher.(AliasPublisher)
	if !ok {
		return fmt.Errorf("publish %s: %w", record.Name, errNoAlias)
	}
	return alias.PublishAlias(ctx, record.Target, record.Value)
}

func (s *DNSSolver) erase(ctx context.Context, record Record) error {
	if record.Type != CNAME {
		return s.Publisher.Withdraw(ctx, record.Target, record.Value)
	}
	alias, ok := s.Publisher.(AliasPublisher)
	if !ok {
		return fmt.Errorf("withdraw %s: %w", record.Name, errNoAlias)
	}
	return alias.WithdrawAlias(ctx, record.Target, record.Value)
}

// await returns when every authoritative server answers with the record.
func (s *DNSSolver) await(ctx context.Context, talk *conversation, record Record) error {
	wait := firstLook
	var reason error
	for {
		laggard, err := s.look(ctx, talk, record)
		if err == nil && laggard == nil {
			return nil
		}
		if reason == nil || ctx.Err() == nil {
			reason = errors.Join(err, laggard) // not that of a look that was broken off
		}
		s.Logger.DebugContext(ctx, "record not visible yet", "name", record.Target, "reason", reason)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for %s %s: %w: %w", record.rrType(), record.Target, context.Cause(ctx), reason)
		}
		wait = min(wait*2, slowestLook)
	}
}

// look asks all servers once. The laggard says which one does not have the
// record; err, why the servers could not be found.
func (s *DNSSolver) look(ctx context.Context, talk *conversation, record Record) (laggard, err error) {
	servers, err := s.serversOf(ctx, talk, record.Target)
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		if laggard := server.lacks(ctx, talk, record); laggard != nil {
			return laggard, nil
		}
	}
	return nil, nil
}

// noteZone remembers the zone of a name, or forgets it when zone is empty.
func (s *DNSSolver) noteZone(name, zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if zone == "" {
		delete(s.zoneOf, name)
		return
	}
	if s.zoneOf == nil {
		s.zoneOf = map[string]string{}
	}
	s.zoneOf[name] = zone
}

// knownZone returns what is remembered of a zone, with its turn to be taken.
func (s *DNSSolver) knownZone(zone string) *knownZone {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.zones == nil {
		s.zones = map[string]*knownZone{}
	}
	if s.zones[zone] == nil {
		s.zones[zone] = &knownZone{turn: make(chan struct{}, 1)}
	}
	return s.zones[zone]
}

// serversOf finds the zone of a name, which Locate has mostly seen, and its
// servers, which are asked for once for all names of the zone.
func (s *DNSSolver) serversOf(ctx context.Context, talk *conversation, name string) (servers []nameServer, err error) {
	s.mu.Lock()
	zone, ok := s.zoneOf[name]
	s.mu.Unlock()
	if !ok {
		if zone, err = talk.zone(ctx, name); err != nil {
			return nil, err
		}
	}
	known := s.knownZone(zone)
	select {
	case known.turn <- struct{}{}:
		defer func() { <-known.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if time.Now().Before(known.until) {
		return known.servers, nil
	}
	if servers, err = talk.nameServers(ctx, zone); err != nil {
		return nil, err
	}
	known.servers, known.until = servers, time.Now().Add(zoneMemory)
	return servers, nil
}

// lacks returns nil when every address of the server that can be reached
// answers authoritatively with the record, and at least one can be.
func (n nameServer) lacks(ctx context.Context, talk *conversation, record Record) error {
	question := newQuestion(record.Target, dns.StringToType[record.rrType()])
	question.RecursionDesired = false
	var unreachable []error
	for _, address := range n.addresses {
		answer, err := talk.exchange(ctx, address, question)
		if errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			// This machine has no route, IPv6 mostly: no word about the server.
			unreachable = append(unreachable, fmt.Errorf("the name server %s (%s): %w", n.name, address, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("the name server %s (%s): %w", n.name, address, err)
		}
		if reason := missing(answer, record); reason != "" {
			return fmt.Errorf("the name server %s (%s) %s", n.name, address, reason)
		}
	}
	if len(unreachable) == len(n.addresses) {
		return errors.Join(unreachable...)
	}
	return nil
}

// missing says what is wrong with an answer; empty when the record is in it.
func missing(answer *dns.Msg, record Record) string {
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return "answers " + dns.RcodeToString[answer.Rcode]
	}
	if !answer.Authoritative {
		return "does not answer with authority: is the delegation right?"
	}
	values := 0
	for _, rr := range answer.Answer {
		var value string
		switch rr := rr.(type) {
		case *dns.TXT:
			value = strings.Join(rr.Txt, "")
		case *dns.CNAME:
			value = strings.TrimSuffix(rr.Target, ".")
		default:
			continue
		}
		if value == record.Value || record.Type == CNAME && strings.EqualFold(value, record.Value) {
			return ""
		}
		values++
	}
	return fmt.Sprintf("does not have the value yet (it has %d other values)", values)
}

func parallel(ctx context.Context) (*errgroup.Group, context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	return group, ctx
}
