package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// attempts is how often a turn is tried: a connection may have died unnoticed,
// and a new one may meet a server that is just being replaced.
const attempts = 3

// changed is one row of the table change.
type changed struct {
	seq    int64
	token  []byte
	server string
	batch  dnsserver.Batch
}

// Apply implements dnsserver.Store. It follows nobody: it is for programs that
// show no records.
func (s *Store) Apply(ctx context.Context, b dnsserver.Batch) error {
	if err := s.skip(ctx); err != nil {
		return s.explain(err)
	}
	return s.Turn(ctx, func(dnsserver.Stored) {}, func() dnsserver.Batch { return b })
}

// skip passes over what others stored.
func (s *Store) skip(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	var seq int64
	var token []byte
	if err := conn.QueryRow(ctx, "SELECT seq, token FROM head").Scan(&seq, &token); err != nil {
		return err
	}
	s.at(seq, token)
	return nil
}

// turn is one Turn in the making.
type turn struct {
	follow func(dnsserver.Stored)
	change func() dnsserver.Batch
	// given is what an attempt gave to the server without learning what became of
	// it; its token is nil when there is none.
	given changed
}

// Turn implements dnsserver.Shared. Where an answer is missing it looks, with
// the head locked, whether the batch is there: then it is stored, and once.
func (s *Store) Turn(ctx context.Context, follow func(dnsserver.Stored), change func() dnsserver.Batch) error {
	if err := s.reachable(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.times.turn)
	defer cancel()
	t := &turn{follow: follow, change: change}
	for n := 1; ; n++ {
		err := s.attempt(ctx, t)
		if err == nil {
			return nil
		}
		if n == attempts || ctx.Err() != nil || !passing(err) {
			return s.failed(t, err)
		}
	}
}

// failed is the error of a turn.
func (s *Store) failed(t *turn, err error) error {
	err = s.explain(err)
	if t.given.token != nil {
		return fmt.Errorf("%w: %w", dnsserver.ErrUnsure, err)
	}
	return err
}

// attempt makes one transaction. The caller holds mu.
func (s *Store) attempt(ctx context.Context, t *turn) (err error) {
	conn, err := s.connection(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.rollBack(ctx, conn)
		}
	}()
	missed, err := s.lockHead(ctx, conn)
	if err != nil {
		return err
	}
	if len(missed) > 0 && t.given.token != nil && bytes.Equal(missed[0].token, t.given.token) {
		s.at(t.given.seq, t.given.token)
		s.awaken() // others may have come behind it
		return s.end(ctx, conn, "ROLLBACK")
	}
	t.given = changed{} // with the head locked, what is not there will not come
	s.followAll(missed, t.follow)
	b := t.change()
	if len(b.Changes) == 0 && len(b.Documents) == 0 {
		return s.end(ctx, conn, "ROLLBACK")
	}
	t.given = changed{seq: s.seq + 1, token: newToken(), server: s.server, batch: b}
	if err := s.store(ctx, conn, t.given); err != nil {
		var said *pgconn.PgError
		if errors.As(err, &said) && said.Severity == "ERROR" {
			t.given = changed{} // it was refused before the commit
		}
		return err
	}
	s.at(t.given.seq, t.given.token)
	t.given = changed{}
	return nil
}

// rollBack ends a transaction that failed; the connection too, unless it is
// sound.
func (s *Store) rollBack(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() || ctx.Err() != nil || s.end(ctx, conn, "ROLLBACK") != nil {
		s.drop()
	}
}

func (s *Store) end(ctx context.Context, conn *pgx.Conn, how string) error {
	_, err := conn.Exec(ctx, how)
	return err
}

// missedSince reads the batch that was read last, to see that it is still the
// same, and all behind it.
const missedSince = "SELECT seq, token, server, CASE WHEN seq > $1 THEN batch ELSE '' END FROM change WHERE seq >= $1 ORDER BY seq"

// lockHead begins a transaction that nobody else's can overtake, and returns
// what was missed.
func (s *Store) lockHead(ctx context.Context, conn *pgx.Conn) ([]changed, error) {
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("SELECT seq FROM head FOR UPDATE")
	var missed []changed
	b.Queue(missedSince, s.seq).Query(func(rows pgx.Rows) (err error) {
		missed, err = s.missed(rows)
		return err
	})
	return missed, conn.SendBatch(ctx, b).Close()
}

// missed reads the rows of missedSince. Where the last batch that was read is
// not there, or is another one, this server cannot go on from it: it was away
// for too long, or the database was put back to an earlier state.
func (s *Store) missed(rows pgx.Rows) ([]changed, error) {
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c changed, err error) {
		var batch []byte
		if err := row.Scan(&c.seq, &c.token, &c.server, &batch); err != nil {
			return c, err
		}
		if err := c.batch.UnmarshalBinary(batch); err != nil {
			return c, fmt.Errorf("%w: change %d: %w; restore a backup", errDamaged, c.seq, err)
		}
		return c, nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0 || all[0].seq != s.seq || !bytes.Equal(all[0].token, s.token):
		s.gaps.Add(1)
		return nil, dnsserver.ErrGap
	}
	for n, c := range all {
		if c.seq != s.seq+int64(n) {
			s.gaps.Add(1)
			return nil, dnsserver.ErrGap
		}
	}
	return all[1:], nil
}

// followAll hands over what was missed. The caller holds mu.
func (s *Store) followAll(missed []changed, follow func(dnsserver.Stored)) {
	for _, c := range missed {
		follow(dnsserver.Stored{Batch: c.batch, By: c.server})
		s.at(c.seq, c.token)
	}
}

// store gives a batch to the server and commits, in one go.
func (s *Store) store(ctx context.Context, conn *pgx.Conn, c changed) error {
	text, err := c.batch.MarshalBinary()
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	e := newEffect()
	e.add(c.batch)
	e.queue(b)
	b.Queue("INSERT INTO change (seq, token, server, batch) VALUES ($1, $2, $3, $4)", c.seq, c.token, c.server, text)
	s.queueHead(b, c)
	var tag pgconn.CommandTag
	b.Queue("COMMIT").Exec(func(t pgconn.CommandTag) error {
		tag = t
		return nil
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return errRolled
	}
	return nil
}

// queueHead moves the head on and wakes the others.
func (s *Store) queueHead(b *pgx.Batch, c changed) {
	b.Queue("UPDATE head SET seq = $1, token = $2", c.seq, c.token)
	b.Queue("SELECT pg_notify($1, $2)", s.channel(), fmt.Sprintf("%x", s.instance))
}

// Catch implements dnsserver.Shared.
func (s *Store) Catch(ctx context.Context, follow func(dnsserver.Stored)) error {
	if err := s.reachable(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.times.turn)
	defer cancel()
	for n := 1; ; n++ {
		missed, err := s.look(ctx)
		if err == nil {
			s.followAll(missed, follow)
			if err = s.tell(ctx); err == nil {
				return nil
			}
		}
		if n == attempts || ctx.Err() != nil || !passing(err) {
			return s.explain(err)
		}
	}
}

// look reads what was missed without a lock. The caller holds mu.
func (s *Store) look(ctx context.Context) ([]changed, error) {
	conn, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, missedSince, s.seq)
	if err != nil {
		return nil, err
	}
	return s.missed(rows)
}
