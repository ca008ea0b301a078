package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// leaveTimeout bounds what a server does before it ends.
const leaveTimeout = 500 * time.Millisecond

// forgetServer is how long a server that is gone stays in the list.
const forgetServer = 7 * 24 * time.Hour

// allServers reads what peer scans.
const allServers = "SELECT name, seq, behind, extract(epoch FROM now() - seen_at)::float8 FROM server ORDER BY name"

// channel is where stored batches are announced.
func (s *Store) channel() string { return s.schema + "_change" }

// Wake implements dnsserver.Shared.
func (s *Store) Wake() <-chan struct{} { return s.wake }

func (s *Store) awaken() {
	select {
	case s.wake <- struct{}{}:
	default: // it is to wake up already
	}
}

// Join takes the server's name and begins to listen, until Close. The error says
// who has the name. A name that a process lost by crashing is free as soon as
// the database notices.
func (s *Store) Join(ctx context.Context) error {
	conn, err := s.claim(ctx)
	if err != nil {
		return s.explain(err)
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.state.Lock()
	defer s.state.Unlock()
	s.stop = cancel
	s.listening.Go(func() { s.listen(background, conn) })
	return nil
}

// reachable reports what keeps a server that joined from the database.
func (s *Store) reachable() error {
	s.state.Lock()
	defer s.state.Unlock()
	return s.away
}

// setAway notes whether the database can be reached, and wakes the server when
// that changes.
func (s *Store) setAway(err error) {
	s.state.Lock()
	changed := (s.away != nil) != (err != nil)
	s.away = err
	if err == nil {
		s.since = time.Now()
	}
	s.state.Unlock()
	if changed {
		s.awaken()
	}
}

// claim connects, takes the name and begins to listen.
func (s *Store) claim(ctx context.Context) (*pgx.Conn, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	err = s.takeName(ctx, conn)
	if err == nil {
		err = s.within(ctx, func(ctx context.Context) error {
			_, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel()}.Sanitize())
			return err
		})
	}
	if err == nil {
		err = s.beat(ctx, conn)
	}
	if err != nil {
		shut(conn)
		return nil, err
	}
	return conn, nil
}

// within bounds a question of the listener.
func (s *Store) within(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.times.connect)
	defer cancel()
	return ask(ctx)
}

// takeName takes the lock that stands for the name. A session that this process
// lost may still have it: that one is ended.
func (s *Store) takeName(ctx context.Context, conn *pgx.Conn) error {
	lock := s.lockID("server/" + s.server)
	deadline := time.Now().Add(s.times.identity)
	for pause := s.times.firstWait; ; pause = min(2*pause, s.times.lastWait) {
		granted := false
		err := s.within(ctx, func(ctx context.Context) error {
			return conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lock).Scan(&granted)
		})
		if err != nil || granted {
			return err
		}
		var age float64
		err = s.within(ctx, func(ctx context.Context) error { return s.endOwn(ctx, conn, &age) })
		if err != nil {
			return err
		}
		if !time.Now().Add(pause).Before(deadline) {
			return fmt.Errorf("%w: a server called %q uses the %s, and was seen %.0f seconds ago; give each server a name of its own as storage.postgres.server. "+
				"If it is a machine that crashed, try again in a minute", errSameName, s.server, s.database, age)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// endOwn ends the session that has the name if it is one of this process's own.
func (s *Store) endOwn(ctx context.Context, conn *pgx.Conn, age *float64) error {
	var instance []byte
	var pid int32
	err := conn.QueryRow(ctx, "SELECT instance, pid, extract(epoch FROM now() - seen_at)::float8 FROM server WHERE name = $1", s.server).Scan(&instance, &pid, age)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // whoever has it is about to say so
	}
	if err == nil && bytes.Equal(instance, s.instance) {
		_, err = conn.Exec(ctx, "SELECT pg_terminate_backend($1)", pid)
	}
	return err
}

// listen wakes the server when others stored something, and tells them that this
// one lives, until ctx ends. A connection that is lost is made anew.
func (s *Store) listen(ctx context.Context, conn *pgx.Conn) {
	for {
		err := s.attend(ctx, conn)
		shut(conn)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("the connection to the database was lost", "error", s.explain(err))
		if conn = s.rejoin(ctx); conn == nil {
			return
		}
		s.reconnects.Add(1)
		s.setAway(nil)
		s.awaken() // for what came meanwhile
	}
}

// rejoin tries until there is a connection again, and returns nil when ctx ends
// first.
func (s *Store) rejoin(ctx context.Context) *pgx.Conn {
	for pause := s.times.firstWait; ; pause = min(2*pause, s.times.lastWait) {
		conn, err := s.claim(ctx)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		s.setAway(s.explain(err))
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// attend waits for announcements and gives signs of life, until the connection
// is lost.
func (s *Store) attend(ctx context.Context, conn *pgx.Conn) error {
	cleaned := time.Time{}
	for {
		waiting, cancel := context.WithTimeout(ctx, s.times.heartbeat)
		note, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			s.heard(note.Payload)
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case conn.IsClosed():
			return err
		}
		if err := s.beat(ctx, conn); err != nil {
			return err
		}
		s.setAway(nil)
		s.awaken() // should an announcement have been lost
		if time.Since(cleaned) > time.Minute {
			cleaned = time.Now()
			if err := s.clean(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// beat gives a sign of life and learns of the others'.
func (s *Store) beat(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.times.connect)
	defer cancel()
	var peers []dnsserver.Peer
	var latest int64
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO server (name, instance, pid, seq, behind)
SELECT $1, $2, pg_backend_pid(), $3::bigint, greatest(seq - $3::bigint, 0) FROM head
ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, pid = excluded.pid, seq = excluded.seq, behind = excluded.behind, seen_at = now()`,
		s.server, s.instance, int64(s.known.Load()))
	b.Queue(allServers).Query(func(rows pgx.Rows) (err error) {
		peers, err = pgx.CollectRows(rows, s.peer)
		return err
	})
	b.Queue("SELECT seq FROM head").QueryRow(func(row pgx.Row) error { return row.Scan(&latest) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	s.latest.Store(max(s.known.Load(), uint64(latest)))
	s.state.Lock()
	defer s.state.Unlock()
	s.peers, s.since = peers, time.Now()
	return nil
}

func (s *Store) peer(row pgx.CollectableRow) (p dnsserver.Peer, err error) {
	var seq, behind int64
	var age float64
	err = row.Scan(&p.Name, &seq, &behind, &age)
	p.Sequence, p.Behind, p.Here = uint64(seq), uint64(behind), p.Name == s.server
	p.Seen = time.Now().Add(-time.Duration(age * float64(time.Second)))
	return p, err
}

// leave takes the server off the list. The caller holds mu.
func (s *Store) leave() {
	if s.conn == nil || s.reachable() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if _, err := s.conn.Exec(ctx, "DELETE FROM server WHERE name = $1 AND instance = $2", s.server, s.instance); err != nil {
		s.log.Debug("the server stays in the list until it is forgotten", "error", s.explain(err))
	}
}

// clean forgets changes that everybody had time to follow, and servers that are
// long gone.
func (s *Store) clean(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.times.turn)
	defer cancel()
	_, err := conn.Exec(ctx, "DELETE FROM change WHERE made_at < now() - $1::interval AND seq < (SELECT seq FROM head)", s.times.keep)
	if err == nil {
		_, err = conn.Exec(ctx, "DELETE FROM server WHERE seen_at < now() - $1::interval", forgetServer)
	}
	return err
}

// Condition implements dnsserver.Shared.
func (s *Store) Condition() dnsserver.Condition {
	s.state.Lock()
	defer s.state.Unlock()
	c := dnsserver.Condition{
		Away: s.away, Since: s.since, Sequence: s.known.Load(), Latest: s.latest.Load(),
		Reconnects: s.reconnects.Load(), Gaps: s.gaps.Load(),
	}
	for _, p := range s.peers {
		if p.Here {
			p.Sequence, p.Behind = c.Sequence, max(c.Latest, c.Sequence)-c.Sequence
			if c.Away == nil {
				p.Seen = time.Now()
			}
		}
		c.Peers = append(c.Peers, p)
	}
	return c
}
