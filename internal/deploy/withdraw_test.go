package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func sameFiles(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path := range want {
		if got[path] != want[path] {
			t.Errorf("%s is not what it was", path)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is left", path)
		}
	}
}

// After more deployments than there are backups, everything is what it was before
// the first of them, and served.
func TestWithdraw_restoresWhatWasThereFirst(t *testing.T) {
	f := newFixture(t)
	if err := os.Chmod(f.FullchainPath, 0o640); err != nil {
		t.Fatal(err)
	}
	before := state(t, f.tls())
	f.job.Origin, f.job.Keep = true, 1
	for range 4 {
		f.job.Material = f.issue(t)
		if _, err := Deploy(t.Context(), f.job); err != nil {
			t.Fatal(err)
		}
	}
	job := f.job
	job.Material.Key = pki.Key{} // a destroy has none
	done, err := Withdraw(t.Context(), job, Restore)
	if err != nil || len(done.Warnings) > 0 || !strings.Contains(done.Truth, "the certificate from before is served, fingerprint "+pki.Fingerprint(f.old.Chain[0])) {
		t.Errorf("withdraw = %+v, %v", done, err)
	}
	f.wantServed(t, f.old)
	sameFiles(t, state(t, f.tls()), before)
	if _, err := Withdraw(t.Context(), job, Restore); !errors.Is(err, ErrNoOrigin) {
		t.Errorf("again: %v, want ErrNoOrigin", err)
	}
}

// A first deployment that fails keeps nothing.
func TestDeploy_failedKeepsNoOrigin(t *testing.T) {
	f := newFixture(t)
	before := state(t, f.tls())
	f.job.Origin = true
	f.WriteConfig(t, "no_such_directive on;")
	_, err := Deploy(t.Context(), f.job)
	_ = wantRollback(t, err, true)
	f.wantRestored(t, before)
}

// Where there were no files, none are left.
func TestWithdraw_removesWhatWasNotThere(t *testing.T) {
	f := newFixture(t)
	place := t.TempDir()
	target, err := NewFiles(FilesOptions{FullchainPath: filepath.Join(place, "full.pem"), PrivateKeyPath: filepath.Join(place, "key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	f.job.Target, f.job.Proof, f.job.Origin = target, Proof{}, true
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	done, err := Withdraw(t.Context(), f.job, Restore)
	if err != nil || !strings.Contains(done.Truth, "it is not proven what is served") {
		t.Errorf("withdraw = %+v, %v", done, err)
	}
	sameFiles(t, state(t, place), nil)
}

// What cannot be given up stays deployed, and served.
func TestWithdraw_failsAndKeepsWhatIsDeployed(t *testing.T) {
	for sentence, test := range map[string]struct {
		how   Withdrawal
		upset func(t *testing.T, f *fixture)
		want  string
	}{
		"the configuration names the files": {Remove, func(*testing.T, *fixture) {}, "cannot load certificate"},
		"the configuration is broken":       {Restore, func(t *testing.T, f *fixture) { f.WriteConfig(t, "no_such_directive on;") }, "no_such_directive"},
		"the copy is damaged": {Restore, func(t *testing.T, f *fixture) {
			if err := os.WriteFile(originCopy(f.PrivateKeyPath, ""), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is gone or damaged"},
		"the server does not listen": {Restore, func(_ *testing.T, f *fixture) { f.machine.Transport = deaf{f.machine.Transport} }, "serves another certificate"},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := newFixture(t)
			f.job.Origin = true
			if _, err := Deploy(t.Context(), f.job); err != nil {
				t.Fatal(err)
			}
			test.upset(t, f)
			before := state(t, f.tls())
			f.job.Proof.Timeout = time.Second
			if _, err := Withdraw(t.Context(), f.job, test.how); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("withdraw = %v, want %q", err, test.want)
			}
			sameFiles(t, state(t, f.tls()), before)
			f.wantServed(t, f.fresh)
		})
	}
}

// deaf passes on no reload.
type deaf struct{ transport.Transport }

func (d deaf) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if argv[len(argv)-1] == "reload" {
		return transport.Output{}, nil
	}
	return d.Transport.Run(ctx, argv, stdin)
}

// Files that the server does without are removed, and it goes on.
func TestWithdraw_removes(t *testing.T) {
	f := newFixture(t)
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	other := f.issue(t)
	moved := *f.Nginx
	moved.FullchainPath, moved.PrivateKeyPath = filepath.Join(f.tls(), "other.pem"), filepath.Join(f.tls(), "other.key")
	moved.WritePair(t, other.Chain, other.Key)
	moved.WriteConfig(t, "")
	want := state(t, f.tls())
	maps.DeleteFunc(want, func(path, _ string) bool { return path == f.FullchainPath || path == f.PrivateKeyPath })
	done, err := Withdraw(t.Context(), f.job, Remove)
	if err != nil || !strings.Contains(done.Truth, "the files are removed") {
		t.Errorf("withdraw = %+v, %v", done, err)
	}
	sameFiles(t, state(t, f.tls()), want)
	if _, err := Prove(t.Context(), f.job.Proof, serves(f.job.Proof.Endpoint, other.Chain)); err != nil {
		t.Errorf("nginx did not go on with what it has else: %v", err)
	}
	if _, err := Withdraw(t.Context(), f.job, Remove); err != nil {
		t.Errorf("again: %v, want nothing to be amiss", err)
	}
}

// A server that does not run is not started for a withdrawal.
func TestWithdraw_deadServer(t *testing.T) {
	f := newFixture(t)
	f.job.Origin = true
	if _, err := Deploy(t.Context(), f.job); err != nil {
		t.Fatal(err)
	}
	f.Stop(t)
	done, err := Withdraw(t.Context(), f.job, Restore)
	if err != nil || !strings.Contains(done.Truth, "does not run and was not started") {
		t.Errorf("withdraw = %+v, %v", done, err)
	}
	if _, err := Probe(t.Context(), f.job.Proof.Endpoint); err == nil {
		t.Error("it was started")
	}
}

func TestCheckWithdrawal(t *testing.T) {
	admin := Admin{URL: "http://127.0.0.1:1", Username: "u"}
	keystore := StoreOptions{Path: "/tmp/x.p12", Password: secret.New("x")}
	targets := map[string]func() (Target, error){
		"nginx": func() (Target, error) { return NewNginx(NginxOptions{FullchainPath: "/a", PrivateKeyPath: "/b"}) },
		"files": func() (Target, error) { return NewFiles(FilesOptions{FullchainPath: "/a"}) },
		"files with a reload": func() (Target, error) {
			return NewFiles(FilesOptions{FullchainPath: "/a", ReloadCommand: []string{"x"}})
		},
		"files with a test": func() (Target, error) {
			return NewFiles(FilesOptions{FullchainPath: "/a", ReloadCommand: []string{"x"}, TestCommand: []string{"x"}})
		},
		"jetty":                 func() (Target, error) { return NewJetty(JettyOptions{Store: keystore}) },
		"tomcat with a manager": func() (Target, error) { return NewTomcat(TomcatOptions{Store: keystore, Manager: admin}) },
		"tomcat with a command": func() (Target, error) {
			return NewTomcat(TomcatOptions{CertificatePath: "/a", PrivateKeyPath: "/b", Restart: []string{"x"}})
		},
		"weblogic": func() (Target, error) {
			return NewWebLogic(WebLogicOptions{Store: StoreOptions{Path: "/a", Alias: "a"}, Management: admin})
		},
		"bt_panel": func() (Target, error) { return &BTPanel{}, nil },
		"iis":      func() (Target, error) { return NewIIS(IISOptions{Site: "x"}) },
	}
	allowed := map[string]string{
		"nginx": "restore remove", "files": "restore remove", "files with a test": "restore remove", "files with a reload": "restore",
		"jetty": "restore", "tomcat with a command": "restore", "tomcat with a manager": "", "weblogic": "", "bt_panel": "", "iis": "restore",
	}
	for sentence, create := range targets {
		target, err := create()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
		var can []string
		for _, how := range []Withdrawal{Restore, Remove} {
			err := CheckWithdrawal(target, how)
			if err == nil {
				can = append(can, string(how))
			} else if !errors.Is(err, ErrNoWithdrawal) {
				t.Errorf("%s: %v, want ErrNoWithdrawal", sentence, err)
			}
		}
		if got := strings.Join(can, " "); got != allowed[sentence] {
			t.Errorf("%s can %q, want %q", sentence, got, allowed[sentence])
		}
	}
}

// Every kind of server that can be withdrawn from serves again what it had, and
// needs no password for it.
func TestTargets_restore(t *testing.T) {
	for kind, m := range members() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newConformance(t, m, false)
			if err := CheckWithdrawal(c.job.Target, Restore); err != nil {
				t.Logf("not to be withdrawn from: %v", err)
				return
			}
			c.job.Origin = true
			before := state(t, c.server.Files)
			if _, err := Deploy(t.Context(), c.job); err != nil {
				t.Fatal(err)
			}
			job := c.job
			job.Material.Key = pki.Key{}
			if kind == "jetty" {
				target, err := NewJetty(JettyOptions{Store: StoreOptions{Path: c.server.Path("keystore"), Kind: pki.PKCS12}})
				if err != nil {
					t.Fatal(err)
				}
				job.Target = target
			}
			done, err := Withdraw(t.Context(), job, Restore)
			if err != nil || !strings.Contains(done.Truth, "the certificate from before is served") {
				t.Errorf("withdraw = %+v, %v", done, err)
			}
			sameFiles(t, state(t, c.server.Files), before)
			c.wantServed(t, c.old)
		})
	}
}

// Killed at any step of a withdrawal, the next one ends it.
func TestWithdraw_interruptedAnywhere(t *testing.T) {
	for steps := range 12 {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			f := newFixture(t)
			before := state(t, f.tls())
			f.job.Origin = true
			if _, err := Deploy(t.Context(), f.job); err != nil {
				t.Fatal(err)
			}
			job := f.job
			job.Machine = &dying{Transport: f.machine, left: steps}
			job.Proof.Timeout = 2 * time.Second
			if _, err := Withdraw(t.Context(), job, Restore); err == nil && steps < 4 {
				t.Error("nothing failed")
			}
			if _, err := Withdraw(t.Context(), f.job, Restore); err != nil && !errors.Is(err, ErrNoOrigin) {
				t.Fatal(err)
			}
			f.wantServed(t, f.old)
			after := state(t, f.tls())
			maps.DeleteFunc(after, func(path, _ string) bool {
				return strings.Contains(path, "before") || strings.Contains(path, ".bak-") || strings.Contains(path, "certificate-new")
			})
			sameFiles(t, after, before)
		})
	}
}

// dying fails everything that changes the machine after some steps.
type dying struct {
	transport.Transport
	left int
}

var errDead = errors.New("the machine is gone")

func (d *dying) step() error {
	if d.left--; d.left < 0 {
		return errDead
	}
	return nil
}

func (d *dying) Stage(ctx context.Context, path string, data []byte, attributes transport.Attributes) (transport.Staged, error) {
	if err := d.step(); err != nil {
		return transport.Staged{}, err
	}
	return d.Transport.Stage(ctx, path, data, attributes)
}

func (d *dying) Rename(ctx context.Context, staged transport.Staged) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Transport.Rename(ctx, staged)
}

func (d *dying) Remove(ctx context.Context, path string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Transport.Remove(ctx, path)
}

func (d *dying) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if err := d.step(); err != nil {
		return transport.Output{}, err
	}
	return d.Transport.Run(ctx, argv, stdin)
}
