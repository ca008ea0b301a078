//go:build unix

package transport_test

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// startAgent runs an ssh-agent with keys and returns its socket.
func startAgent(t *testing.T, keys ...agent.AddedKey) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	command := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := command.Start(); err != nil {
		t.Skip("needs the apt package openssh-client")
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // it has no other way to end
		_ = command.Wait()
	})
	var connection net.Conn
	for deadline := time.After(10 * time.Second); connection == nil; {
		connection, _ = net.Dial("unix", socket)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the agent does not answer")
		}
	}
	defer func() { _ = connection.Close() }()
	client := agent.NewClient(connection)
	for _, key := range keys {
		if err := client.Add(key); err != nil {
			t.Fatal(err)
		}
	}
	return socket
}

func TestSSH_login(t *testing.T) {
	s := transporttest.StartSSHD(t)
	authority, certified := transporttest.Ed25519Key(t), transporttest.Ed25519Key(t)
	certifiedPEM, certifiedPublic := transporttest.LoginKey(t, "")
	ca := s.Write(t, "user_ca.pub", ssh.MarshalAuthorizedKey(publicOf(t, authority)))
	s.Configure(t, "TrustedUserCAKeys "+ca)
	locked, lockedPublic := transporttest.LoginKey(t, "open sesame")
	stranger, strangerPublic := transporttest.LoginKey(t, "")
	agentKey := transporttest.Ed25519Key(t)
	ownKey, ownPublic := transporttest.LoginKey(t, "")
	s.Authorize(t, lockedPublic, publicOf(t, agentKey), ownPublic)
	certificate := func(key ssh.PublicKey) *ssh.Certificate {
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(transporttest.SignUser(t, authority, key, s.User)))
		if err != nil {
			t.Fatal(err)
		}
		return public.(*ssh.Certificate)
	}
	withKey := startAgent(t, agent.AddedKey{PrivateKey: agentKey})
	withOthers := startAgent(t, agent.AddedKey{PrivateKey: transporttest.Ed25519Key(t)}, agent.AddedKey{PrivateKey: agentKey})
	withCertificate := startAgent(t, agent.AddedKey{PrivateKey: certified, Certificate: certificate(publicOf(t, certified))})
	pem := func(text []byte) secret.Text { return secret.New(string(text)) }

	for sentence, test := range map[string]struct {
		credentials transport.Credentials
		want        []string // in the error; none for success
	}{
		"a private key":                    {credentials: transport.Credentials{PrivateKey: pem(ownKey)}},
		"a key with a passphrase":          {credentials: transport.Credentials{PrivateKey: pem(locked), Passphrase: secret.New("open sesame")}},
		"a certificate":                    {credentials: transport.Credentials{PrivateKey: pem(certifiedPEM), Certificate: transporttest.SignUser(t, authority, certifiedPublic, s.User)}},
		"a certificate for another user":   {credentials: transport.Credentials{PrivateKey: pem(certifiedPEM), Certificate: transporttest.SignUser(t, authority, certifiedPublic, "somebody")}, want: []string{ssh.FingerprintSHA256(certifiedPublic)}},
		"a certificate of another CA":      {credentials: transport.Credentials{PrivateKey: pem(certifiedPEM), Certificate: transporttest.SignUser(t, transporttest.Ed25519Key(t), certifiedPublic, s.User)}, want: []string{ssh.FingerprintSHA256(certifiedPublic)}},
		"an agent":                         {credentials: transport.Credentials{Agent: withKey}},
		"an agent with several keys":       {credentials: transport.Credentials{Agent: withOthers}},
		"an agent with a certificate":      {credentials: transport.Credentials{Agent: withCertificate}},
		"a key that is refused, the agent": {credentials: transport.Credentials{PrivateKey: pem(stranger), Agent: withKey}},
		"a key, and no agent where it is":  {credentials: transport.Credentials{PrivateKey: pem(ownKey), Agent: "/nonexistent/agent"}},
		"no agent":                         {credentials: transport.Credentials{Agent: "/nonexistent/agent"}, want: []string{"/nonexistent/agent"}},
		"an empty agent":                   {credentials: transport.Credentials{Agent: startAgent(t)}, want: []string{"holds no key"}},
		"a key that is refused":            {credentials: transport.Credentials{PrivateKey: pem(stranger)}, want: []string{s.User, s.Address, ssh.FingerprintSHA256(strangerPublic)}},
		"a password where keys are wanted": {credentials: transport.Credentials{Password: secret.New("hunter2")}, want: []string{"nothing that the server takes"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			hop := hopTo(s)
			hop.Credentials = test.credentials
			err := newSSH(t, transport.SSHOptions{Hop: hop}).Check(t.Context(), filepath.Join(t.TempDir(), "file"))
			wantLogin(t, err, test.want)
		})
	}
}

func wantLogin(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, transport.ErrLogin) {
		t.Fatalf("check = %v, want ErrLogin", err)
	}
	for _, words := range want {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error = %v, want it to name %s", err, words)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password shows in %v", err)
	}
}

func TestSSH_loginByPassword(t *testing.T) {
	s := transporttest.StartSSHD(t)
	user := transporttest.AddUser(t)
	for sentence, test := range map[string]struct {
		lines    []string
		password string
		want     []string
	}{
		"password":                             {lines: []string{"PasswordAuthentication yes"}, password: user.Password},
		"a wrong password":                     {lines: []string{"PasswordAuthentication yes"}, password: "hunter2", want: []string{user.Name, "password"}},
		"keyboard-interactive":                 {lines: []string{"UsePAM yes", "KbdInteractiveAuthentication yes"}, password: user.Password},
		"keyboard-interactive, wrong password": {lines: []string{"UsePAM yes", "KbdInteractiveAuthentication yes"}, password: "hunter2", want: []string{user.Name, "keyboard-interactive"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			s.Configure(t, test.lines...)
			hop := hopTo(s)
			hop.User, hop.Credentials = user.Name, transport.Credentials{Password: secret.New(test.password)}
			_, err := newSSH(t, transport.SSHOptions{Hop: hop}).Run(t.Context(), []string{"true"}, nil)
			wantLogin(t, err, test.want)
			if strings.Contains(s.Log(), user.Password) {
				t.Error("the password is in sshd's log")
			}
		})
	}
}

func TestSSH_bastions(t *testing.T) {
	machine, inner, outer := transporttest.StartSSHD(t), transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	closed := transporttest.StartSSHD(t, "AllowTcpForwarding no")
	file := filepath.Join(t.TempDir(), "file")
	stranger := hopTo(inner)
	stranger.Trust.KnownHosts = transporttest.KnownHosts(inner.Address, outer.HostKey)
	refused := hopTo(inner)
	refused.Credentials = hopTo(outer).Credentials
	for sentence, test := range map[string]struct {
		bastions []transport.Hop
		is       error
		want     string
	}{
		"one":                           {bastions: []transport.Hop{hopTo(outer)}},
		"two":                           {bastions: []transport.Hop{hopTo(outer), hopTo(inner)}},
		"one that does not pass on":     {bastions: []transport.Hop{hopTo(closed)}, is: transport.ErrUnreachable, want: machine.Address},
		"the second is not the one":     {bastions: []transport.Hop{hopTo(outer), stranger}, is: transport.ErrHostKey, want: "bastion 2 of 2"},
		"the second lets nobody in":     {bastions: []transport.Hop{hopTo(outer), refused}, is: transport.ErrLogin, want: "bastion 2 of 2"},
		"the first cannot be reached":   {bastions: []transport.Hop{{Address: "127.0.0.1:1", User: "u", Trust: hopTo(outer).Trust, Credentials: hopTo(outer).Credentials}}, is: transport.ErrUnreachable, want: "bastion 1 of 1"},
		"the same machine twice on way": {bastions: []transport.Hop{hopTo(outer), hopTo(outer)}},
	} {
		t.Run(sentence, func(t *testing.T) {
			before := machine.Connections()
			over := newSSH(t, transport.SSHOptions{Hop: hopTo(machine), Bastions: test.bastions})
			err := over.Check(t.Context(), file)
			if test.is == nil {
				if err != nil || machine.Connections() != before+1 {
					t.Errorf("check = %v over %d connections, want one", err, machine.Connections()-before)
				}
				return
			}
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("check = %v, want %v and %s", err, test.is, test.want)
			}
		})
	}
}

func TestSSH_conformanceThroughABastion(t *testing.T) {
	machine, bastion := transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	over := newSSH(t, transport.SSHOptions{Hop: hopTo(machine), Bastions: []transport.Hop{hopTo(bastion)}})
	transporttest.Run(t, over, t.TempDir())
	if machine.Connections() != 1 || bastion.Connections() != 1 {
		t.Errorf("%d connections to the machine and %d to the bastion, want one each", machine.Connections(), bastion.Connections())
	}
}

func TestPlace_tellsMachinesApart(t *testing.T) {
	s := transporttest.StartSSHD(t)
	hop := hopTo(s)
	hop.Address = "10.0.0.1"
	withPort, other := hop, hop
	withPort.Address, other.Address = "10.0.0.1:22", "10.0.0.2"
	direct := newSSH(t, transport.SSHOptions{Hop: hop}).Place()
	if got := newSSH(t, transport.SSHOptions{Hop: withPort}).Place(); got != direct {
		t.Errorf("with its port the place is %q, want %q", got, direct)
	}
	for sentence, machine := range map[string]transport.Placed{
		"another address":         newSSH(t, transport.SSHOptions{Hop: other}),
		"the same behind another": newSSH(t, transport.SSHOptions{Hop: hop, Bastions: []transport.Hop{other}}),
		"this machine":            transport.Local{},
	} {
		if machine.Place() == direct {
			t.Errorf("%s: the place is the same, %q", sentence, direct)
		}
	}
}
