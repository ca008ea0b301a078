package dnsserver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestConfig_problems(t *testing.T) {
	zone := func(records string) Config {
		return Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.net"}, Records: records}}}
	}
	token := func(sum string, names ...string) Config {
		c := zone("")
		c.Tokens = []Token{{Name: "t", SHA256: sum, Names: names}}
		return c
	}
	sum := hashOf("t")
	for _, c := range []struct {
		title  string
		config Config
		field  string // "" for no problem
		line   int
		says   string
	}{
		{"nothing but a zone", zone(""), "", 0, ""},
		{"no zone", Config{}, "zone", 0, "no zone"},
		{"a zone twice", Config{Zones: []Zone{zone("").Zones[0], {Name: "EXAMPLE.com.", NameServers: []string{"ns.example.net"}}}}, "name", 0, "twice"},
		{"a zone that is no name", Config{Zones: []Zone{{Name: "a..b"}}}, "name", 0, "not a domain name"},
		{"no name server", Config{Zones: []Zone{{Name: "example.com"}}}, "nameservers", 0, "there is none"},
		{"a name server without an address", Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.com"}}}}, "nameservers", 0, "no address"},
		{"a hostmaster that is no address", Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.net"}, Hostmaster: "a b@example.com"}}}, "hostmaster", 0, "space"},
		{"a TTL beyond the largest", Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.net"}, DynamicTTL: 1 << 31}}}, "dynamic_ttl", 0, "too long"},
		{"a line that is no record", zone("www A 192.0.2.1\n\nwww A nowhere\n"), "records", 3, "cannot read"},
		{"a line that ends early", zone("www A 192.0.2.1\nwww A\nw A 192.0.2.1"), "records", 2, "cannot read"},
		{"a last line that ends early", zone("www A 192.0.2.1\nw A\n"), "records", 2, "no data"},
		{"an include", zone("$INCLUDE /etc/passwd"), "records", 1, "cannot read"},
		{"another class", zone("www CH TXT a"), "records", 1, "class CH"},
		{"a record outside", zone("\n; comment\nwww.example.org. A 192.0.2.1"), "records", 3, "outside the zone"},
		{"an SOA", zone("@ SOA a. b. 1 2 3 4 5"), "records", 1, "SOA"},
		{"NS at the apex", zone("@ NS a."), "records", 1, "NS"},
		{"a DNAME", zone("d DNAME a."), "records", 1, "DNAME"},
		{"a signature's type", zone("@ DNSKEY 257 3 13 aaaa"), "records", 1, "not signed"},
		{"a question's type", zone(`x TYPE252 \# 0`), "records", 1, "question"},
		{"a wildcard delegation", zone("*.x NS a."), "records", 1, "wildcard"},
		{"CNAME and A", zone("a CNAME b\na A 192.0.2.1"), "records", 1, "something else"},
		{"two CNAMEs", zone("a CNAME b\na CNAME c"), "records", 1, "something else"},
		{"a CNAME at the apex", zone("@ CNAME a."), "records", 1, "something else"},
		{"the same CNAME twice", zone("a CNAME b\na CNAME b"), "", 0, ""},
		{"data below a delegation", zone("sub NS a.\nx.sub TXT a"), "records", 2, "at or below the delegation"},
		{"data at a delegation", zone("sub NS a.\nsub TXT a"), "records", 1, "at or below the delegation"},
		{"a delegation without glue", zone("sub NS ns.sub"), "records", 1, "no address"},
		{"a delegation with glue and DS", zone("sub NS ns.sub\nns.sub A 192.0.2.1\nsub DS 1 13 2 " + strings.Repeat("ab", 32)), "", 0, ""},
		{"a DS without a delegation", zone("sub DS 1 13 2 " + strings.Repeat("ab", 32)), "records", 1, "no delegation"},
		{"a hash that is none", token("abc", "example.com"), "sha256", 0, "64 hex digits"},
		{"a token without names", token(sum), "names", 0, "may do nothing"},
		{"a star in the middle", token(sum, "a.*.example.com"), "names", 0, "not its first label"},
		{"a scope outside every zone", token(sum, "*.example.org"), "names", 0, "in no zone"},
		{"a scope around the zone", token(sum, "*.com"), "", 0, ""},
	} {
		t.Run(c.title, func(t *testing.T) {
			problems := c.config.Problems()
			if c.field == "" {
				if len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			if len(problems) == 0 {
				t.Fatal("no problem was found")
			}
			p := problems[0]
			if p.Field != c.field || p.Line != c.line || !strings.Contains(p.Problem, c.says) || p.Fix == "" {
				t.Errorf("%s, line %d: %q; want %s, line %d: %q", p.Field, p.Line, p.Problem, c.field, c.line, c.says)
			}
			_, err := New(c.config, NewMemoryStore(), nil)
			var typed *ConfigError
			if !errors.As(err, &typed) {
				t.Errorf("New: %v, want a *ConfigError", err)
			}
		})
	}
}

func TestConfig_sameTokenTwice(t *testing.T) {
	c := testConfig()
	c.Tokens = append(c.Tokens, Token{Name: "all", SHA256: hashOf("all-token"), Names: []string{"example.com"}})
	got := fmt.Sprint(c.Problems())
	for _, want := range []string{"the name is used twice", `the hash of token "all" too`} {
		if !strings.Contains(got, want) {
			t.Errorf("problems %s do not say %q", got, want)
		}
	}
}

func TestConfig_hostmasterAsMailAddress(t *testing.T) {
	zones, _, problems := Config{Zones: []Zone{{Name: "example.com", NameServers: []string{"ns.example.net"}, Hostmaster: "dns.team@example.net"}}}.compile()
	if err := joined(problems); err != nil {
		t.Fatal(err)
	}
	if got, want := zones["example.com."].soa.Mbox, `dns\.team.example.net.`; got != want {
		t.Errorf("mailbox %s, want %s", got, want)
	}
}

func TestCanonicalName(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM":       "example.com.",
		"example.com.":      "example.com.",
		`\069xample.com`:    "example.com.",
		`a\.b.example.com`:  `a\.b.example.com.`,
		`a\046b.example.co`: `a\.b.example.co.`,
		".":                 ".",
	} {
		if got, err := canonicalName(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a..b", ".a", "é.example", "a b", "a\n", strings.Repeat("a", 64), strings.Repeat("a.", 128)} {
		if got, err := canonicalName(in); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

func TestWithin_comparesLabels(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		want       bool
	}{
		{"example.com.", "example.com.", true},
		{"a.b.example.com.", "example.com.", true},
		{"notexample.com.", "example.com.", false},
		{`not\.example.com.`, "example.com.", false},
		{"com.", "example.com.", false},
		{"example.com.", ".", true},
	} {
		if got := within(c.name, c.zone); got != c.want {
			t.Errorf("%s within %s: %t, want %t", c.name, c.zone, got, c.want)
		}
	}
}
