package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func dryApache(t *testing.T) *conformance {
	t.Helper()
	c := newConformance(t, members()["apache"], false)
	var err error
	if c.job.Target, err = NewApache(ApacheOptions{
		FullchainPath: c.server.Path("fullchain.pem"), PrivateKeyPath: c.server.Path("key.pem"), Binary: "apache2", ConfigPath: c.server.Config, DryStart: true,
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// The server's configuration has another key for the certificate than the one that
// is deployed. Its test passes that, and a reload would end it: the dry start does
// not, and the server is told nothing.
func TestApache_dryStartFindsAMismatch(t *testing.T) {
	t.Parallel()
	c := dryApache(t)
	key, err := c.old.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	config, read := os.ReadFile(c.server.Config)
	elsewhere := filepath.Join(filepath.Dir(c.server.Config), "elsewhere.key")
	if err := errors.Join(read, os.WriteFile(elsewhere, key, 0o600),
		os.WriteFile(c.server.Config, []byte(strings.ReplaceAll(string(config), c.server.Path("key.pem"), elsewhere)), 0o600)); err != nil {
		t.Fatal(err)
	}
	before := state(t, c.server.Files)
	pid, err := os.ReadFile(c.server.PIDFile)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Deploy(t.Context(), c.job)
	_ = wantRollback(t, err, true)
	if !errors.Is(err, ErrDryStart) || !strings.Contains(err.Error(), "do not match") {
		t.Errorf("error = %v, want ErrDryStart and the server's own words", err)
	}
	if c.machine.runs["graceful"] != 0 {
		t.Error("the server was told to load the files")
	}
	if after := state(t, c.server.Files); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the files are not what they were")
	}
	if now, err := os.ReadFile(c.server.PIDFile); err != nil || string(now) != string(pid) {
		t.Errorf("the server is another process: %q, %v; before %q", now, err, pid)
	}
	c.wantServed(t, c.old)
}

func TestApache_dryStartLeavesNothing(t *testing.T) {
	t.Parallel()
	c := dryApache(t)
	// Conditions and further virtual hosts are part of it.
	c.server.WriteApacheConfig(t, "<IfModule mod_ssl.c>\nSSLSessionCacheTimeout 300\n</IfModule>\n<VirtualHost *>\nServerName second.example.com\n</VirtualHost>")
	if _, err := Deploy(t.Context(), c.job); err != nil {
		t.Fatal(err)
	}
	c.wantServed(t, c.fresh)
	if files := state(t, c.server.Files); len(files) != 5 {
		t.Errorf("%d files, want three and two backups", len(files))
	}
	if c.machine.runs["start"] != 1 || c.machine.runs["stop"] != 1 {
		t.Errorf("commands = %v, want one dry start", c.machine.runs)
	}
}
