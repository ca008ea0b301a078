package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestDeploy_requestInFlightSurvives(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "answer")
	}))
	defer backend.Close()
	f := newFixtureWith(t, backend.Listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots(), ServerName: name}}}
	answer := make(chan string, 1)
	go func() {
		response, err := client.Get("https://" + f.Address)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	<-arrived
	result, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if got := <-answer; got != "answer" {
		t.Errorf("the request in flight got %q", got)
	}
	f.wantServed(t, f.fresh)
	if !result.Changed || !result.Reloaded || result.Proven != ByHandshake || result.Fingerprint != pki.Fingerprint(f.fresh.Chain[0]) ||
		len(result.Backups) != 2 || len(result.Warnings) != 0 || len(result.Served.Chain) != 2 {
		t.Errorf("result = %+v", result)
	}
	for _, backup := range result.Backups {
		if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("backup %s: %v, %v; want mode 0600", backup, info, err)
		}
	}
	if files := state(t, f.tls()); len(files) != 4 {
		t.Errorf("%d files, want the pair and its backups", len(files))
	}
	if info, err := os.Stat(f.PrivateKeyPath); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
	noKeys(t, strings.Join(f.machine.argv, " "), f.fresh.Key)
}

func TestDeploy_nothingToDo(t *testing.T) {
	f := newFixture(t)
	first, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	before := state(t, f.tls())
	second, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	if second.Changed || second.Reloaded || second.Proven != ByHandshake || second.FilesHash != first.FilesHash || second.Backups != nil {
		t.Errorf("result = %+v", second)
	}
	if f.machine.runs["reload"] != 1 || f.machine.runs["-t"] != 1 {
		t.Errorf("commands = %v, want one reload and one test", f.machine.runs)
	}
	after := state(t, f.tls())
	if len(after) != len(before) {
		t.Errorf("%d files, before %d", len(after), len(before))
	}
}

func TestDeploy_filesThereButNotLoaded(t *testing.T) {
	f := newFixture(t)
	f.WritePair(t, f.fresh.Chain, f.fresh.Key)
	result, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	if result.Changed || !result.Reloaded || f.machine.runs["reload"] != 1 {
		t.Errorf("result = %+v, commands %v", result, f.machine.runs)
	}
	f.wantServed(t, f.fresh)
}

// Fault 30.
func TestDeploy_configTestFails(t *testing.T) {
	f := newFixture(t)
	before := state(t, f.tls())
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	failure := wantRollback(t, err, true)
	if failure == nil || !strings.Contains(err.Error(), `unknown directive "no_such_directive"`) {
		t.Errorf("error = %v, want nginx's own words", err)
	}
	if f.machine.runs["reload"] != 0 {
		t.Error("reloaded after a test that failed")
	}
	f.wantRestored(t, before)
}

// Fault 31.
func TestDeploy_reloadDoesNothing(t *testing.T) {
	f := newFixture(t)
	before := state(t, f.tls())
	options := f.options()
	options.Binary = script(t, `case "$*" in *reload) exit 0;; esac; exec nginx "$@"`)
	job := f.jobFor(t, options)
	job.Proof.Timeout = 3 * time.Second
	_, err := Deploy(t.Context(), job)
	_ = wantRollback(t, err, true)
	if !errors.Is(err, ErrOtherServed) || !strings.Contains(err.Error(), "fingerprint "+pki.Fingerprint(f.old.Chain[0])) {
		t.Errorf("error = %v, want ErrOtherServed and the old fingerprint", err)
	}
	f.wantRestored(t, before)
}

func TestDeploy_deadServerIsStartedAgain(t *testing.T) {
	f := newFixture(t)
	before := state(t, f.tls())
	options := f.options()
	// A reload that kills, once.
	mark := filepath.Join(t.TempDir(), "mark")
	options.Binary = script(t, `case "$*" in *reload) [ -e `+mark+` ] || { touch `+mark+`; nginx -p "$2" -c "$4" -s stop
		while [ -e "$2/nginx.pid" ]; do sleep 0.02; done; exit 0; };; esac; exec nginx "$@"`)
	job := f.jobFor(t, options)
	_, err := Deploy(t.Context(), job)
	_ = wantRollback(t, err, true)
	f.wantRestored(t, before)
}

func TestDeploy_firstFilesStartTheServer(t *testing.T) {
	f := newFixture(t)
	f.Stop(t)
	for _, path := range []string{f.FullchainPath, f.PrivateKeyPath} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Changed || !result.Reloaded || len(result.Backups) != 0 {
		t.Errorf("result = %+v", result)
	}
	f.wantServed(t, f.fresh)
}

func TestDeploy_firstFilesAreRemovedAgain(t *testing.T) {
	f := newFixture(t)
	f.Stop(t)
	for _, path := range []string{f.FullchainPath, f.PrivateKeyPath} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	failure := wantRollback(t, err, true)
	if failure != nil && !strings.Contains(failure.Truth, "no certificate was served before") {
		t.Errorf("truth = %q", failure.Truth)
	}
	if files := state(t, f.tls()); len(files) != 0 {
		t.Errorf("left %d files", len(files))
	}
}

func TestDeploy_symlinksAreWrittenThrough(t *testing.T) {
	f := newFixture(t)
	archive := t.TempDir()
	for _, path := range []string{f.FullchainPath, f.PrivateKeyPath} {
		destination := filepath.Join(archive, filepath.Base(path))
		if err := errors.Join(os.Rename(path, destination), os.Symlink(destination, path)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.wantServed(t, f.fresh)
	for _, path := range []string{f.FullchainPath, f.PrivateKeyPath} {
		if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s: %v, %v; want the link kept", path, info, err)
		}
	}
	if files := state(t, archive); len(files) != 2 {
		t.Errorf("%d files beside the destinations, want 2", len(files))
	}
}

func TestDeploy_cancelledDuringProof(t *testing.T) {
	f := newFixture(t)
	before := state(t, f.tls())
	options := f.options()
	options.Binary = script(t, `case "$*" in *reload) exit 0;; esac; exec nginx "$@"`)
	job := f.jobFor(t, options)
	job.Proof.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	timer := time.AfterFunc(500*time.Millisecond, cancel)
	defer timer.Stop()
	started := time.Now()
	_, err := Deploy(ctx, job)
	_ = wantRollback(t, err, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	if took := time.Since(started); took > 2500*time.Millisecond {
		t.Errorf("returned %v after the start, cancelled at 0.5 s", took)
	}
	f.wantRestored(t, before)
}

func TestDeploy_keyStaysOnTheMachine(t *testing.T) {
	f := newFixture(t)
	f.WritePair(t, f.old.Chain, f.fresh.Key)
	f.job.Material.Key = pki.Key{}
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.wantServed(t, f.fresh)
	before := state(t, f.tls())
	f.job.Material = Material{Chain: f.issue(t).Chain}
	if _, err := Deploy(t.Context(), f.job); !errors.Is(err, pki.ErrKeyMismatch) {
		t.Errorf("another certificate: %v, want ErrKeyMismatch", err)
	}
	if after := state(t, f.tls()); len(after) != len(before) {
		t.Error("touched the files")
	}
}

func TestNginx_pidFile(t *testing.T) {
	tests := map[string]struct{ dump, want string }{
		"on its own line":      {"user root;\n pid  /run/x.pid;\n", "/run/x.pid"},
		"quoted, after others": {"daemon on; pid \"a.pid\"; # pid no;\n", "a.pid"},
		"only a comment":       {"# pid /run/x.pid;\n", ""},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			if got := pidDirective(test.dump); got != test.want {
				t.Errorf("pidDirective = %q, want %q", got, test.want)
			}
		})
	}
}

// wantRollback checks that a deployment failed and what that left: complete
// means that everything is as before.
func wantRollback(t *testing.T, err error, complete bool) *RollbackError {
	t.Helper()
	var failure *RollbackError
	if !errors.As(err, &failure) {
		t.Errorf("error = %v, want a RollbackError", err)
		return nil
	}
	if (failure.Rollback == nil) != complete {
		t.Errorf("rollback = %v, want complete: %v", failure.Rollback, complete)
	}
	return failure
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nginx")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
