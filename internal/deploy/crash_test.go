//go:build unix

package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// crashJob is what the killed process needs to know.
type crashJob struct {
	Options          NginxOptions
	Certificate, Key []byte
	Address          string
	Now              time.Time
	Calls            int
}

const crashEnvironment = "DEPLOY_TEST_CRASH_JOB"

// TestCrash_process is no test: TestDeploy_killedAtEveryStep runs it as a process
// of its own.
func TestCrash_process(t *testing.T) {
	text, ok := os.LookupEnv(crashEnvironment)
	if !ok {
		return
	}
	var c crashJob
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	material, err := ParseMaterial(c.Certificate, nil, key)
	if err != nil {
		t.Fatal(err)
	}
	target, err := NewNginx(c.Options)
	if err != nil {
		t.Fatal(err)
	}
	dying := &hooked{Transport: transport.Local{}, before: func(call int) error {
		if call == c.Calls {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	_, err = Deploy(t.Context(), Job{
		Host: "test", Machine: dying, Target: target, Material: material, Now: c.Now,
		Proof: Proof{Endpoint: Endpoint{c.Address, name}, Timeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// crash deploys in a process that is killed before its Nth call to the machine.
// It reports whether that came to pass.
func (f *fixture) crash(t *testing.T, material Material, calls int) bool {
	t.Helper()
	key, err := material.Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(crashJob{f.options(), pki.EncodeCertificates(material.Chain...), key, f.Address, f.now, calls})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrash_process$")
	command.Env = append(os.Environ(), crashEnvironment+"="+string(text))
	command.WaitDelay = time.Second
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && !exit.Exited():
		return true
	}
	t.Fatalf("the process failed instead of dying: %v: %s", err, out)
	return false
}

// Fault 29. After a kill before each call to the machine, the server has a whole
// pair loaded, the next deployment reaches the new certificate, and one that
// fails goes back to the last good pair.
func TestDeploy_killedAtEveryStep(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	journals := 0
	for calls := 0; ; calls++ {
		if calls > 100 {
			t.Fatal("the process never finishes")
		}
		f.reset(t)
		if !f.crash(t, f.fresh, calls) {
			t.Logf("killed at %d places, a journal was left at %d", calls, journals)
			break
		}
		f.wantLoaded(t, f.old, f.fresh)
		if _, err := os.Stat(journalPath(slotsOf(f.job))); err == nil {
			journals++
		}
		if _, err := Deploy(t.Context(), f.job); err != nil {
			t.Fatalf("killed before call %d: %v", calls, err)
		}
		f.wantServed(t, f.fresh)
		f.wantTidy(t, calls)
	}
	if journals == 0 {
		t.Error("no kill left a journal")
	}
}

func TestDeploy_failsAfterAKill(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	options := f.options()
	// nginx itself is not harmed, but the deployment never gets past the test.
	options.Binary = script(t, `case "$*" in *-t) echo "made up" >&2; exit 1;; esac; exec nginx "$@"`)
	job := f.jobFor(t, options)
	third := f.issue(t)
	mixtures := 0
	for calls := 0; ; calls++ {
		f.reset(t)
		before := state(t, f.tls())
		if !f.crash(t, f.fresh, calls) {
			break
		}
		crashed := state(t, f.tls())
		job.Material = third
		_, err := Deploy(t.Context(), job)
		var failure *RollbackError
		if !errors.As(err, &failure) {
			t.Fatalf("killed before call %d: %v, want a RollbackError", calls, err)
		}
		f.wantLoaded(t, f.old, f.fresh)
		f.wantTidy(t, calls)
		after := state(t, f.tls())
		wantPair := before
		if crashed[f.PrivateKeyPath] != before[f.PrivateKeyPath] && crashed[f.FullchainPath] == before[f.FullchainPath] {
			mixtures++
		} else if after[f.PrivateKeyPath] != before[f.PrivateKeyPath] {
			wantPair = crashed // both files were new, and a handshake may have shown that
		}
		for _, path := range []string{f.PrivateKeyPath, f.FullchainPath} {
			if after[path] != wantPair[path] {
				t.Errorf("killed before call %d: %s is of another pair", calls, path)
			}
		}
	}
	if mixtures == 0 {
		t.Error("no kill came between the two renames")
	}
}

// reset makes nginx serve the old certificate with nothing else beside it.
func (f *fixture) reset(t *testing.T) {
	t.Helper()
	for path := range state(t, f.tls()) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	f.WritePair(t, f.old.Chain, f.old.Key)
	f.Reload(t)
	proof := f.job.Proof
	proof.Steady = 150 * time.Millisecond // the workers before were measured to stay 0.1 s
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, f.old.Chain)); err != nil {
		t.Fatal(err)
	}
}

// wantLoaded checks that the server completes a handshake with one of the
// certificates.
func (f *fixture) wantLoaded(t *testing.T, materials ...Material) {
	t.Helper()
	served, err := Probe(t.Context(), f.job.Proof.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(materials, func(m Material) bool { return m.Chain[0].Equal(served.Chain[0]) }) {
		t.Errorf("serves %s", describe(served.Chain[0]))
	}
}

// wantTidy checks that only the pair and backups are there.
func (f *fixture) wantTidy(t *testing.T, calls int) {
	t.Helper()
	for path := range state(t, f.tls()) {
		if base := filepath.Base(path); path != f.FullchainPath && path != f.PrivateKeyPath && !strings.Contains(base, ".bak-") ||
			strings.Contains(base, "certificate-new") {
			t.Errorf("killed before call %d: %s is left", calls, base)
		}
	}
}

func TestDeploy_handChangedAfterAKill(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for calls := 0; ; calls++ { // until the kill comes between the renames
		f.reset(t)
		before := state(t, f.tls())
		if !f.crash(t, f.fresh, calls) {
			t.Fatal("no kill came between the two renames")
		}
		if after := state(t, f.tls()); after[f.PrivateKeyPath] != before[f.PrivateKeyPath] {
			break
		}
	}
	third := f.issue(t)
	f.WritePair(t, third.Chain, third.Key)
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	_ = wantRollback(t, err, false) // nginx's configuration is broken: a reload of the third is not possible
	want := fmt.Sprintf("-rw-r--r-- %s", pki.EncodeCertificates(third.Chain...))
	if got := state(t, f.tls())[f.FullchainPath]; got != want {
		t.Error("the pair put there by hand is not what was restored")
	}
}
