package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/database"
)

// DefaultSchema is where a Store keeps its tables unless told.
const DefaultSchema = "certificate_dns"

// maxName bounds the name of a server, in bytes.
const maxName = 200

// longestSchema leaves room in a name of PostgreSQL, 63 bytes, for that of a
// channel, which is the schema's with 8 more.
const longestSchema = 55

// Options say where the database is, and who uses it.
type Options struct {
	// URL is "postgres://user:password@host:5432/database?sslmode=…", with several
	// hosts where the database moves between them. What it leaves out comes from
	// the environment and files that psql reads too (PGHOST, PGPASSWORD,
	// ~/.pgpass), but for sslmode: unless the host is this machine, that is
	// verify-full.
	URL string
	// Schema holds the tables; empty for DefaultSchema.
	Schema string
	// Server is what this server calls itself among those that share the database;
	// empty for the machine's name.
	Server string
	// Wait is how long Open waits for a database that cannot be reached; 0 means
	// that it is refused at once.
	Wait time.Duration
	Log  *slog.Logger // nil discards
}

// Store is a dnsserver.Shared store. Two connections are kept: one that changes
// and reads, one that listens. Both need a session of their own: a pooler
// between has to be in session mode.
type Store struct {
	config   *pgx.ConnConfig
	hosts    int // that the database may be at
	database database.Database
	schema   string
	server   string
	instance []byte // of this process
	log      *slog.Logger
	times    times

	mu    sync.Mutex // guards what follows
	conn  *pgx.Conn  // that changes and reads; nil when there is none
	seq   int64      // of the last batch that was read or stored
	token []byte     // of that batch

	looked time.Time // when around was read
	around []dnsserver.Peer

	known      atomic.Uint64 // seq, for others to read
	latest     atomic.Uint64 // seq of the newest batch that is known of
	reconnects atomic.Uint64
	gaps       atomic.Uint64
	asked      atomic.Int64  // when somebody asked how far this server is, in Unix nanoseconds
	wake       chan struct{} // has room for one

	state     sync.Mutex // guards what follows
	away      error
	since     time.Time // when it was reached last
	peers     []dnsserver.Peer
	stop      context.CancelFunc
	listening sync.WaitGroup
}

var (
	_ dnsserver.Shared   = (*Store)(nil)
	_ dnsserver.Replacer = (*Store)(nil)
)

// times are how long things take and how often they happen. Tests have shorter
// ones.
type times struct {
	connect   time.Duration // to connect to a host, and for a question of the listener
	turn      time.Duration // for a turn, the wait for others included
	heartbeat time.Duration // between two signs of life
	firstWait time.Duration // before a lost database is tried again, doubled up to lastWait
	lastWait  time.Duration
	identity  time.Duration // for the former holder of the name to vanish
	keep      time.Duration // that changes stay for others to follow
}

func defaultTimes() times {
	return times{
		connect: 5 * time.Second, turn: 10 * time.Second, heartbeat: 5 * time.Second,
		firstWait: 100 * time.Millisecond, lastWait: 2 * time.Second, identity: 10 * time.Second, keep: 10 * time.Minute,
	}
}

// Open connects, and brings the tables up to date. The error says what is wrong
// with the database and repeats no secret. Before a server uses the store it
// has to Join.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s, err := newStore(opts)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(opts.Wait)
	for pause := s.times.firstWait; ; pause = min(2*pause, s.times.lastWait) {
		err := s.begin(ctx)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errAway) || !time.Now().Add(pause).Before(deadline) || sleep(ctx, pause) != nil {
			return nil, err
		}
		s.log.Warn("waiting for the database", "error", err)
	}
}

// String is the database and its host, for messages.
func (s *Store) String() string { return "the " + s.database.String() }

// Problem is what is wrong with options as far as they alone tell, nil for
// nothing.
func (o Options) Problem() error {
	_, err := newStore(o)
	return err
}

func newStore(opts Options) (*Store, error) {
	schema := opts.Schema
	if schema == "" {
		schema = DefaultSchema
	}
	if err := database.CheckSchema(schema, longestSchema); err != nil {
		return nil, err
	}
	server := opts.Server
	if server == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("learn the machine's name: %w; give the server a name", err)
		}
		server = host
	}
	if len(server) > maxName || strings.ToValidUTF8(server, "") != server || strings.ContainsAny(server, "\x00\r\n") {
		return nil, fmt.Errorf("%q is no name for a server; write one like ns1, of at most %d bytes", server, maxName)
	}
	where, err := database.Parse(opts.URL)
	if err != nil {
		return nil, err
	}
	config := where.Config()
	s := &Store{
		schema: schema, server: server, instance: newToken(), log: opts.Log, times: defaultTimes(),
		wake: make(chan struct{}, 1), since: time.Now(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.hosts = len(where.Hosts()); config.ConnectTimeout <= 0 {
		config.ConnectTimeout = s.times.connect
		if s.hosts > 1 {
			config.ConnectTimeout = s.times.connect * 2 / 5 // the next may answer
		}
	}
	config.DialFunc = (&net.Dialer{
		Timeout:         config.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 10 * time.Second, Count: 3},
	}).DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "certificate-dns " + server
	}
	s.config, s.database = config, where
	return s, nil
}

// newToken tells one thing from all others.
func newToken() []byte {
	token := make([]byte, 16)
	_, _ = rand.Read(token) // never fails (Go 1.24)
	return token
}

// begin connects for the first time.
func (s *Store) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.times.turn)
	defer cancel()
	conn, err := s.connection(ctx)
	if err == nil {
		err = s.migrate(ctx, conn)
	}
	if err != nil {
		s.drop()
		return s.explain(err)
	}
	return nil
}

// sessionSettings make the server notice soon that this side vanished, keep the
// session while nothing happens, end a transaction that hangs, for others wait
// for it, give a lock up before this side gives the session up, which would go on
// waiting, and have a commit be durable even where the database or the role is
// set to fast and loose. A setting that the server does not have is passed over.
const sessionSettings = `SELECT set_config(s.name, w.value, false)
FROM (VALUES ('tcp_keepalives_idle', '20'), ('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'),
             ('tcp_user_timeout', '50000'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '10000'),
             ('synchronous_commit', 'on'), ('search_path', $1), ('lock_timeout', $2)) AS w (name, value)
JOIN pg_settings s ON s.name = w.name
WHERE s.name <> 'synchronous_commit' OR s.setting = 'off'`

// connect opens a connection.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.times.connect*time.Duration(s.hosts))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, err
	}
	patience := strconv.FormatInt((s.times.turn * 4 / 5).Milliseconds(), 10)
	if _, err := conn.Exec(ctx, sessionSettings, pgx.Identifier{s.schema}.Sanitize(), patience); err != nil {
		shut(conn)
		return nil, err
	}
	return conn, nil
}

// shut closes a connection that is of no use any more.
func shut(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // whoever has a fault to report has done so
}

// connection is the one that changes and reads. The caller holds mu.
func (s *Store) connection(ctx context.Context) (*pgx.Conn, error) {
	if s.conn != nil && !s.conn.IsClosed() {
		return s.conn, nil
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return conn, nil
}

// drop gives the connection up. The caller holds mu.
func (s *Store) drop() {
	if s.conn != nil {
		shut(s.conn)
		s.conn = nil
	}
}

// Close ends the connections, and gives the server's name free.
func (s *Store) Close() error {
	s.state.Lock()
	stop := s.stop
	s.state.Unlock()
	if stop != nil {
		stop()
		s.listening.Wait()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop != nil {
		s.leave()
	}
	s.drop()
	return nil
}

// sleep waits, or returns early with what ended ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
