package deploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func hopTo(s *transporttest.SSHD) transport.Hop {
	return transport.Hop{
		Address: s.Address, User: s.User, Trust: transport.HostTrust{KnownHosts: s.KnownHosts()},
		Credentials: transport.Credentials{PrivateKey: secret.New(string(s.Key))},
	}
}

func overSSH(t testing.TB, options transport.SSHOptions) *transport.SSH {
	t.Helper()
	machine, err := transport.NewSSH(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := machine.Close(); err != nil {
			t.Error(err)
		}
	})
	return machine
}

func TestDeploy_overSSH(t *testing.T) {
	for sentence, test := range map[string]struct {
		lines  []string
		become *transport.Become
	}{
		"over SFTP":    {},
		"by the shell": {lines: []string{transporttest.NoSFTP}},
		"by sudo":      {become: &transport.Become{}},
	} {
		t.Run(sentence, func(t *testing.T) {
			f := newFixture(t)
			s := transporttest.StartSSHD(t, test.lines...)
			options := transport.SSHOptions{Hop: hopTo(s), Become: test.become}
			if test.become != nil {
				user := transporttest.AddUser(t, "ALL=(ALL) NOPASSWD: ALL")
				s.Configure(t, "PasswordAuthentication yes")
				options.User, options.Credentials = user.Name, transport.Credentials{Password: secret.New(user.Password)}
			}
			f.machine.Transport = overSSH(t, options)
			if err := CheckPaths(t.Context(), f.machine, f.job.Target, ""); err != nil {
				t.Fatal(err)
			}
			result, err := Deploy(t.Context(), f.job)
			if err != nil || !result.Changed || result.Proven != ByHandshake {
				t.Fatalf("deploy = %+v, %v", result, err)
			}
			f.wantServed(t, f.fresh)
			if again, err := Deploy(t.Context(), f.job); err != nil || again.Changed || again.Reloaded {
				t.Errorf("again = %+v, %v; want nothing to do", again, err)
			}
			seen, err := Observe(t.Context(), f.job)
			if err != nil || len(seen.Drift)+len(seen.Warnings) > 0 || seen.FilesHash != result.FilesHash {
				t.Errorf("observed %+v, %v", seen, err)
			}
			if got := s.Connections(); got != 1 {
				t.Errorf("%d connections, want 1", got)
			}
			noKeys(t, s.Log(), f.fresh.Key)
		})
	}
}

func TestDeploy_overSSHIsRolledBack(t *testing.T) {
	f := newFixture(t)
	s := transporttest.StartSSHD(t)
	f.machine.Transport = overSSH(t, transport.SSHOptions{Hop: hopTo(s)})
	f.WriteConfig(t, "no_such_directive on;")
	before := state(t, f.tls())
	if _, err := Deploy(t.Context(), f.job); err == nil {
		t.Fatal("deployed with a configuration that cannot be")
	}
	f.wantRestored(t, before)
}

// cutting loses the connection whenever a command is about to run, a few times.
type cutting struct {
	transport.Transport
	server *transporttest.SSHD
	left   int
}

func (c *cutting) Run(ctx context.Context, argv []string, stdin []byte) (transport.Output, error) {
	if c.left > 0 {
		c.left--
		c.server.Kill()
	}
	return c.Transport.Run(ctx, argv, stdin)
}

// TestDeploy_connectionsLostOnTheWay: what is served is what the result says,
// whenever the network fails.
func TestDeploy_connectionsLostOnTheWay(t *testing.T) {
	for cuts := range 4 {
		t.Run(fmt.Sprint(cuts, " times"), func(t *testing.T) {
			f := newFixture(t)
			s := transporttest.StartSSHD(t)
			machine := &cutting{overSSH(t, transport.SSHOptions{Hop: hopTo(s)}), s, cuts}
			f.job.Machine = machine
			before := state(t, f.tls())
			_, err := Deploy(t.Context(), f.job)
			if err == nil {
				f.wantServed(t, f.fresh)
				return
			}
			f.wantServed(t, f.old)
			// A further run, without cuts, finishes whatever was left behind.
			machine.left = 0
			if _, err := Deploy(t.Context(), f.job); err != nil {
				t.Errorf("the next run: %v", err)
			}
			f.wantServed(t, f.fresh)
			if after := state(t, f.tls()); len(after) < len(before) {
				t.Errorf("%d files are left of %d", len(after), len(before))
			}
		})
	}
}

// BenchmarkRollout_20HostsOverSSH deploys to 20 real nginx, each behind an sshd
// of its own, ten at a time.
func BenchmarkRollout_20HostsOverSSH(b *testing.B) {
	now := time.Now()
	ca := deploytest.NewAuthority(b, now)
	issue := func() Material {
		chain, key := ca.Issue(b, now, []string{name})
		return Material{chain, key}
	}
	first := issue()
	jobs, servers := map[string]Job{}, map[string]*transporttest.SSHD{}
	for i := range 20 {
		host := fmt.Sprintf("web%02d", i)
		server := deploytest.StartNginx(b, first.Chain, first.Key, "")
		target, err := NewNginx(NginxOptions{FullchainPath: server.FullchainPath, PrivateKeyPath: server.PrivateKeyPath, ConfigPath: server.Config, Prefix: server.Prefix})
		if err != nil {
			b.Fatal(err)
		}
		servers[host] = transporttest.StartSSHD(b)
		jobs[host] = Job{
			Host: host, Target: target, Now: now, Proof: Proof{Endpoint: Endpoint{server.Address, name}},
			Logger: slog.New(slog.DiscardHandler),
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		fresh, states := issue(), map[string]HostState{}
		for host := range jobs {
			states[host] = HostWaiting
		}
		_, err := Rollout{MaxParallel: 10}.Run(b.Context(), states, func(ctx context.Context, host string) (Result, error) {
			job := jobs[host]
			machine, err := transport.NewSSH(transport.SSHOptions{Hop: hopTo(servers[host])})
			if err != nil {
				return Result{}, err
			}
			job.Machine, job.Material = machine, fresh
			result, err := Deploy(ctx, job)
			return result, errors.Join(err, machine.Close())
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// Configurations are read over the connection there is.
func TestFind_overSSH(t *testing.T) {
	s := transporttest.StartSSHD(t)
	f := newFixture(t)
	f.WriteConfig(t, "server_name "+name+";")
	f.machine.Transport = overSSH(t, transport.SSHOptions{Hop: hopTo(s)})
	nginx, err := NewNginx(NginxOptions{ConfigPath: f.Config, Prefix: f.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	f.job.Target = nginx
	result, err := Deploy(t.Context(), f.job)
	if err != nil || result.Paths["fullchain_path"] != f.FullchainPath {
		t.Fatalf("deploy = %+v, %v", result, err)
	}
	f.wantServed(t, f.fresh)
	c := newConformance(t, members()["apache"], false)
	apache, err := NewApache(ApacheOptions{Binary: "apache2", ConfigPath: c.server.Config})
	if err != nil {
		t.Fatal(err)
	}
	if _, paths, err := Locate(t.Context(), f.machine, apache, name); err != nil || paths["private_key_path"] != c.server.Path("key.pem") {
		t.Errorf("apache: %s, %v", paths, err)
	}
	if got := s.Connections(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}
