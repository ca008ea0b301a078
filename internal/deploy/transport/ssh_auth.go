package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// ErrLogin says that a machine was reached and recognized, and did not let the
// user in.
var ErrLogin = errors.New("the login was refused")

// Credentials are what a user logs in with. What is set is offered in this
// order: certificate and key, agent, password.
type Credentials struct {
	PrivateKey  secret.Text // PEM or OpenSSH's own format
	Passphrase  secret.Text // of the private key
	Certificate string      // a user certificate for the private key, as in id_ed25519-cert.pub
	Agent       string      // path of an agent's socket
	Password    secret.Text // for the methods password and keyboard-interactive
}

func (c Credentials) empty() bool {
	return c.PrivateKey.IsEmpty() && c.Agent == "" && c.Password.IsEmpty()
}

// signers reads the private key and its certificate.
func (c Credentials) signers() ([]ssh.Signer, error) {
	if c.PrivateKey.IsEmpty() {
		if c.Certificate != "" {
			return nil, errors.New("a certificate is set without the private key it is for")
		}
		return nil, nil
	}
	signer, err := c.parseKey()
	if err != nil {
		return nil, err
	}
	if c.Certificate == "" {
		return []ssh.Signer{signer}, nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.Certificate))
	if err != nil {
		return nil, fmt.Errorf("read the user certificate: %w", err)
	}
	certificate, ok := public.(*ssh.Certificate)
	if !ok || certificate.CertType != ssh.UserCert {
		return nil, fmt.Errorf("the text set as certificate is no user certificate but a %s", public.Type())
	}
	certified, err := ssh.NewCertSigner(certificate, signer)
	if err != nil {
		return nil, errors.New("the user certificate is for another private key")
	}
	return []ssh.Signer{certified, signer}, nil
}

func (c Credentials) parseKey() (ssh.Signer, error) {
	text := []byte(c.PrivateKey.Reveal())
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return signer, nil
	case !errors.As(err, &locked):
		return nil, errors.New("the private key to log in with cannot be read: want PEM, or the format of ssh-keygen")
	case c.Passphrase.IsEmpty():
		return nil, errors.New("the private key to log in with is encrypted, and no passphrase is set")
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(c.Passphrase.Reveal()))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errors.New("the passphrase does not open the private key to log in with")
	}
	if err != nil {
		return nil, fmt.Errorf("open the private key to log in with: %w", err)
	}
	return signer, nil
}

// login offers credentials to one machine and remembers what was offered.
type login struct {
	credentials Credentials
	signers     []ssh.Signer
	agent       agent.Agent
	hangUp      func() // gives the agent's connection up
	offered     []string
}

// methods are the ways to log in. The agent is asked only when the server takes
// keys. close gives its connection up.
func (l *login) methods(ctx context.Context) []ssh.AuthMethod {
	var methods []ssh.AuthMethod
	if len(l.signers) > 0 || l.credentials.Agent != "" {
		methods = append(methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			signers := l.signers
			if l.credentials.Agent != "" {
				more, err := l.fromAgent(ctx)
				if err != nil && len(signers) == 0 {
					return nil, err
				}
				signers = append(signers[:len(signers):len(signers)], more...)
			}
			for _, signer := range signers {
				l.offered = append(l.offered, "key "+fingerprint(signer.PublicKey()))
			}
			return signers, nil
		}))
	}
	if !l.credentials.Password.IsEmpty() {
		methods = append(methods,
			ssh.PasswordCallback(func() (string, error) {
				l.offered = append(l.offered, "password")
				return l.credentials.Password.Reveal(), nil
			}),
			ssh.KeyboardInteractive(l.answer),
		)
	}
	return methods
}

func (l *login) fromAgent(ctx context.Context) ([]ssh.Signer, error) {
	if l.agent == nil {
		connection, err := new(net.Dialer).DialContext(ctx, "unix", l.credentials.Agent)
		if err != nil {
			return nil, fmt.Errorf("ask the agent at %s for keys: %w", l.credentials.Agent, err)
		}
		l.agent = agent.NewClient(connection)
		// One that does not answer, here or when it is to sign, must not hold.
		stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
		l.hangUp = func() {
			stop()
			_ = connection.Close() // nothing was written that could be lost
		}
	}
	signers, err := l.agent.Signers()
	if err != nil {
		return nil, fmt.Errorf("ask the agent at %s for keys: %w", l.credentials.Agent, err)
	}
	if len(signers) == 0 {
		return nil, fmt.Errorf("the agent at %s holds no key", l.credentials.Agent)
	}
	return signers, nil
}

// answer gives the password to the one question that is not to be shown. A
// server that asks for more wants a person.
func (l *login) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	hidden := 0
	for i := range questions {
		if !echos[i] {
			hidden++
			answers[i] = l.credentials.Password.Reveal()
		}
	}
	if hidden != len(questions) || hidden > 1 {
		return nil, fmt.Errorf("the server asks %q, which only a person can answer", questions)
	}
	if hidden == 1 {
		l.offered = append(l.offered, "password (keyboard-interactive)")
	}
	return answers, nil
}

func (l *login) close() {
	if l.hangUp != nil {
		l.hangUp()
	}
}

// explain says what was tried; the server's own words follow.
func (l *login) explain(user, address string, err error) error {
	offered := "nothing that the server takes was set"
	if len(l.offered) > 0 {
		offered = "offered were " + strings.Join(l.offered, ", ")
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s closed the connection while %s logged in; %s", ErrLogin, address, user, offered)
	}
	return fmt.Errorf("%w: user %s on %s; %s: %w", ErrLogin, user, address, offered, err)
}
