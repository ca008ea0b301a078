package deploy

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// born is an nginx, a key that waits beside its own, and a job that deploys the
// certificate made for it without having the key.
type born struct {
	*fixture
	wire    *wire
	key     HostKey
	pending string
	next    Material // as the machine has it; the job has no key
}

func newBorn(t *testing.T, machine transport.Transport) *born {
	t.Helper()
	needOpenSSL(t)
	b := &born{fixture: newFixture(t)}
	b.wire = &wire{Transport: machine}
	b.key = HostKey{Path: b.PrivateKeyPath, Algorithm: pki.ECDSAP256, Names: []string{name}}
	held, err := b.key.Make(t.Context(), b.wire, "")
	if err != nil {
		t.Fatal(err)
	}
	b.pending = held.Path
	request, err := pki.ParseRequest(held.Request)
	if err != nil {
		t.Fatal(err)
	}
	b.next = Material{Chain: b.ca.Sign(t, b.now, []string{name}, request.PublicKey), Key: keyIn(t, b.pending)}
	b.job.Machine, b.job.Material = b.wire, Material{Chain: b.next.Chain}
	return b
}

func TestDeploy_keyThatWaitsOnTheHost(t *testing.T) {
	for way, machine := range ways(t) {
		t.Run(way, func(t *testing.T) {
			b := newBorn(t, machine)
			result, err := Deploy(t.Context(), b.job)
			if err != nil || !result.Changed || result.Proven != ByHandshake {
				t.Fatalf("deploy = %+v, %v", result, err)
			}
			b.wantServed(t, b.next)
			if got := keyIn(t, b.PrivateKeyPath).Hash(); got != b.next.Key.Hash() {
				t.Errorf("the key in place is %s, want %s", got, b.next.Key.Hash())
			}
			if _, err := os.Stat(b.pending); err == nil {
				t.Error("the key that waited is still beside its place")
			}
			backups, err := filepath.Glob(filepath.Join(b.tls(), ".key.pem.bak-*"))
			if err != nil || len(backups) != 1 || keyIn(t, backups[0]).Hash() != b.old.Key.Hash() {
				t.Errorf("backups of the key: %q, %v; want the old one", backups, err)
			}
			if again, err := Deploy(t.Context(), b.job); err != nil || again.Changed || again.Reloaded {
				t.Errorf("again = %+v, %v; want nothing to do", again, err)
			}
			if seen, err := Observe(t.Context(), b.job); err != nil || len(seen.Drift)+len(seen.Warnings) > 0 || seen.FilesHash != result.FilesHash {
				t.Errorf("observed %+v, %v", seen, err)
			}
			b.wire.wantNothingOf(t, b.PrivateKeyPath, backups[0])
		})
	}
}

func TestDeploy_keyThatWaitsIsRolledBack(t *testing.T) {
	user := transporttest.AddUser(t, "ALL=(ALL) NOPASSWD: ALL")
	s := transporttest.StartSSHD(t, "PasswordAuthentication yes")
	options := transport.SSHOptions{Hop: hopTo(s), Become: &transport.Become{}}
	options.User, options.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
	b := newBorn(t, overSSH(t, options))
	before := state(t, b.tls())
	b.WriteConfig(t, "no_such_directive on;")
	if _, err := Deploy(t.Context(), b.job); err == nil {
		t.Fatal("deployed with a configuration that cannot be")
	}
	b.wantRestored(t, before)
	b.wire.wantNothingOf(t, b.PrivateKeyPath, b.pending)
	b.WriteConfig(t, "")
	if _, err := Deploy(t.Context(), b.job); err != nil {
		t.Fatal(err)
	}
	b.wantServed(t, b.next)
}

// A run is cut off before each of its commands in turn, as if the machine had
// died: the next run finishes, with keys and certificates that belong together.
func TestDeploy_keyThatWaitsCutOffAnywhere(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut off")
	for commands := range 40 {
		b := newBorn(t, transport.Local{})
		left := commands
		b.wire.before = func([]string) error {
			if left--; left < 0 {
				return cut
			}
			return nil
		}
		_, err := Deploy(t.Context(), b.job)
		b.wire.before = nil
		if err == nil {
			b.wantServed(t, b.next)
			if commands < 8 {
				t.Errorf("deployed with %d commands", commands)
			}
			return
		}
		if _, err := tls.Dial("tcp", b.Address, &tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Errorf("after %d commands no handshake completes: %v", commands, err)
		}
		if _, err := Deploy(t.Context(), b.job); err != nil {
			t.Fatalf("after %d commands, again: %v", commands, err)
		}
		b.wantServed(t, b.next)
		b.wire.wantNothingOf(t, b.PrivateKeyPath)
	}
	t.Error("it never came to its end")
}

func TestDeploy_noKeyOnTheHostFits(t *testing.T) {
	b := newBorn(t, transport.Local{})
	other := b.issue(t)
	for sentence, test := range map[string]struct {
		change func()
		want   error
		words  string
	}{
		"another key waits": {func() {
			text, err := other.Key.PEM()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(b.pending, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}, pki.ErrKeyMismatch, b.pending},
		"nothing waits": {func() {
			if err := os.Remove(b.pending); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}, pki.ErrKeyMismatch, b.PrivateKeyPath},
		"there is no openssl": {func() { b.wire.before = func([]string) error { return exec.ErrNotFound } }, ErrNoOpenSSL, "install it"},
	} {
		t.Run(sentence, func(t *testing.T) {
			test.change()
			before := state(t, b.tls())
			_, err := Deploy(t.Context(), b.job)
			b.wire.before = nil
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("deploy = %v, want %v with %q", err, test.want, test.words)
			}
			b.wantRestored(t, before)
		})
	}
}

// Told to, a deployment writes, reloads and proves what is there already.
func TestDeploy_byForce(t *testing.T) {
	f := newFixture(t)
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.job.Force = true
	if result, err := Deploy(t.Context(), f.job); err != nil || !result.Changed || !result.Reloaded || result.Proven != ByHandshake {
		t.Errorf("by force = %+v, %v", result, err)
	}
	f.wantServed(t, f.fresh)
}

// A refresh that looks at another machine says of a key what it says of one
// here, without reading it.
func TestObserve_keyOnAnotherMachine(t *testing.T) {
	b := newBorn(t, transport.Local{})
	if _, err := Deploy(t.Context(), b.job); err != nil {
		t.Fatal(err)
	}
	other, err := b.issue(t).Key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sentence       string
		change         func() error
		drift, warning string
	}{
		{"nothing changed", func() error { return nil }, "", ""},
		{"no openssl", func() error {
			b.wire.before = func([]string) error { return exec.ErrNotFound }
			return nil
		}, "", "no openssl program"},
		{"another key", func() error {
			b.wire.before = nil
			return os.WriteFile(b.PrivateKeyPath, other, 0o600)
		}, "does not belong to the certificate", ""},
		{"no key at all", func() error { return os.Remove(b.PrivateKeyPath) }, "is missing", ""},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		seen, err := Observe(t.Context(), b.job)
		if err != nil {
			t.Fatal(err)
		}
		for what, said := range map[string][2]string{"drift": {strings.Join(seen.Drift, " "), step.drift}, "warnings": {strings.Join(seen.Warnings, " "), step.warning}} {
			if (said[0] != "") != (said[1] != "") || !strings.Contains(said[0], said[1]) {
				t.Errorf("%s: %s %q, want %q", step.sentence, what, said[0], said[1])
			}
		}
	}
	noKeys(t, b.wire.text(), b.next.Key)
}
