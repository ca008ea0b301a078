package dnsserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// call sends one request to the API and returns status and body.
func call(t *testing.T, s *Server, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestAPI_refusals(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	const mine = "/v1/txt/_acme-challenge.www.example.com"
	for _, c := range []struct {
		title               string
		method, path, token string
		body                string
		status              int
		says                string
	}{
		{"no token", "PUT", mine, "", `{"value":"v"}`, 401, "has no token"},
		{"an unknown token", "PUT", mine, "guess", `{"value":"v"}`, 401, "is unknown"},
		{"the hash for the token", "PUT", mine, hashOf("all-token"), `{"value":"v"}`, 401, "is unknown"},
		{"no token is told before a bad name", "PUT", "/v1/txt/a..b", "", "", 401, "has no token"},
		{"a name outside the scope", "PUT", "/v1/txt/www.example.com", "one-token", `{"value":"v"}`, 403, `may touch _acme-challenge.www.example.com`},
		{"a name below an exact scope", "PUT", "/v1/txt/a._acme-challenge.www.example.com", "one-token", `{"value":"v"}`, 403, "may not touch"},
		{"reading outside the scope", "GET", "/v1/txt/www.example.com", "one-token", "", 403, "may not touch"},
		{"deleting outside the scope", "DELETE", "/v1/txt/www.example.com?value=v", "one-token", "", 403, "may not touch"},
		{"a name outside every zone", "PUT", "/v1/txt/www.example.org", "one-token", `{"value":"v"}`, 404, "child.example.com, example.com"},
		{"a name that ends in the same letters", "PUT", "/v1/txt/notexample.com", "all-token", `{"value":"v"}`, 404, "outside every zone"},
		{"an empty label", "PUT", "/v1/txt/a..example.com", "all-token", `{"value":"v"}`, 400, "is not a domain name"},
		{"a label too long", "PUT", "/v1/txt/" + strings.Repeat("a", 64) + ".example.com", "all-token", `{"value":"v"}`, 400, "is not a domain name"},
		{"a name in another script", "PUT", "/v1/txt/%C3%A9.example.com", "all-token", `{"value":"v"}`, 400, "xn--"},
		{"a space in a name", "PUT", "/v1/txt/a%20b.example.com", "all-token", `{"value":"v"}`, 400, "space"},
		{"no body", "PUT", mine, "all-token", "", 400, "not the JSON expected"},
		{"another type", "PUT", mine, "all-token", `{"value":1}`, 400, "not the JSON expected"},
		{"another field", "PUT", mine, "all-token", `{"values":["v"]}`, 400, "not the JSON expected"},
		{"no value", "PUT", mine, "all-token", `{}`, 400, "has no value"},
		{"more after the body", "PUT", mine, "all-token", `{"value":"v"}{}`, 400, "goes on"},
		{"not UTF-8", "PUT", mine, "all-token", "{\"value\":\"\xff\"}", 400, "UTF-8"},
		{"a body too large", "PUT", mine, "all-token", `{"value":"` + strings.Repeat("v", maxBody) + `"}`, 413, "shorter value"},
		{"a value too large", "PUT", mine, "all-token", `{"value":"` + strings.Repeat("v", maxSet) + `"}`, 413, "60000 fit"},
		{"a delete of nothing", "DELETE", mine, "all-token", "", 400, "?value="},
		{"a delete of two", "DELETE", mine + "?value=a&value=b", "all-token", "", 400, "?value="},
		{"a delete with a broken query", "DELETE", mine + "?value=%zz", "all-token", "", 400, "?value="},
		{"at a CNAME", "PUT", "/v1/txt/alias.example.com", "all-token", `{"value":"v"}`, 409, "CNAME to www.example.com"},
		{"at a delegation", "PUT", "/v1/txt/sub.example.com", "all-token", `{"value":"v"}`, 409, "sub.example.com is delegated"},
		{"below a delegation", "PUT", "/v1/txt/a.b.sub.example.com", "all-token", `{"value":"v"}`, 409, "sub.example.com is delegated"},
		{"a delete of a configured value", "DELETE", "/v1/txt/www.example.com?value=static+text", "all-token", "", 409, "configuration file"},
		{"a CNAME without a token", "PUT", "/v1/cname/a.example.com", "", `{"value":"b.test"}`, 401, "has no token"},
		{"a CNAME outside the scope", "PUT", "/v1/cname/www.example.com", "one-token", `{"value":"b.test"}`, 403, "may not touch"},
		{"a CNAME outside every zone", "PUT", "/v1/cname/www.example.org", "all-token", `{"value":"b.test"}`, 404, "outside every zone"},
		{"a CNAME to what is no name", "PUT", "/v1/cname/a.example.com", "all-token", `{"value":"b..test"}`, 400, "is not a domain name"},
		{"a CNAME to itself", "PUT", "/v1/cname/a.example.com", "all-token", `{"value":"A.example.com"}`, 409, "lead to itself"},
		{"a CNAME beside configured records", "PUT", "/v1/cname/www.example.com", "all-token", `{"value":"b.test"}`, 409, "beside which there is no CNAME"},
		{"a CNAME at the apex", "PUT", "/v1/cname/example.com", "all-token", `{"value":"b.test"}`, 409, "beside which there is no CNAME"},
		{"a CNAME at a configured one", "PUT", "/v1/cname/alias.example.com", "all-token", `{"value":"b.test"}`, 409, "CNAME to www.example.com"},
		{"a CNAME below a delegation", "PUT", "/v1/cname/a.sub.example.com", "all-token", `{"value":"b.test"}`, 409, "is delegated"},
		{"a delete of no CNAME", "DELETE", "/v1/cname/a.example.com", "all-token", "", 400, "?value="},
		{"another method at a CNAME", "POST", "/v1/cname/a.example.com", "all-token", "", 405, "DELETE, GET, PUT"},
		{"another method", "POST", mine, "all-token", "", 405, "DELETE, GET, PUT"},
		{"another path", "GET", "/v2", "all-token", "", 404, "/v1/txt/"},
	} {
		t.Run(c.title, func(t *testing.T) {
			w := call(t, s, c.method, c.path, c.token, c.body)
			var reply client.ErrorReply
			if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
				t.Fatalf("the body %q is not JSON: %v", w.Body, err)
			}
			if w.Code != c.status || !strings.Contains(reply.Error, c.says) {
				t.Errorf("%d %q, want %d and %q", w.Code, reply.Error, c.status, c.says)
			}
			if got := w.Header().Get("WWW-Authenticate") != ""; got != (c.status == 401) {
				t.Errorf("WWW-Authenticate: %q", w.Header().Get("WWW-Authenticate"))
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type: %q", got)
			}
		})
	}
}

func TestAPI_storageFaultIs503(t *testing.T) {
	store := &faultyStore{MemoryStore: NewMemoryStore()}
	s := startServer(t, testConfig(), store)
	put(t, s, "a.example.com", "kept")
	store.apply = errDisk
	for _, w := range []*httptest.ResponseRecorder{
		call(t, s, "PUT", "/v1/txt/a.example.com", "all-token", `{"value":"v"}`),
		call(t, s, "DELETE", "/v1/txt/a.example.com?value=kept", "all-token", ""),
	} {
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "storage is at fault") {
			t.Errorf("%d %s, want 503", w.Code, w.Body)
		}
	}
}

func TestAPI_healthNeedsNoTokenAndKnowsWhetherItServes(t *testing.T) {
	s, err := New(testConfig(), NewMemoryStore(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, s, "GET", "/healthz", "", "").Code; got != http.StatusServiceUnavailable {
		t.Errorf("before Start: %d, want 503", got)
	}
	if got := call(t, s, "GET", "/v1/txt/a.example.com", "all-token", "").Code; got != http.StatusServiceUnavailable {
		t.Errorf("a record before Start: %d, want 503", got)
	}
	if got := call(t, startServer(t, testConfig(), NewMemoryStore()), "GET", "/healthz", "", "").Code; got != http.StatusOK {
		t.Errorf("after Start: %d, want 200", got)
	}
}

func TestAPI_logsNeitherTokenNorValue(t *testing.T) {
	var log bytes.Buffer
	config := testConfig()
	config.LogQueries = true
	s, err := New(config, NewMemoryStore(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	call(t, s, "PUT", "/v1/txt/a.example.com", "all-token", `{"value":"the-value"}`)
	call(t, s, "PUT", "/v1/txt/a.example.com", "wrong-token", `{"value":"the-value"}`)
	call(t, s, "DELETE", "/v1/txt/a.example.com?value=the-value", "all-token", "")
	exchange(t, "tcp", s.Addr().String(), wire(t, ask("a.example.com. TXT")))
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"all-token", "wrong-token", "the-value"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, &log)
		}
	}
	for _, said := range []string{"method=PUT name=a.example.com token=all", "name=a.example.com. type=TXT rcode=NXDOMAIN"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q:\n%s", said, &log)
		}
	}
}

// newClient serves the API on loopback and returns a client of it.
func newClient(t *testing.T, s *Server, token string) *client.Client {
	t.Helper()
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	c, err := client.New(web.URL, token, web.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPI_putAndDeleteLeaveSiblingsAlone(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	c := newClient(t, s, "one-token")
	const name = "_Acme-Challenge.WWW.example.com."
	values := func(want ...string) {
		t.Helper()
		got, err := c.Values(t.Context(), name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("values %q, %v; want %q", got, err, want)
		}
		reply := unwire(t, exchange(t, "udp", s.Addr().String(), wire(t, ask("_acme-challenge.www.example.com. TXT"))))
		if len(reply.Answer) != len(want) {
			t.Errorf("DNS answers %d values, want %d", len(reply.Answer), len(want))
		}
		if len(want) == 0 && reply.Rcode != dns.RcodeNameError {
			t.Errorf("rcode %s, want NXDOMAIN", dns.RcodeToString[reply.Rcode])
		}
	}
	do := func(act func(ctx context.Context, name, value string) error, value string) {
		t.Helper()
		if err := act(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	values()
	do(c.Put, "One")
	do(c.Put, "two & <three> = ü")
	do(c.Put, "One")
	values("One", "two & <three> = ü")
	do(c.Delete, "two & <three> = ü")
	do(c.Delete, "two & <three> = ü")
	do(c.Delete, "one") // values keep their case
	values("One")
	do(c.Delete, "One")
	values()
}

func TestAPI_emptyNonTerminalsComeAndGo(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	rcode := func(name string, want int) {
		t.Helper()
		if got := s.view.Load().answer(question{name, dns.TypeTXT}).rcode; got != want {
			t.Errorf("%s: %s, want %s", name, dns.RcodeToString[got], dns.RcodeToString[want])
		}
	}
	put(t, s, "a.b.c.example.com", "v")
	put(t, s, "x.b.c.example.com", "v", "w")
	rcode("b.c.example.com.", dns.RcodeSuccess)
	if err := s.DeleteTXT(t.Context(), "a.b.c.example.com", "v"); err != nil {
		t.Fatal(err)
	}
	rcode("a.b.c.example.com.", dns.RcodeNameError)
	rcode("c.example.com.", dns.RcodeSuccess)
	for _, value := range []string{"v", "w"} {
		if err := s.DeleteTXT(t.Context(), "x.b.c.example.com", value); err != nil {
			t.Fatal(err)
		}
	}
	rcode("b.c.example.com.", dns.RcodeNameError)
	rcode("c.example.com.", dns.RcodeNameError)
}

// TestServer_concurrentChangesAreVisibleWhenAcknowledged has writers that look
// up what they wrote, beside readers and a pair that fight over one name. In
// the end store and view agree.
func TestServer_concurrentChangesAreVisibleWhenAcknowledged(t *testing.T) {
	store := NewMemoryStore()
	s := startServer(t, testConfig(), store)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("n%d.w%d.example.com", i%5, w)
				value := fmt.Sprint(i)
				if err := s.PutTXT(ctx, name, value); err != nil {
					t.Error(err)
					return
				}
				if got, err := s.TXT(name); err != nil || !slices.Contains(got, value) {
					t.Errorf("%s was acknowledged, TXT = %q, %v", value, got, err)
				}
				if i%2 == 0 {
					if err := s.DeleteTXT(ctx, name, value); err != nil {
						t.Error(err)
					}
				}
				var err error
				if i%3 == 0 {
					err = s.DeleteTXT(ctx, "fought.example.com", "v")
				} else {
					err = s.PutTXT(ctx, "fought.example.com", "v")
				}
				if err != nil {
					t.Error(err)
				}
				s.view.Load().answer(question{"missing.w0.example.com.", dns.TypeTXT})
			}
		})
	}
	all.Wait()
	stored := newView(s.zones)
	if err := store.Load(t.Context(), func(b Batch) error { stored = stored.loaded(b); return nil }); err != nil {
		t.Fatal(err)
	}
	v := s.view.Load()
	for l := range v.table.all() {
		if other := stored.table.get(l.name()); other == nil || *other != *l {
			t.Errorf("the view has %q, the store %v", l.text(), other)
		}
	}
	if got, want := stored.count(), v.count(); got != want {
		t.Errorf("the store has %d records, the view %d", got, want)
	}
}

func TestServer_changesAfterShutdownAreRefused(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.PutTXT(t.Context(), "a.example.com", "v"); !errors.Is(err, ErrStopped) {
		t.Errorf("put: %v, want ErrStopped", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("a second shutdown: %v", err)
	}
}

func TestServer_severalAddressesAndServersInOneProcess(t *testing.T) {
	for range 3 {
		s, err := New(testConfig(), NewMemoryStore(), nil)
		if err != nil {
			t.Fatal(err)
		}
		addrs := []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"}
		if err := s.Start(t.Context(), addrs...); err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		defer func() { _ = s.Shutdown(context.Background()) }()
		for i, addr := range s.Addrs() {
			host := addr.String()
			switch i {
			case 2:
				host = fmt.Sprintf("127.0.0.1:%d", addr.Port())
				if runtime.GOOS == "linux" { // a connected socket takes the reply from this address only
					host = fmt.Sprintf("127.0.0.2:%d", addr.Port())
				}
			case 3:
				host = fmt.Sprintf("[::1]:%d", addr.Port())
			}
			request := wire(t, ask("www.example.com. A"))
			for _, network := range []string{"udp", "tcp"} {
				checkEcho(t, request, exchange(t, network, host, request))
			}
		}
	}
}
