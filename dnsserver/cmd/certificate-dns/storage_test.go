package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runCommand runs a command line in this process and returns what it printed.
func runCommand(t *testing.T, want int, args ...string) string {
	t.Helper()
	var out strings.Builder
	if code := run(t.Context(), args, &out, &out); code != want {
		t.Fatalf("%q: exit %d, want %d: %s", args, code, want, out.String())
	}
	return out.String()
}

func TestBackup_ofARunningServerIsRestoredAfterItEnded(t *testing.T) {
	const name = "_acme-challenge.auth.example.com"
	config := writeConfig(t)
	p := startProcess(t, config)
	file := filepath.Join(t.TempDir(), "backup")
	if err := p.client.Put(t.Context(), name, "before"); err != nil {
		t.Fatal(err)
	}
	runCommand(t, exitOK, "backup", config, file)
	if said := runCommand(t, exitFault, "backup", config, file); !strings.Contains(said, "there already") {
		t.Errorf("a second backup says %q", said)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	if err := p.client.Put(t.Context(), name, "after"); err != nil {
		t.Fatal(err)
	}
	if said := runCommand(t, exitFault, "restore", config, file); !strings.Contains(said, "open in another process") {
		t.Errorf("a restore under the server says %q", said)
	}
	if code := p.end(t, os.Interrupt, 2*time.Second); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	if said := runCommand(t, exitOK, "restore", config, file); !strings.Contains(said, "before-") {
		t.Errorf("a restore says %q", said)
	}
	if got := startProcess(t, config).txt(t, name); !slices.Equal(got, []string{"before"}) {
		t.Errorf("TXT = %q, want before", got)
	}
}

func TestRecover_afterDamageThatServeRefuses(t *testing.T) {
	config := writeConfig(t)
	p := startProcess(t, config)
	for i := range 5 {
		if err := p.client.Put(t.Context(), fmt.Sprintf("n%d.auth.example.com", i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	p.end(t, os.Interrupt, 2*time.Second)
	logs, err := filepath.Glob(filepath.Join(filepath.Dir(config), "records.db", "log-*"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs: %q, %v", logs, err)
	}
	data, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	data[strings.Index(string(data), "n1.auth")] ^= 1
	if err := os.WriteFile(logs[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := runCommand(t, exitFault, "serve", config); !strings.Contains(said, logs[0]) || !strings.Contains(said, "certificate-dns recover") {
		t.Errorf("serve says %q", said)
	}
	if said := runCommand(t, exitOK, "recover", config); !strings.Contains(said, "1 could not be read") {
		t.Errorf("recover says %q", said)
	}
	again := startProcess(t, config)
	for i, want := range []int{1, 0, 1, 1, 1} {
		if got := again.txt(t, fmt.Sprintf("n%d.auth.example.com", i)); len(got) != want {
			t.Errorf("n%d: %q, want %d", i, got, want)
		}
	}
}

// limited runs serve where no file may become longer than some kilobytes, as on
// a full disk.
func limited(t *testing.T, config string) *process {
	t.Helper()
	path, err := exec.LookPath("certificate-dns")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, exec.Command("bash", "-c", `ulimit -f 8; exec "$0" serve "$1"`, path, config))
}

func TestServe_fullDiskRefusesUpdatesAndAnswers(t *testing.T) {
	config := writeConfig(t)
	p := limited(t, config)
	var stored []string
	for i := range 200 {
		name := fmt.Sprintf("n%d.auth.example.com", i)
		err := p.client.Put(t.Context(), name, strings.Repeat("v", 100))
		if err != nil {
			if !strings.Contains(err.Error(), "storage is at fault") {
				t.Errorf("a put on a full disk: %v", err)
			}
			break
		}
		stored = append(stored, name)
	}
	if len(stored) < 10 || len(stored) == 200 {
		t.Fatalf("%d were stored", len(stored))
	}
	for _, name := range stored {
		if got := p.txt(t, name); len(got) != 1 {
			t.Errorf("%s: %q while the disk is full", name, got)
		}
	}
	if code := p.end(t, syscall.SIGTERM, 2*time.Second); code != exitOK {
		t.Errorf("exit %d", code)
	}
	again := startProcess(t, config) // with room
	for _, name := range stored {
		if got := again.txt(t, name); len(got) != 1 {
			t.Errorf("%s: %q after a restart", name, got)
		}
	}
	if err := again.client.Put(t.Context(), "later.auth.example.com", "v"); err != nil {
		t.Error(err)
	}
}

func TestServe_folderThatCannotBeWrittenIsRefused(t *testing.T) {
	config := writeConfig(t)
	path := filepath.Join(filepath.Dir(config), "records.db")
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(filepath.Dir(config), "file", "records.db")
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), path, missing)), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := runCommand(t, exitFault, "serve", config); !strings.Contains(said, missing) {
		t.Errorf("serve says %q", said)
	}
}
