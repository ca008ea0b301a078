//go:build unix

package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// pgbouncer is where Debian has PgBouncer.
const pgbouncer = "/usr/sbin/pgbouncer"

// Pooler runs PgBouncer before the server until the test ends, in one of its
// modes such as "session", and returns its host and port. Without PgBouncer the
// test is skipped.
func (s *Server) Pooler(tb testing.TB, mode string) string {
	tb.Helper()
	if _, err := os.Stat(pgbouncer); err != nil {
		tb.Skip("PgBouncer is not installed: apt-get install -y --no-install-recommends pgbouncer")
	}
	address := port.Address(tb)
	_, number, err := net.SplitHostPort(address)
	if err != nil {
		tb.Fatal(err)
	}
	conf, users := filepath.Join(s.folder, "pooler-"+number), filepath.Join(s.folder, "users-"+number)
	text := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
pool_mode = %s
`, s.port, number, users, mode)
	err = errors.Join(s.write(conf, []byte(text)), s.write(users, fmt.Appendf(nil, "%s %s\n", strconv.Quote(User), strconv.Quote(Password))))
	if err != nil {
		tb.Fatal(err)
	}
	cmd := s.command(pgbouncer, conf)
	ended, err := start(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := <-ended; err != nil {
			tb.Logf("PgBouncer ended: %v", err)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close() // it was only to see whether it is there
			return address
		}
		select {
		case died := <-ended:
			ended <- died
			tb.Fatalf("PgBouncer ended: %v", died)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("PgBouncer does not answer: %v", err)
		}
	}
}
