package custody

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

const (
	// DefaultSchema is where [OpenPostgres] keeps its tables unless told.
	DefaultSchema = "certificate"

	maxConnections = 4 // besides the one that holds the locks
	connectTimeout = 10 * time.Second
	connectionIdle = 30 * time.Second

	// A machine that vanishes is noticed after 15+3×10 s by this side and after
	// 20+3×10 s by the server, which then drops its locks.
	keepAliveIdle, keepAliveInterval, keepAliveCount = 15 * time.Second, 10 * time.Second, 3
)

// sessionSettings make the server notice soon that this side vanished, keep the
// connection that waits under a lock, and have a commit be durable even where
// the database or the role is set to fast and loose. A setting that the server
// does not have is passed over.
const sessionSettings = `SELECT set_config(s.name, w.value, false)
FROM (VALUES ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
             ('tcp_user_timeout', '50000'), ('idle_session_timeout', '0'), ('synchronous_commit', 'on')) AS w (name, value)
JOIN pg_settings s ON s.name = w.name
WHERE s.name <> 'synchronous_commit' OR s.setting = 'off'`

// PostgresOptions say where the database is.
type PostgresOptions struct {
	// URL is "postgres://user:password@host:5432/database?sslmode=…". What it
	// leaves out comes from the environment and files that psql reads too
	// (PGHOST, PGPASSWORD, ~/.pgpass), but for sslmode: unless the host is this
	// machine, that is verify-full.
	URL secret.Text
	// Schema holds the tables; empty for [DefaultSchema].
	Schema string
}

// OpenPostgres returns the store in a database. It connects to nobody and
// creates nothing: the first use does. An error wraps [ErrUnusable] and repeats
// no part of the URL.
func OpenPostgres(opts PostgresOptions) (*Postgres, error) {
	schema := opts.Schema
	if schema == "" {
		schema = DefaultSchema
	}
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	where, err := database.Parse(opts.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	config, err := pgxpool.ParseConfig(where.URL())
	if err != nil { // of the parameters of a pool, which where has not looked at
		return nil, fmt.Errorf("%w: a parameter of the URL that begins with pool_ cannot be used; leave it out", ErrUnusable)
	}
	config.MaxConns, config.MinConns, config.MinIdleConns = maxConnections, 0, 0
	config.MaxConnIdleTime = connectionIdle
	connection := config.ConnConfig
	if connection.ConnectTimeout <= 0 {
		connection.ConnectTimeout = connectTimeout
	}
	connection.DialFunc = (&net.Dialer{
		Timeout:         connection.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount},
	}).DialContext
	// One round trip a statement, and nothing prepared that a pooler could mix
	// up: a run has few statements.
	connection.DefaultQueryExecMode = pgx.QueryExecModeExec
	if connection.RuntimeParams["application_name"] == "" {
		connection.RuntimeParams["application_name"] = "terraform-provider-certificate"
	}
	config.AfterConnect = prepareSession
	p := &Postgres{
		config: config, schema: schema, database: where,
		entries: pgx.Identifier{schema, "entry"}.Sanitize(),
		gate:    make(chan struct{}, 1),
	}
	p.session = session{gate: make(chan struct{}, 1), connect: p.connect}
	return p, nil
}

// connect opens a connection apart from the pool.
func (p *Postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.config.ConnConfig.Copy())
	if err != nil {
		return nil, err
	}
	if err := prepareSession(ctx, conn); err != nil {
		_ = conn.Close(ctx) // the first error says why
		return nil, err
	}
	return conn, nil
}

func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, sessionSettings)
	return err
}

// checkSchema accepts names that need no quotes, but those of the server.
func checkSchema(schema string) error {
	const longest = 63 // of any name in PostgreSQL
	if err := database.CheckSchema(schema, longest); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

//go:embed migration/*.sql
var migrations embed.FS

// migrate brings the schema up to date. It refuses a schema of a newer provider.
func (p *Postgres) migrate(ctx context.Context, pool *pgxpool.Pool) error {
	steps, err := fs.Sub(migrations, "migration")
	if err != nil {
		return err
	}
	// No key is empty, so the lock is nobody's.
	err = database.Migration{Steps: steps, Schema: p.schema, Lock: lockID(p.schema, "")}.Run(ctx, pool)
	var newer *database.NewerError
	if errors.As(err, &newer) {
		return fmt.Errorf("%w: schema %q in %s has version %d, this provider knows %d: a newer one wrote it; "+
			"nothing was changed: use that version of the provider or a later one", ErrUnusable, p.schema, p.database, newer.Version, newer.Known)
	}
	return err
}
