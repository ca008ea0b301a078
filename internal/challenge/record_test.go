package challenge

import "testing"

func TestNewRecord(t *testing.T) {
	// The digests are SHA-256("abc") (RFC 8555 §8.4, RFC 8737 §3).
	const base64, hex = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for sentence, test := range map[string]struct {
		kind, domain string
		want         Record
	}{
		"a TXT record":              {DNS01, "example.test", Record{Name: "_acme-challenge.example.test", Target: "_acme-challenge.example.test", Value: base64}},
		"a file":                    {HTTP01, "example.test", Record{Name: "http://example.test/.well-known/acme-challenge/to_k-n", Target: "/.well-known/acme-challenge/to_k-n", Value: "abc"}},
		"a file at an IPv4 address": {HTTP01, "192.0.2.1", Record{Name: "http://192.0.2.1/.well-known/acme-challenge/to_k-n", Target: "/.well-known/acme-challenge/to_k-n", Value: "abc"}},
		"a file at an IPv6 address": {HTTP01, "2001:db8::1", Record{Name: "http://[2001:db8::1]/.well-known/acme-challenge/to_k-n", Target: "/.well-known/acme-challenge/to_k-n", Value: "abc"}},
		"a handshake":               {TLSALPN01, "example.test", Record{Name: "example.test", Target: "example.test", Value: hex}},
		"one with an IPv4 address":  {TLSALPN01, "192.0.2.1", Record{Name: "1.2.0.192.in-addr.arpa", Target: "1.2.0.192.in-addr.arpa", Value: hex}},
		"one with an IPv6 address":  {TLSALPN01, "2001:db8::1", Record{Name: ip6arpa, Target: ip6arpa, Value: hex}},
	} {
		t.Run(sentence, func(t *testing.T) {
			test.want.Type, test.want.Domain = test.kind, test.domain
			got, err := NewRecord(test.kind, test.domain, "to_k-n", "abc")
			if got != test.want || err != nil {
				t.Errorf("%+v, %v, want %+v", got, err, test.want)
			}
		})
	}
}

// The example of RFC 3596 §2.5 with this address (RFC 8738 §6).
const ip6arpa = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"

// The token becomes a part of a path, and the CA chooses it.
func TestNewRecord_refusesATokenThatIsAPath(t *testing.T) {
	for _, token := range []string{"", ".", "..", "../../etc/passwd", "a/b", `a\b`, "a.b", "a b", "a%2fb", "tök"} {
		if got, err := NewRecord(HTTP01, "example.test", token, "abc"); err == nil {
			t.Errorf("the token %q makes %+v, want an error", token, got)
		}
	}
	if got, err := NewRecord("dns-02", "example.test", "token", "abc"); err == nil {
		t.Errorf("an unknown type makes %+v, want an error", got)
	}
}

func TestSuits(t *testing.T) {
	for _, test := range []struct {
		kind, name string
		ok         bool
	}{
		{DNS01, "example.test", true},
		{DNS01, "*.example.test", true},
		{DNS01, "192.0.2.1", false},
		{DNS01, "2001:db8::1", false},
		{HTTP01, "example.test", true},
		{HTTP01, "*.example.test", false},
		{HTTP01, "192.0.2.1", true},
		{HTTP01, "2001:db8::1", true},
		{TLSALPN01, "example.test", true},
		{TLSALPN01, "*.example.test", false},
		{TLSALPN01, "192.0.2.1", true},
	} {
		if err := Suits(test.kind, test.name); (err == nil) != test.ok {
			t.Errorf("%s for %s: %v, want it to suit: %t", test.kind, test.name, err, test.ok)
		}
	}
}
