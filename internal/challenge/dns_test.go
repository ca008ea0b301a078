package challenge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestPresent_withTheRealResponder(t *testing.T) {
	t.Parallel()
	server, api, r := newCompanion(t)
	s := newSolver(r, newResponder(t, api.URL, token), 10*time.Second)
	located, err := s.Locate(t.Context(), []Record{
		record("www.auth.test", "apex"), record("www.auth.test", "wildcard"), record("linked.auth.test", "linked"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if located[2].Target != "here.auth.test" || located[2].Name != "_acme-challenge.linked.auth.test" || located[0].Target != located[0].Name {
		t.Errorf("located %+v", located)
	}
	for range 2 { // again is no error
		if err := s.Present(t.Context(), located); err != nil {
			t.Fatal(err)
		}
	}
	wantValues(t, server.TXT, "_acme-challenge.www.auth.test.", "apex", "wildcard")
	wantValues(t, server.TXT, "here.auth.test.", "linked")
	for range 2 {
		if err := s.Withdraw(t.Context(), located[1:]); err != nil {
			t.Fatal(err)
		}
	}
	wantValues(t, server.TXT, "_acme-challenge.www.auth.test.", "apex")
	wantValues(t, server.TXT, "here.auth.test.")
}

func wantValues(t *testing.T, txt func(string) ([]string, error), name string, want ...string) {
	t.Helper()
	got, err := txt(name)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s has %q, %v, want %q", name, got, err, want)
	}
}

func TestPresent_manyValuesAtOneName(t *testing.T) {
	t.Parallel()
	_, api, r := newCompanion(t)
	s := newSolver(r, newResponder(t, api.URL, token), 10*time.Second)
	var records []Record
	for n := range 60 { // more than fit a UDP answer
		records = append(records, record("www.auth.test", fmt.Sprintf("%043d", n)))
	}
	if err := s.Present(t.Context(), records); err != nil {
		t.Error(err)
	}
}

// published copies what is published to some servers only.
func TestPresent_waitsForTheLastServer(t *testing.T) {
	t.Parallel()
	r, first, second := newZone(t)
	second.put("_acme-challenge.example.test", "another value")
	s := newSolver(r, both{first}, 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- s.Present(t.Context(), []Record{record("example.test", "value")}) }()
	for range 4 { // looked at, found to lag, looked at again
		select {
		case <-second.seen:
		case err := <-done:
			t.Fatalf("it returned %v before the second server had the record", err)
		case <-time.After(10 * time.Second):
			t.Fatal("the second server is not asked")
		}
	}
	second.put("_acme-challenge.example.test", "value")
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("it does not return though all servers have the record")
	}
}

func TestPresent_namesTheServerThatLags(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		twist func(q, answer *dns.Msg) *dns.Msg
		says  string
	}{
		"it never gets the value": {nil, "does not have the value yet (it has 1 other values)"},
		"it refuses":              {func(_, answer *dns.Msg) *dns.Msg { answer.Rcode = dns.RcodeRefused; return answer }, "answers REFUSED"},
		"it fails":                {func(_, answer *dns.Msg) *dns.Msg { answer.Rcode = dns.RcodeServerFailure; return answer }, "answers SERVFAIL"},
		"it is not authoritative": {
			func(_, answer *dns.Msg) *dns.Msg { answer.Authoritative = false; return answer },
			"does not answer with authority",
		},
		"it says that there is no such name": {
			func(_, answer *dns.Msg) *dns.Msg {
				answer.Rcode, answer.Answer = dns.RcodeNameError, nil
				return answer
			},
			"does not have the value yet (it has 0 other values)",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			r, first, second := newZone(t)
			second.put("_acme-challenge.example.test", "another value")
			second.set(test.twist)
			s := newSolver(r, both{first}, 300*time.Millisecond)
			err := s.Present(t.Context(), []Record{record("example.test", "value")})
			wantParts(t, err, "ns2.test.", second.addr, test.says, "_acme-challenge.example.test", "300ms")
			if err != nil && strings.Contains(err.Error(), "ns1.test.") {
				t.Errorf("error %q names the server that is right", err)
			}
		})
	}
}

// When the patience ends in the middle of a look, what the last whole look
// found is told.
func TestPresent_tellsWhatTheLastWholeLookFound(t *testing.T) {
	t.Parallel()
	r, first, second := newZone(t)
	answered := false
	second.set(func(_, answer *dns.Msg) *dns.Msg {
		if answered {
			return nil
		}
		answered = true
		return answer
	})
	s := newSolver(r, both{first}, 300*time.Millisecond)
	err := s.Present(t.Context(), []Record{record("example.test", "value")})
	wantParts(t, err, "ns2.test.", "does not have the value yet")
}

func TestPresent_aServerThatIsDown(t *testing.T) {
	t.Parallel()
	r, first, _ := newZone(t)
	r.Servers = []string{newServersWith(t, first, "127.0.0.9")}
	s := newSolver(r, both{first}, 300*time.Millisecond)
	err := s.Present(t.Context(), []Record{record("example.test", "value")})
	wantParts(t, err, "ns2.test.", "127.0.0.9", "refused")
}

// newServersWith is a resolver that has the first name server and another
// address for the second.
func newServersWith(t *testing.T, first *nameserver, second string) string {
	t.Helper()
	recursive := newServers(t, 1)[0]
	host, _, err := net.SplitHostPort(first.addr)
	if err != nil {
		t.Fatal(err)
	}
	recursive.add(t, "example.test."+soa, "example.test. NS ns1.test.", "example.test. NS ns2.test.", "ns1.test. A "+host)
	if strings.Contains(second, ":") {
		recursive.add(t, "ns2.test. AAAA "+second)
	} else {
		recursive.add(t, "ns2.test. A "+second)
	}
	return recursive.addr
}

func TestPresent_passesOverAddressesWithoutARoute(t *testing.T) {
	t.Parallel()
	r, first, _ := newZone(t)
	recursive := newServers(t, 1)[0]
	recursive.add(t, "example.test."+soa, "example.test. NS ns1.test.", "ns1.test. A 127.0.0.2", "ns1.test. AAAA 2001:db8::2")
	r.Servers = []string{recursive.addr}
	ipv6 := fmt.Sprintf("[2001:db8::2]:%d", r.AuthoritativePort)
	s := newSolver(unreachable(r, ipv6), both{first}, 5*time.Second)
	if err := s.Present(t.Context(), []Record{record("example.test", "value")}); err != nil {
		t.Errorf("only the IPv6 address has no route: %v", err)
	}
	// But a server that cannot be asked at all has not answered.
	s = newSolver(unreachable(r, ipv6, first.addr), both{first}, 300*time.Millisecond)
	wantParts(t, s.Present(t.Context(), []Record{record("example.test", "value")}), "ns1.test.", "2001:db8::2", first.addr, "unreachable")
}

func TestPresent_publisherFails(t *testing.T) {
	t.Parallel()
	r, first, _ := newZone(t)
	s := newSolver(r, &flaky{fails: map[string]bool{"bad": true}}, time.Minute)
	if err := s.Present(t.Context(), []Record{record("example.test", "good"), record("example.test", "bad")}); !errors.Is(err, errInjected) {
		t.Errorf("%v, want %v", err, errInjected)
	}
	if first.asked != 0 {
		t.Errorf("%d questions about records that are not published", first.asked)
	}
}

func TestPresent_rememberTheServersOfAZone(t *testing.T) {
	t.Parallel()
	r, first, second := newZone(t)
	s := newSolver(r, both{first, second}, 5*time.Second)
	if err := s.Present(t.Context(), []Record{record("example.test", "one")}); err != nil {
		t.Fatal(err)
	}
	known := s.zones["example.test."]
	if len(known.servers) != 2 || time.Until(known.until) <= 0 {
		t.Errorf("remembered %+v", known)
	}
}

// The answer that ends the chain of CNAMEs tells the zone, and its servers are
// looked up once for all names: each name costs the resolver one question.
func TestPresent_asksTheResolverOnceForEachName(t *testing.T) {
	t.Parallel()
	r, first, second := newZone(t)
	asked := count(t, r)
	s := newSolver(r, both{first, second}, 5*time.Second)
	var records []Record
	for n := range 30 {
		records = append(records, record(fmt.Sprintf("n%d.example.test", n), "value"))
	}
	located, err := s.Locate(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Present(t.Context(), located); err != nil {
		t.Fatal(err)
	}
	// Each of two name servers has addresses of two kinds.
	if got, want := asked(), map[string]int{"CNAME": 30, "NS": 1, "A": 2, "AAAA": 2}; !maps.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	if err := s.Withdraw(t.Context(), located); err != nil {
		t.Fatal(err)
	}
	if len(s.zoneOf) != 0 {
		t.Errorf("zones of %d names are still remembered", len(s.zoneOf))
	}
}

// count places a server before the resolver that counts questions by type.
func count(t *testing.T, r *Resolver) func() map[string]int {
	t.Helper()
	var mu sync.Mutex
	asked := map[string]int{}
	before, behind := newServers(t, 1)[0], r.Servers[0]
	c := talk(t, &Resolver{})
	before.set(func(q, _ *dns.Msg) *dns.Msg {
		mu.Lock()
		asked[dns.TypeToString[q.Question[0].Qtype]]++
		mu.Unlock()
		answer, err := c.exchange(context.Background(), behind, q)
		if err != nil {
			t.Error(err)
			return nil
		}
		answer.Id = q.Id
		return answer
	})
	r.Servers = []string{before.addr}
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(asked)
	}
}

func TestPresent_endsWithItsContext(t *testing.T) {
	t.Parallel()
	r, first, second := newZone(t)
	second.set(func(*dns.Msg, *dns.Msg) *dns.Msg { return nil })
	s := newSolver(r, both{first}, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Present(ctx, []Record{record("example.test", "value"), record("www.example.test", "value")})
	}()
	<-second.seen
	cancel()
	wantCanceled(t, done)
}

func TestLocate_endsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 10)
	server := newServers(t, 1)[0]
	server.set(func(*dns.Msg, *dns.Msg) *dns.Msg { arrived <- struct{}{}; return nil })
	s := newSolver(&Resolver{Servers: []string{server.addr, server.addr, server.addr}}, &flaky{}, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Locate(ctx, []Record{record("example.test", "value")})
		done <- err
	}()
	<-arrived
	cancel()
	wantCanceled(t, done)
}

func wantCanceled(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	case <-time.After(time.Second):
		t.Fatal("it goes on a second after it was cancelled")
	}
}

func TestWithdraw_goesOnPastFailures(t *testing.T) {
	t.Parallel()
	publisher := &flaky{fails: map[string]bool{"1": true, "3": true}}
	var records []Record
	for n := range 40 {
		records = append(records, record("example.test", fmt.Sprint(n)))
	}
	err := newSolver(nil, publisher, 0).Withdraw(t.Context(), records)
	if !errors.Is(err, errInjected) {
		t.Errorf("%v, want %v", err, errInjected)
	}
	wantParts(t, err, "withdraw 1:", "withdraw 3:")
	if got := len(publisher.all()); got != 40 {
		t.Errorf("%d withdrawn, want 40", got)
	}
}

func TestResponder_errorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	_, api, _ := newCompanion(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) }))
	t.Cleanup(page.Close)
	for sentence, test := range map[string]struct {
		url, token, name string
		says             []string
	}{
		"nobody listens":                {dead.URL, token, "a.auth.test", []string{dead.URL, "check that certificate-dns runs"}},
		"the token is wrong":            {api.URL, token + "-wrong", "a.auth.test", []string{api.URL, "401", "check the token in validation.responder"}},
		"the name is out of scope":      {api.URL, token, "a.other.test", []string{api.URL, "403", "a.other.test", "give the token the name"}},
		"the name is outside all zones": {api.URL, token, "_acme-challenge.example.com", []string{api.URL, "404", "create a CNAME record from _acme-challenge.example.com"}},
		"something else answers":        {page.URL, token, "a.auth.test", []string{page.URL, "502", "bad gateway"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			r := newResponder(t, test.url, test.token)
			for what, err := range map[string]error{
				"publish": r.Publish(t.Context(), test.name, "value"), "withdraw": r.Withdraw(t.Context(), test.name, "value"),
			} {
				wantParts(t, err, append(test.says, what, test.name)...)
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), token) {
					t.Errorf("error %q shows the token", err)
				}
			}
		})
	}
}

func TestResponder_endsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	server := httptest.NewServer(deaf(arrived))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newResponder(t, server.URL, token).Publish(ctx, "a.auth.test", "value") }()
	<-arrived
	cancel()
	wantCanceled(t, done)
}

// A responder that says that a secondary lags is believed, and the secondary is
// named: it may be one that nobody can ask from here.
func TestPresent_waitsForTheRespondersSecondaries(t *testing.T) {
	t.Parallel()
	_, api, r := newCompanion(t)
	var asked atomic.Int32
	lag := `{"zone":"auth.test","serial":7,"settled":false,"lagging":[{"secondary":"ns2","address":"192.0.2.2:53","serial":6}]}`
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if !strings.HasPrefix(request.URL.Path, "/v1/settled/") {
			api.Config.Handler.ServeHTTP(w, request)
			return
		}
		if asked.Add(1) == 1 {
			_, _ = io.WriteString(w, lag)
			return
		}
		api.Config.Handler.ServeHTTP(w, request)
	}))
	t.Cleanup(front.Close)
	s := newSolver(r, newResponder(t, front.URL, token), 20*time.Second)
	records := newRecords(t, s.Type(), "a.auth.test")
	records[0].Target = records[0].Name
	if err := s.Present(t.Context(), records); err != nil || asked.Load() != 2 {
		t.Errorf("%v after %d questions, want it present after the second", err, asked.Load())
	}
	asked.Store(0)
	s = newSolver(r, newResponder(t, front.URL, token), time.Second)
	err := s.Present(t.Context(), records)
	if err == nil || !strings.Contains(err.Error(), "the secondary ns2 (192.0.2.2:53) still has serial 6") {
		t.Errorf("%v, want the secondary named", err)
	}
	// An older responder does not know the question.
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if strings.HasPrefix(request.URL.Path, "/v1/settled/") {
			http.NotFound(w, request)
			return
		}
		api.Config.Handler.ServeHTTP(w, request)
	}))
	t.Cleanup(old.Close)
	if err := newSolver(r, newResponder(t, old.URL, token), 20*time.Second).Present(t.Context(), records); err != nil {
		t.Error(err)
	}
}
