package challenge

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestDNSSolver_checksCAA(t *testing.T) {
	t.Parallel()
	const ours, account = "ca.example", "https://ca.example/acct/1"
	for sentence, test := range map[string]struct {
		records  []string
		wildcard bool
		want     string // in the error; empty for none
	}{
		"no records":                       {nil, false, ""},
		"ours":                             {[]string{`www.shop.test. CAA 0 issue "CA.example"`}, false, ""},
		"one of several":                   {[]string{`www.shop.test. CAA 0 issue "other.example"`, `www.shop.test. CAA 0 issue "ca.example; validationmethods=http-01,dns-01"`}, false, ""},
		"another CA, two names above":      {[]string{`test. CAA 0 issue "other.example"`}, false, `for www.shop.test those at test count, and of kind issue are there "other.example" (another CA); add a record: test. CAA 0 issue "ca.example"`},
		"the nearest counts":               {[]string{`shop.test. CAA 0 issue "ca.example"`, `test. CAA 0 issue "other.example"`}, false, ""},
		"nobody":                           {[]string{`shop.test. CAA 0 issue ";"`}, false, "(nobody)"},
		"only reports":                     {[]string{`shop.test. CAA 0 iodef "mailto:a@shop.test"`}, false, ""},
		"another account":                  {[]string{`shop.test. CAA 0 issue "ca.example; accounturi=https://ca.example/acct/2"`}, false, "(another account than " + account + ")"},
		"our account":                      {[]string{`shop.test. CAA 0 issue "ca.example; accounturi=` + account + `"`}, false, ""},
		"another validation":               {[]string{`shop.test. CAA 0 issue "ca.example;validationmethods=http-01"`}, false, "(another validation than dns-01)"},
		"a wildcard with rules of its own": {[]string{`shop.test. CAA 0 issue "ca.example"`, `shop.test. CAA 0 issuewild "other.example"`}, true, "for *.www.shop.test those at shop.test count, and of kind issuewild"},
		"a wildcard without":               {[]string{`shop.test. CAA 0 issue "ca.example"`}, true, ""},
		"rules for wildcards alone":        {[]string{`shop.test. CAA 0 issuewild "other.example"`}, false, ""},
		"an unknown kind that is critical": {[]string{`shop.test. CAA 128 tbs "x"`}, false, `the unknown kind "tbs"`},
		"an unknown kind that is not":      {[]string{`shop.test. CAA 0 tbs "x"`}, false, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			server := newServers(t, 1)[0]
			server.add(t, test.records...)
			s := &DNSSolver{Resolver: &Resolver{Servers: []string{server.addr}}, Logger: slog.New(slog.DiscardHandler)}
			err := s.CheckCAA(t.Context(), []CAA{{Domain: "www.shop.test", Wildcard: test.wildcard, Identities: []string{ours}, AccountURL: account}})
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case test.want != "" && (!errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// What nobody answers is for the CA to say.
func TestDNSSolver_checksCAAWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	server := newServers(t, 1)[0]
	server.set(func(q, answer *dns.Msg) *dns.Msg { return answer.SetRcode(q, dns.RcodeServerFailure) })
	s := &DNSSolver{Resolver: &Resolver{Servers: []string{server.addr}}, Logger: slog.New(slog.DiscardHandler)}
	if err := s.CheckCAA(t.Context(), []CAA{{Domain: "www.shop.test", Identities: []string{"ca.example"}}}); err != nil {
		t.Errorf("error %v, want none", err)
	}
}
