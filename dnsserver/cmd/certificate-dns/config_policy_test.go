package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// policyConfig is a configuration with these lines of its own.
func policyConfig(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "certificate-dns.hcl")
	text := "listen = [\"127.0.0.1:0\"]\nstorage = \"records.db\"\nzone \"example.com\" {\n  nameservers = [\"ns.example.net\"]\n}\n" + lines
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig_policy(t *testing.T) {
	secrets := filepath.Join(t.TempDir(), "cookies")
	if err := os.WriteFile(secrets, []byte("e5e973e5a6b2a43f48e7dc849e37bfcf\n445536bcd2513298075a5d379663c962\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := readConfig(policyConfig(t, `
nsid = "ns1"
cookies {
  secrets_file = "`+secrets+`"
}
rate_limit {
  responses_per_second = 100
  slip                 = 1
  exempt               = ["192.0.2.0/24"]
}
`))
	if err != nil {
		t.Fatal(err)
	}
	limit := conf.server.RateLimit
	if conf.server.NSID != "ns1" || len(conf.server.Cookies.Secrets) != 2 || limit.PerSecond != 100 || limit.Slip != 1 ||
		!slices.Equal(limit.Exempt, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}) {
		t.Errorf("%+v, want what the file says", conf.server)
	}
	conf, err = readConfig(policyConfig(t, "cookies {\n  enabled = false\n}\nrate_limit {\n  enabled = false\n}\n"))
	if err != nil || !conf.server.Cookies.Disabled || !conf.server.RateLimit.Disabled {
		t.Errorf("%+v (%v), want neither cookies nor a limit", conf.server, err)
	}
	conf, err = readConfig(policyConfig(t, ""))
	if err != nil || conf.server.Cookies.Disabled || conf.server.RateLimit.Disabled || conf.server.RateLimit.Exempt != nil {
		t.Errorf("%+v (%v), want the defaults", conf.server, err)
	}
}

func TestConfig_policyProblems(t *testing.T) {
	secrets := filepath.Join(t.TempDir(), "cookies")
	if err := os.WriteFile(secrets, []byte("too short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for lines, want := range map[string]string{
		"cookies {\n  secrets_file = \"/nowhere\"\n}\n":        "hcl:6: cookies: open /nowhere",
		"cookies {\n  secrets_file = \"" + secrets + "\"\n}\n": "line 1: a cookie secret is 32 hex digits",
		"rate_limit {\n  exempt = [\"192.0.2.1\"]\n}\n":        `hcl:6: rate_limit: exempt: "192.0.2.1" is not a network`,
		"nsid = \"" + strings.Repeat("x", 200) + "\"\n":        "nsid: it has 200 bytes; write at most 128",
	} {
		if _, err := readConfig(policyConfig(t, lines)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "too short") {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
}
