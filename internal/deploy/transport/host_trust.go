package transport

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostTrust says by what a machine is recognized. One of the two is needed:
// without them any machine could take the other's place.
type HostTrust struct {
	// KnownHosts is the content of a known_hosts file, host CAs
	// (@cert-authority) and revoked keys included.
	KnownHosts string
	// HostKey is a public key ("ssh-ed25519 AAAA…") or the fingerprint of one
	// ("SHA256:…").
	HostKey string
}

// trust is a HostTrust that was read.
type trust struct {
	known       knownHosts
	key         ssh.PublicKey
	fingerprint string
}

func (t HostTrust) parse() (trust, error) {
	switch {
	case t.KnownHosts == "" && t.HostKey == "":
		return trust{}, errors.New("neither known_hosts nor host_key is set: without one of them any machine could take the host's place")
	case t.KnownHosts != "" && t.HostKey != "":
		return trust{}, errors.New("both known_hosts and host_key are set: keep one of them")
	case strings.HasPrefix(t.HostKey, "SHA256:"):
		return trust{fingerprint: strings.TrimRight(strings.TrimSpace(t.HostKey), "=")}, nil
	case t.HostKey != "":
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(t.HostKey))
		if err != nil {
			return trust{}, fmt.Errorf("host_key is neither a public key nor a fingerprint that begins with SHA256: %w", err)
		}
		return trust{key: key}, nil
	}
	known, err := parseKnownHosts(t.KnownHosts)
	return trust{known: known}, err
}

// algorithms are lists to offer one after the other, until the host shows a key
// that is trusted. A fingerprint does not tell of which kind its key is.
func (t trust) algorithms(address string) [][]string {
	switch {
	case t.key != nil:
		return [][]string{keyAlgorithms(t.key.Type())}
	case t.fingerprint != "":
		return [][]string{
			{ssh.KeyAlgoED25519},
			{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
			keyAlgorithms(ssh.KeyAlgoRSA),
		}
	}
	if known := t.known.of(address).algorithms(); known != nil {
		return [][]string{known}
	}
	return nil
}

// check is the callback for the key a host shows.
func (t trust) check(address string) ssh.HostKeyCallback {
	plain := func(_ string, _ net.Addr, key ssh.PublicKey) error { return t.checkKey(address, key) }
	checker := ssh.CertChecker{
		IsHostAuthority: func(authority ssh.PublicKey, _ string) bool {
			return t.known.of(address).holds("cert-authority", authority)
		},
		IsRevoked: func(c *ssh.Certificate) bool {
			return t.known.revoked(c.Key) || t.known.revoked(c.SignatureKey)
		},
		HostKeyFallback: plain,
	}
	return func(dialed string, remote net.Addr, key ssh.PublicKey) error {
		certificate, ok := key.(*ssh.Certificate)
		if !ok {
			return plain(dialed, remote, key)
		}
		// A key that is known is trusted, whoever certified it.
		if t.checkKey(address, certificate.Key) == nil {
			return nil
		}
		if err := checker.CheckHostKey(address, remote, key); err != nil {
			return fmt.Errorf("%w: %s shows a certificate for the key %s, signed by %s: %w. Check the @cert-authority line of known_hosts against the CA's public key, "+
				"and the certificate on the host with \"ssh-keygen -Lf\"", ErrHostKey, address, fingerprint(certificate.Key), fingerprint(certificate.SignatureKey), err)
		}
		return nil
	}
}

func (t trust) checkKey(address string, key ssh.PublicKey) error {
	seen := fingerprint(key)
	switch {
	case t.key != nil && sameKey(t.key, key), t.fingerprint != "" && t.fingerprint == ssh.FingerprintSHA256(key):
		return nil
	case t.key != nil:
		return fmt.Errorf("%w: %s shows the key %s, host_key is %s. If the host got a new key, set host_key = %q", ErrHostKey, address, seen, fingerprint(t.key), authorized(key))
	case t.fingerprint != "":
		return fmt.Errorf("%w: %s shows the key %s, host_key is %s. If the host got a new key, set host_key = %q", ErrHostKey, address, seen, t.fingerprint, authorized(key))
	case t.known.revoked(key):
		return fmt.Errorf("%w: %s shows the key %s, which known_hosts marks as @revoked", ErrHostKey, address, seen)
	}
	lines := t.known.of(address)
	if lines.holds("", key) {
		return nil
	}
	var expected []string
	for _, line := range lines {
		if line.marker == "" {
			expected = append(expected, fmt.Sprintf("%s (line %d)", fingerprint(line.key), line.line))
		}
	}
	ask := fmt.Sprintf("compare it on the host with \"ssh-keygen -lf\" and its file below /etc/ssh; if it is right, the line for known_hosts is: %s", hostLine(address, key))
	switch {
	case len(expected) > 0:
		return fmt.Errorf("%w: the key of %s changed: it shows %s, known_hosts has %s. Somebody may be in between; otherwise %s", ErrHostKey, address, seen, strings.Join(expected, ", "), ask)
	case len(lines) > 0:
		return fmt.Errorf("%w: %s shows the key %s without a certificate, and known_hosts has only a CA for it; %s", ErrHostKey, address, seen, ask)
	}
	return fmt.Errorf("%w: known_hosts does not know %s; it shows the key %s: %s", ErrHostKey, address, seen, ask)
}

// fingerprint names a key as ssh-keygen -l does.
func fingerprint(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

func authorized(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// defaultAlgorithms make a host show any key it has, so that it can be named: the
// one that ssh-keyscan users have seen first.
func defaultAlgorithms() []string {
	return append([]string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521}, keyAlgorithms(ssh.KeyAlgoRSA)...)
}
