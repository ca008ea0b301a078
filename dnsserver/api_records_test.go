package dnsserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// typed is a configuration with tokens that may change some types.
func typed() Config {
	config := testConfig()
	config.Tokens = append(config.Tokens,
		Token{Name: "any", SHA256: hashOf("any-token"), Names: []string{"*.example.com"}, Types: []string{"any"}},
		Token{Name: "hosts", SHA256: hashOf("host-token"), Names: []string{"*.hosts.example.com"}, Types: []string{"A", "AAAA"}},
		Token{Name: "root", SHA256: hashOf("root-token"), Rights: []string{"admin", "read", "write"}})
	return config
}

func TestRecords_ofManyTypes(t *testing.T) {
	s := startServer(t, typed(), NewMemoryStore())
	api := httptest.NewServer(s.Handler())
	t.Cleanup(api.Close)
	c, err := client.New(api.URL, "any-token", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ rrtype, value, answer string }{
		{"A", "192.0.2.7", "192.0.2.7"},
		{"AAAA", "2001:db8::7", "2001:db8::7"},
		{"MX", "10 mail.example.net.", "10 mail.example.net."},
		{"TXT", `v=spf1 "quoted"; -all`, `"v=spf1 \"quoted\"; -all"`},
		{"CAA", `0 issue "letsencrypt.org; validationmethods=dns-01"`, `0 issue "letsencrypt.org; validationmethods=dns-01"`},
		{"SRV", "0 5 853 ns.example.net.", "0 5 853 ns.example.net."},
		{"TLSA", "3 1 1 " + strings.Repeat("ab", 32), "3 1 1 " + strings.Repeat("ab", 32)},
		{"SSHFP", "4 2 " + strings.Repeat("cd", 32), "4 2 " + strings.ToUpper(strings.Repeat("cd", 32))},
		{"TYPE65534", `\# 3 abcdef`, `\# 3 abcdef`},
	} {
		name := strings.ToLower(r.rrtype) + ".example.com"
		put := client.Record{Type: r.rrtype, Value: r.value, TTL: 77}
		if err := c.PutRecord(t.Context(), name, put); err != nil {
			t.Errorf("%s: %v", r.rrtype, err)
			continue
		}
		got, err := c.Records(t.Context(), name)
		if err != nil || len(got) != 1 || got[0].Type != r.rrtype || !strings.EqualFold(got[0].Value, r.value) || got[0].TTL != 77 {
			t.Errorf("%s: %+v, %v; want %+v", r.rrtype, got, err, put)
		}
		rrtype, err := parseType(r.rrtype)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := dns.Exchange(new(dns.Msg).SetQuestion(name+".", rrtype), s.Addr().String())
		if err != nil || len(reply.Answer) != 1 || !strings.HasSuffix(reply.Answer[0].String(), r.answer) {
			t.Errorf("%s: answer %v, %v; want one that ends in %q", r.rrtype, reply, err, r.answer)
		}
		if err := c.DeleteRecord(t.Context(), name, r.rrtype, r.value); err != nil {
			t.Error(err)
		}
		if got, err := c.Records(t.Context(), name); err != nil || len(got) != 0 {
			t.Errorf("%s after its deletion: %+v, %v", r.rrtype, got, err)
		}
	}
}

func TestRecords_expireAndGoTogether(t *testing.T) {
	s := startServer(t, typed(), NewMemoryStore())
	const path = "/v1/records/a.example.com"
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, body := range []string{`{"type":"A","value":"192.0.2.1"}`, fmt.Sprintf(`{"type":"A","value":"192.0.2.2","expires_at":%q}`, at.Format(time.RFC3339)), `{"type":"TXT","value":"v"}`} {
		if w := call(t, s, "PUT", path, "any-token", body); w.Code != http.StatusNoContent {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	var got client.Records
	if err := json.Unmarshal(call(t, s, "GET", path, "any-token", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var expiring []string
	for _, r := range got.Records {
		if r.ExpiresAt != nil {
			expiring = append(expiring, r.Value+" "+r.ExpiresAt.Format(time.RFC3339))
		}
		if r.TTL != DefaultDynamicTTL {
			t.Errorf("the TTL of %+v is not the zone's", r)
		}
	}
	if want := []string{"192.0.2.2 " + at.Format(time.RFC3339)}; len(got.Records) != 3 || !slices.Equal(expiring, want) {
		t.Errorf("%+v, want three, of which %q expires", got, want)
	}
	if w := call(t, s, "DELETE", path+"?type=A", "any-token", ""); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := call(t, s, "GET", path, "any-token", ""); strings.Contains(w.Body.String(), "192.0.2") || !strings.Contains(w.Body.String(), `"TXT"`) {
		t.Errorf("after the A records went: %s", w.Body)
	}
	if w := call(t, s, "GET", "/v1/records/www.example.com", "all-token", ""); !strings.Contains(w.Body.String(), `"configured":true`) {
		t.Errorf("configured records: %s", w.Body)
	}
}

func TestRecords_refusals(t *testing.T) {
	s := startServer(t, typed(), NewMemoryStore())
	const mine = "/v1/records/a.example.com"
	for sentence, c := range map[string]struct {
		method, path, token, body string
		status                    int
		says                      string
	}{
		"a type that is none":               {"PUT", mine, "any-token", `{"type":"X","value":"v"}`, 422, `is no record type`},
		"a type that is not kept":           {"PUT", mine, "any-token", `{"type":"RRSIG","value":"v"}`, 422, "not kept"},
		"data of another type":              {"PUT", mine, "any-token", `{"type":"A","value":"2001:db8::1"}`, 422, "no data of a A record"},
		"a second record behind a comment":  {"PUT", mine, "any-token", `{"type":"A","value":"192.0.2.1 ; 2"}`, 422, "semicolon"},
		"a second record in a second line":  {"PUT", mine, "any-token", `{"type":"A","value":"192.0.2.1\nb A 192.0.2.2"}`, 422, "line feed"},
		"no value":                          {"PUT", mine, "any-token", `{"type":"TXT","value":""}`, 422, "is missing"},
		"a time in the past":                {"PUT", mine, "any-token", `{"type":"TXT","value":"v","expires_at":"2020-01-01T00:00:00Z"}`, 422, "in the past"},
		"a time that is none":               {"PUT", mine, "any-token", `{"type":"TXT","value":"v","expires_at":"soon"}`, 400, "JSON"},
		"a type that is not the token's":    {"PUT", mine, "all-token", `{"type":"A","value":"192.0.2.1"}`, 403, "may not change A records; it may change TXT, CNAME"},
		"a TXT with a token for hosts":      {"PUT", "/v1/txt/a.hosts.example.com", "host-token", `{"value":"v"}`, 403, "may not change TXT"},
		"a TXT away with a token for hosts": {"DELETE", "/v1/txt/a.hosts.example.com?value=v", "host-token", "", 403, "may not change TXT"},
		"a name that is not the token's":    {"PUT", "/v1/records/b.example.com", "host-token", `{"type":"A","value":"192.0.2.1"}`, 403, "may not touch"},
		"a SOA":                             {"PUT", mine, "any-token", `{"type":"SOA","value":"a. b. 1 2 3 4 5"}`, 422, "SOA"},
		"configured over the API":           {"PUT", mine, "any-token", `{"type":"TXT","value":"v","configured":true}`, 422, "configured"},
		"a delete of everything":            {"DELETE", mine, "any-token", "", 400, "?type="},
		"a delete of what is no data":       {"DELETE", mine + "?type=A&value=x", "any-token", "", 422, "no data"},
		"beside a CNAME":                    {"PUT", "/v1/records/alias.example.com", "any-token", `{"type":"A","value":"192.0.2.1"}`, 409, "CNAME"},
		"another method":                    {"POST", mine, "any-token", "", 405, "DELETE, GET, PUT"},
		"too long a list":                   {"GET", "/v1/records?limit=5000", "any-token", "", 400, "1 to 1000"},
		"a list after what is no name":      {"GET", "/v1/records?after=a..b", "any-token", "", 400, "no"},
		"a list without a token":            {"GET", "/v1/records", "", "", 401, "no token"},
	} {
		if w := call(t, s, c.method, c.path, c.token, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %d and %q", sentence, w.Code, w.Body, c.status, c.says)
		}
	}
}

func TestRecords_listedInPages(t *testing.T) {
	s := startServer(t, typed(), NewMemoryStore())
	var want []string
	for n := range 57 {
		name := fmt.Sprintf("n%02d.example.com", n)
		put(t, s, name, "v")
		want = append(want, name)
	}
	put(t, s, "a.hosts.example.com", "v")
	var got []string
	after, pages := "", 0
	for {
		var list client.RecordList
		w := call(t, s, "GET", "/v1/records?limit=10&after="+url.QueryEscape(after), "any-token", "")
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, name := range list.Names {
			got = append(got, name.Name)
		}
		pages++
		if after = list.After; after == "" {
			break
		}
	}
	want = append([]string{"a.hosts.example.com"}, want...)
	if !slices.Equal(got, want) || pages != 6 {
		t.Errorf("%d pages of %q, want 6 of %q", pages, got, want)
	}
	if w := call(t, s, "GET", "/v1/records", "host-token", ""); strings.Contains(w.Body.String(), "n01") || !strings.Contains(w.Body.String(), "a.hosts.example.com") {
		t.Errorf("a token sees %s, want its own names alone", w.Body)
	}
	if w := call(t, s, "GET", "/v1/records", "root-token", ""); !strings.Contains(w.Body.String(), "n01") {
		t.Errorf("an administrator sees %s", w.Body)
	}
}

// What the API takes comes back from it, and is one record.
func FuzzRecords_valuesOfTypes(f *testing.F) {
	for _, seed := range []struct{ rrtype, value string }{
		{"A", "192.0.2.1"}, {"TXT", "a\nb"}, {"CAA", `0 issue ";"`}, {"NAPTR", `1 1 "u" "E2U" "!^.*$!a;b!" .`}, {"TYPE300", `\# 0`}, {"HTTPS", `1 . alpn="h2"`}, {"LOC", "51 0 0 N 0 0 0 E 0m"},
	} {
		f.Add(seed.rrtype, seed.value)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		rrtype, err := parseType(name)
		if err != nil || !storable(rrtype) {
			return
		}
		data, err := recordData(rrtype, text)
		if err != nil || len(data) > maxSet {
			return
		}
		if _, err := newRR("a.", rrtype, record{data: data}); err != nil {
			return // no data for an answer: a change with it is refused
		}
		again, err := recordData(rrtype, recordText(rrtype, data))
		if err != nil || again != data {
			t.Fatalf("%s %q is kept as %x, read as %q, and put again as %x (%v)", name, text, data, recordText(rrtype, data), again, err)
		}
	})
}
