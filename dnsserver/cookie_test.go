package dnsserver

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secretOf(t testing.TB, s string) CookieSecret {
	t.Helper()
	secret, err := ParseCookieSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// TestCookie_row16_vectors are those of RFC 9018, appendix A: what every server
// makes of the same secret.
func TestCookie_row16_vectors(t *testing.T) {
	for _, c := range []struct {
		title, client string
		now           int64
		secrets       []string
		option, want  string
		valid         bool
	}{
		{
			"a client learns a cookie", "198.51.100.100", 1559731985,
			[]string{"e5e973e5a6b2a43f48e7dc849e37bfcf"},
			"2464c4abcf10c957", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", false,
		},
		{
			"the same client gets a fresh one", "198.51.100.100", 1559734385,
			[]string{"e5e973e5a6b2a43f48e7dc849e37bfcf"},
			"2464c4abcf10c957010000005cf79f111f8130c3eee29480", "2464c4abcf10c957010000005cf7a871d4a564a1442aca77", true,
		},
		{
			"another client, with reserved bytes set", "203.0.113.203", 1559734700,
			[]string{"e5e973e5a6b2a43f48e7dc849e37bfcf"},
			"fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e", false,
		}, // 71 minutes old
		{
			"IPv6, of the secret before", "2001:db8:220:1:59de:d0f4:8769:82b8", 1559741961,
			[]string{"445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715"},
			"22681ab97d52c298010000005cf7c57926556bd0934c72f8", "22681ab97d52c298010000005cf7c609a6bb79d16625507a", true,
		},
	} {
		t.Run(c.title, func(t *testing.T) {
			var secrets []CookieSecret
			for _, s := range c.secrets {
				secrets = append(secrets, secretOf(t, s))
			}
			got, valid := newCookies(secrets).check(nil, unhex(t, c.option), netip.MustParseAddr(c.client), time.Unix(c.now, 0))
			if hex.EncodeToString(got) != c.want || valid != c.valid {
				t.Errorf("%x, valid %t; want %s, %t", got, valid, c.want, c.valid)
			}
		})
	}
}

func TestCookie_row16_whatIsAccepted(t *testing.T) {
	client, now := netip.MustParseAddr("192.0.2.1"), time.Unix(1700000000, 0)
	c := newCookies(nil)
	mine, _ := c.check(nil, []byte("client_1"), client, now)
	other, _ := newCookies(nil).check(nil, []byte("client_1"), client, now)
	changed := append([]byte{}, mine...)
	changed[20]++
	for _, k := range []struct {
		title  string
		option []byte
		client string
		later  time.Duration
		valid  bool
		same   bool // the client may keep it
	}{
		{"fresh", mine, "192.0.2.1", 0, true, true},
		{"after twenty minutes", mine, "192.0.2.1", 20 * time.Minute, true, true},
		{"after forty", mine, "192.0.2.1", 40 * time.Minute, true, false},
		{"after two hours", mine, "192.0.2.1", 2 * time.Hour, false, false},
		{"from a clock that is a little ahead", mine, "192.0.2.1", -4 * time.Minute, true, true},
		{"from the future", mine, "192.0.2.1", -10 * time.Minute, false, false},
		{"of another address", mine, "192.0.2.2", 0, false, false},
		{"of another server", other, "192.0.2.1", 0, false, false},
		{"altered", changed, "192.0.2.1", 0, false, false},
		{"the client's alone", mine[:8], "192.0.2.1", 0, false, false},
	} {
		got, valid := c.check(nil, k.option, netip.MustParseAddr(k.client), now.Add(k.later))
		if valid != k.valid || (string(got) == string(k.option)) != k.same || len(got) != 24 {
			t.Errorf("%s: %x, valid %t; want valid %t, kept %t", k.title, got, valid, k.valid, k.same)
		}
	}
}

// TestCookie_row16_secretsRotate checks that a cookie made shortly before the
// daily secret changes is good after it.
func TestCookie_row16_secretsRotate(t *testing.T) {
	client, c := netip.MustParseAddr("192.0.2.1"), newCookies(nil)
	before := time.Unix(20000*86400-60, 0)
	old, _ := c.check(nil, []byte("client_1"), client, before)
	renewed, valid := c.check(nil, old, client, before.Add(2*time.Minute))
	if !valid || string(renewed) == string(old) {
		t.Errorf("over midnight: valid %t, renewed %t; want both", valid, string(renewed) != string(old))
	}
	if c.secrets(before)[0] == c.secrets(before.Add(2 * time.Minute))[0] {
		t.Error("the secret has not changed")
	}
}

func TestCookie_secretsDoNotPrint(t *testing.T) {
	secret := secretOf(t, "e5e973e5a6b2a43f48e7dc849e37bfcf")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, secret); strings.Contains(got, "e5") || strings.Contains(got, "229") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
