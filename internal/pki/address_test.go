package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"testing"
)

func TestNormalizeIdentifier(t *testing.T) {
	for sentence, test := range map[string]struct{ name, want, problem string }{
		"a name is normalized as such":        {"*.Example.com.", "*.example.com", ""},
		"an IPv4 address stays":               {"192.0.2.1", "192.0.2.1", ""},
		"a dot after it goes":                 {"192.0.2.1.", "192.0.2.1", ""},
		"an IPv6 address is shortened":        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", ""},
		"brackets go":                         {"[2001:db8::1]", "2001:db8::1", ""},
		"an IPv4 address in IPv6 is unpacked": {"::ffff:192.0.2.1", "192.0.2.1", ""},
		"a loopback address is for labs":      {"127.0.0.1", "127.0.0.1", ""},

		"a zone":                     {"fe80::1%eth0", "", "has a zone"},
		"no address in particular":   {"0.0.0.0", "", "address of no host"},
		"none of IPv6":               {"::", "", "address of no host"},
		"a group":                    {"224.0.0.1", "", "address of no host"},
		"everybody":                  {"255.255.255.255", "", "address of no host"},
		"leading zeros":              {"192.000.002.001", "", "last label is a number"},
		"half an address":            {"192.0.2", "", "last label is a number"},
		"an address with a port":     {"192.0.2.1:443", "", "without scheme, port or path"},
		"an IPv6 one with a port":    {"[2001:db8::1]:443", "", "no domain name"},
		"a network":                  {"192.0.2.0/24", "", "without scheme, port or path"},
		"a wildcard with an address": {"*.192.0.2.1", "", "IP address"},
		"brackets around IPv4":       {"[192.0.2.1]", "", "no valid domain name"},
		"a bad name":                 {"a b", "", "space"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := NormalizeIdentifier(test.name)
			if got != test.want || (err == nil) != (test.problem == "") {
				t.Errorf("%q becomes %q, %v, want %q", test.name, got, err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%q: error %q, want %q in it", test.name, err, test.problem)
			}
			if err == nil {
				if again, err := NormalizeIdentifier(got); again != got || err != nil {
					t.Errorf("%q becomes %q, %v when normalized again", got, again, err)
				}
			}
		})
	}
}

func TestNormalizeNames_takesAddresses(t *testing.T) {
	got, err := NormalizeNames([]string{"Example.com", "2001:DB8::1", "[2001:db8:0::1]", "192.0.2.1"})
	if want := []string{"example.com", "2001:db8::1", "192.0.2.1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestNewRequest_addresses(t *testing.T) {
	key, err := GenerateKey(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"www.example.com", "192.0.2.1", "2001:db8::1"}
	der, err := NewRequest(key, names, Subject{}, false)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	if len(request.DNSNames) != 1 || len(request.IPAddresses) != 2 {
		t.Errorf("names %q, addresses %v, want one and two", request.DNSNames, request.IPAddresses)
	}
	if got := RequestNames(request); !slices.Equal(got, names) {
		t.Errorf("the request is for %q, want %q", got, names)
	}
}

func TestNames_addresses(t *testing.T) {
	addresses := []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")}
	for sentence, test := range map[string]struct {
		certificate x509.Certificate
		want        []string
	}{
		"names and addresses": {x509.Certificate{DNSNames: []string{"a.example"}, IPAddresses: addresses}, []string{"a.example", "192.0.2.1", "2001:db8::1"}},
		"addresses alone":     {x509.Certificate{IPAddresses: addresses[:1], Subject: pkix.Name{CommonName: "a.example"}}, []string{"192.0.2.1"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := Names(&test.certificate); !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
