package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
)

// writeDatabaseConfig is writeConfig with a database for storage.
func writeDatabaseConfig(t *testing.T, address, server string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(testToken))
	path := filepath.Join(t.TempDir(), "certificate-dns.hcl")
	t.Setenv("DATABASE_URL", address)
	text := fmt.Sprintf(`
listen = ["127.0.0.1:0"]
storage {
  postgres {
    url    = env("DATABASE_URL")
    server = %q
  }
}
api { listen = "127.0.0.1:0" }
zone "auth.example.com" { nameservers = ["ns.example.net"] }
token "test" {
  sha256 = %q
  names  = ["*.auth.example.com"]
}
`, server, hex.EncodeToString(sum[:]))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitTXT waits until a server answers with these values.
func (p *process) awaitTXT(t *testing.T, name string, want ...string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got := p.txt(t, name)
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestServe_severalServersShareADatabase(t *testing.T) {
	address := postgrestest.Run(t).Database(t)
	one, two := writeDatabaseConfig(t, address, "ns1"), writeDatabaseConfig(t, address, "ns2")
	p, q := startProcess(t, one), startProcess(t, two)
	var out strings.Builder
	if code := run(t.Context(), []string{"serve", one}, &out, &out); code != exitFault || !strings.Contains(out.String(), `a server called "ns1" uses the database`) {
		t.Errorf("a second ns1: exit %d, %s", code, out.String())
	}
	const name = "_acme-challenge.auth.example.com"
	if err := p.client.Put(t.Context(), name, "1"); err != nil {
		t.Fatal(err)
	}
	q.awaitTXT(t, name, "1")
	if err := q.client.Put(t.Context(), name, "2"); err != nil {
		t.Fatal(err)
	}
	p.awaitTXT(t, name, "1", "2")
	status, err := q.client.Status(t.Context())
	if err != nil || len(status.Storage.Servers) != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	// What was acknowledged survives the end of the server that did so.
	var acknowledged sync.Map
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				value := fmt.Sprintf("%d-%d", w, n)
				if p.client.Put(t.Context(), value+".auth.example.com", value) != nil {
					return
				}
				if acknowledged.Store(value, true); n == 30 && w == 0 {
					p.end(t, syscall.SIGKILL, 5*time.Second)
				}
			}
		})
	}
	writers.Wait()
	acknowledged.Range(func(value, _ any) bool {
		q.awaitTXT(t, value.(string)+".auth.example.com", value.(string))
		return true
	})
	startProcess(t, one).awaitTXT(t, name, "1", "2") // its name is free again
}

func TestRestore_movesRecordsBetweenFolderAndDatabase(t *testing.T) {
	address := postgrestest.Run(t).Database(t)
	folder := writeConfig(t)
	database := writeDatabaseConfig(t, address, "ns1")
	const name = "_acme-challenge.auth.example.com"
	file := filepath.Join(t.TempDir(), "backup")
	p := startProcess(t, folder)
	if err := p.client.Put(t.Context(), name, "from-the-folder"); err != nil {
		t.Fatal(err)
	}
	p.end(t, os.Interrupt, 5*time.Second)
	runCommand(t, exitOK, "backup", folder, file)
	if said := runCommand(t, exitOK, "restore", database, file); !strings.Contains(said, "nothing was there before") || strings.Contains(said, postgrestest.Password) {
		t.Errorf("restore into an empty database says %q", said)
	}
	q := startProcess(t, database)
	q.awaitTXT(t, name, "from-the-folder")
	if err := q.client.Put(t.Context(), name, "into-the-database"); err != nil {
		t.Fatal(err)
	}
	// Under a running server, which loads it anew.
	later := filepath.Join(t.TempDir(), "later")
	if said := runCommand(t, exitOK, "restore", database, file); !strings.Contains(said, file+".before-") {
		t.Errorf("restore over records says %q", said)
	}
	q.awaitTXT(t, name, "from-the-folder")
	kept, err := filepath.Glob(file + ".before-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %q, %v", kept, err)
	}
	runCommand(t, exitOK, "backup", database, later)
	if said := runCommand(t, exitFault, "recover", database); !strings.Contains(said, "restore a backup") {
		t.Errorf("recover says %q", said)
	}
	// And back: what the restore replaced is a backup too.
	runCommand(t, exitOK, "restore", folder, kept[0])
	startProcess(t, folder).awaitTXT(t, name, "from-the-folder", "into-the-database")
	if err := os.Truncate(later, 100); err != nil {
		t.Fatal(err)
	}
	if said := runCommand(t, exitFault, "restore", database, later); !strings.Contains(said, "damaged") {
		t.Errorf("restore of a damaged backup says %q", said)
	}
	q.awaitTXT(t, name, "from-the-folder")
}

func TestServe_withoutTheDatabase(t *testing.T) {
	server := postgrestest.Run(t)
	config := writeDatabaseConfig(t, server.Database(t), "ns1")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	said := runCommand(t, exitFault, "serve", config)
	if !strings.Contains(said, server.Address()+" cannot be reached: start it or make it reachable") || strings.Contains(said, postgrestest.Password) {
		t.Errorf("serve says %q", said)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	waiting := strings.Replace(string(text), "postgres {", "postgres {\n    wait = \"60s\"", 1)
	if err := os.WriteFile(config, []byte(waiting), 0o600); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- server.Resume() }()
	p := startProcess(t, config)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := p.client.Put(t.Context(), "_acme-challenge.auth.example.com", "v"); err != nil {
		t.Error(err)
	}
}
