//go:build unix

package transport_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport/transporttest"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// publicOf returns the public key of a private one.
func publicOf(t *testing.T, private any) ssh.PublicKey {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

func TestSSH_hostIsRecognized(t *testing.T) {
	s := transporttest.StartSSHD(t)
	rsaKey := s.AddHostKey(t, "host_rsa", transporttest.RSAKey(t))
	authority, stranger := transporttest.Ed25519Key(t), transporttest.Ed25519Key(t)
	lines := []string{"HostKey " + filepath.Join(s.Directory, "host_rsa")}
	s.Configure(t, lines...)
	other := publicOf(t, stranger)
	hashed := knownhosts.HashHostname(knownhosts.Normalize(s.Address)) + " " + string(ssh.MarshalAuthorizedKey(s.HostKey))
	certificate := transporttest.SignHost(t, authority, s.HostKey, "127.0.0.1")
	elsewhere := transporttest.SignHost(t, authority, s.HostKey, "10.9.9.9")
	ca := func(key ssh.PublicKey) string {
		return "@cert-authority 127.* " + string(ssh.MarshalAuthorizedKey(key))
	}
	seen := ssh.FingerprintSHA256(s.HostKey)

	for sentence, test := range map[string]struct {
		trust       transport.HostTrust
		certificate string   // of the host
		want        []string // in the error; none for success
	}{
		"its key is known":                     {trust: transport.HostTrust{KnownHosts: s.KnownHosts()}},
		"its key is known by a hashed name":    {trust: transport.HostTrust{KnownHosts: hashed}},
		"its other key is the one known":       {trust: transport.HostTrust{KnownHosts: transporttest.KnownHosts(s.Address, rsaKey)}},
		"it is not known":                      {trust: transport.HostTrust{KnownHosts: transporttest.KnownHosts("10.0.0.1:22", s.HostKey)}, want: []string{"does not know " + s.Address, "SHA256:", "the line for known_hosts is: [127.0.0.1]:"}},
		"its key changed":                      {trust: transport.HostTrust{KnownHosts: transporttest.KnownHosts(s.Address, other)}, want: []string{"the key of " + s.Address + " changed", seen, ssh.FingerprintSHA256(other), "(line 1)", s.KnownHosts()[:len(s.KnownHosts())-1]}},
		"its key changed to one of other kind": {trust: transport.HostTrust{KnownHosts: transporttest.KnownHosts(s.Address, ecdsaKey(t))}, want: []string{"changed", seen}},
		"its key is revoked":                   {trust: transport.HostTrust{KnownHosts: s.KnownHosts() + "@revoked * " + string(ssh.MarshalAuthorizedKey(s.HostKey))}, want: []string{"@revoked", seen}},
		"its CA is known":                      {trust: transport.HostTrust{KnownHosts: ca(publicOf(t, authority))}, certificate: certificate},
		"its key is known, certificate or not": {trust: transport.HostTrust{KnownHosts: ca(other) + s.KnownHosts()}, certificate: certificate},
		"another CA is known":                  {trust: transport.HostTrust{KnownHosts: ca(other)}, certificate: certificate, want: []string{"a certificate for the key", ssh.FingerprintSHA256(publicOf(t, authority))}},
		"its CA is known, not for its name":    {trust: transport.HostTrust{KnownHosts: ca(publicOf(t, authority))}, certificate: elsewhere, want: []string{"a certificate for the key", "10.9.9.9"}},
		"its CA is revoked":                    {trust: transport.HostTrust{KnownHosts: ca(publicOf(t, authority)) + "@revoked * " + string(ssh.MarshalAuthorizedKey(publicOf(t, authority)))}, certificate: certificate, want: []string{"a certificate for the key"}},
		"its CA is known, and no certificate":  {trust: transport.HostTrust{KnownHosts: ca(publicOf(t, authority))}, want: []string{"without a certificate"}},
		"its key is pinned":                    {trust: transport.HostTrust{HostKey: string(ssh.MarshalAuthorizedKey(s.HostKey))}},
		"its other key is pinned":              {trust: transport.HostTrust{HostKey: string(ssh.MarshalAuthorizedKey(rsaKey))}},
		"its fingerprint is pinned":            {trust: transport.HostTrust{HostKey: seen}},
		"its other fingerprint is pinned":      {trust: transport.HostTrust{HostKey: ssh.FingerprintSHA256(rsaKey)}},
		"another key is pinned":                {trust: transport.HostTrust{HostKey: string(ssh.MarshalAuthorizedKey(other))}, want: []string{s.Address, seen, ssh.FingerprintSHA256(other), "set host_key = "}},
		"another fingerprint is pinned":        {trust: transport.HostTrust{HostKey: ssh.FingerprintSHA256(other)}, want: []string{s.Address, seen, ssh.FingerprintSHA256(other), "set host_key = "}},
	} {
		t.Run(sentence, func(t *testing.T) {
			s.Configure(t, lines...)
			if test.certificate != "" {
				s.Configure(t, append(lines, "HostCertificate "+s.Write(t, "host_ed25519-cert.pub", []byte(test.certificate)))...)
			}
			hop := hopTo(s)
			hop.Trust = test.trust
			before := strings.Count(s.Log(), "Accepted publickey")
			err := newSSH(t, transport.SSHOptions{Hop: hop}).Check(t.Context(), filepath.Join(t.TempDir(), "file"))
			if len(test.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, transport.ErrHostKey) {
				t.Fatalf("check = %v, want ErrHostKey", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want it to name %s", err, want)
				}
			}
			if strings.Count(s.Log(), "Accepted publickey") != before {
				t.Error("logged in to a host that was not recognized")
			}
		})
	}
}

func ecdsaKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte("ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSSH_lineOfTheErrorIsTheOneToAdd(t *testing.T) {
	s := transporttest.StartSSHD(t)
	hop := hopTo(s)
	hop.Trust.KnownHosts = transporttest.KnownHosts("elsewhere:22", s.HostKey)
	file := filepath.Join(t.TempDir(), "file")
	err := newSSH(t, transport.SSHOptions{Hop: hop}).Check(t.Context(), file)
	if err == nil {
		t.Fatal("connected to a stranger")
	}
	_, line, ok := strings.Cut(err.Error(), "known_hosts is: ")
	if !ok {
		t.Fatalf("error = %v", err)
	}
	hop.Trust.KnownHosts += line
	if err := newSSH(t, transport.SSHOptions{Hop: hop}).Check(t.Context(), file); err != nil {
		t.Error(err)
	}
}

func TestNewSSH_refusesWhatCannotBe(t *testing.T) {
	key, public := transporttest.LoginKey(t, "")
	locked, _ := transporttest.LoginKey(t, "open sesame")
	_, otherPublic := transporttest.LoginKey(t, "")
	authority := transporttest.Ed25519Key(t)
	known := transporttest.KnownHosts("web:22", public)
	for sentence, test := range map[string]struct {
		change func(*transport.SSHOptions)
		want   string // empty: it can be
	}{
		"nothing is wrong":            {func(*transport.SSHOptions) {}, ""},
		"no trust":                    {func(o *transport.SSHOptions) { o.Trust = transport.HostTrust{} }, "neither known_hosts nor host_key"},
		"two kinds of trust":          {func(o *transport.SSHOptions) { o.Trust.HostKey = "SHA256:x" }, "both known_hosts and host_key"},
		"a pin that is none":          {func(o *transport.SSHOptions) { o.Trust = transport.HostTrust{HostKey: "MD5:00"} }, "host_key is neither"},
		"a bad line in known_hosts":   {func(o *transport.SSHOptions) { o.Trust.KnownHosts += "web\n" }, "line 2"},
		"no address":                  {func(o *transport.SSHOptions) { o.Address = "" }, "address is empty"},
		"no user":                     {func(o *transport.SSHOptions) { o.User = "" }, "user to log in as is empty"},
		"nothing to log in with":      {func(o *transport.SSHOptions) { o.Credentials = transport.Credentials{} }, "nothing to log in with"},
		"a key that is none":          {func(o *transport.SSHOptions) { o.Credentials.PrivateKey = secret.New("hunter2") }, "cannot be read"},
		"a locked key, no passphrase": {func(o *transport.SSHOptions) { o.Credentials.PrivateKey = secret.New(string(locked)) }, "no passphrase is set"},
		"a locked key, wrong one": {func(o *transport.SSHOptions) {
			o.Credentials = transport.Credentials{PrivateKey: secret.New(string(locked)), Passphrase: secret.New("hunter2")}
		}, "passphrase does not open"},
		"a certificate for another": {func(o *transport.SSHOptions) {
			o.Credentials.Certificate = transporttest.SignUser(t, authority, otherPublic, "root")
		}, "for another private key"},
		"a certificate without a key": {func(o *transport.SSHOptions) {
			o.Credentials = transport.Credentials{Agent: "/x", Certificate: transporttest.SignUser(t, authority, public, "root")}
		}, "without the private key"},
		"a host's certificate": {func(o *transport.SSHOptions) {
			o.Credentials.Certificate = transporttest.SignHost(t, authority, public, "root")
		}, "no user certificate"},
		"a bastion without trust": {func(o *transport.SSHOptions) {
			o.Bastions = []transport.Hop{{Address: "b", User: "u", Credentials: o.Credentials}}
		}, "bastion 1: neither known_hosts"},
		"a sudo password of two lines": {func(o *transport.SSHOptions) {
			o.Become = &transport.Become{Password: secret.New("hunter2\nx")}
		}, "line break"},
	} {
		t.Run(sentence, func(t *testing.T) {
			options := transport.SSHOptions{Hop: transport.Hop{
				Address: "web", User: "deploy", Trust: transport.HostTrust{KnownHosts: known},
				Credentials: transport.Credentials{PrivateKey: secret.New(string(key))},
			}}
			test.change(&options)
			_, err := transport.NewSSH(options)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error = %v, want one with %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("a secret shows in %v", err)
			}
		})
	}
}
