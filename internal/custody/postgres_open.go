package custody

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
	config, err := parseURL(opts.URL.Reveal())
	if err != nil {
		return nil, err
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
		config: config, schema: schema, target: target(connection),
		entries: pgx.Identifier{schema, "entry"}.Sanitize(),
		secrets: secretsOf(opts.URL.Reveal(), connection),
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
	plain := len(schema) <= 63 && strings.Trim(schema, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	switch {
	case schema == "" || !plain || '0' <= schema[0] && schema[0] <= '9':
		return fmt.Errorf("%w: schema %q: use 1 to 63 of a-z, 0-9 and underscore, and no digit first", ErrUnusable, schema)
	case strings.HasPrefix(schema, "pg_") || schema == "information_schema":
		return fmt.Errorf("%w: schema %q belongs to the server; choose another name", ErrUnusable, schema)
	}
	return nil
}

// parseURL reads a URL and decides about TLS. It shows no error of the parser,
// which could repeat a part of a password that is not where it should be.
func parseURL(text string) (*pgxpool.Config, error) {
	unusable := fmt.Errorf("%w: this is no PostgreSQL URL: write postgres://user:password@host:5432/database, "+
		"with special characters in user and password percent-encoded (@ as %%40, / as %%2F, : as %%3A, %% as %%25)", ErrUnusable)
	rest, ok := strings.CutPrefix(text, "postgres://")
	if !ok {
		rest, ok = strings.CutPrefix(text, "postgresql://")
	}
	if user := strings.IndexAny(rest, "@/"); user >= 0 && rest[user] == '@' {
		rest = rest[user+1:]
	}
	// Another @ belongs to a password, of which a part would pass for a host.
	if !ok || strings.Contains(rest, "@") {
		return nil, unusable
	}
	config, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, unusable
	}
	if saysTLS(rest) || local(config.ConnConfig) {
		return config, nil
	}
	separator := "?"
	if strings.Contains(rest, "?") {
		separator = "&"
	}
	if config, err = pgxpool.ParseConfig(text + separator + "sslmode=verify-full"); err != nil {
		return nil, unusable
	}
	return config, nil
}

// saysTLS reports whether the end of a URL, or the environment, chooses how the
// connection is encrypted.
func saysTLS(rest string) bool {
	_, query, _ := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	return err == nil && (values.Has("sslmode") || values.Has("ssl")) || os.Getenv("PGSSLMODE") != ""
}

// local reports whether all hosts are this machine.
func local(connection *pgx.ConnConfig) bool {
	for _, host := range hosts(connection) {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			continue // a socket
		}
		if name != "localhost" && !net.ParseIP(name).IsLoopback() {
			return false
		}
	}
	return true
}

// hosts are the servers to try: host:port, or the folder of a socket.
func hosts(connection *pgx.ConnConfig) []string {
	var list []string
	add := func(host string, port uint16) {
		if !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, "@") {
			host = net.JoinHostPort(host, strconv.Itoa(int(port)))
		}
		if !slices.Contains(list, host) {
			list = append(list, host)
		}
	}
	add(connection.Host, connection.Port)
	for _, fallback := range connection.Fallbacks { // the same without TLS, too
		add(fallback.Host, fallback.Port)
	}
	return list
}

func target(connection *pgx.ConnConfig) string {
	database := connection.Database
	if database == "" {
		database = connection.User // as the server has it
	}
	return fmt.Sprintf("database %q at %s", database, strings.Join(hosts(connection), " or "))
}

// secretsOf are the parts of a configuration that no message may show.
func secretsOf(text string, connection *pgx.ConnConfig) []secret.Text {
	parts := []string{text, connection.Password}
	if _, rest, ok := strings.Cut(text, "://"); ok {
		if user, _, ok := strings.Cut(rest, "@"); ok {
			_, password, _ := strings.Cut(user, ":")
			parts = append(parts, password)
		}
		_, query, _ := strings.Cut(rest, "?")
		if values, err := url.ParseQuery(query); err == nil {
			parts = append(parts, values.Get("password"), values.Get("sslpassword"))
		}
	}
	var secrets []secret.Text
	for _, part := range parts {
		if part != "" {
			secrets = append(secrets, secret.New(part))
		}
	}
	return secrets
}

// redact is the text of an error without secrets, on one line.
func (p *Postgres) redact(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, secret := range p.secrets {
		text = strings.ReplaceAll(text, secret.Reveal(), "[redacted]")
	}
	return text
}

// errNoSchema marks a failure to create the schema.
var errNoSchema = errors.New("the schema does not exist and could not be created")
