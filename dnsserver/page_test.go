package dnsserver

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// pageServer is a server with something to show, and its API on loopback.
func pageServer(t *testing.T) (*Server, *httptest.Server) {
	t.Helper()
	config := accountConfig()
	config.Resolver = publicResolver(t)
	s, err := New(config, (&sharedLog{}).store("ns1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.dial = func(netip.Addr) netip.AddrPort { return netip.MustParseAddrPort(config.Resolver) }
	if err := s.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	for _, r := range []client.Registration{
		{Domain: "www.shop.test", Subdomain: "www-shop-test"}, {Domain: "mail.shop.test", Subdomain: "mail-shop-test"},
	} {
		if _, err := newClient(t, s, "reg-token").Register(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	acmeRegister(t, s, "")
	ask1(t, s, "udp", "www-shop-test.example.com. TXT")
	call(t, s, "PUT", "/v1/txt/www-shop-test.example.com", "all-token", `{"value":"LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"}`)
	ask1(t, s, "udp", "www-shop-test.example.com. TXT")
	ask1(t, s, "tcp", "www-shop-test.example.com. CAA")
	call(t, s, "PUT", "/v1/txt/_acme-challenge.www.example.com", "one-token", `{"value":"a <script>alert(1)</script> & more"}`)
	ask1(t, s, "udp", "nowhere.child.example.com. TXT")
	eventually(t, "the query log", func() bool { return len(s.events(func(string) bool { return true }, time.Time{}, 100)) == 6 })
	return s, web
}

// publicResolver is the world: shop.test, where www leads to the server and mail
// does not.
func publicResolver(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	world := map[string]string{
		"shop.test. SOA": "ns.shop.test. h.shop.test. 1 2 3 4 5", "shop.test. NS": "ns.shop.test.", "ns.shop.test. A": "192.0.2.10",
		"_acme-challenge.www.shop.test. CNAME": "www-shop-test.example.com.",
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		reply.Authoritative = true
		key := lower(q.Question[0].Name) + " " + dns.Type(q.Question[0].Qtype).String()
		if data, ok := world[key]; ok {
			name, kind, _ := strings.Cut(key, " ")
			if rr, err := dns.NewRR(name + " " + kind + " " + data); err == nil {
				reply.Answer = append(reply.Answer, rr)
			}
		} else {
			reply.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(reply)
	})}
	started := make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

// visitorOf is an HTTP client with cookies that has signed in.
func visitorOf(t *testing.T, web *httptest.Server, token string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	resp, err := c.PostForm(web.URL+"/login", url.Values{"token": {token}, "next": {"/"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/" {
		t.Fatalf("signed in: %d at %s", resp.StatusCode, resp.Request.URL)
	}
	return c
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestPage_showsZonesRecordsDomainsAndEvents(t *testing.T) {
	_, web := pageServer(t)
	c := visitorOf(t, web, "admin-token")
	code, body := get(t, c, web.URL+"/")
	for _, want := range []string{
		"child.example.com", "ns1.example.com, ns.elsewhere.test", "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM", "www.shop.test",
		`<span class="tag ok">yes</span>`, `<span class="tag bad">no</span>`, "_acme-challenge.mail.shop.test does not lead here", "domain unknown",
		"a &lt;script&gt;alert(1)&lt;/script&gt; &amp; more", "NXDOMAIN", "token &#34;one&#34; ",
	} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, the page lacks %q", code, want)
		}
	}
	if strings.Contains(body, "<script>") {
		t.Error("a value is not escaped")
	}
	if _, body := get(t, c, web.URL+"/?name=SHOP"); strings.Contains(body, "_acme-challenge.www.example.com</a></td>") || !strings.Contains(body, "1 name with “SHOP”") {
		t.Error("the filter filters nothing")
	}
	if code, body := get(t, c, web.URL+"/domain/www.shop.test"); code != 200 || !strings.Contains(body, "Every name server of shop.test leads here") || !strings.Contains(body, "no such name") {
		t.Errorf("the page of a domain: %d %s", code, body)
	}
	if code, body := get(t, c, web.URL+"/domain/mail.shop.test"); code != 200 || !strings.Contains(body, "create _acme-challenge.mail.shop.test CNAME mail-shop-test.example.com in shop.test") {
		t.Errorf("the page of a domain that does not lead here: %d %s", code, body)
	}
}

func TestPage_showsOnlyWhatTheTokenMaySee(t *testing.T) {
	_, web := pageServer(t)
	c := visitorOf(t, web, "one-token")
	if _, body := get(t, c, web.URL+"/"); strings.Contains(body, "shop") || !strings.Contains(body, "_acme-challenge.www.example.com") {
		t.Error("the page shows what the token may not see, or hides what it may")
	}
	for _, path := range []string{"/name/www-shop-test.example.com", "/domain/www.shop.test", "/name/a..b"} {
		if code, body := get(t, c, web.URL+path); code != 404 || strings.Contains(body, "LHDh") {
			t.Errorf("%s: %d, want 404", path, code)
		}
	}
}

func TestPage_needsALoginThatOthersCannotUse(t *testing.T) {
	s, web := pageServer(t)
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, path := range []string{"/", "/name/www.example.com", "/domain/www.shop.test"} {
		resp, err := plain.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if want := "/login?next=" + url.QueryEscape(path); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != want {
			t.Errorf("%s without a login: %d to %q, want %q", path, resp.StatusCode, resp.Header.Get("Location"), want)
		}
	}
	type answer struct {
		status  int
		to      string
		cookies []*http.Cookie
	}
	post := func(form url.Values, header ...string) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/login", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := plain.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return answer{resp.StatusCode, resp.Header.Get("Location"), resp.Cookies()}
	}
	if resp := post(url.Values{"token": {"guess"}}); resp.status != http.StatusUnauthorized || len(resp.cookies) > 0 {
		t.Errorf("an unknown token: %d, cookies %v", resp.status, resp.cookies)
	}
	if resp := post(url.Values{"token": {"all-token"}}, "Origin", "https://evil.test", "Sec-Fetch-Site", "cross-site"); resp.status != http.StatusForbidden {
		t.Errorf("a form of another site: %d, want 403", resp.status)
	}
	for next, want := range map[string]string{"/domain/a.test": "/domain/a.test", "//evil.test/": "/", "https://evil.test": "/", `/\evil.test`: "/", "": "/"} {
		if resp := post(url.Values{"token": {"all-token"}, "next": {next}}); resp.status != http.StatusSeeOther || resp.to != want {
			t.Errorf("next %q: %d to %q, want %q", next, resp.status, resp.to, want)
		}
	}
	resp := post(url.Values{"token": {"all-token"}})
	cookie := resp.cookies[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || strings.Contains(cookie.Value, "all-token") {
		t.Errorf("the cookie is %s", cookie)
	}
	config := accountConfig()
	config.TrustedProxies = []string{"127.0.0.0/8"}
	mustReload(t, s, config)
	if c := post(url.Values{"token": {"all-token"}}, "X-Forwarded-Proto", "https").cookies[0]; !c.Secure {
		t.Errorf("behind a proxy with TLS the cookie is %s", c)
	}
	visit := func() int {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.AddCookie(cookie)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if got := visit(); got != 200 {
		t.Errorf("with the cookie: %d, want 200", got)
	}
	config.Tokens = config.Tokens[1:]
	mustReload(t, s, config)
	if got := visit(); got != 303 {
		t.Errorf("once the token is gone: %d, want 303", got)
	}
}

func TestSessions_end(t *testing.T) {
	var s sessions
	now := time.Unix(1e9, 0)
	id := s.open([32]byte{1}, now)
	if _, ok := s.get(id, now.Add(sessionLife-time.Second)); !ok {
		t.Error("it ended early")
	}
	if _, ok := s.get(id, now.Add(sessionLife)); ok {
		t.Error("it does not end")
	}
	for range 2 * maxSessions {
		s.open([32]byte{1}, now)
	}
	if len(s.all) > maxSessions {
		t.Errorf("there are %d", len(s.all))
	}
}

// TestPage_inABrowser signs in without JavaScript, at the widths of a desk and a
// phone, in light and dark, and keeps pictures where DNS_PAGE_PICTURES says.
func TestPage_inABrowser(t *testing.T) {
	b := openBrowser(t)
	_, web := pageServer(t)
	folder := os.Getenv("DNS_PAGE_PICTURES")
	if folder == "" {
		folder = t.TempDir()
	}
	b.screen(1280, "light")
	b.open(web.URL + "/domain/mail.shop.test")
	b.shoot(folder, "login-desk-light")
	b.typeInto("#token", "admin-token")
	if got := b.text("h1"); !strings.Contains(got, "mail.shop.test") {
		t.Fatalf("after the login there is %s", got)
	}
	for _, scheme := range []string{"light", "dark"} {
		for screen, width := range map[string]int{"desk": 1280, "phone": 390} {
			b.screen(width, scheme)
			for name, path := range map[string]string{"status": "/", "domain": "/domain/mail.shop.test", "good": "/domain/www.shop.test", "name": "/name/www-shop-test.example.com"} {
				b.open(web.URL + path)
				if got := b.width(); got > width {
					t.Errorf("%s on the %s is %d wide, over %d", name, screen, got, width)
				}
				b.shoot(folder, fmt.Sprintf("%s-%s-%s", name, screen, scheme))
			}
		}
	}
	b.open(web.URL + "/")
	tree := b.tree()
	for role, names := range map[string][]string{
		"heading": {"Status", "Domains", "Zones", "Servers that share the storage", "Live records", "Latest queries and changes"}, "link": {"www.shop.test", "Skip to the content"},
		"button": {"Sign out", "Filter"}, "textbox": {"Part of a name"},
	} {
		for _, name := range names {
			if !slices.Contains(tree[role], name) {
				t.Errorf("for a screen reader there is no %s %q: %q", role, name, tree[role])
			}
		}
	}
	if tree["main"] == nil || tree["navigation"] == nil || tree["banner"] == nil {
		t.Error("for a screen reader the page has no landmarks")
	}
}
