package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Accounts of an acme-dns move with their keys, names and values, and their
// clients go on unchanged.
func TestImport_clientsOfAcmeDNSGoOn(t *testing.T) {
	sqlite, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not installed: apt-get install -y --no-install-recommends sqlite3")
	}
	const user, key, label = "c36f50e8-4632-44f0-83fe-e070fef28a10", "htB9mR9DYgcu9bX_afHF62erXaH2TS7bg9KW3F7Z", "8e5700ea-a4bf-41c7-8a77-e990661dcc6a"
	hash, err := bcrypt.GenerateFromPassword([]byte(key), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	database := filepath.Join(t.TempDir(), "acme-dns.db")
	statements := fmt.Sprintf(`CREATE TABLE acmedns(Name TEXT, Value TEXT); INSERT INTO acmedns VALUES ('db_version', '1');
CREATE TABLE records(Username TEXT UNIQUE NOT NULL PRIMARY KEY, Password TEXT UNIQUE NOT NULL, Subdomain TEXT UNIQUE NOT NULL, AllowFrom TEXT);
CREATE TABLE txt(Subdomain TEXT NOT NULL, Value TEXT NOT NULL DEFAULT '', LastUpdate INT);
INSERT INTO records VALUES ('%s', x'%x', '%s', '[]'), ('two', 'x', '%s.deeper..', '[]');
INSERT INTO txt VALUES ('%[3]s', 'value-of-the-past', 10);`, user, hash, label, label)
	if output, err := exec.Command(sqlite, database, statements).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	config := writeConfig(t)
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"import-acme-dns", config, database}, &out, &errs); code != exitFault || !strings.Contains(errs.String(), "add acme_dns { }") {
		t.Errorf("without the block: exit %d, %s", code, errs.String())
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, append(text, "acme_dns {}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 accounts imported, 0 were there already, 1 refused", "0 accounts imported, 1 were there already, 1 refused"} {
		out.Reset()
		errs.Reset()
		if code := run(t.Context(), []string{"import-acme-dns", config, database}, &out, &errs); code != exitFault || !strings.Contains(out.String(), want) || !strings.Contains(errs.String(), `account "two"`) {
			t.Errorf("exit %d, %q, %q; want %q and the refused one named", code, out.String(), errs.String(), want)
		}
	}
	p := startProcess(t, config)
	name := label + ".auth.example.com"
	if got := p.txt(t, name); !slices.Equal(got, []string{"value-of-the-past"}) {
		t.Errorf("values %q, want the one that acme-dns had", got)
	}
	const fresh = "___validation_token_received_from_the_ca___"
	for _, c := range []struct {
		key  string
		want int
	}{{"wrong", http.StatusUnauthorized}, {key, http.StatusOK}, {key, http.StatusOK}} { // by bcrypt, then by SHA-256
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/update", strings.NewReader(fmt.Sprintf(`{"subdomain": %q, "txt": %q}`, label, fresh)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Api-User", user)
		request.Header.Set("X-Api-Key", c.key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _ = response.Body.Close(); response.StatusCode != c.want {
			t.Errorf("update with key %q: %s, want %d", c.key, response.Status, c.want)
		}
	}
	if got := p.txt(t, name); !slices.Contains(got, fresh) {
		t.Errorf("values %q, want the new one among them", got)
	}
	p.end(t, syscall.SIGTERM, 10*time.Second)
}
