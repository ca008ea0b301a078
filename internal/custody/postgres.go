package custody

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
)

// statementTimeout bounds one statement, the wait for a connection included.
const statementTimeout = 30 * time.Second

// Postgres is a [Store] of one table in a PostgreSQL database, for runs on
// several machines. It does not encrypt; see [Seal].
//
// Locks are advisory locks of one session, apart from the pool of the other
// connections: they end with that connection, so with their holder. What a
// process writes while it holds a lock goes through the same session. A write
// therefore takes effect only while all its locks are held: when the connection
// is lost, the server has dropped the locks, and every write of this Postgres
// fails with [ErrLockLost] until the holders have let go of what they lost.
//
// It uses at most five connections. It needs sessions of its own: a pooler
// between has to be in session mode.
type Postgres struct {
	config   *pgxpool.Config
	schema   string
	entries  string // the table, quoted
	database database.Database
	gate     chan struct{} // whoever is in it may use the next two
	pool     *pgxpool.Pool
	migrated bool

	turns   turns
	session session
}

var _ Store = (*Postgres)(nil)

// Put stores data under key; see [Store].
func (p *Postgres) Put(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	err := p.write(ctx, "INSERT INTO "+p.entries+" (key, value) VALUES ($1, $2) "+
		"ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()", key, data)
	if err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return nil
}

// Get returns the value under key; see [Store].
func (p *Postgres) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	var data []byte
	err := p.use(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		return pool.QueryRow(ctx, "SELECT value FROM "+p.entries+" WHERE key = $1", key).Scan(&data)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read %s in %s: %w", key, p.database, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Delete removes the value under key; see [Store].
func (p *Postgres) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := p.write(ctx, "DELETE FROM "+p.entries+" WHERE key = $1", key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// List returns the keys that begin with prefix, sorted; see [Store].
func (p *Postgres) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var keys []string
	err := p.use(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		// The tilde is behind everything that a key consists of.
		rows, err := pool.Query(ctx, "SELECT key FROM "+p.entries+" WHERE key >= $1 AND key < $1 || '~' ORDER BY key", prefix)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	return keys, nil
}

// Close ends all connections, and with them all locks. A process that ends does
// the same.
func (p *Postgres) Close() {
	p.gate <- struct{}{}
	defer func() { <-p.gate }()
	p.session.close()
	if p.pool != nil {
		p.pool.Close()
	}
	p.pool, p.migrated = nil, false
}

// write runs a statement: in the session of the locks while there are any, in
// the pool otherwise.
func (p *Postgres) write(ctx context.Context, statement string, arguments ...any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	locked, err := p.session.exec(ctx, statement, arguments...)
	if locked {
		return p.explain(ctx, err)
	}
	if err != nil {
		return err
	}
	return p.use(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
		_, err := pool.Exec(ctx, statement, arguments...)
		return err
	})
}

// use runs f with the pool, and once more when a connection turns out to be
// dead: all that is done there may be done twice.
func (p *Postgres) use(ctx context.Context, f func(ctx context.Context, pool *pgxpool.Pool) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	pool, err := p.ready(ctx)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err = f(bounded, pool)
	if bounded.Err() == nil && dropped(err) {
		pool.Reset() // the others died of the same
		err = f(bounded, pool)
	}
	return p.explain(ctx, err)
}

// ready returns the pool, on first use after bringing the schema up to date.
func (p *Postgres) ready(ctx context.Context) (*pgxpool.Pool, error) {
	select {
	case p.gate <- struct{}{}:
		defer func() { <-p.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.pool == nil {
		pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), p.config)
		if err != nil {
			return nil, p.explain(ctx, err)
		}
		p.pool = pool
	}
	if !p.migrated {
		bounded, cancel := context.WithTimeout(ctx, statementTimeout)
		defer cancel()
		if err := p.migrate(bounded, p.pool); err != nil {
			return nil, p.explain(ctx, err)
		}
		p.migrated = true
	}
	return p.pool, nil
}

// dropped reports whether a connection that worked once is gone, so that a new
// one may do better.
func dropped(err error) bool {
	var connect *pgconn.ConnectError
	var said *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrNoRows), errors.As(err, &connect):
		return false
	case errors.As(err, &said):
		return database.Ended(said)
	}
	return true
}
