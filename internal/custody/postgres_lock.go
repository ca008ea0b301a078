package custody

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// A lock that somebody else holds is asked for again after these pauses:
	// the first, doubled up to the last.
	firstPoll, lastPoll = 5 * time.Millisecond, 250 * time.Millisecond

	// sessionTimeout bounds one statement of the session. When its caller gives
	// up earlier, it still gets sessionGrace: cutting it off would cost the
	// connection, and with it the locks of everybody else.
	sessionTimeout, sessionGrace = 10 * time.Second, time.Second
)

// session is the connection that holds the locks of a [Postgres].
type session struct {
	connect func(ctx context.Context) (*pgx.Conn, error)
	gate    chan struct{} // whoever is in it may use the rest
	conn    *pgx.Conn     // nil before the first lock and after a loss
	held    int           // locks that conn holds
	lost    int           // locks of earlier connections whose holders do not know yet
}

// Lock takes the lock called name; see [Store] and [Postgres].
func (p *Postgres) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	if err := CheckKey(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := p.ready(ctx); err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	done, err := p.turns.take(ctx, name)
	if err != nil {
		return nil, err
	}
	id := lockID(p.schema, name)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		conn, err := p.session.tryLock(ctx, id)
		if err != nil {
			done()
			return nil, fmt.Errorf("lock %s: %w", name, p.explain(ctx, err))
		}
		if conn != nil {
			return sync.OnceValue(func() error {
				defer done()
				if err := p.session.unlock(context.WithoutCancel(ctx), conn, id); err != nil {
					return fmt.Errorf("unlock %s: %w", name, p.explain(context.WithoutCancel(ctx), err))
				}
				return nil
			}), nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			done()
			return nil, fmt.Errorf("lock %s: another run may hold it in %s: %w", name, p.database, ctx.Err())
		}
	}
}

// lockID is the number of a lock: advisory locks have no names, and are shared
// by everything in the database.
func lockID(schema, name string) int64 {
	sum := sha256.Sum256([]byte("terraform-provider-certificate\x00" + schema + "\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8])) // the sign is one more bit
}

// tryLock takes a lock and returns the connection that holds it, or nil when
// somebody else has it, or has yet to notice that a connection was lost.
func (s *session) tryLock(ctx context.Context, id int64) (*pgx.Conn, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := patient(ctx)
	defer cancel()
	for fresh := false; s.lost == 0; {
		if s.conn == nil {
			if s.conn, err = s.connect(ctx); err != nil {
				s.conn = nil
				return nil, err
			}
			fresh = true
		}
		var granted bool
		err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", id).Scan(&granted)
		switch {
		case err == nil && granted:
			s.held++
			return s.conn, nil
		case err == nil:
			return nil, nil
		case !s.conn.IsClosed():
			return nil, err
		}
		s.lose()
		if fresh {
			return nil, err
		}
	}
	return nil, nil
}

// unlock releases a lock that was taken with conn.
func (s *session) unlock(ctx context.Context, conn *pgx.Conn, id int64) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if conn != s.conn {
		s.lost--
		return ErrLockLost
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	s.held--
	var released bool
	if err := s.conn.QueryRow(ctx, "SELECT pg_advisory_unlock($1)", id).Scan(&released); err != nil {
		s.lose() // and the server releases it
		return errors.Join(ErrLockLost, err)
	}
	if !released {
		return fmt.Errorf("%w: the server does not know it; a pooler between must be in session mode", ErrLockLost)
	}
	return nil
}

// exec runs a statement under the locks; locked is false when there are none
// and the statement was not run.
func (s *session) exec(ctx context.Context, statement string, arguments ...any) (locked bool, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if s.lost > 0 {
		return true, fmt.Errorf("%w: nothing was stored", ErrLockLost)
	}
	if s.held == 0 {
		return false, nil
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	if _, err = s.conn.Exec(ctx, statement, arguments...); err != nil && s.conn.IsClosed() {
		s.lose()
		err = errors.Join(ErrLockLost, err)
	}
	return true, err
}

// lose gives up a connection that is of no use any more.
func (s *session) lose() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sessionGrace)
		defer cancel()
		_ = s.conn.Close(ctx)
	}
	s.conn, s.held, s.lost = nil, 0, s.lost+s.held
}

// close ends the connection; locks that it held are lost.
func (s *session) close() {
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	s.lose()
}

// enter waits for the connection to be free.
func (s *session) enter(ctx context.Context) (leave func(), err error) {
	select {
	case s.gate <- struct{}{}:
		return func() { <-s.gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// patient is a context for one statement of the session: it outlives ctx by
// sessionGrace and ends after sessionTimeout at the latest.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), sessionTimeout)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(sessionGrace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-bounded.Done():
		}
	})
	return bounded, func() { stop(); cancel() }
}
