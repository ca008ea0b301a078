package transport

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // the format of hashed host names
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ErrHostKey says that a machine could not show that it is the one that was
// meant. Nothing but the beginning of a key exchange was sent to it.
var ErrHostKey = errors.New("the host key is not trusted")

// knownHosts is the content of a known_hosts file (sshd(8)).
type knownHosts []knownHost

type knownHost struct {
	line     int
	marker   string // "", "cert-authority" or "revoked"
	patterns []string
	key      ssh.PublicKey
}

// parseKnownHosts reads all lines. One that cannot be read is an error: it could
// be the one that matters.
func parseKnownHosts(text string) (knownHosts, error) {
	var hosts knownHosts
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		marker, patterns, key, _, _, err := ssh.ParseKnownHosts([]byte(line))
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("known_hosts, line %d: it has no host, key type and key", number)
		case err != nil:
			return nil, fmt.Errorf("known_hosts, line %d: %w", number, err)
		case marker != "" && marker != "cert-authority" && marker != "revoked":
			return nil, fmt.Errorf("known_hosts, line %d: unknown marker @%s", number, marker)
		}
		hosts = append(hosts, knownHost{number, marker, patterns, key})
	}
	if len(hosts) == 0 {
		return nil, errors.New("known_hosts has no line with a key")
	}
	return hosts, nil
}

// of returns the lines for an address, those with its port before those
// without, as ssh(1) looks.
func (k knownHosts) of(address string) knownHosts {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	host = strings.ToLower(host)
	names := []string{host}
	if port != "22" {
		names = []string{"[" + host + "]:" + port, host}
	}
	for _, name := range names {
		var found knownHosts
		for _, h := range k {
			if h.marker != "revoked" && matchHost(h.patterns, name) {
				found = append(found, h)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// revoked reports whether a key, wherever it is shown, is no longer to be
// trusted.
func (k knownHosts) revoked(key ssh.PublicKey) bool {
	return slices.ContainsFunc(k, func(h knownHost) bool {
		return h.marker == "revoked" && sameKey(h.key, key)
	})
}

func (k knownHosts) holds(marker string, key ssh.PublicKey) bool {
	return slices.ContainsFunc(k, func(h knownHost) bool { return h.marker == marker && sameKey(h.key, key) })
}

// algorithms are those by which a host can show one of the keys that are known
// for it; nil when none is. Without them a host that has an RSA key too may
// choose that one, and a known host would look like a stranger.
func (k knownHosts) algorithms() []string {
	var certificates, keys []string
	for _, h := range k {
		if h.marker == "cert-authority" { // the host's own key can be of any kind
			certificates = certificateAlgorithms()
			continue
		}
		for _, algorithm := range keyAlgorithms(h.key.Type()) {
			if !slices.Contains(keys, algorithm) {
				keys = append(keys, algorithm)
			}
		}
	}
	return append(certificates, keys...)
}

// keyAlgorithms are the signatures a host with a key of a type can make, but for
// those with SHA-1.
func keyAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func certificateAlgorithms() []string {
	return slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(name string) bool { return !strings.Contains(name, "-cert-v01@") })
}

// matchHost is the rule of sshd(8): a pattern that matches after an exclamation
// mark rules the line out.
func matchHost(patterns []string, name string) bool {
	matched := false
	for _, pattern := range patterns {
		if strings.HasPrefix(pattern, "|1|") {
			matched = matched || matchHashed(pattern, name)
			continue
		}
		pattern, negated := strings.CutPrefix(strings.ToLower(pattern), "!")
		if !wildcard(pattern, name) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// wildcard matches with * for anything and ? for one character. After a star it
// goes back no further than to the last one, so that no pattern takes long.
func wildcard(pattern, name string) bool {
	p, n, star, after := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, after = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0:
			after++
			p, n = star+1, after
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func matchHashed(pattern, name string) bool {
	parts := strings.Split(pattern, "|")
	if len(parts) != 4 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	_, _ = mac.Write([]byte(name)) // a hash never fails
	return hmac.Equal(mac.Sum(nil), sum)
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// hostLine is what to add to known_hosts for a key.
func hostLine(address string, key ssh.PublicKey) string {
	name := address
	if host, port, err := net.SplitHostPort(address); err == nil {
		if name = host; port != "22" {
			name = "[" + host + "]:" + port
		}
	}
	return name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
