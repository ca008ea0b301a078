package deploy

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// nginx and Apache on Windows are tested, told, asked and started as that system
// has it, and by nothing of POSIX.
func TestTargets_onWindows(t *testing.T) {
	const full, key = `C:\web\full.pem`, `C:\web\key.pem`
	pair := PairFiles{FullchainPath: `C:\web\enc.pem`, PrivateKeyPath: `C:\web\enc.key`}
	for sentence, test := range map[string]struct {
		service string
		target  func() (Target, error)
		reload  string // commands by a part of them
		alive   string
		start   string
	}{
		"nginx as a process": {
			"", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Prefix: `C:\web`})
			}, "-s reload", "Get-Process -Id 4321", `CommandLine='"C:\web\nginx.exe" "-p" "C:\web"'`,
		},
		"nginx as a service": {
			"it's nginx", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Prefix: `C:\web`, Service: "it's nginx"})
			}, "-s reload", "Get-Service -Name 'it''s nginx'", "Start-Service -Name 'it''s nginx'",
		},
		"nginx, with paths that are found": {
			"", func() (Target, error) { return NewNginx(NginxOptions{Prefix: `C:\web`}) }, "-s reload", "Get-Process", "Win32_Process",
		},
		"nginx with an SM2 pair": {
			"", func() (Target, error) {
				return NewNginx(NginxOptions{FullchainPath: full, PrivateKeyPath: key, Encryption: pair, Prefix: `C:\web`})
			}, "-s reload", "Get-Process -Id 4321", "Win32_Process",
		},
		"Apache with an SM2 pair": {
			"Apache2.4", func() (Target, error) {
				return NewApache(ApacheOptions{FullchainPath: full, PrivateKeyPath: key, Encryption: pair, ServerRoot: `C:\web`})
			}, "-k restart -n Apache2.4", "Get-Service -Name 'Apache2.4'", "-k start -n Apache2.4",
		},
		"Apache": {
			"Apache2.4", func() (Target, error) {
				return NewApache(ApacheOptions{FullchainPath: full, PrivateKeyPath: key, ServerRoot: `C:\web`})
			}, `C:\web\bin\httpd.exe -d C:\web -k restart -n Apache2.4`, "Get-Service -Name 'Apache2.4'", "-k start -n Apache2.4",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			var all []sm2Pair // without a second half where there is no place for one
			target, err := test.target()
			if err != nil {
				t.Fatal(err)
			}
			able, ok := target.(PairTarget)
			paired := ok && able.Pair().FullchainPath != ""
			ca, sm2 := deploytest.NewAuthority(t, now), newSM2Authority(t)
			for range 3 {
				if paired {
					all = append(all, sm2.pair(t, name))
					continue
				}
				chain, key := ca.Issue(t, now, []string{name})
				all = append(all, sm2Pair{signing: Material{chain, key}})
			}
			with := func(m sm2Pair) Target {
				if paired {
					return able.WithPair(m.encryption)
				}
				return target
			}
			halves := []pki.KeystoreEntry{{Chain: all[0].signing.Chain, Key: all[0].signing.Key}}
			if paired {
				halves = append(halves, pki.KeystoreEntry{Chain: all[0].encryption.Chain, Key: all[0].encryption.Key})
			}
			s := deploytest.StartWindows(t, test.service, halves...)
			machine, err := transport.NewWinRM(transport.WinRMOptions{
				Address: s.Address, User: s.User, Password: secret.New(s.Password), CABundle: s.CABundle, ServerName: "example.com", NTLM: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = machine.Close() })
			job := Job{
				Host: "win", Machine: machine, Target: with(all[1]), Material: all[1].signing, Now: now, Locks: &Locks{}, Logger: slog.New(slog.DiscardHandler),
				Proof: Proof{Endpoint: Endpoint{s.Site, name}, Steady: -1, Timeout: 5 * time.Second},
			}
			result, err := Deploy(t.Context(), job)
			if err != nil || !result.Reloaded || result.Proven != ByHandshake {
				t.Fatalf("deploy = %+v, %v", result, err)
			}
			if len(s.Told(test.reload)) != 1 || len(s.Told(test.alive)) == 0 || len(s.Told(test.start)) != 0 {
				t.Errorf("commands = %q", s.Told(""))
			}
			job.Target, job.Material = with(all[2]), all[2].signing
			s.Deaf.Store(true)
			_, err = Deploy(t.Context(), job)
			if _ = wantRollback(t, err, true); !errors.Is(err, ErrOtherServed) {
				t.Errorf("a server that does not listen: %v", err)
			}
			s.Deaf.Store(false)
			s.Refuses.Store(true)
			if _, err = Deploy(t.Context(), job); test.service != "" || !isOpen(target) {
				if _ = wantRollback(t, err, true); err == nil || !strings.Contains(err.Error(), "own words") {
					t.Errorf("a test that fails: %v", err)
				}
			}
			s.Refuses.Store(false)
			s.Halt()
			if _, err := Deploy(t.Context(), job); err != nil || len(s.Told(test.start)) != 1 {
				t.Errorf("a server that does not run: %v, commands %q", err, s.Told(test.start))
			}
			for _, posix := range []string{"kill", "/proc", "sh -c", "apachectl"} {
				if said := s.Told(posix); len(said) > 0 {
					t.Errorf("commands of POSIX: %q", said)
				}
			}
			noKeys(t, strings.Join(s.Told(""), " "), all[1].signing.Key, all[2].signing.Key)
			if paired {
				noKeys(t, strings.Join(s.Told(""), " "), all[1].encryption.Key, all[2].encryption.Key)
			}
			if left, err := os.ReadDir(filepath.Join(s.Root, "web")); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return transport.IsTemporary(e.Name(), "key.pem") }) {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestTargets_onWindowsRefused(t *testing.T) {
	for sentence, make := range map[string]func() error{
		"nginx without its folder": func() error {
			_, err := NewNginx(NginxOptions{FullchainPath: `C:\a.pem`, PrivateKeyPath: `C:\a.key`})
			return err
		},
		"a service on POSIX": func() error {
			_, err := NewNginx(NginxOptions{FullchainPath: "/a.pem", PrivateKeyPath: "/a.key", Service: "nginx"})
			return err
		},
	} {
		if err := make(); !errors.Is(err, ErrPath) {
			t.Errorf("%s: %v, want ErrPath", sentence, err)
		}
	}
	if _, err := NewApache(ApacheOptions{FullchainPath: `C:\a.pem`, PrivateKeyPath: `C:\a.key`, DryStart: true}); err == nil {
		t.Error("a dry start of a Windows service is not refused")
	}
	if got, want := quotedFor("a'b’c$(d)"), "'a''b’’c$(d)'"; got != want {
		t.Errorf("quoted = %s, want %s", got, want)
	}
}
