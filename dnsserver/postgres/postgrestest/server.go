//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// ErrMissing says that this machine has no PostgreSQL.
var ErrMissing = errors.New("PostgreSQL is not installed: apt-get install -y --no-install-recommends postgresql")

const (
	// User owns the databases.
	User = "storage"
	// Password is that of User; it needs care in a URL.
	Password = "p@ss/w0rd:%"

	patience = 30 * time.Second // for the server to start or to stop
)

// Server is a PostgreSQL server. Its methods are not safe for concurrent use,
// but for Database, URL and Query.
type Server struct {
	programs, folder string
	port             int
	release          func() error // gives up the port
	settings         []string
	process          *os.Process
	ended            chan error
}

// Start makes a new server and starts it. Settings, such as "fsync=on", win
// over those that make it fast. Without PostgreSQL it returns ErrMissing.
func Start(settings ...string) (_ *Server, err error) {
	s := &Server{settings: settings}
	if s.programs, err = programs(); err != nil {
		return nil, err
	}
	if s.folder, err = os.MkdirTemp("", "postgrestest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.folder))
		}
	}()
	if err := s.initialize(); err != nil {
		return nil, err
	}
	if s.port, s.release, err = port.Reserve(); err != nil {
		return nil, err
	}
	if err := s.Resume(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// Run starts a server that ends with the test. Without PostgreSQL the test is
// skipped.
func Run(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := Start(settings...)
	if errors.Is(err, ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Shared is one server for all tests of a package, started by the first that
// needs it; the zero value is ready, and TestMain closes it.
type Shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Server returns the server. Without PostgreSQL the test is skipped.
func (s *Shared) Server(tb testing.TB) *Server {
	tb.Helper()
	s.once.Do(func() { s.server, s.err = Start() })
	if errors.Is(s.err, ErrMissing) {
		tb.Skip(s.err)
	}
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// Close ends the server if any test started it.
func (s *Shared) Close() error {
	s.once.Do(func() {})
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", time.Now().UnixNano())
	s.Query(tb, "CREATE DATABASE "+name)
	return s.URL(name)
}

// URL is that of a database on the server.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: s.Address(), Path: "/" + database}
	return u.String()
}

// Address is host:port of the server.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Query runs a statement as superuser in the database "postgres".
func (s *Server) Query(tb testing.TB, statement string, arguments ...any) (rows [][]any) {
	tb.Helper()
	return Query(tb, s.URL("postgres"), statement, arguments...)
}

// Query runs a statement in the database at a URL.
func Query(tb testing.TB, address, statement string, arguments ...any) (rows [][]any) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	result, err := conn.Query(ctx, statement, arguments...)
	if err == nil {
		rows, err = pgx.CollectRows(result, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	}
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	return rows
}

// Stop ends the server in order; its data stay.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Crash ends the server at once, without writing what it has in memory.
func (s *Server) Crash() error { return s.end(syscall.SIGQUIT) }

// Resume starts a server that was stopped or crashed, at the same address.
func (s *Server) Resume() error {
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	arguments := []string{"-D", s.data()}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=", "max_connections=200", "shared_buffers=16MB",
		"fsync=off", "full_page_writes=off", "autovacuum=off", "logging_collector=off",
	}, s.settings...) {
		arguments = append(arguments, "-c", setting)
	}
	cmd := s.command("postgres", arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.ended, err = start(cmd); err != nil {
		return err
	}
	s.process = cmd.Process
	return s.await()
}

// start starts a program that ends with this process at the latest, and returns
// where its end is told.
func start(cmd *exec.Cmd) (ended chan error, err error) {
	// Linux ties a process to the thread that started it, which therefore stays.
	tie(cmd.SysProcAttr)
	started := make(chan error, 1)
	ended = make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return ended, nil
}

// Close ends the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.end(syscall.SIGINT), s.release(), os.RemoveAll(s.folder))
}

// await waits until the server answers.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case died := <-s.ended:
			s.process = nil
			return fmt.Errorf("postgres ended: %w\n%s", died, s.log())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("postgres does not answer: %w\n%s", err, s.log()), s.end(syscall.SIGQUIT))
		}
	}
}

// end signals the server and waits for its end.
func (s *Server) end(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(signal); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-s.ended:
		s.process = nil
		var status *exec.ExitError // tells how it was stopped
		if errors.As(err, &status) {
			return nil
		}
		return err
	case <-timer.C:
		return errors.Join(fmt.Errorf("postgres does not end\n%s", s.log()), s.process.Kill())
	}
}

// initialize makes the data folder.
func (s *Server) initialize() error {
	password := filepath.Join(s.folder, "password")
	if err := errors.Join(own(s.folder), s.write(password, []byte(Password))); err != nil {
		return err
	}
	output, err := s.command("initdb", "-D", s.data(), "-U", User, "--pwfile="+password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	return nil
}

// write writes a file that the server's user can read, and nobody else.
func (s *Server) write(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	return own(path)
}

// own gives a file to the server's user.
func own(path string) error {
	id := credential()
	if id == nil {
		return nil
	}
	return os.Chown(path, int(id.Uid), int(id.Gid))
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) log() []byte {
	text, _ := os.ReadFile(filepath.Join(s.folder, "log")) // for a message only
	return text[max(0, len(text)-2000):]
}

func (s *Server) command(name string, arguments ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.programs, name)
	}
	cmd := exec.Command(name, arguments...)
	cmd.Dir = s.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	return cmd
}

// credential is who runs the server: root may not.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	id := uint32(65534)
	if nobody, err := user.Lookup("nobody"); err == nil {
		if n, err := strconv.ParseUint(nobody.Uid, 10, 32); err == nil {
			id = uint32(n)
		}
	}
	return &syscall.Credential{Uid: id, Gid: id}
}

// programs is the folder of the server's programs: Debian's packages put nothing
// on PATH.
func programs() (string, error) {
	if found, err := exec.LookPath("postgres"); err == nil {
		if _, err := os.Stat(filepath.Join(filepath.Dir(found), "initdb")); err == nil {
			return filepath.Dir(found), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	return filepath.Dir(found[len(found)-1]), nil
}
