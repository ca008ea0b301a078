package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// Servers share a database that takes connections over TLS only: those that
// change records, and those that listen.
func TestServers_shareADatabaseOverTLS(t *testing.T) {
	t.Parallel()
	server := postgrestest.Run(t)
	ca := server.RequireTLS(t)
	plain := server.Database(t)
	address := plain + "?sslmode=verify-full&sslrootcert=" + ca
	a, b := serve(t, join(t, address, "a")), serve(t, join(t, address, "b"))
	put(t, a, "x.auth.example.com", "from-a")
	eventually(t, "b shows what a took", func() bool { return answers(t, b, "x.auth.example.com") == "from-a" })
	rows := postgrestest.Query(t, address, `SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl)
		FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database()`)
	if encrypted, open := rows[0][0].(int64), rows[0][1].(int64); encrypted < 3 || open != 0 {
		t.Errorf("%d connections are encrypted and %d are not, want at least 3 and none", encrypted, open)
	}

	// What a user gets to read where it is not right.
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(other, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := postgrestest.Run(t)
	elsewhere.RequireTLS(t)
	for title, c := range map[string]struct{ address, want string }{
		"a certificate of another CA": {elsewhere.Database(t) + "?sslmode=verify-full&sslrootcert=" + other, "give the CA of the server's certificate as sslrootcert"},
		"in the clear":                {plain + "?sslmode=disable", "write sslmode=verify-full in storage.postgres.url"},
	} {
		_, err := Open(t.Context(), Options{URL: c.address, Server: "c"})
		if err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", title, err, c.want)
		}
	}
	without := shared.Server(t).Database(t)
	if _, err := Open(t.Context(), Options{URL: without + "?sslmode=verify-full&sslrootcert=" + ca, Server: "c"}); err == nil || !strings.Contains(err.Error(), "switch TLS on at the server") {
		t.Errorf("a server without TLS: %v", err)
	}
}
