package dnsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// accountConfig serves the acme-dns API with open registration.
func accountConfig() Config {
	config := testConfig()
	config.Accounts = Accounts{AcmeDNS: true, Register: true}
	config.Tokens = append(config.Tokens,
		Token{Name: "registrar", SHA256: hashOf("reg-token"), Names: []string{"*.example.com"}, Rights: []string{"read", "register"}},
		Token{Name: "admin", SHA256: hashOf("admin-token"), Rights: []string{"admin"}},
	)
	return config
}

// acmeAccount is what POST /register replies.
type acmeAccount struct {
	Username, Password, Fulldomain, Subdomain string
	Allowfrom                                 []string
}

func acmeRegister(t *testing.T, s *Server, body string) acmeAccount {
	t.Helper()
	w := call(t, s, "POST", "/register", "", body)
	var a acmeAccount
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("register: %d %s", w.Code, w.Body)
	}
	return a
}

// acmeUpdate sends POST /update from an address and returns status and body.
func acmeUpdate(t *testing.T, s *Server, user, key, body string, header ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/update", strings.NewReader(body))
	r.Header.Set("X-Api-User", user)
	r.Header.Set("X-Api-Key", key)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "from" {
			r.RemoteAddr = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (a acmeAccount) body(txt string) string {
	return fmt.Sprintf(`{"subdomain":%q,"txt":%q}`, a.Subdomain, txt)
}

func TestAcmeDNS_registerAndUpdateAsItsClientsDo(t *testing.T) {
	s := startServer(t, accountConfig(), NewMemoryStore())
	a := acmeRegister(t, s, "")
	if len(a.Password) != 40 || a.Fulldomain != a.Subdomain+".example.com" || len(a.Username) != 36 || a.Allowfrom == nil {
		t.Errorf("registered %+v", a)
	}
	const value = "___validation_token_received_from_the_ca___"
	if code, body := acmeUpdate(t, s, a.Username, a.Password, a.body(value)); code != 200 || body != `{"txt":"`+value+`"}` {
		t.Errorf("update: %d %s", code, body)
	}
	if got := ask1(t, s, "udp", a.Fulldomain+". TXT"); len(got.Answer) != 1 {
		t.Errorf("DNS answers %v", got)
	}
	if got := call(t, s, "GET", "/health", "", ""); got.Code != 200 || got.Body.Len() != 0 {
		t.Errorf("health: %d %s", got.Code, got.Body)
	}
	events := timeline(t, s, "all-token", "name="+a.Fulldomain)
	if want := "put " + a.Fulldomain + " TXT " + value + " by account " + a.Username; len(events) == 0 || events[0] != want {
		t.Errorf("the timeline is %q, want first %q", events, want)
	}
}

func TestAcmeDNS_refusals(t *testing.T) {
	s := startServer(t, accountConfig(), NewMemoryStore())
	a, other := acmeRegister(t, s, ""), acmeRegister(t, s, `{"allowfrom":["203.0.113.0/24"]}`)
	for _, c := range []struct {
		title, user, key, body string
		header                 []string
		status                 int
		word                   string
	}{
		{"another key", a.Username, other.Password, a.body("v"), nil, 401, "forbidden"},
		{"the hash for the key", a.Username, hashOf(a.Password), a.body("v"), nil, 401, "forbidden"},
		{"no key", a.Username, "", a.body("v"), nil, 401, "forbidden"},
		{"an unknown user", "nobody", a.Password, a.body("v"), nil, 401, "forbidden"},
		{"a user with a slash", "../target/" + a.Fulldomain, a.Password, a.body("v"), nil, 401, "forbidden"},
		{"another's name", a.Username, a.Password, other.body("v"), nil, 401, "forbidden"},
		{"no name", a.Username, a.Password, `{"txt":"v"}`, nil, 400, "bad_subdomain"},
		{"no value", a.Username, a.Password, a.body(""), nil, 400, "bad_txt"},
		{"no JSON", a.Username, a.Password, "txt=v", nil, 400, "malformed_json_payload"},
		{"from elsewhere", other.Username, other.Password, other.body("v"), nil, 401, "forbidden"},
		{"a proxy that nobody trusts", other.Username, other.Password, other.body("v"), []string{"X-Forwarded-For", "203.0.113.7"}, 401, "forbidden"},
		{"from where it may", other.Username, other.Password, other.body("v"), []string{"from", "203.0.113.7:4711"}, 200, "v"},
		{"a value over 255 bytes", a.Username, a.Password, a.body(strings.Repeat("v", 300)), nil, 200, "vvv"},
		{"a value too large", a.Username, a.Password, a.body(strings.Repeat("v", 61000)), nil, 413, "delete old values"},
	} {
		code, body := acmeUpdate(t, s, c.user, c.key, c.body, c.header...)
		if code != c.status || !strings.Contains(body, c.word) {
			t.Errorf("%s: %d %s, want %d %s", c.title, code, body, c.status, c.word)
		}
	}
	for body, word := range map[string]string{`{"allowfrom":["10.0.0.300"]}`: "invalid_allowfrom_cidr", `{`: "malformed_json_payload"} {
		if w := call(t, s, "POST", "/register", "", body); w.Code != 400 || !strings.Contains(w.Body.String(), word) {
			t.Errorf("register %s: %d %s, want %s", body, w.Code, w.Body, word)
		}
	}
}

func TestAcmeDNS_isOffUnlessConfigured(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	for _, path := range []string{"/register", "/update"} {
		if w := call(t, s, "POST", path, "", "{}"); w.Code != 404 {
			t.Errorf("%s: %d, want 404", path, w.Code)
		}
	}
	config := accountConfig()
	config.Accounts.Register = false
	mustReload(t, s, config)
	if w := call(t, s, "POST", "/register", "", "{}"); w.Code != 404 || !strings.Contains(w.Body.String(), "ask an administrator") {
		t.Errorf("register while it is off: %d %s", w.Code, w.Body)
	}
	config.Accounts.Register, config.Accounts.RegisterFrom = true, []string{"203.0.113.0/24"}
	mustReload(t, s, config)
	if w := call(t, s, "POST", "/register", "", "{}"); w.Code != 403 {
		t.Errorf("register from elsewhere: %d, want 403", w.Code)
	}
	config.TrustedProxies = []string{"192.0.2.0/24"} // where httptest comes from
	mustReload(t, s, config)
	for forwarded, want := range map[string]int{
		"203.0.113.7": 201, "203.0.113.7, 192.0.2.9": 201, "198.51.100.1, 203.0.113.8": 201, "203.0.113.7, 198.51.100.1": 403, "": 403, "nonsense": 403,
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/register", nil)
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("register through a proxy for %q: %d, want %d", forwarded, w.Code, want)
		}
	}
}

func TestAcmeDNS_keepsTheNewestValues(t *testing.T) {
	config := accountConfig()
	config.Accounts.Values, config.Accounts.ValueLifetime = 3, time.Hour
	s := startServer(t, config, NewMemoryStore())
	a := acmeRegister(t, s, "")
	for _, v := range []string{"1", "2", "1", "3", "4"} {
		if code, body := acmeUpdate(t, s, a.Username, a.Password, a.body(v)); code != 200 {
			t.Fatalf("update: %d %s", code, body)
		}
	}
	if got, err := s.TXT(a.Fulldomain); err != nil || !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("values %q, %v; want 1, 3 and 4", got, err)
	}
	for r := range s.view.Load().table.get(a.Fulldomain + ".").set(16).records() {
		if left := time.Until(time.Unix(r.expires, 0)); left < 58*time.Minute || left > time.Hour {
			t.Errorf("%q expires in %s, want an hour", r.data, left)
		}
	}
}

func TestAcmeDNS_limits(t *testing.T) {
	config := accountConfig()
	config.Accounts.MaxAccounts, config.Accounts.UpdatesPerMinute = 2, 3
	s := startServer(t, config, NewMemoryStore())
	a := acmeRegister(t, s, "")
	acmeRegister(t, s, "")
	if w := call(t, s, "POST", "/register", "", ""); w.Code != http.StatusInsufficientStorage {
		t.Errorf("a third account: %d %s", w.Code, w.Body)
	}
	last := 0
	for range 7 { // at most one minute begins meanwhile
		last, _ = acmeUpdate(t, s, a.Username, a.Password, a.body("v"))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the seventh update of a minute: %d, want 429", last)
	}
	for range registrationsPerMinute * 2 {
		last = call(t, s, "POST", "/register", "", "").Code
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("many registrations: %d, want 429", last)
	}
}

func TestAcmeDNS_bcryptHashesAreUpgradedOnce(t *testing.T) {
	s := startServer(t, accountConfig(), NewMemoryStore())
	hash, err := bcrypt.GenerateFromPassword([]byte("old-key"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	a := account{Username: "u", Key: string(hash), Target: "x.example.com.", Zone: "example.com."}
	if err := s.addAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	kept := func() string {
		a, _, err := s.view.Load().accountOf("u")
		if err != nil {
			t.Fatal(err)
		}
		return a.Key
	}
	if code, _ := acmeUpdate(t, s, "u", "wrong-key", `{"subdomain":"x","txt":"v"}`); code != 401 || kept() != string(hash) {
		t.Errorf("with a wrong key: %d, kept %s", code, kept())
	}
	for range 2 {
		if code, body := acmeUpdate(t, s, "u", "old-key", `{"subdomain":"x","txt":"v"}`); code != 200 || kept() != hashOf("old-key") {
			t.Errorf("with the old key: %d %s, kept %s", code, body, kept())
		}
	}
}

func TestDelegations_registerReadListRotateUnregister(t *testing.T) {
	store := NewMemoryStore()
	s := startServer(t, accountConfig(), store)
	c := newClient(t, s, "reg-token")
	ctx := t.Context()
	d, err := c.Register(ctx, client.Registration{Domain: "*.WWW.shop.test", Subdomain: "www-shop-test"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Domain != "www.shop.test" || d.Name != "_acme-challenge.www.shop.test" || d.Target != "www-shop-test.example.com" || d.Subdomain != "www-shop-test" || d.Zone != "example.com" || len(d.Password) != 40 {
		t.Errorf("registered %+v", d)
	}
	random, err := c.Register(ctx, client.Registration{Domain: "b.test"})
	if err != nil || len(random.Subdomain) != 36 {
		t.Errorf("with a random subdomain: %+v, %v", random, err)
	}
	if code, body := acmeUpdate(t, s, d.Username, d.Password, `{"subdomain":"www-shop-test","txt":"v"}`); code != 200 {
		t.Errorf("update: %d %s", code, body)
	}
	got, err := c.Delegation(ctx, "www.shop.test")
	if err != nil || got.Password != "" || !slices.Equal(got.Values, []string{"v"}) || got.Updated.IsZero() {
		t.Errorf("read %+v, %v", got, err)
	}
	all, err := c.Delegations(ctx)
	if err != nil || len(all) != 2 || all[0].Domain != "b.test" {
		t.Errorf("listed %+v, %v", all, err)
	}
	rotated, err := c.Rotate(ctx, "www.shop.test")
	if err != nil || rotated.Password == d.Password {
		t.Errorf("rotated %+v, %v", rotated, err)
	}
	if code, _ := acmeUpdate(t, s, d.Username, d.Password, `{"subdomain":"www-shop-test","txt":"w"}`); code != 401 {
		t.Errorf("with the old key: %d, want 401", code)
	}
	var refused *client.Error
	for title, r := range map[string]client.Registration{
		"the domain twice":       {Domain: "www.shop.test"},
		"the subdomain twice":    {Domain: "c.test", Subdomain: "WWW-shop-test"},
		"a name with records":    {Domain: "c.test", Subdomain: "alias"},
		"a name in another zone": {Domain: "c.test", Subdomain: "x.child"},
		"at a delegation":        {Domain: "c.test", Subdomain: "x.sub"},
	} {
		if _, err := c.Register(ctx, r); !errors.As(err, &refused) || refused.Status != 409 {
			t.Errorf("%s: %v, want 409", title, err)
		}
	}
	for title, r := range map[string]client.Registration{
		"no domain name": {Domain: "a..b"}, "a challenge's name": {Domain: "_acme-challenge.a.test"}, "a subdomain that is none": {Domain: "c.test", Subdomain: "a b"},
		"an unknown zone": {Domain: "c.test", Zone: "example.org"}, "a network that is none": {Domain: "c.test", AllowFrom: []string{"x"}},
	} {
		if _, err := c.Register(ctx, r); !errors.As(err, &refused) || refused.Status != 400 {
			t.Errorf("%s: %v, want 400", title, err)
		}
	}
	for range 2 {
		if err := c.Unregister(ctx, "www.shop.test"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Delegation(ctx, "www.shop.test"); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("once unregistered: %v, want 404", err)
	}
	if values, err := s.TXT("www-shop-test.example.com"); err != nil || len(values) > 0 {
		t.Errorf("its values are left: %q, %v", values, err)
	}
	for _, line := range contents(t, store) {
		if strings.Contains(line, "shop") || strings.Contains(line, d.Password) {
			t.Errorf("the store still has %s", line)
		}
	}
}

func TestDelegations_rightsAndScopes(t *testing.T) {
	config := accountConfig()
	config.Tokens = append(config.Tokens, Token{Name: "team", SHA256: hashOf("team-token"), Names: []string{"*.team.example.com"}, Rights: []string{"read", "register"}})
	s := startServer(t, config, NewMemoryStore())
	if _, err := newClient(t, s, "reg-token").Register(t.Context(), client.Registration{Domain: "a.test", Subdomain: "a"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token, method, path, body string
		status                    int
	}{
		{"", "GET", "/v1/delegations", "", 401},
		{"all-token", "POST", "/v1/delegations", `{"domain":"b.test"}`, 403}, // may read and write, not register
		{"team-token", "POST", "/v1/delegations", `{"domain":"b.test"}`, 403},
		{"team-token", "POST", "/v1/delegations", `{"domain":"b.test","subdomain":"b.team"}`, 201},
		{"team-token", "GET", "/v1/delegations/a.test", "", 404},
		{"team-token", "DELETE", "/v1/delegations/a.test", "", 204}, // and it stays
		{"team-token", "POST", "/v1/delegations/a.test/rotate", "", 404},
		{"team-token", "GET", "/v1/accounts", "", 403},
		{"reg-token", "GET", "/v1/delegations/a.test", "", 200},
		{"reg-token", "PUT", "/v1/delegations/a.test", "", 405},
		{"admin-token", "GET", "/v1/accounts", "", 200},
		{"admin-token", "GET", "/v1/accounts/nobody", "", 404},
	} {
		if w := call(t, s, c.method, c.path, c.token, c.body); w.Code != c.status {
			t.Errorf("%s %s with %q: %d %s, want %d", c.method, c.path, c.token, w.Code, w.Body, c.status)
		}
	}
	team, err := newClient(t, s, "team-token").Delegations(t.Context())
	if err != nil || len(team) != 1 || team[0].Domain != "b.test" {
		t.Errorf("the team sees %+v, %v", team, err)
	}
}

func TestAccounts_administratorsListRotateAndDelete(t *testing.T) {
	s := startServer(t, accountConfig(), NewMemoryStore())
	a := acmeRegister(t, s, "")
	var list client.Delegations
	if err := json.Unmarshal(call(t, s, "GET", "/v1/accounts", "admin-token", "").Body.Bytes(), &list); err != nil || len(list.Delegations) != 1 || list.Delegations[0].Username != a.Username {
		t.Errorf("listed %+v, %v", list, err)
	}
	var rotated client.Delegation
	if err := json.Unmarshal(call(t, s, "POST", "/v1/accounts/"+a.Username+"/rotate", "admin-token", "").Body.Bytes(), &rotated); err != nil {
		t.Fatal(err)
	}
	if code, _ := acmeUpdate(t, s, a.Username, rotated.Password, a.body("v")); code != 200 {
		t.Errorf("with the new key: %d", code)
	}
	if w := call(t, s, "DELETE", "/v1/accounts/"+a.Username, "admin-token", ""); w.Code != 204 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
	if code, _ := acmeUpdate(t, s, a.Username, rotated.Password, a.body("v")); code != 401 {
		t.Errorf("once deleted: %d, want 401", code)
	}
}

func TestAccounts_surviveARestart(t *testing.T) {
	store := NewMemoryStore()
	first := startServer(t, accountConfig(), store)
	a := acmeRegister(t, first, "")
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := startServer(t, accountConfig(), store)
	if code, body := acmeUpdate(t, again, a.Username, a.Password, a.body("v")); code != 200 || again.accounts.Load() != 1 {
		t.Errorf("after a restart: %d %s, %d accounts", code, body, again.accounts.Load())
	}
}

// BenchmarkAcmeDNS_update has 32 clients update their accounts over HTTP, each
// acknowledged when it is on disk.
func BenchmarkAcmeDNS_update(b *testing.B) {
	config := accountConfig()
	config.Accounts.UpdatesPerMinute = -1
	store, err := OpenWAL(filepath.Join(b.TempDir(), "records.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	s := startServer(b, config, store)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	const clients = 32
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	type login struct {
		a   account
		key string
	}
	var logins []login
	for range clients {
		a, key, err := s.register(b.Context(), newAccount{zone: "example.com."})
		if err != nil {
			b.Fatal(err)
		}
		logins = append(logins, login{a, key})
	}
	b.ReportAllocs()
	b.SetParallelism(clients / runtime.GOMAXPROCS(0))
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		l := logins[int(next.Add(1)-1)%clients]
		for i := 0; pb.Next(); i++ {
			body := fmt.Sprintf(`{"subdomain":%q,"txt":"%043d"}`, l.a.subdomain(), i)
			r, err := http.NewRequest(http.MethodPost, web.URL+"/update", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			r.Header.Set("X-Api-User", l.a.Username)
			r.Header.Set("X-Api-Key", l.key)
			resp, err := hc.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}
