package pki

import (
	"slices"
	"strings"
	"testing"
)

// label is a label of n bytes.
func label(n int) string { return strings.Repeat("a", n) }

// longName is a valid name of n bytes, 189 < n < 254.
func longName(n int) string {
	name := strings.Join([]string{label(63), label(63), label(60)}, ".") + "."
	return name + label(n-len(name)-1-1) + ".b"
}

func TestNormalizeName(t *testing.T) {
	for sentence, test := range map[string]struct{ name, want, problem string }{
		"an ordinary name stays":                 {"www.example.com", "www.example.com", ""},
		"upper case becomes lower case":          {"WWW.Example.COM", "www.example.com", ""},
		"the trailing dot goes":                  {"www.example.com.", "www.example.com", ""},
		"a wildcard stays":                       {"*.Example.com", "*.example.com", ""},
		"digits and hyphens inside are fine":     {"a-1.2b.example.com", "a-1.2b.example.com", ""},
		"an IDN becomes A-labels":                {"Bücher.example.com", "xn--bcher-kva.example.com", ""},
		"an IDN below a wildcard too":            {"*.bücher.example.com", "*.xn--bcher-kva.example.com", ""},
		"full-width dots are dots":               {"www。example。com", "www.example.com", ""},
		"a full-width trailing dot goes":         {"www.example.com。", "www.example.com", ""},
		"a sharp s is kept as it is":             {"straße.example.com", "xn--strae-oqa.example.com", ""},
		"good punycode stays":                    {"xn--bcher-kva.example.com", "xn--bcher-kva.example.com", ""},
		"an international top level is fine":     {"example.рф", "example.xn--p1ai", ""},
		"a label of 63 bytes is the longest":     {label(63) + ".com", label(63) + ".com", ""},
		"a name of 253 bytes is the longest":     {longName(253), longName(253), ""},
		"the dot after 253 bytes does not count": {longName(253) + ".", longName(253), ""},

		"an empty name":                        {"", "", "empty"},
		"only a dot":                           {".", "", "empty"},
		"two dots at the end":                  {"www.example.com..", "", "label is empty"},
		"two dots in a row":                    {"www..example.com", "", "label is empty"},
		"a dot at the beginning":               {".example.com", "", "label is empty"},
		"a space":                              {"www example.com", "", "space"},
		"a space around":                       {" www.example.com", "", "space"},
		"a line feed after":                    {"www.example.com\n", "", "space"},
		"a label of 64 bytes":                  {label(64) + ".com", "", "at most 63"},
		"an IDN label of 64 bytes in ASCII":    {label(52) + "üüüüüü.com", "", "at most 63"},
		"a name of 254 bytes":                  {longName(254), "", "at most 253"},
		"a wildcard that makes it 254 bytes":   {"*." + longName(252), "", "at most 253"},
		"far too many bytes":                   {strings.Repeat("ü.", 100_000) + "com", "", "at most 253"},
		"a bare top level":                     {"com", "", "top-level"},
		"a wildcard at a top level":            {"*.com", "", "top-level"},
		"only a wildcard":                      {"*", "", "wildcard"},
		"a wildcard in the middle":             {"www.*.example.com", "", "wildcard"},
		"two wildcards":                        {"*.*.example.com", "", "wildcard"},
		"a wildcard as a part of a label":      {"w*.example.com", "", "wildcard"},
		"punycode that does not decode":        {"xn--a.example.com", "", "no valid domain name"},
		"punycode of nothing":                  {"xn--.example.com", "", "no valid domain name"},
		"punycode of plain ASCII":              {"xn--abc-.example.com", "", "no valid domain name"},
		"a hyphen at the beginning of a label": {"-a.example.com", "", "no valid domain name"},
		"a hyphen at the end of a label":       {"a-.example.com", "", "no valid domain name"},
		"reserved hyphens":                     {"ab--c.example.com", "", "no valid domain name"},
		"an underscore":                        {"_dmarc.example.com", "", `contains '_'`},
		"a rune no name has":                   {"a!b.example.com", "", `contains '!'`},
		"a zero byte":                          {"a\x00b.example.com", "", `contains '\x00'`},
		"broken UTF-8":                         {"a\xffb.example.com", "", "not UTF-8"},
		"what stands for broken UTF-8":         {"a\ufffdb.example.com", "", "not UTF-8"},
		"a numeric top level":                  {"www.example.123", "", "number"},
		"an incomplete IPv4 address":           {"192.0.2", "", "number"},
		"an IPv4 address":                      {"192.0.2.1", "", "IP address"},
		"an IPv4 address with a dot after it":  {"192.0.2.1.", "", "IP address"},
		"an IPv6 address":                      {"2001:db8::1", "", "IP address"},
		"an IPv6 address in brackets":          {"[2001:db8::1]", "", "IP address"},
		"a URL":                                {"https://www.example.com", "", "without scheme, port or path"},
		"a port":                               {"www.example.com:443", "", "without scheme, port or path"},
		"a path":                               {"www.example.com/x", "", "without scheme, port or path"},
		"a mail address":                       {"a@example.com", "", "without scheme, port or path"},
	} {
		t.Run(sentence, func(t *testing.T) {
			got, err := NormalizeName(test.name)
			if got != test.want {
				t.Errorf("%q becomes %q, want %q", test.name, got, test.want)
			}
			switch {
			case (err == nil) != (test.problem == ""):
				t.Errorf("%q: error %v, want %q in it", test.name, err, test.problem)
			case err != nil && !strings.Contains(err.Error(), test.problem):
				t.Errorf("%q: error %q, want %q in it", test.name, err, test.problem)
			}
		})
	}
}

func TestNormalizeNames_keepsFirstMentions(t *testing.T) {
	got, err := NormalizeNames([]string{"b.example.com", "A.example.com", "B.example.com.", "bücher.example.com", "xn--bcher-kva.example.com", "a.example.com"})
	if want := []string{"b.example.com", "a.example.com", "xn--bcher-kva.example.com"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func TestNormalizeNames_namesEveryBadOne(t *testing.T) {
	got, err := NormalizeNames([]string{"a.example.com", "bad one", "com", "b.example.com"})
	if want := []string{"a.example.com", "b.example.com"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err == nil {
		t.Fatal("no error")
	}
	for _, bad := range []string{`"bad one"`, `"com"`} {
		if !strings.Contains(err.Error(), bad) {
			t.Errorf("error %q does not name %s", err, bad)
		}
	}
}

func TestNameSet(t *testing.T) {
	given := []string{"b.example.com", "A.example.com", "B.example.com"}
	got := NameSet(given)
	if want := []string{"a.example.com", "b.example.com"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if given[0] != "b.example.com" || given[1] != "A.example.com" {
		t.Errorf("the caller's list became %q", given)
	}
}

func FuzzNormalizeName(f *testing.F) {
	for _, seed := range []string{"www.example.com", "*.Bücher.example.com.", "xn--bcher-kva.example.com", "2001:db8::1", "a_b.c", "。.", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		once, err := NormalizeName(name)
		if err != nil {
			if once != "" {
				t.Errorf("%q: %q beside the error %v", name, once, err)
			}
			return
		}
		if twice, err := NormalizeName(once); err != nil || twice != once {
			t.Errorf("%q becomes %q, and that %q, %v", name, once, twice, err)
		}
		rest := strings.TrimPrefix(once, "*.")
		if len(once) > 253 || !strings.Contains(rest, ".") || strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Errorf("%q becomes %q, which is no name for a certificate", name, once)
		}
	})
}
