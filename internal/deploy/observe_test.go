package deploy

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// Fault 33. Each case changes something by hand after a deployment.
func TestObserve_handChangedIsDrift(t *testing.T) {
	f := newFixture(t)
	result, err := Deploy(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	job := f.job
	job.Material.Key = pki.Key{} // a refresh has no key
	third := f.issue(t)
	thirdPrint := pki.Fingerprint(third.Chain[0])
	tests := map[string]struct {
		change func(t *testing.T)
		want   []string // a part of each sentence, in order
	}{
		"nothing": {func(*testing.T) {}, nil},
		"both files": {func(t *testing.T) { f.WritePair(t, third.Chain, third.Key) }, []string{
			"The private key in the file " + f.PrivateKeyPath + " does not belong", "The file " + f.FullchainPath + " holds another certificate (fingerprint " + thirdPrint,
		}},
		"the key alone": {func(t *testing.T) { f.WritePair(t, f.fresh.Chain, third.Key) }, []string{
			"The private key in the file " + f.PrivateKeyPath + " does not belong",
		}},
		"the chain is cut": {func(t *testing.T) { f.WritePair(t, f.fresh.Chain[:1], f.fresh.Key) }, []string{
			"The file " + f.FullchainPath + " holds another chain",
		}},
		"the certificate file is gone": {func(t *testing.T) {
			if err := os.Remove(f.FullchainPath); err != nil {
				t.Fatal(err)
			}
		}, []string{"The file " + f.FullchainPath + " is missing"}},
		"the key file is damaged": {func(t *testing.T) {
			if err := os.WriteFile(f.PrivateKeyPath, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"The file " + f.PrivateKeyPath + " cannot be read as what it is to hold"}},
		"files and server": {func(t *testing.T) {
			f.WritePair(t, third.Chain, third.Key)
			f.Reload(t)
			if _, err := Prove(t.Context(), f.job.Proof, serves(f.job.Proof.Endpoint, third.Chain)); err != nil {
				t.Fatal(err)
			}
		}, []string{"does not belong", "holds another certificate", "The server at " + f.Address + " serves another certificate (fingerprint " + thirdPrint}},
		"the server alone does not send the chain": {func(t *testing.T) {
			f.WritePair(t, f.fresh.Chain[:1], f.fresh.Key)
			f.Reload(t)
			if _, err := Prove(t.Context(), f.job.Proof, func(s Served) error {
				if len(s.Chain) != 1 || !s.Chain[0].Equal(f.fresh.Chain[0]) {
					return errors.New("not yet")
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			f.WritePair(t, f.fresh.Chain, f.fresh.Key)
		}, []string{"does not send the whole chain"}},
	}
	for sentence, test := range tests {
		t.Run(sentence, func(t *testing.T) {
			if _, err := Deploy(t.Context(), f.job); err != nil { // undo the case before
				t.Fatal(err)
			}
			test.change(t)
			before := state(t, f.tls())
			got, err := Observe(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Drift) != len(test.want) || len(got.Warnings) != 0 {
				t.Fatalf("drift = %q, warnings = %q; want %q", got.Drift, got.Warnings, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(got.Drift[i], want) {
					t.Errorf("drift %d = %q, want %q", i, got.Drift[i], want)
				}
			}
			if test.want == nil && (got.FilesHash != result.FilesHash || got.ServedFingerprint != result.Fingerprint) {
				t.Errorf("observed %+v, deployed %+v", got, result)
			}
			noKeys(t, strings.Join(got.Drift, " "), f.fresh.Key, third.Key)
			if after := state(t, f.tls()); len(after) != len(before) {
				t.Error("the observation changed something")
			}
		})
	}
}

func TestObserve_serverDownIsAWarning(t *testing.T) {
	f := newFixture(t)
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.Stop(t)
	got, err := Observe(t.Context(), f.job)
	if err != nil || len(got.Drift) != 0 || len(got.Warnings) != 1 || got.FilesHash == "" || got.ServedFingerprint != "" {
		t.Errorf("observed %+v, %v; want one warning", got, err)
	}
}

func TestObserve_unreadableFileIsAWarning(t *testing.T) {
	f := newFixture(t)
	if err := errors.Join(os.Remove(f.PrivateKeyPath), os.Mkdir(f.PrivateKeyPath, 0o700)); err != nil {
		t.Fatal(err)
	}
	f.job.Material = f.old
	got, err := Observe(t.Context(), f.job)
	if err != nil || len(got.Drift) != 0 || len(got.Warnings) != 1 || got.FilesHash != "" {
		t.Errorf("observed %+v, %v; want one warning", got, err)
	}
}

// reading notes the files that are read.
type reading struct {
	transport.Transport
	mu    sync.Mutex
	paths []string
}

func (r *reading) ReadFile(ctx context.Context, path string) ([]byte, transport.FileInfo, error) {
	r.mu.Lock()
	r.paths = append(r.paths, path)
	r.mu.Unlock()
	return r.Transport.ReadFile(ctx, path)
}

// A host is looked at without its keys, and by its command.
func TestObserve_sealed(t *testing.T) {
	f := newFixture(t)
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	machine := &reading{Transport: f.machine}
	job := f.job
	job.Machine, job.Sealed = machine, true
	job.Proof = Proof{Command: []string{"false"}}
	third := f.issue(t)
	f.WritePair(t, third.Chain, third.Key)
	seen, err := Observe(t.Context(), job)
	if err != nil || len(seen.Drift) != 2 || !strings.Contains(seen.Drift[0], "holds another certificate") || !strings.Contains(seen.Drift[1], "The command of verify does not pass") {
		t.Errorf("observed %+v, %v; want the drift of the certificate and of the command", seen, err)
	}
	if got := strings.Join(machine.paths, " "); got != f.FullchainPath {
		t.Errorf("read %s, want %s alone", got, f.FullchainPath)
	}
	job.Distant, machine.paths = true, nil
	if seen, err := Observe(t.Context(), job); err != nil || len(seen.Drift)+len(seen.Warnings)+len(machine.paths) > 0 {
		t.Errorf("from a distance: %+v, %v", seen, err)
	}
}
