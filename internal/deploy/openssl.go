package deploy

import (
	"context"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// A private key that was made on a machine stays there: what has to be known of
// it is asked of the openssl of that machine, and only public parts, sums and
// signing requests come back. Each command is a program with arguments.

// ErrNoOpenSSL says that a machine has no openssl to ask.
var ErrNoOpenSSL = errors.New("the host has no openssl program that can be run")

// openssl runs a command of openssl and returns what it printed.
func openssl(ctx context.Context, machine transport.Transport, arguments ...string) (string, error) {
	argv := append([]string{"openssl"}, arguments...)
	out, err := machine.Run(ctx, argv, nil)
	absent := out.ExitCode == 127 || out.ExitCode == 1 && strings.Contains(out.Text, "sudo: openssl: command not found")
	switch {
	case errors.Is(err, exec.ErrNotFound), err == nil && absent:
		return "", fmt.Errorf("%w: install it there", ErrNoOpenSSL)
	case err != nil:
		return "", err
	}
	out.Text = withoutKeys(out.Text)
	if refused := sudoRefused(out); refused != nil {
		return "", refused
	}
	if err := transport.ExitError(argv, out); err != nil {
		return "", &opensslError{err}
	}
	return out.Text, nil
}

// opensslError is openssl saying no, in its own words.
type opensslError struct{ words error }

func (o *opensslError) Error() string { return o.words.Error() }

// sudoRefused recognizes that sudo, not the command, said no.
func sudoRefused(out transport.Output) error {
	for _, words := range []string{"sudo: ", " is not allowed to execute ", " is not in the sudoers file", " may not run sudo "} {
		if at := strings.Index(out.Text, words); out.ExitCode == 1 && at >= 0 {
			return fmt.Errorf("%w: %s", transport.ErrSudo, strings.TrimSpace(out.Text))
		}
	}
	return nil
}

// errNotOneKey says that a file holds no private key that openssl reads.
var errNotOneKey = errors.New("it holds no private key that can be used without a passphrase")

// publicKey is the public part of the key in a file of the machine.
func publicKey(ctx context.Context, machine transport.Transport, path string) (crypto.PublicKey, error) {
	// An empty passphrase, so that it never asks a terminal for one.
	text, err := openssl(ctx, machine, "pkey", "-in", path, "-pubout", "-passin", "pass:")
	var said *opensslError
	if errors.As(err, &said) {
		return nil, fmt.Errorf("%w: %w", errNotOneKey, err)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errNotOneKey
	}
	public, err := pki.ParsePublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotOneKey, err)
	}
	return public, nil
}

// fileSum is the SHA-256 of a whole file of the machine, in lower-case hex.
func fileSum(ctx context.Context, machine transport.Transport, path string) (string, error) {
	text, err := openssl(ctx, machine, "dgst", "-sha256", "-r", path)
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(text) {
		if len(word) == 64 && strings.Trim(word, "0123456789abcdef") == "" {
			return word, nil
		}
	}
	return "", fmt.Errorf("the sum of %s cannot be read from %q", path, text)
}

// stageCopy is Stage with the content of another file of the machine, which
// does not leave it. On an error nothing is left.
func stageCopy(ctx context.Context, machine transport.Transport, from, path string, attributes transport.Attributes) (transport.Staged, error) {
	staged, err := machine.Stage(ctx, path, nil, attributes)
	if err != nil {
		return staged, err
	}
	// Written into what Stage made, the copy has its owner, mode and label from
	// the first byte on.
	for _, argv := range [][]string{{"cp", "--", from, staged.Temporary}, {"sync", staged.Temporary}} {
		if _, err = command(ctx, machine, argv); err != nil {
			break
		}
	}
	var want, got string
	if err == nil {
		want, err = fileSum(ctx, machine, from)
	}
	if err == nil {
		got, err = fileSum(ctx, machine, staged.Temporary)
	}
	if err == nil && got != want {
		err = errors.New("the copy is not what was copied")
	}
	if err != nil {
		return transport.Staged{}, errors.Join(fmt.Errorf("copy %s to %s: %w", from, path, err), giveUp(ctx, machine, staged))
	}
	return staged, nil
}

// copyFile replaces or creates a file by a copy of another one of the machine.
func copyFile(ctx context.Context, machine transport.Transport, from, path string, attributes transport.Attributes) error {
	staged, err := stageCopy(ctx, machine, from, path, attributes)
	if err != nil {
		return err
	}
	if err := machine.Rename(ctx, staged); err != nil {
		return errors.Join(err, giveUp(ctx, machine, staged))
	}
	return nil
}

// giveUp removes a staged file that will not be renamed.
func giveUp(ctx context.Context, machine transport.Transport, staged transport.Staged) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := machine.Remove(ctx, staged.Temporary); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
