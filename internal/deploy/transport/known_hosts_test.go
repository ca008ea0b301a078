package transport

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

func publicKey(t *testing.T, seed byte) ssh.PublicKey {
	t.Helper()
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), 32))).Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKnownHosts(t *testing.T) {
	key := authorized(publicKey(t, 'a'))
	for sentence, test := range map[string]struct {
		line, address string
		want          bool
	}{
		"the host by name":                       {"web.example.com " + key, "web.example.com:22", true},
		"case does not count":                    {"Web.example.COM " + key, "wEb.example.com:22", true},
		"another host":                           {"web.example.com " + key, "db.example.com:22", false},
		"one of several names":                   {"a,b,10.0.0.1 " + key, "10.0.0.1:22", true},
		"the host with its port":                 {"[web]:2222 " + key, "web:2222", true},
		"the host with another port":             {"[web]:2222 " + key, "web:2223", false},
		"a line without a port is for any":       {"web " + key, "web:2222", true},
		"a line with a port is not for 22":       {"[web]:2222 " + key, "web:22", false},
		"an IPv6 address":                        {"::1 " + key, "[::1]:22", true},
		"an IPv6 address with a port":            {"[::1]:2222 " + key, "[::1]:2222", true},
		"a star":                                 {"*.example.com " + key, "web.example.com:22", true},
		"a star is for ports too":                {"* " + key, "web:2222", true},
		"a question mark is one character":       {"web? " + key, "web1:22", true},
		"a question mark is not two":             {"web? " + key, "web12:22", false},
		"an exception":                           {"*.example.com,!db.example.com " + key, "db.example.com:22", false},
		"an exception for others":                {"*.example.com,!db.example.com " + key, "web.example.com:22", true},
		"an exception alone matches nothing":     {"!db.example.com " + key, "web.example.com:22", false},
		"a hashed name":                          {knownhosts.HashHostname("web") + " " + key, "web:22", true},
		"a hashed name with its port":            {knownhosts.HashHostname("[web]:2222") + " " + key, "web:2222", true},
		"another's hashed name":                  {knownhosts.HashHostname("web") + " " + key, "db:22", false},
		"a CA":                                   {"@cert-authority *.example.com " + key, "web.example.com:22", true},
		"a revoked key is no line of a host":     {"@revoked * " + key + "\nx " + key, "web:22", false},
		"comments and empty lines are passed by": {"# web\n\n   \nweb " + key + " comment of words\n", "web:22", true},
	} {
		t.Run(sentence, func(t *testing.T) {
			hosts, err := parseKnownHosts(test.line)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(hosts.of(test.address)) > 0; got != test.want {
				t.Errorf("known = %v, want %v", got, test.want)
			}
		})
	}
}

func TestKnownHosts_refused(t *testing.T) {
	key := authorized(publicKey(t, 'a'))
	for sentence, test := range map[string]struct{ text, want string }{
		"nothing":                    {"\n# only words\n", "no line with a key"},
		"no key":                     {"a " + key + "\nweb ssh-ed25519\n", "line 2"},
		"a key that is none":         {"web ssh-ed25519 AAAA\n", "line 1"},
		"an unknown marker":          {"@trusted web " + key, "unknown marker @trusted"},
		"the path instead of a file": {"/home/me/.ssh/known_hosts", "line 1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			if _, err := parseKnownHosts(test.text); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestKnownHosts_algorithmsOfTheFile(t *testing.T) {
	ed := authorized(publicKey(t, 'a'))
	for sentence, test := range map[string]struct {
		text string
		want []string
	}{
		"only what is known": {"web " + ed, []string{ssh.KeyAlgoED25519}},
		"a stranger":         {"db " + ed, nil},
		"a CA before keys":   {"@cert-authority web " + ed + "\nweb " + ed, append(certificateAlgorithms(), ssh.KeyAlgoED25519)},
	} {
		t.Run(sentence, func(t *testing.T) {
			hosts, err := parseKnownHosts(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := hosts.of("web:22").algorithms(); !slices.Equal(got, test.want) {
				t.Errorf("algorithms = %q, want %q", got, test.want)
			}
		})
	}
	if got := keyAlgorithms(ssh.KeyAlgoRSA); slices.Contains(got, ssh.KeyAlgoRSA) {
		t.Errorf("algorithms of an RSA key = %q, want none with SHA-1", got)
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("web ssh-ed25519 AAAA", "web:22")
	f.Add("|1|a|b ssh-rsa", "[::1]:22")
	f.Add("@revoked *,!? x y", "*")
	f.Fuzz(func(t *testing.T, text, address string) {
		hosts, err := parseKnownHosts(text)
		if err == nil {
			hosts.of(address).algorithms()
		}
		matchHost(strings.Split(text, ","), address)
	})
}

func TestWithPort(t *testing.T) {
	for address, want := range map[string]string{
		"web": "web:22", "web:2222": "web:2222", "10.0.0.1": "10.0.0.1:22", "::1": "[::1]:22", "[::1]": "[::1]:22", "[::1]:2222": "[::1]:2222",
		"": "", "web:": "", ":22": "", "a:b:c": "",
	} {
		got, err := withPort(address, "22")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("withPort(%q) = %q, %v; want %q", address, got, err, want)
		}
	}
}

func TestSecret_doesNotShow(t *testing.T) {
	assertHidden(t, secret.New("hunter2"))
	assertHidden(t, Credentials{Password: secret.New("hunter2"), PrivateKey: secret.New("hunter2"), Passphrase: secret.New("hunter2")})
	assertHidden(t, &elevated{become: &Become{Password: secret.New("hunter2")}})
}
