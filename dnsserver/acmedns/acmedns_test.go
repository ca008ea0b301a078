package acmedns

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// tables are those that acme-dns makes, by its sources. The text differs: in
// SQLite every table has a rowid, and passwords are blobs.
func tables(rowid, blob string) []string {
	return []string{
		"CREATE TABLE acmedns(Name TEXT, Value TEXT)",
		"INSERT INTO acmedns VALUES ('db_version', '1')",
		"CREATE TABLE records(Username TEXT UNIQUE NOT NULL PRIMARY KEY, Password TEXT UNIQUE NOT NULL, Subdomain TEXT UNIQUE NOT NULL, AllowFrom TEXT)",
		"CREATE TABLE txt(" + rowid + "Subdomain TEXT NOT NULL, Value TEXT NOT NULL DEFAULT '', LastUpdate INT)",
		"INSERT INTO records VALUES ('u1', " + blob + ", 's1', '[\"192.0.2.7/24\",\"2001:db8::/32\"]')",
		"INSERT INTO records VALUES ('u2', 'hash two', 's2', '[]')",
		"INSERT INTO records VALUES ('u3', 'hash three', 's3', NULL)",
		"INSERT INTO txt(Subdomain, Value, LastUpdate) VALUES ('s1', 'newer', 20)",
		"INSERT INTO txt(Subdomain, Value, LastUpdate) VALUES ('s1', 'older', 10)",
		"INSERT INTO txt(Subdomain, LastUpdate) VALUES ('s2', 0)",
		"INSERT INTO txt(Subdomain, LastUpdate) VALUES ('s2', 0)",
	}
}

func want() []Account {
	return []Account{
		{
			Username: "u1", KeyHash: "$2a$10$one", Subdomain: "s1", Values: []string{"older", "newer"},
			AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		},
		{Username: "u2", KeyHash: "hash two", Subdomain: "s2"},
		{Username: "u3", KeyHash: "hash three", Subdomain: "s3"},
	}
}

// newFile makes a SQLite file of these statements.
func newFile(t *testing.T, statements ...string) string {
	t.Helper()
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not installed: apt-get install -y --no-install-recommends sqlite3")
	}
	path := filepath.Join(t.TempDir(), "acme-dns.db")
	if output, err := exec.Command(program, path, strings.Join(statements, ";")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

func TestRead_sqlite(t *testing.T) {
	t.Parallel()
	path := newFile(t, tables("", "x'24326124313024"+"6f6e65'")...)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Read(t.Context(), path); err != nil || !reflect.DeepEqual(got, want()) {
		t.Errorf("accounts %+v, %v; want %+v", got, err, want())
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file changed (%v)", err)
	}
}

func TestRead_postgres(t *testing.T) {
	t.Parallel()
	server := postgrestest.Run(t)
	address := server.Database(t)
	for _, statement := range tables("rowid SERIAL, ", "'$2a$10$one'") {
		postgrestest.Query(t, address, statement)
	}
	if got, err := Read(t.Context(), address); err != nil || !reflect.DeepEqual(got, want()) {
		t.Errorf("accounts %+v, %v; want %+v", got, err, want())
	}
}

func TestRead_refuses(t *testing.T) {
	t.Parallel()
	all := tables("", "'one'")
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("sqlite3"); err == nil {
		if _, err := Read(t.Context(), text); err == nil || !strings.Contains(err.Error(), "not a database") {
			t.Errorf("no database: %v", err)
		}
	}
	old := newFile(t, all[0], "INSERT INTO acmedns VALUES ('db_version', '0')")
	if _, err := Read(t.Context(), old); !errors.Is(err, ErrVersion) {
		t.Errorf("an old version: %v, want %v", err, ErrVersion)
	}
	if _, err := Read(t.Context(), newFile(t, all[0])); !errors.Is(err, ErrVersion) {
		t.Errorf("without a version: %v, want %v", err, ErrVersion)
	}
	bad := newFile(t, append(all, "UPDATE records SET AllowFrom = '[\"somewhere\"]' WHERE Username = 'u2'")...)
	if _, err := Read(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "account u2") {
		t.Errorf("a network that is none: %v, want the account named", err)
	}
	if _, err := Read(t.Context(), "postgres://user:hunter2@127.0.0.1:1/x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a database that is not there: %v, want an error without the password", err)
	}
}
