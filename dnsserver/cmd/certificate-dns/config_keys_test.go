package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testSecret = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="

func TestConfig_keys(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"bare": testSecret + "\n",
		"bind": "key \"certbot\" {\n\talgorithm hmac-sha256;\n\tsecret \"" + testSecret + "\";\n};\n",
		"knot": "# hmac-sha256:certbot:" + testSecret + "\nkey:\n  - id: certbot\n    algorithm: hmac-sha256\n    secret: " + testSecret + "\n",
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		conf, err := readConfig(policyConfig(t, `
tsig_key "certbot" {
  algorithm   = "hmac-sha512"
  secret_file = "`+path+`"
  updates     = ["_acme-challenge.www.example.com", "*.auth.example.com"]
  types       = ["TXT", "CNAME"]
}
tsig_key "_acme-challenge.example.com" {
  secret = "`+testSecret+`"
  self   = true
}
tsig_key "ns2" {
  secret    = "`+testSecret+`"
  transfers = ["example.com"]
}
updates {
  max_records = 10
  max_values  = 20
  max_bytes   = 3000
  max_pending = 40
}
`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		keys, limits := conf.server.Keys, conf.server.Updates
		if len(keys) != 3 || keys[0].Secret() != testSecret || keys[0].Algorithm != "hmac-sha512" || len(keys[0].Updates) != 2 || len(keys[0].Types) != 2 ||
			!keys[1].Self || keys[2].Transfers[0] != "example.com" {
			t.Errorf("%s: %+v, want what the file says", name, keys)
		}
		if limits.MaxRecords != 10 || limits.MaxValues != 20 || limits.MaxBytes != 3000 || limits.MaxPending != 40 {
			t.Errorf("%+v, want what the file says", limits)
		}
	}
}

func TestConfig_keyProblems(t *testing.T) {
	secret := "  secret = \"" + testSecret + "\"\n"
	for lines, want := range map[string]string{
		"tsig_key \"a\" {\n}\n":                                                  `hcl:6: tsig_key "a": there is no secret`,
		"tsig_key \"a\" {\n  secret_file = \"/nowhere\"\n}\n":                    `hcl:6: tsig_key "a": open /nowhere`,
		"tsig_key \"a\" {\n  secret_file = \"x\"\n" + secret + "}\n":             `hcl:6: tsig_key "a": secret and secret_file are both there`,
		"tsig_key \"a\" {\n  secret = \"c2hvcnQ=\"\n}\n":                         `hcl:7: tsig_key "a": secret: the key's secret is wrong: it has 5 bytes`,
		"tsig_key \"a\" {\n" + secret + "  algorithm = \"hmac-md5\"\n}\n":        `hcl:8: tsig_key "a": algorithm:`,
		"tsig_key \"a\" {\n" + secret + "  updates = [\"a.example.org\"]\n}\n":   `hcl:8: tsig_key "a": updates: a.example.org is in no zone`,
		"tsig_key \"a\" {\n" + secret + "  transfers = [\"example.org\"]\n}\n":   `hcl:8: tsig_key "a": transfers: "example.org" is no zone`,
		"tsig_key \"a\" {\n" + secret + "  self = true\n}\n":                     `hcl:8: tsig_key "a": self: the key's name is in no zone`,
		"tsig_key \"a\" {\n" + secret + "  types = [\"TXT\"]\n}\n":               `hcl:8: tsig_key "a": types: the key may change no name`,
		"tsig_key \"a\" {\n" + secret + "  types = [\"WHAT\"]\n}\n":              `hcl:8: tsig_key "a": types: "WHAT" is no record type`,
		"tsig_key \"a\" {\n" + secret + "}\ntsig_key \"A\" {\n" + secret + "}\n": `hcl:9: tsig_key "A": name: the name is used twice`,
		"updates {\n  max_values = -1\n}\n":                                      `hcl:7: updates: max_values: -1 is too few`,
	} {
		if _, err := readConfig(policyConfig(t, lines)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
}

// zoneConfig is a configuration whose zone has these lines of its own.
func zoneConfig(t *testing.T, lines, more string) string {
	t.Helper()
	path := policyConfig(t, more)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "  nameservers", lines+"  nameservers", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig_secondaries(t *testing.T) {
	key := "tsig_key \"follow\" {\n  secret = \"" + testSecret + "\"\n}\n"
	conf, err := readConfig(zoneConfig(t, `  secondary "ns2" {
    address = "192.0.2.54"
    key     = "follow"
  }
  secondary "ns3" {
    address = "[2001:db8::54]:5353"
  }
  transfer_from = ["192.0.2.0/24"]
`, "transfer_log = 1000000\n"+key))
	if err != nil {
		t.Fatal(err)
	}
	z := conf.server.Zones[0]
	if len(z.Secondaries) != 2 || z.Secondaries[0].Key != "follow" || z.Secondaries[1].Address != "[2001:db8::54]:5353" || z.TransferFrom[0] != "192.0.2.0/24" ||
		conf.server.TransferLog != 1000000 {
		t.Errorf("%+v, want what the file says", z)
	}
	for lines, want := range map[string]string{
		"  secondary \"ns2\" {\n    address = \"ns2.example.com\"\n  }\n":               `hcl:3: zone "example.com": secondary: "ns2": "ns2.example.com" is no IP address`,
		"  secondary \"ns2\" {\n    address = \"192.0.2.1\"\n    key = \"none\"\n  }\n": `zone "example.com": secondary: "ns2": there is no key "none"`,
		"  transfer_from = [\"everybody\"]\n":                                           `hcl:4: zone "example.com": transfer_from: "everybody" is not a network`,
	} {
		if _, err := readConfig(zoneConfig(t, lines, key)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
}

func TestConfig_primaries(t *testing.T) {
	key := "tsig_key \"follow\" {\n  secret = \"" + testSecret + "\"\n}\n"
	more := func(zone string) string {
		return policyConfig(t, key+"zone \"copy.example\" {\n"+zone+"}\n")
	}
	conf, err := readConfig(more("  primary {\n    address = \"192.0.2.53\"\n    key     = \"follow\"\n  }\n  primary {\n    address = \"[2001:db8::53]:5353\"\n  }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := conf.server.Zones[1].Primaries; len(p) != 2 || p[0].Key != "follow" || p[1].Address != "[2001:db8::53]:5353" {
		t.Errorf("%+v, want what the file says", p)
	}
	for lines, want := range map[string]string{
		"": `hcl:9: zone "copy.example": nameservers: there is none`,
		"  primary {\n    address = \"ns1\"\n  }\n":                                               `zone "copy.example": primary: "ns1" is no IP address`,
		"  primary {\n    address = \"192.0.2.53\"\n    key = \"none\"\n  }\n":                    `zone "copy.example": primary: there is no key "none"`,
		"  nameservers = [\"ns1.example.net\"]\n  primary {\n    address = \"192.0.2.53\"\n  }\n": `zone "copy.example": primary: the zone is copied, and has contents of its own`,
	} {
		if _, err := readConfig(more(lines)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", lines, err, want)
		}
	}
}
