package main

import (
	"strings"
	"testing"
)

func TestConfig_tls(t *testing.T) {
	const files = "  certificate_file = \"a\"\n  key_file = \"b\"\n"
	const api = "api {\n  listen = \"127.0.0.1:8053\"\n"
	for sentence, c := range map[string]struct {
		text string
		want string // "" for a good one
	}{
		"files of its own":          {"tls {\n  listen = [\"127.0.0.1:853\"]\n" + files + "}\n", ""},
		"the API's files":           {api + files + "}\ntls {\n  listen = [\"127.0.0.1:853\"]\n}\n", ""},
		"no certificate":            {"tls {\n  listen = [\"127.0.0.1:853\"]\n}\n", ":6: tls: there is no certificate"},
		"an API in clear":           {api + "}\ntls {\n  listen = [\"127.0.0.1:853\"]\n}\n", ":9: tls: there is no certificate"},
		"half a certificate":        {"tls {\n  listen = [\"127.0.0.1:853\"]\n  key_file = \"b\"\n}\n", "one of certificate_file and key_file is missing"},
		"no address":                {"tls {\n  listen = []\n" + files + "}\n", ":7: tls: there is no address"},
		"a name for an address":     {"tls {\n  listen = [\"ns1:853\"]\n" + files + "}\n", `:7: tls: "ns1:853" is not an IP address`},
		"an address twice":          {"tls {\n  listen = [\"127.0.0.1:853\", \"127.0.0.1:853\"]\n" + files + "}\n", "is there twice"},
		"the address of the API":    {api + files + "}\ntls {\n  listen = [\"127.0.0.1:8053\"]\n}\n", "is the address of something else"},
		"an address that is picked": {"tls {\n  listen = [\"127.0.0.1:0\"]\n" + files + "}\n", ""},
	} {
		_, err := readConfig(policyConfig(t, c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", sentence, err, c.want)
		}
	}
}
