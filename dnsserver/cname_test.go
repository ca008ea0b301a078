package dnsserver

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// answers asks over UDP and over TCP and returns what both say.
func answers(t *testing.T, s *Server, question string) (rcode int, text []string) {
	t.Helper()
	for n, network := range []string{"udp", "tcp"} {
		reply := unwire(t, exchange(t, network, s.Addr().String(), wire(t, ask(question))))
		var got []string
		for _, rr := range reply.Answer {
			got = append(got, strings.Join(strings.Fields(rr.String()), " "))
		}
		if n > 0 && (reply.Rcode != rcode || !slices.Equal(got, text)) {
			t.Errorf("%s: over TCP %q, over UDP %q", question, got, text)
		}
		rcode, text = reply.Rcode, got
	}
	return rcode, text
}

func putAlias(t *testing.T, s *Server, name, target string) {
	t.Helper()
	if err := s.PutCNAME(t.Context(), name, target); err != nil {
		t.Fatal(err)
	}
}

func TestCNAME_isAnsweredOverUDPAndTCP(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	putAlias(t, s, "_F3.deep.example.com", "Token.DCV.test")
	for question, want := range map[string][]string{
		"_f3.deep.example.com. CNAME": {"_f3.deep.example.com. 60 IN CNAME Token.DCV.test."},
		"_F3.Deep.example.com. CNAME": {"_F3.Deep.example.com. 60 IN CNAME Token.DCV.test."},
		"_f3.deep.example.com. TXT":   {"_f3.deep.example.com. 60 IN CNAME Token.DCV.test."},
		"_f3.deep.example.com. A":     {"_f3.deep.example.com. 60 IN CNAME Token.DCV.test."},
		"_f3.deep.example.com. ANY":   {"_f3.deep.example.com. 60 IN CNAME Token.DCV.test."},
		"deep.example.com. CNAME":     nil, // an empty non-terminal
	} {
		rcode, got := answers(t, s, question)
		for n := range got {
			fields := strings.Fields(got[n])
			fields[1] = "60" // the TTL is the zone's
			got[n] = strings.Join(fields, " ")
		}
		if rcode != dns.RcodeSuccess || !slices.Equal(got, want) {
			t.Errorf("%s: %s %q, want %q", question, dns.RcodeToString[rcode], got, want)
		}
	}
	if err := s.DeleteCNAME(t.Context(), "_f3.deep.example.com", "token.dcv.test."); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"_f3.deep.example.com.", "deep.example.com."} {
		if rcode, got := answers(t, s, name+" CNAME"); rcode != dns.RcodeNameError {
			t.Errorf("%s after the delete: %s %q, want NXDOMAIN", name, dns.RcodeToString[rcode], got)
		}
	}
}

func TestCNAME_leadsToValuesOfTheZone(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	put(t, s, "values.example.com", "v")
	putAlias(t, s, "a.example.com", "values.example.com")
	if rcode, got := answers(t, s, "a.example.com. TXT"); rcode != dns.RcodeSuccess || len(got) != 2 || !strings.HasSuffix(got[1], `"v"`) {
		t.Errorf("%s %q, want the CNAME and the value", dns.RcodeToString[rcode], got)
	}
	putAlias(t, s, "values2.example.com", "a.example.com")
	putAlias(t, s, "a.example.com", "values2.example.com") // a loop
	if rcode, got := answers(t, s, "a.example.com. TXT"); rcode != dns.RcodeSuccess || len(got) != 2 {
		t.Errorf("a loop: %s %q, want both CNAMEs once", dns.RcodeToString[rcode], got)
	}
}

// RFC 1034 §3.6.2: a CNAME is alone at its name.
func TestCNAME_isAloneAtItsName(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	put(t, s, "txt.example.com", "v")
	if err := s.PutCNAME(t.Context(), "txt.example.com", "b.test"); !errors.Is(err, ErrConflict) {
		t.Errorf("a CNAME beside a value: %v, want %v", err, ErrConflict)
	}
	putAlias(t, s, "second.example.com", "b.test")
	if err := s.PutTXT(t.Context(), "second.example.com", "v"); !errors.Is(err, ErrConflict) {
		t.Errorf("a value beside a CNAME: %v, want %v", err, ErrConflict)
	}
	if err := s.DeleteTXT(t.Context(), "second.example.com", "v"); err != nil {
		t.Errorf("a delete of a value that is not there: %v", err)
	}
	putAlias(t, s, "second.example.com", "c.test") // in the place of the other
	if err := s.DeleteCNAME(t.Context(), "second.example.com", "b.test"); err != nil {
		t.Error(err)
	}
	if target, err := s.CNAME("second.example.com"); target != "c.test" || err != nil {
		t.Errorf("it leads to %q (%v), want the later one", target, err)
	}
	if err := s.DeleteCNAME(t.Context(), "second.example.com", "c.test"); err != nil {
		t.Error(err)
	}
	put(t, s, "second.example.com", "v")
	if err := s.DeleteTXT(t.Context(), "txt.example.com", "v"); err != nil {
		t.Error(err)
	}
	putAlias(t, s, "txt.example.com", "b.test")
}

// What was acknowledged is there after a restart, and a file of a version that
// knew no CNAMEs opens.
func TestCNAME_survivesInFilesOfOlderVersions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records.db")
	writeBolt(t, path, map[string]string{"old.example.com.": "v"}, nil)
	for n := range 2 {
		store, err := OpenWAL(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := startServer(t, testConfig(), store)
		if n == 0 {
			putAlias(t, s, "new.example.com", "b.test")
			putAlias(t, s, "new.example.com", "c.test")
		}
		if err := s.DeleteCNAME(t.Context(), "new.example.com", "b.test"); err != nil { // which it is not any more
			t.Fatal(err)
		}
		target, err := s.CNAME("new.example.com")
		values, txtErr := s.TXT("old.example.com")
		if err := errors.Join(err, txtErr); err != nil || target != "c.test" || !slices.Equal(values, []string{"v"}) {
			t.Errorf("start %d: the CNAME leads to %q, the values are %q (%v)", n, target, values, err)
		}
		if err := errors.Join(s.Shutdown(t.Context()), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCNAME_overTheAPI(t *testing.T) {
	t.Parallel()
	s := startServer(t, testConfig(), NewMemoryStore())
	const mine = "/v1/cname/_acme-challenge.www.example.com"
	for _, step := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", mine, "", 200, `{"name":"_acme-challenge.www.example.com","value":""}`},
		{"PUT", mine, `{"value":"b.test"}`, 204, ""},
		{"PUT", mine, `{"value":"b.test"}`, 204, ""},
		{"GET", mine, "", 200, `"value":"b.test"`},
		{"PUT", "/v1/txt/_acme-challenge.www.example.com", `{"value":"v"}`, 409, "is a CNAME to b.test"},
		{"DELETE", mine + "?value=b.test", "", 204, ""},
		{"DELETE", mine + "?value=b.test", "", 204, ""},
		{"GET", mine, "", 200, `"value":""`},
	} {
		if w := call(t, s, step.method, step.path, "one-token", step.body); w.Code != step.status || !strings.Contains(w.Body.String(), step.says) {
			t.Errorf("%s %s: %d %s, want %d %s", step.method, step.path, w.Code, w.Body, step.status, step.says)
		}
	}
}
