package dnsserver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// A name inside this package is canonical: absolute, lower case, in the
// escaped presentation form that unpacking a wire name gives, so that equal
// names are equal strings (RFC 4343 §3).

// errNotASCII is what a name in another script gets.
var errNotASCII = errors.New("is not ASCII; write its xn-- form")

// canonicalName returns the canonical form of a name that a person wrote. The
// trailing dot is optional. An error reads on from the quoted name.
func canonicalName(s string) (string, error) {
	name, err := absoluteName(s)
	return lower(name), err
}

// absoluteName is canonicalName with the letters as the person wrote them.
func absoluteName(s string) (string, error) {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return "", fmt.Errorf("%q %w", s, errNotASCII)
		}
		if s[i] <= ' ' || s[i] == 0x7f {
			return "", fmt.Errorf("%q holds a space or control character", s)
		}
	}
	if s == "" {
		return "", errors.New("the name is empty")
	}
	wire := make([]byte, 255) // RFC 1035 §2.3.4
	if _, err := dns.PackDomainName(dns.Fqdn(s), wire, 0, nil, false); err != nil {
		return "", fmt.Errorf("%q is not a domain name: labels are 1 to 63 bytes, names at most 255", s)
	}
	name, _, err := dns.UnpackDomainName(wire, 0)
	if err != nil {
		return "", fmt.Errorf("%q is not a domain name: %w", s, err)
	}
	return name, nil
}

// lower folds the ASCII letters of a presentation name; other bytes are
// escaped there as digits, so nothing else can change (RFC 4343 §3).
func lower(name string) string { return strings.ToLower(name) }

// parent returns the name without its first label, and false for the root.
func parent(name string) (string, bool) {
	if name == "." {
		return "", false
	}
	next, end := dns.NextLabel(name, 0)
	if end {
		return ".", true
	}
	return name[next:], true
}

// within reports whether name is zone or lies below it. It compares whole
// labels: notexample.com. is not within example.com.
func within(name, zone string) bool {
	for {
		if name == zone {
			return true
		}
		up, ok := parent(name)
		if !ok {
			return false
		}
		name = up
	}
}

// display is a canonical name as people write it, without the final dot.
func display(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
