package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

const (
	// askPrefix begins an announcement that wants to know how far servers are.
	askPrefix = "ask "
	// askedFor is how long a server that was asked says what it has followed, and
	// askEvery how often it is asked.
	askedFor, askEvery = 5 * time.Second, time.Second
	// peersFresh is how old what is known of the others may be for whoever waits.
	peersFresh = 10 * time.Millisecond
	// awaitedFor is how long a server that is not seen any more is waited for: it
	// may still answer queries.
	awaitedFor = 10 * time.Minute
)

// heard takes an announcement.
func (s *Store) heard(payload string) {
	instance, asks := strings.CutPrefix(payload, askPrefix)
	if instance == fmt.Sprintf("%x", s.instance) {
		return
	}
	if asks {
		s.asked.Store(time.Now().UnixNano())
	}
	s.awaken()
}

// Await implements dnsserver.Shared. It asks the others to say how far they are,
// which they otherwise do with their heartbeats only.
func (s *Store) Await(ctx context.Context, sequence uint64) ([]dnsserver.Peer, error) {
	var asked time.Time
	for {
		peers, err := s.lookAround(ctx, &asked)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		lagging := slices.DeleteFunc(peers, func(p dnsserver.Peer) bool {
			return p.Here || p.Sequence >= sequence || time.Since(p.Seen) > awaitedFor
		})
		if err == nil && len(lagging) == 0 {
			return nil, nil
		}
		if sleep(ctx, peersFresh) != nil {
			return lagging, ctx.Err()
		}
	}
}

// lookAround returns how far the servers are. One look serves all who wait.
func (s *Store) lookAround(ctx context.Context, asked *time.Time) ([]dnsserver.Peer, error) {
	if err := s.reachable(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.looked) < peersFresh && time.Since(*asked) < askEvery {
		return slices.Clone(s.around), nil
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.times.connect)
	defer cancel()
	conn, err := s.connection(bounded)
	if err != nil {
		return nil, s.explain(err)
	}
	b := &pgx.Batch{}
	if time.Since(*asked) >= askEvery {
		b.Queue("SELECT pg_notify($1, $2)", s.channel(), fmt.Sprintf("%s%x", askPrefix, s.instance))
		*asked = time.Now()
	}
	b.Queue(allServers).Query(func(rows pgx.Rows) (err error) {
		s.around, err = pgx.CollectRows(rows, s.peer)
		return err
	})
	if err := conn.SendBatch(bounded, b).Close(); err != nil {
		return nil, s.explain(err)
	}
	s.looked = time.Now()
	return slices.Clone(s.around), nil
}

// tell says how far this server is, if somebody asked lately. The caller holds
// mu.
func (s *Store) tell(ctx context.Context) error {
	if time.Since(time.Unix(0, s.asked.Load())) > askedFor || s.conn == nil {
		return nil
	}
	_, err := s.conn.Exec(ctx, "UPDATE server SET seq = $1, behind = 0, seen_at = now() WHERE name = $2 AND instance = $3", s.seq, s.server, s.instance)
	return err
}
