package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
	"github.com/certiform/terraform-provider-certificate/dnsserver/postgres/postgrestest"
	"github.com/certiform/terraform-provider-certificate/dnsserver/storetest"
)

// answers are the TXT values that a server gives over UDP, as one word, or the
// rcode.
func answers(t *testing.T, s *dnsserver.Server, name string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	reply, err := dns.Exchange(m, s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			all = append(all, strings.Join(txt.Txt, ""))
		}
	}
	if len(all) == 0 {
		return dns.RcodeToString[reply.Rcode]
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestServers_takeChangesSideBySide(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	storeA, storeB := join(t, address, "a"), join(t, address, "b")
	a, b := serve(t, storeA), serve(t, storeB)
	put(t, a, "x.auth.example.com", "from-a")
	eventually(t, "b shows what a took", func() bool { return answers(t, b, "x.auth.example.com") == "from-a" })
	put(t, b, "x.auth.example.com", "from-b")
	if got := answers(t, b, "x.auth.example.com"); got != "from-a from-b" {
		t.Errorf("b answers %s at once, want both", got)
	}
	eventually(t, "a shows what b took", func() bool { return answers(t, a, "x.auth.example.com") == "from-a from-b" })
	if serial(t, a) != serial(t, b) {
		t.Errorf("serials are %d and %d", serial(t, a), serial(t, b))
	}
	// A conflict is seen wherever the other record came from.
	if err := b.PutCNAME(t.Context(), "x.auth.example.com", "elsewhere.example."); !errors.Is(err, dnsserver.ErrConflict) {
		t.Errorf("PutCNAME: %v, want ErrConflict", err)
	}
	if err := a.DeleteTXT(t.Context(), "x.auth.example.com", "from-b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the delete is followed", func() bool { return answers(t, b, "x.auth.example.com") == "from-a" })
}

// Under changes of both at once, at the same names, both come to the same.
func TestServers_concurrentChangesConverge(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	stores := []*Store{join(t, address, "a"), join(t, address, "b")}
	servers := []*dnsserver.Server{serve(t, stores[0]), serve(t, stores[1])}
	const workers, rounds, names = 8, 40, 10
	name := func(n int) string { return fmt.Sprintf("n%d.auth.example.com", n%names) }
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			s := servers[w%2]
			for n := range rounds {
				value := fmt.Sprintf("v%d", (w*7+n)%13)
				err := s.PutTXT(t.Context(), name(n+w), value)
				if n%3 == 0 {
					err = errors.Join(err, s.DeleteTXT(t.Context(), name(n), value))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	working.Wait()
	eventually(t, "both are equally far", func() bool {
		return stores[0].Condition().Sequence == stores[1].Condition().Sequence && serial(t, servers[0]) == serial(t, servers[1])
	})
	for n := range names {
		if one, other := values(t, servers[0], name(n)), values(t, servers[1], name(n)); one != other {
			t.Errorf("%s: %s at one, %s at the other", name(n), one, other)
		}
	}
	// A third that only loads sees the same.
	third := serve(t, join(t, address, "c"))
	for n := range names {
		if one, other := values(t, servers[0], name(n)), values(t, third, name(n)); one != other {
			t.Errorf("%s: %s at one, %s in the database", name(n), one, other)
		}
	}
}

// api is the HTTP API of a server.
func api(t *testing.T, s *dnsserver.Server) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return web
}

// get returns status, headers and body.
func get(t *testing.T, method, url, body string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer token")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, reply.Header, string(text)
}

func TestServer_answersWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for title, stop := range map[string]func(*testing.T, *postgrestest.Server) (back func()){
		"it is stopped": func(t *testing.T, s *postgrestest.Server) func() { return restart(t, s, s.Stop) },
		"it crashes":    func(t *testing.T, s *postgrestest.Server) func() { return restart(t, s, s.Crash) },
		"it hangs":      func(t *testing.T, s *postgrestest.Server) func() { return s.Freeze(t) },
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			database := postgrestest.Run(t, "fsync=on")
			store := open(t, database.Database(t), "a")
			store.times.connect, store.times.turn = time.Second, 2*time.Second
			if err := store.Join(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := serve(t, store)
			web := api(t, s)
			put(t, s, "x.auth.example.com", "before")
			back := stop(t, database)
			eventually(t, "the loss is noticed", func() bool { code, _, _ := get(t, "GET", web.URL+"/readyz", ""); return code == 503 })
			if got := answers(t, s, "x.auth.example.com"); got != "before" {
				t.Errorf("answered %s while the database is away", got)
			}
			code, header, text := get(t, "PUT", web.URL+"/v1/txt/x.auth.example.com", `{"value":"during"}`)
			if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(text, "database") || strings.Contains(text, postgrestest.Password) {
				t.Errorf("a change: %d, Retry-After %q, %s", code, header.Get("Retry-After"), text)
			}
			if _, _, text := get(t, "GET", web.URL+"/readyz", ""); !strings.Contains(text, "queries are answered as of") || !strings.Contains(text, "database") {
				t.Errorf("readyz: %s", text)
			}
			if _, _, text := get(t, "GET", web.URL+"/metrics", ""); !strings.Contains(text, "certificate_dns_storage_available 0\n") {
				t.Errorf("metrics do not say so:\n%s", text)
			}
			back()
			eventually(t, "the server is ready again", func() bool { code, _, _ := get(t, "GET", web.URL+"/readyz", ""); return code == 200 })
			put(t, s, "x.auth.example.com", "after")
			if got := strings.Join(storetest.Contents(t, store), "\n"); !strings.Contains(got, "before") || !strings.Contains(got, "after") || strings.Contains(got, "during") {
				t.Errorf("the database holds %s", got)
			}
		})
	}
}

// restart stops a database, and returns what starts it again.
func restart(t *testing.T, s *postgrestest.Server, stop func() error) (back func()) {
	t.Helper()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := s.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}

// What comes while nobody listens is caught as soon as somebody does, and
// nothing is refused meanwhile.
func TestServers_theListeningConnectionEnds(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	store := open(t, address, "b")
	store.times.heartbeat = time.Hour // announcements alone have to do
	if err := store.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := serve(t, join(t, address, "a")), serve(t, store)
	for n := range 3 {
		postgrestest.Query(t, address, "SELECT pg_terminate_backend(pid) FROM certificate_dns.server WHERE name = 'b'")
		value := fmt.Sprint("v", n)
		put(t, a, "x.auth.example.com", value)
		put(t, b, "y.auth.example.com", value)
		eventually(t, "b shows what it missed", func() bool { return strings.Contains(values(t, b, "x.auth.example.com"), value) })
		eventually(t, "b listens again", func() bool { return store.Condition().Reconnects > uint64(n) })
	}
}

// Both servers load everything when all was replaced under them.
func TestServers_loadAnewWhatTheyCannotFollow(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	storeA := join(t, address, "a")
	a, b := serve(t, storeA), serve(t, join(t, address, "b"))
	put(t, a, "old.auth.example.com", "v")
	tool := open(t, address, "tool")
	err := tool.Replace(t.Context(), func(old iter.Seq2[dnsserver.Batch, error]) iter.Seq2[dnsserver.Batch, error] {
		var kept []dnsserver.Batch
		for b, err := range old {
			if err != nil {
				t.Error(err)
			}
			b.Changes = nil
			kept = append(kept, b)
		}
		return sequence(append(kept, record("new.auth.example.com.")))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dnsserver.Server{a, b} {
		eventually(t, "a server has loaded anew", func() bool {
			return answers(t, s, "new.auth.example.com") == "v" && answers(t, s, "old.auth.example.com") == "NXDOMAIN"
		})
	}
	if n := storeA.Condition().Gaps; n == 0 {
		t.Errorf("%d gaps", n)
	}
	put(t, a, "x.auth.example.com", "v")
	eventually(t, "b goes on following", func() bool { return answers(t, b, "x.auth.example.com") == "v" })
}

// A database that is put back to an earlier state, as by a failover that lost
// commits, has the last word on records; serials go on from what was served.
func TestServers_theDatabaseIsPutBack(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	a, b := serve(t, join(t, address, "a")), serve(t, join(t, address, "b"))
	put(t, a, "x.auth.example.com", "kept")
	for _, table := range []string{"head", "record", "document", "change"} {
		postgrestest.Query(t, address, "CREATE TABLE public."+table+" AS TABLE certificate_dns."+table)
	}
	for n := range 3 {
		put(t, a, "x.auth.example.com", fmt.Sprint("lost", n))
	}
	eventually(t, "b shows them", func() bool { return answers(t, b, "x.auth.example.com") == "kept lost0 lost1 lost2" })
	last := serial(t, a)
	postgrestest.Query(t, address, `DO $$ BEGIN
  LOCK certificate_dns.head;
  DELETE FROM certificate_dns.head; DELETE FROM certificate_dns.record; DELETE FROM certificate_dns.document; DELETE FROM certificate_dns.change;
  INSERT INTO certificate_dns.head SELECT * FROM public.head; INSERT INTO certificate_dns.record SELECT * FROM public.record;
  INSERT INTO certificate_dns.document SELECT * FROM public.document; INSERT INTO certificate_dns.change SELECT * FROM public.change;
END $$`)
	for _, s := range []*dnsserver.Server{a, b} {
		eventually(t, "a server shows the earlier state", func() bool { return answers(t, s, "x.auth.example.com") == "kept" })
		eventually(t, "its serial has gone on", func() bool { return int32(serial(t, s)-last) > 0 })
	}
	eventually(t, "serials agree", func() bool { return serial(t, a) == serial(t, b) })
	put(t, b, "x.auth.example.com", "later")
	eventually(t, "a follows b", func() bool { return answers(t, a, "x.auth.example.com") == "kept later" })
}

func sequence(all []dnsserver.Batch) iter.Seq2[dnsserver.Batch, error] {
	return func(yield func(dnsserver.Batch, error) bool) {
		for _, b := range all {
			if !yield(b, nil) {
				return
			}
		}
	}
}

func TestServers_expiryAndAccounts(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	storeB := join(t, address, "b")
	a, b := serve(t, join(t, address, "a")), serve(t, storeB)
	before := storeB.Condition().Sequence
	c := record("soon.auth.example.com.").Changes[0]
	c.Expires = time.Now().Add(2 * time.Second).Unix()
	if err := a.Change(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it came to b, and went", func() bool { return storeB.Condition().Sequence >= before+2 })
	for _, s := range []*dnsserver.Server{a, b} {
		eventually(t, "it expires", func() bool { return answers(t, s, "soon.auth.example.com") == "NXDOMAIN" })
	}
	if serial(t, a) != serial(t, b) {
		t.Errorf("serials are %d and %d", serial(t, a), serial(t, b))
	}
	// An account that one server registered, the other knows.
	webA, webB := api(t, a), api(t, b)
	d, err := newClient(t, webA).Register(t.Context(), client.Registration{Domain: "www.shop.test", Subdomain: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "b knows the account", func() bool { _, err := newClient(t, webB).Delegation(t.Context(), "www.shop.test"); return err == nil })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, webB.URL+"/update", strings.NewReader(`{"subdomain":"shop","txt":"`+strings.Repeat("x", 43)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-User", d.Username)
	request.Header.Set("X-Api-Key", d.Password)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		t.Errorf("update at b: %s", reply.Status)
	}
	eventually(t, "a shows the value", func() bool { return answers(t, a, "shop.auth.example.com") == strings.Repeat("x", 43) })
	status, err := newClient(t, webA).Status(t.Context())
	if err != nil || len(status.Storage.Servers) != 2 || !status.Storage.Available || !status.Storage.Servers[0].Here || !status.Storage.Servers[0].Alive {
		t.Errorf("status: %+v, %v", status, err)
	}
	if _, _, text := get(t, "GET", webA.URL+"/metrics", ""); !strings.Contains(text, `certificate_dns_server_sequence{server="b"}`) {
		t.Errorf("metrics lack the other server:\n%s", text)
	}
}

func newClient(t *testing.T, web *httptest.Server) *client.Client {
	t.Helper()
	c, err := client.New(web.URL, "token", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A server whose first turn fails does not start: what it would answer might be
// another's past.
func TestServer_doesNotStartWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	address := shared.Server(t).Database(t)
	p := startProxy(t, hostOf(t, address))
	store := open(t, through(t, address, p.address()), "a")
	p.set(func() { p.refusing = true })
	p.cut()
	s, err := dnsserver.New(config(), store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); !errors.Is(err, dnsserver.ErrStorage) || !strings.Contains(err.Error(), p.address()) {
		t.Errorf("Start: %v, want ErrStorage that names the database", err)
		_ = s.Shutdown(context.WithoutCancel(t.Context()))
	}
}
