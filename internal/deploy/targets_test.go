package deploy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// member is one kind of server in the conformance suite.
type member struct {
	// start starts a server with a certificate.
	start func(t *testing.T, old Material) *deploytest.Server
	// target is the target for it; deaf has it be told nothing that it obeys.
	target func(t *testing.T, s *deploytest.Server, deaf bool) (Target, error)
	// misconfigure makes the server's own test fail; nil where it has none.
	misconfigure func(t *testing.T, s *deploytest.Server)
	// stop ends the server, so that a deployment has to start it; nil where the
	// target cannot.
	stop func(t *testing.T, s *deploytest.Server)
}

func store(s *deploytest.Server, kind pki.KeystoreKind) StoreOptions {
	return StoreOptions{Path: s.Path("keystore"), Kind: kind, Password: secret.New(deploytest.StorePassword)}
}

func manager(s *deploytest.Server) Admin {
	return Admin{URL: s.Manager, Username: deploytest.ManagerUser, Password: secret.New(deploytest.ManagerPassword)}
}

func members() map[string]member {
	all := map[string]member{
		"apache": {
			start: func(t *testing.T, old Material) *deploytest.Server {
				return deploytest.StartApache(t, old.Chain, old.Key)
			},
			target: func(t *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				o := ApacheOptions{FullchainPath: s.Path("fullchain.pem"), PrivateKeyPath: s.Path("key.pem"), Binary: "apache2", ConfigPath: s.Config}
				if deaf {
					o.Binary = script(t, `case "$*" in *graceful) exit 0;; esac; exec apache2 "$@"`)
				}
				return NewApache(o)
			},
			misconfigure: func(t *testing.T, s *deploytest.Server) { s.WriteApacheConfig(t, "NoSuchDirective on") },
			stop:         func(t *testing.T, s *deploytest.Server) { s.Stop(t) },
		},
		"haproxy by its runtime API": {
			start: func(t *testing.T, old Material) *deploytest.Server {
				return deploytest.StartHAProxy(t, old.Chain, old.Key)
			},
			target: func(t *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				o := HAProxyOptions{CombinedPath: s.Path("combined.pem"), ConfigPaths: []string{s.Config}, Socket: s.Socket, PIDFile: s.PIDFile}
				if deaf {
					o.Socket, o.ReloadCommand = "", []string{"true"}
				}
				return NewHAProxy(o)
			},
			misconfigure: func(t *testing.T, s *deploytest.Server) { s.WriteHAProxyConfig(t, "no_such_section") },
			stop:         func(t *testing.T, s *deploytest.Server) { s.Stop(t) },
		},
		"haproxy by a signal": {
			start: func(t *testing.T, old Material) *deploytest.Server {
				return deploytest.StartHAProxy(t, old.Chain, old.Key)
			},
			target: func(_ *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				o := HAProxyOptions{CombinedPath: s.Path("combined.pem"), ConfigPaths: []string{s.Config}, PIDFile: s.PIDFile}
				if deaf {
					o.ReloadCommand = []string{"true"}
				}
				return NewHAProxy(o)
			},
			misconfigure: func(t *testing.T, s *deploytest.Server) { s.WriteHAProxyConfig(t, "no_such_section") },
			stop:         func(t *testing.T, s *deploytest.Server) { s.Stop(t) },
		},
		"tomcat with PEM files": {
			start: func(t *testing.T, old Material) *deploytest.Server {
				return deploytest.StartTomcat(t, "", old.Chain, old.Key)
			},
			target: func(_ *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				o := TomcatOptions{CertificatePath: s.Path("fullchain.pem"), PrivateKeyPath: s.Path("key.pem"), Manager: manager(s)}
				if deaf {
					o.Manager, o.Restart = Admin{}, []string{"true"}
				}
				return NewTomcat(o)
			},
		},
	}
	for _, kind := range []pki.KeystoreKind{pki.PKCS12, pki.JKS} {
		all["tomcat with "+string(kind)] = member{
			start: func(t *testing.T, old Material) *deploytest.Server {
				return deploytest.StartTomcat(t, kind, old.Chain, old.Key)
			},
			target: func(_ *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				o := TomcatOptions{Store: store(s, kind), Manager: manager(s)}
				if deaf {
					o.Manager, o.Restart = Admin{}, []string{"true"}
				}
				return NewTomcat(o)
			},
		}
	}
	type maker func(t testing.TB, chain []*x509.Certificate, key pki.Key) *deploytest.Server
	fake := func(start maker, target func(StoreOptions, Admin) (Target, error)) member {
		return member{
			start: func(t *testing.T, old Material) *deploytest.Server { return start(t, old.Chain, old.Key) },
			target: func(_ *testing.T, s *deploytest.Server, deaf bool) (Target, error) {
				if deaf {
					s.Deafen()
				}
				return target(store(s, pki.PKCS12), manager(s))
			},
		}
	}
	all["jboss, faked"] = fake(deploytest.StartFakeWildFly, func(s StoreOptions, a Admin) (Target, error) {
		return NewJBoss(JBossOptions{Store: s, Management: a, KeyStore: "web", KeyManager: "webKM"})
	})
	all["weblogic, faked"] = fake(deploytest.StartFakeWebLogic, func(s StoreOptions, a Admin) (Target, error) {
		s.Alias = "server"
		return NewWebLogic(WebLogicOptions{Store: s, Management: a})
	})
	all["glassfish, faked"] = fake(deploytest.StartFakeGlassFish, func(s StoreOptions, a Admin) (Target, error) {
		return NewGlassFish(GlassFishOptions{Store: s, Admin: a})
	})
	all["jetty"] = member{
		start: func(t *testing.T, old Material) *deploytest.Server {
			return deploytest.StartJetty(t, pki.PKCS12, old.Chain, old.Key)
		},
		target: func(_ *testing.T, s *deploytest.Server, _ bool) (Target, error) {
			return NewJetty(JettyOptions{Store: store(s, pki.PKCS12)})
		},
	}
	return all
}

// conformance is a server of a kind and a job for it.
type conformance struct {
	*fixture
	server *deploytest.Server
}

func newConformance(t *testing.T, m member, deaf bool) *conformance {
	t.Helper()
	now := time.Now()
	f := &fixture{now: now, ca: deploytest.NewAuthority(t, now), log: &safeBuffer{}, machine: &counting{Transport: transport.Local{}}}
	f.old, f.fresh = f.issue(t), f.issue(t)
	s := m.start(t, f.old)
	target, err := m.target(t, s, deaf)
	if err != nil {
		t.Fatal(err)
	}
	f.job = Job{
		Host: "test", Machine: f.machine, Target: target, Material: f.fresh, Now: now, Locks: &Locks{},
		Proof:  Proof{Endpoint: Endpoint{s.Address, name}, Timeout: 30 * time.Second},
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		noKeys(t, f.log.String()+strings.Join(f.machine.argv, " "), f.old.Key, f.fresh.Key)
		for _, secret := range []string{deploytest.StorePassword, deploytest.ManagerPassword} {
			if strings.Contains(f.log.String()+strings.Join(f.machine.argv, " "), secret) {
				t.Errorf("a password is in the log or in an argument")
			}
		}
	})
	return &conformance{f, s}
}

// Every kind of server serves what is deployed, or what it served before.
func TestTargets_conform(t *testing.T) {
	for kind, m := range members() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newConformance(t, m, false)
			result, err := Deploy(t.Context(), c.job)
			if err != nil {
				t.Fatal(err)
			}
			if !result.Changed || result.Proven != ByHandshake || len(result.Backups) == 0 {
				t.Errorf("result = %+v", result)
			}
			c.wantServed(t, c.fresh)
			c.again(t)
			c.drift(t)
			if m.misconfigure != nil {
				c.refused(t, m)
			}
			if m.stop != nil {
				c.dead(t, m)
			}
		})
	}
}

// A server that is told and does not listen keeps what it had.
func TestTargets_rollBackWhereNothingIsLoaded(t *testing.T) {
	for kind, m := range members() {
		if kind == "jetty" {
			continue // it looks by itself
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newConformance(t, m, true)
			before := state(t, c.server.Files)
			c.job.Proof.Timeout = 5 * time.Second
			_, err := Deploy(t.Context(), c.job)
			_ = wantRollback(t, err, true)
			if !errors.Is(err, ErrOtherServed) {
				t.Errorf("error = %v, want ErrOtherServed", err)
			}
			if after := state(t, c.server.Files); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the files are not what they were")
			}
			c.wantServed(t, c.old)
		})
	}
}

// again deploys what is there: nothing is done.
func (c *conformance) again(t *testing.T) {
	t.Helper()
	runs := len(c.machine.argv)
	result, err := Deploy(t.Context(), c.job)
	if err != nil || result.Changed || result.Reloaded || len(c.machine.argv) != runs {
		t.Errorf("the second time: %+v, %v, commands %q", result, err, c.machine.argv[runs:])
	}
}

// drift is found where a file is changed by hand, and mended.
func (c *conformance) drift(t *testing.T) {
	t.Helper()
	slots := slotsOf(c.job)
	last := slots[len(slots)-1].Path
	kept, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := Observe(t.Context(), c.job)
	if err != nil || len(seen.Drift)+len(seen.Warnings) != 0 {
		t.Errorf("observed %+v, %v; want no drift", seen, err)
	}
	held, err := slots[len(slots)-1].Format.Encode(c.old, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(last, held, 0o600); err != nil {
		t.Fatal(err)
	}
	if seen, err = Observe(t.Context(), c.job); err != nil || len(seen.Drift) == 0 {
		t.Errorf("observed %+v, %v; want drift", seen, err)
	}
	if err := os.WriteFile(last, kept, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refused has the server's own test fail: nothing is told, all is restored.
func (c *conformance) refused(t *testing.T, m member) {
	t.Helper()
	before := state(t, c.server.Files)
	m.misconfigure(t, c.server)
	job := c.job
	job.Material = c.issue(t)
	_, err := Deploy(t.Context(), job)
	if _ = wantRollback(t, err, true); err == nil || !strings.Contains(strings.ToLower(err.Error()), "nosuchdirective") && !strings.Contains(err.Error(), "no_such_section") {
		t.Errorf("error = %v, want the server's own words", err)
	}
	if after := state(t, c.server.Files); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the files are not what they were")
	}
	c.wantServed(t, c.fresh)
	switch {
	case c.server.Socket != "":
		c.server.WriteHAProxyConfig(t, "")
	default:
		c.server.WriteApacheConfig(t, "")
	}
}

// dead is a server that does not run: the deployment starts it.
func (c *conformance) dead(t *testing.T, m member) {
	t.Helper()
	m.stop(t, c.server)
	job := c.job
	job.Material = c.issue(t)
	result, err := Deploy(t.Context(), job)
	if err != nil || !result.Reloaded {
		t.Fatalf("a dead server: %+v, %v", result, err)
	}
	c.wantServed(t, job.Material)
}

// What other keys a keystore has, stays.
func TestTomcat_keepsOtherAliases(t *testing.T) {
	t.Parallel()
	c := newConformance(t, members()["tomcat with PKCS12"], false)
	other := c.issue(t)
	c.server.WriteKeystore(t, pki.PKCS12, pki.KeystoreEntry{Alias: "other", Key: other.Key, Chain: other.Chain}, pki.KeystoreEntry{Alias: "tomcat", Key: c.old.Key, Chain: c.old.Chain})
	options := TomcatOptions{Store: store(c.server, pki.PKCS12), Manager: manager(c.server)}
	options.Store.Alias = "tomcat"
	var err error
	if c.job.Target, err = NewTomcat(options); err != nil {
		t.Fatal(err)
	}
	if _, err := Deploy(t.Context(), c.job); err != nil {
		t.Fatal(err)
	}
	c.wantServed(t, c.fresh)
	data, err := os.ReadFile(c.server.Path("keystore"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := pki.ReadKeystore(pki.PKCS12, data, deploytest.StorePassword, "other")
	if err != nil || kept.Key.Matches(other.Chain[0]) != nil {
		t.Errorf("the other key: %v, want it to be there", err)
	}
}

// A manager that does not know the user leaves everything as it was, and the
// error says what to look at.
func TestTomcat_wrongPassword(t *testing.T) {
	t.Parallel()
	c := newConformance(t, members()["tomcat with PKCS12"], false)
	wrong := manager(c.server)
	wrong.Password = secret.New("wrong")
	var err error
	if c.job.Target, err = NewTomcat(TomcatOptions{Store: store(c.server, pki.PKCS12), Manager: wrong}); err != nil {
		t.Fatal(err)
	}
	before := state(t, c.server.Files)
	_, err = Deploy(t.Context(), c.job)
	if !errors.Is(err, ErrAdmin) || !strings.Contains(err.Error(), "check user name, password and the roles") {
		t.Errorf("error = %v, want ErrAdmin and what to look at", err)
	}
	if after := state(t, c.server.Files); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the files are not what they were")
	}
	c.wantServed(t, c.old)
}

// Apache's test passes a key of another certificate, and it then exits: the
// pair is refused before anything is touched.
func TestApache_refusesAMismatch(t *testing.T) {
	t.Parallel()
	c := newConformance(t, members()["apache"], false)
	before := state(t, c.server.Files)
	c.job.Material.Key = c.old.Key
	if _, err := Deploy(t.Context(), c.job); !errors.Is(err, pki.ErrKeyMismatch) {
		t.Errorf("error = %v, want ErrKeyMismatch", err)
	}
	if after := state(t, c.server.Files); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("the files are not what they were")
	}
	c.wantServed(t, c.old)
}
