//go:build unix

package challenge

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/internal/challenge/bindtest"
)

// conformPublisher holds a Publisher to its contract; at reads the values of a
// name below the zone.
func conformPublisher(t *testing.T, p Publisher, zone string, at func(name string) []string) {
	t.Helper()
	name, other := "_acme-challenge.a."+zone, "_acme-challenge.b."+zone
	want := func(sentence, name string, values ...string) {
		t.Helper()
		got := at(name)
		slices.Sort(got)
		if !slices.Equal(got, values) {
			t.Errorf("%s: %s has %q, want %q", sentence, name, got, values)
		}
	}
	do := func(sentence string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
	}
	do("withdraw what nobody published", p.Withdraw(t.Context(), name, "1"))
	for range 2 {
		for _, value := range []string{"1", "2", "3"} {
			do("publish", p.Publish(t.Context(), name, value))
		}
	}
	do("publish at another name", p.Publish(t.Context(), other, "1"))
	want("published twice", name, "1", "2", "3")
	for range 2 {
		do("withdraw one of them", p.Withdraw(t.Context(), name, "2"))
		want("one was withdrawn", name, "1", "3")
	}
	do("publish it again", p.Publish(t.Context(), name, "2"))
	for _, value := range []string{"3", "2", "1"} {
		do("withdraw all", p.Withdraw(t.Context(), name, value))
	}
	want("all were withdrawn", name)
	want("those of the other name were not", other, "1")
	do("withdraw that", p.Withdraw(t.Context(), other, "1"))
	want("that was withdrawn", other)
}

// conformAliasPublisher holds an AliasPublisher to its contract; at reads the
// CNAME of a name below the zone.
func conformAliasPublisher(t *testing.T, p AliasPublisher, zone string, at func(name string) string) {
	t.Helper()
	name := "_f3a9.a." + zone
	do := func(sentence string, err error, want string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
		if got := at(name); got != want {
			t.Errorf("%s: %s leads to %q, want %q", sentence, name, got, want)
		}
	}
	do("withdraw what nobody published", p.WithdrawAlias(t.Context(), name, "one.dcv.test"), "")
	for range 2 {
		do("publish", p.PublishAlias(t.Context(), name, "one.dcv.test"), "one.dcv.test")
	}
	do("withdraw another one", p.WithdrawAlias(t.Context(), name, "two.dcv.test"), "one.dcv.test")
	do("publish in its place", p.PublishAlias(t.Context(), name, "two.dcv.test"), "two.dcv.test")
	do("withdraw the one before", p.WithdrawAlias(t.Context(), name, "one.dcv.test"), "two.dcv.test")
	for range 2 {
		do("withdraw it", p.WithdrawAlias(t.Context(), name, "two.dcv.test"), "")
	}
}

// companionUpdater publishes at a companion by dynamic updates.
func companionUpdater(t testing.TB, server *dnsserver.Server) *UpdatePublisher {
	t.Helper()
	return newUpdater(t, &bindtest.Server{Address: server.Addr().String(), Secret: companionSecret})
}

func TestAliasPublishers_conform(t *testing.T) {
	t.Parallel()
	t.Run("responder", func(t *testing.T) {
		t.Parallel()
		server, api, _ := newCompanion(t)
		conformAliasPublisher(t, newResponder(t, api.URL, token), "auth.test", func(name string) string {
			target, err := server.CNAME(name)
			if err != nil {
				t.Fatal(err)
			}
			return target
		})
	})
	t.Run("rfc2136", func(t *testing.T) {
		t.Parallel()
		server := bindtest.Run(t)
		conformAliasPublisher(t, newUpdater(t, server), bindtest.Zone, func(name string) string { return server.CNAME(t, name) })
	})
	t.Run("rfc2136 at the responder", func(t *testing.T) {
		t.Parallel()
		server, _, _ := newCompanion(t)
		conformAliasPublisher(t, companionUpdater(t, server), "auth.test", func(name string) string {
			target, err := server.CNAME(name)
			if err != nil {
				t.Fatal(err)
			}
			return target
		})
	})
}

// A CNAME is written where it is asked for, and waited for at all name servers.
func TestAlias_isPresentedAndSeen(t *testing.T) {
	t.Parallel()
	server := bindtest.Run(t)
	s := newSolver(&Resolver{Servers: []string{server.Address}, AuthoritativePort: server.Port}, newUpdater(t, server), 20*time.Second)
	if !s.Writes(CNAME) || !s.Writes(TXT) || s.Writes("FILE") {
		t.Errorf("writes CNAME %t, TXT %t, FILE %t", s.Writes(CNAME), s.Writes(TXT), s.Writes("FILE"))
	}
	records, err := s.Locate(t.Context(), []Record{
		{Type: CNAME, Domain: "a.example.test", Name: "_f3a9.a.example.test", Value: "one.DCV.test"},
		{Type: TXT, Domain: "b.example.test", Name: "_dnsauth.b.example.test", Value: "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Present(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := server.CNAME(t, "_f3a9.a.example.test"); !strings.EqualFold(got, "one.dcv.test") {
		t.Errorf("it leads to %q", got)
	}
	wantTXT(t, server, "_dnsauth.b.example.test", "1")
	if err := s.Withdraw(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := server.CNAME(t, "_f3a9.a.example.test"); got != "" {
		t.Errorf("it still leads to %q", got)
	}
}

func TestPublishers_conform(t *testing.T) {
	t.Parallel()
	t.Run("responder", func(t *testing.T) {
		t.Parallel()
		server, api, _ := newCompanion(t)
		conformPublisher(t, newResponder(t, api.URL, token), "auth.test", func(name string) []string {
			values, err := server.TXT(name + ".")
			if err != nil {
				t.Fatal(err)
			}
			return values
		})
	})
	t.Run("rfc2136", func(t *testing.T) {
		t.Parallel()
		server := bindtest.Run(t)
		conformPublisher(t, newUpdater(t, server), bindtest.Zone, func(name string) []string { return server.TXT(t, name) })
	})
	t.Run("rfc2136 at the responder", func(t *testing.T) {
		t.Parallel()
		server, _, _ := newCompanion(t)
		conformPublisher(t, companionUpdater(t, server), "auth.test", func(name string) []string {
			values, err := server.TXT(name + ".")
			if err != nil {
				t.Fatal(err)
			}
			return values
		})
	})
}

// conformSolver holds a Solver to its contract; visible asks as a CA does.
func conformSolver(t *testing.T, s Solver, zone string, visible func(r Record) bool) {
	t.Helper()
	records := newRecords(t, s.Type(), "a."+zone, "b."+zone, "c."+zone, "never."+zone)
	want := func(sentence string, seen ...bool) {
		t.Helper()
		for n, r := range records {
			if got := visible(r); got != seen[n] {
				t.Errorf("%s: the record of %s is visible: %t, want %t", sentence, r.Domain, got, seen[n])
			}
		}
	}
	do := func(sentence string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", sentence, err)
		}
	}
	if locator, ok := s.(Locator); ok {
		located, err := locator.Locate(t.Context(), records)
		do("locate", err)
		records = located
		want("located", false, false, false, false)
	}
	do("withdraw what nobody presented", s.Withdraw(t.Context(), records))
	for range 2 {
		do("present two", s.Present(t.Context(), records[:2]))
	}
	do("present one more", s.Present(t.Context(), records[2:3]))
	want("three were presented", true, true, true, false)
	for range 2 {
		do("withdraw the first", s.Withdraw(t.Context(), records[:1]))
		want("one was withdrawn", false, true, true, false)
	}
	for range 2 {
		do("withdraw all", s.Withdraw(t.Context(), records))
		want("all were withdrawn", false, false, false, false)
	}
	do("present again", s.Present(t.Context(), records[:1]))
	want("one was presented again", true, false, false, false)
	do("withdraw it", s.Withdraw(t.Context(), records[:1]))
	want("it was withdrawn", false, false, false, false)
}

func TestSolvers_conform(t *testing.T) {
	t.Parallel()
	t.Run("dns-01", func(t *testing.T) {
		t.Parallel()
		server, api, r := newCompanion(t)
		conformSolver(t, newSolver(r, newResponder(t, api.URL, token), 10*time.Second), "auth.test", func(r Record) bool {
			values, err := server.TXT(r.Target + ".")
			return err == nil && slices.Contains(values, r.Value)
		})
	})
	t.Run("http-01 that listens", func(t *testing.T) {
		t.Parallel()
		s := newHTTP01(t)
		conformSolver(t, s, "test", func(r Record) bool { return shown(s.address, r) })
		wantNobody(t, s.address)
	})
	t.Run("http-01 with a webroot", func(t *testing.T) {
		t.Parallel()
		root := t.TempDir()
		server := httptest.NewServer(http.FileServer(http.Dir(root)))
		defer server.Close()
		conformSolver(t, NewWebrootSolver(root), "test", func(r Record) bool { return shown(server.Listener.Addr().String(), r) })
		if left := tree(t, root); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	t.Run("tls-alpn-01", func(t *testing.T) {
		t.Parallel()
		s := newTLSALPN01(t)
		conformSolver(t, s, "test", func(r Record) bool {
			leaf, err := shake(s.address, r, alpnProtocol)
			return err == nil && slices.Equal(leaf.DNSNames, []string{r.Domain})
		})
		wantNobody(t, s.address)
	})
}

// shown reports whether a server shows the file of a record.
func shown(address string, r Record) bool {
	response, err := http.Get("http://" + address + r.path())
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	text := make([]byte, len(r.Value)+1)
	n, _ := response.Body.Read(text)
	return response.StatusCode == http.StatusOK && string(text[:n]) == r.Value
}
