//go:build unix

package transport_test

import (
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func hopTo(s *transporttest.SSHD) transport.Hop {
	return transport.Hop{
		Address: s.Address, User: s.User,
		Trust:       transport.HostTrust{KnownHosts: s.KnownHosts()},
		Credentials: transport.Credentials{PrivateKey: secret.New(string(s.Key))},
	}
}

func newSSH(t *testing.T, options transport.SSHOptions) *transport.SSH {
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

func TestSSH_sftp(t *testing.T) {
	s := transporttest.StartSSHD(t)
	transporttest.Run(t, newSSH(t, transport.SSHOptions{Hop: hopTo(s)}), t.TempDir())
	if got := s.Connections(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestSSH_shell(t *testing.T) {
	s := transporttest.StartSSHD(t, transporttest.NoSFTP)
	transporttest.Run(t, newSSH(t, transport.SSHOptions{Hop: hopTo(s)}), t.TempDir())
}
