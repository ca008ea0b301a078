//go:build unix

package postgrestest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/lab/port"
)

// Standby starts a second server that follows this one and can take its place.
// It ends with the test.
func (s *Server) Standby(tb testing.TB) *Server {
	tb.Helper()
	standby, err := s.standby()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := standby.Close(); err != nil {
			tb.Error(err)
		}
	})
	return standby
}

func (s *Server) standby() (_ *Server, err error) {
	t := &Server{programs: s.programs, settings: s.settings}
	if t.folder, err = os.MkdirTemp("", "postgrestest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(t.folder))
		}
	}()
	if id := credential(); id != nil {
		if err := os.Chown(t.folder, int(id.Uid), int(id.Gid)); err != nil {
			return nil, err
		}
	}
	program, err := tool("pg_basebackup")
	if err != nil {
		return nil, err
	}
	copying := t.command(program, "-D", t.data(), "-d", s.URL("postgres"), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	if output, err := copying.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the server: %w\n%s", err, output)
	}
	if t.port, t.release, err = port.Reserve(); err != nil {
		return nil, err
	}
	if err := t.Resume(); err != nil {
		return nil, errors.Join(err, t.release())
	}
	return t, nil
}

// tool is the path of a program of PostgreSQL's that may not be beside the
// server.
func tool(name string) (string, error) {
	if found, err := exec.LookPath(name); err == nil {
		return found, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	return found[len(found)-1], nil
}

// Promote has a standby take changes.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	s.Query(tb, "SELECT pg_promote()")
}

// URLOf is that of a database on whichever of the servers takes changes.
func URLOf(address string, servers ...*Server) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // whoever connects says what is wrong
	}
	var hosts []string
	for _, s := range servers {
		hosts = append(hosts, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	}
	u.Host, u.RawQuery = strings.Join(hosts, ","), "target_session_attrs=read-write"
	return u.String()
}
