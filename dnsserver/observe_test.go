package dnsserver

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/certiform/terraform-provider-certificate/dnsserver/client"
)

// ask1 asks one question of a running server.
func ask1(t *testing.T, s *Server, network, question string) *dns.Msg {
	t.Helper()
	return unwire(t, exchange(t, network, s.Addr().String(), wire(t, ask(question))))
}

// eventually repeats what a socket's goroutine finishes after its reply.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 5 s", what)
		case <-tick.C:
		}
	}
}

func TestMetrics_countWhatWasAnsweredAndChanged(t *testing.T) {
	config := testConfig()
	config.MetricsFrom = []string{"192.0.2.0/24"} // where httptest says requests come from
	s := startServer(t, config, NewMemoryStore())
	put(t, s, "_acme-challenge.example.com", "v")
	if err := s.PutTXT(t.Context(), "alias.example.com", "v"); err == nil {
		t.Fatal("a TXT beside a CNAME was taken")
	}
	for range 3 {
		ask1(t, s, "udp", "_acme-challenge.example.com. TXT")
	}
	ask1(t, s, "tcp", "missing.child.example.com. A")
	ask1(t, s, "tcp", "www.example.org. A")
	ask1(t, s, "udp", "www.example.com. TYPE65280")
	bad := ask("www.example.com. A")
	bad.SetEdns0(1232, false)
	bad.IsEdns0().SetVersion(1)
	exchange(t, "udp", s.Addr().String(), wire(t, bad))
	for _, want := range []string{
		`certificate_dns_queries_total{zone="example.com",type="TXT",rcode="NOERROR",transport="udp"} 3`,
		`certificate_dns_queries_total{zone="child.example.com",type="A",rcode="NXDOMAIN",transport="tcp"} 1`,
		`certificate_dns_queries_total{zone="",type="A",rcode="REFUSED",transport="tcp"} 1`,
		`certificate_dns_queries_total{zone="example.com",type="other",rcode="NOERROR",transport="udp"} 1`,
		`certificate_dns_queries_total{zone="example.com",type="A",rcode="BADVERS",transport="udp"} 1`,
		`certificate_dns_query_duration_seconds_count{transport="udp"} 5`,
		`certificate_dns_changes_total{result="made"} 1`,
		`certificate_dns_changes_total{result="refused"} 1`,
		`certificate_dns_zone_serial{zone="example.com"} `,
		`certificate_dns_ready 1`,
		`certificate_dns_connections 0`,
		`go_goroutines `,
	} {
		eventually(t, want, func() bool {
			return strings.Contains(call(t, s, "GET", "/metrics", "", "").Body.String(), "\n"+want)
		})
	}
}

func TestMetrics_needATokenFromElsewhere(t *testing.T) {
	config := testConfig()
	config.MetricsFrom = []string{"127.0.0.1"}
	s := startServer(t, config, NewMemoryStore())
	if got := call(t, s, "GET", "/metrics", "", "").Code; got != 401 {
		t.Errorf("without a token: %d, want 401", got)
	}
	if got := call(t, s, "GET", "/metrics", "one-token", "").Code; got != 200 {
		t.Errorf("with a token: %d, want 200", got)
	}
}

func TestReady_isNotWhileChangesCannotBeStored(t *testing.T) {
	store := &faultyStore{MemoryStore: NewMemoryStore(), apply: errDisk}
	s := startServer(t, testConfig(), store)
	ready := func() int { return call(t, s, "GET", "/readyz", "", "").Code }
	if got := ready(); got != 200 {
		t.Errorf("at the start: %d, want 200", got)
	}
	if s.PutTXT(t.Context(), "a.example.com", "v") == nil {
		t.Fatal("a put to a broken store succeeded")
	}
	if got := ready(); got != 503 {
		t.Errorf("after a fault: %d, want 503", got)
	}
	if got := call(t, s, "GET", "/healthz", "", "").Code; got != 200 {
		t.Errorf("alive after a fault: %d, want 200", got)
	}
	store.apply = nil
	put(t, s, "a.example.com", "v")
	if got := ready(); got != 200 {
		t.Errorf("once mended: %d, want 200", got)
	}
}

// timeline asks the API what happened at a name, as lines.
func timeline(t *testing.T, s *Server, token, query string) (lines []string) {
	t.Helper()
	w := call(t, s, "GET", "/v1/queries?"+query, token, "")
	var reply client.Events
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	slices.Reverse(reply.Events)
	for _, e := range reply.Events {
		if e.Kind == client.EventQuery {
			lines = append(lines, fmt.Sprintf("%s %s %s asks %s: %s %v", e.Transport, e.Client, e.Name, e.Type, e.Rcode, e.Answers))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %s by %s", e.Kind, e.Name, e.Type, e.Value, e.By))
	}
	return lines
}

func TestEvents_tellWhoAskedWhatAndWhatTheyGot(t *testing.T) {
	s := startServer(t, testConfig(), NewMemoryStore())
	const name = "_acme-challenge.www.example.com"
	asked := func(n int) {
		t.Helper()
		eventually(t, "the query log", func() bool { return len(s.events(func(n string) bool { return n == name+"." }, time.Time{}, 100)) == n })
	}
	ask1(t, s, "udp", "_ACME-challenge.www.example.com. TXT")
	asked(1)
	call(t, s, "PUT", "/v1/txt/"+name, "one-token", `{"value":"first"}`)
	ask1(t, s, "tcp", name+". TXT")
	asked(3)
	call(t, s, "DELETE", "/v1/txt/"+name+"?value=first", "one-token", "")
	ask1(t, s, "udp", "www.example.com. A")
	want := []string{
		"udp 127.0.0.1 " + name + " asks TXT: NXDOMAIN []",
		"put " + name + ` TXT first by token "one"`,
		"tcp 127.0.0.1 " + name + " asks TXT: NOERROR [TXT first]",
		"delete " + name + ` TXT first by token "one"`,
	}
	if got := timeline(t, s, "one-token", "name="+name); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := timeline(t, s, "one-token", ""); !slices.Equal(got, want) {
		t.Errorf("of all names of the token, got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := timeline(t, s, "one-token", "limit=1"); !slices.Equal(got, want[3:]) {
		t.Errorf("of one event: %q, want the last", got)
	}
	for query, status := range map[string]int{
		"name=www.example.com": 403, "name=www.example.org": 404, "name=a..b": 400, "limit=0": 400, "since=yesterday": 400,
	} {
		if got := call(t, s, "GET", "/v1/queries?"+query, "one-token", "").Code; got != status {
			t.Errorf("%s: %d, want %d", query, got, status)
		}
	}
}

// replyOf packs an answer to a question with n TXT values.
func replyOf(t *testing.T, name string, n int) []byte {
	t.Helper()
	m := ask(name + " TXT")
	m.Response = true
	for i := range n {
		m.Answer = append(m.Answer, &dns.TXT{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{fmt.Sprint(i, strings.Repeat("v", 200))},
		})
	}
	return wire(t, m)
}

func TestQueryLog_isBoundedAndKeepsAnswersApart(t *testing.T) {
	l := newQueryLog(QueryLog{Entries: 10})
	addr := netip.MustParseAddrPort("192.0.2.1:53")
	now := time.Unix(1e9, 0)
	var q quota
	l.take(&q, overUDP, addr, replyOf(t, "there.example.com.", 1), now)
	for i := range 30 { // of what is not there
		l.take(&q, overUDP, addr, replyOf(t, fmt.Sprintf("n%d.example.com.", i), 0), now.Add(time.Duration(i)*time.Millisecond))
	}
	l.take(&q, overUDP, addr, replyOf(t, "big.example.com.", 20), now.Add(time.Second))
	all := l.matching(func(string) bool { return true }, time.Time{}, 100)
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	want := []string{"big.example.com", "there.example.com", "n29.example.com", "n28.example.com", "n27.example.com", "n26.example.com", "n25.example.com"}
	if !slices.Equal(names, want) {
		t.Errorf("kept %q, want %q", names, want)
	}
	if big := all[0]; !big.More || len(big.Answers) == 0 || len(big.Answers) >= 20 {
		t.Errorf("of a long reply: more %t, %d answers", big.More, len(big.Answers))
	}
}

func TestQueryLog_aFloodCostsItsClientOnly(t *testing.T) {
	l := newQueryLog(QueryLog{})
	now := time.Unix(1e9, 0)
	var q quota
	flooder, ca := netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("198.51.100.7:53")
	for range 10 * quotaPerClient {
		l.take(&q, overUDP, flooder, replyOf(t, "flood.example.com.", 0), now)
	}
	l.take(&q, overUDP, ca, replyOf(t, "_acme-challenge.example.com.", 1), now)
	counts := map[string]int{}
	for _, e := range l.matching(func(string) bool { return true }, time.Time{}, 1000) {
		counts[e.Name]++
	}
	if counts["flood.example.com"] != quotaPerClient || counts["_acme-challenge.example.com"] != 1 || l.skipped.Load() != 9*quotaPerClient {
		t.Errorf("kept %v, skipped %d", counts, l.skipped.Load())
	}
	l.take(&q, overUDP, flooder, replyOf(t, "later.example.com.", 0), now.Add(time.Second))
	if got := len(l.matching(func(n string) bool { return n == "later.example.com." }, time.Time{}, 10)); got != 1 {
		t.Errorf("a second later %d were kept, want 1", got)
	}
}

func TestQueryLog_privacy(t *testing.T) {
	for _, c := range []struct{ setting, addr, want string }{
		{PrivacyFull, "192.0.2.77", "192.0.2.77"},
		{"", "2001:db8:1:2:3::4", "2001:db8:1:2:3::4"},
		{PrivacyTruncated, "192.0.2.77", "192.0.2.0/24"},
		{PrivacyTruncated, "::ffff:192.0.2.77", "192.0.2.0/24"},
		{PrivacyTruncated, "2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"},
		{PrivacyNone, "192.0.2.77", ""},
	} {
		l := newQueryLog(QueryLog{Addresses: c.setting})
		var q quota
		l.take(&q, overUDP, netip.AddrPortFrom(netip.MustParseAddr(c.addr), 5), replyOf(t, "a.example.com.", 1), time.Now())
		if got := l.matching(func(string) bool { return true }, time.Time{}, 1)[0].Client; got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.setting, c.addr, got, c.want)
		}
		if kept := l.answered.slots[0].client; c.setting == PrivacyNone && kept.IsValid() {
			t.Errorf("the address %s was kept in memory", kept)
		}
	}
}

func TestTokens_haveRights(t *testing.T) {
	config := testConfig()
	config.Tokens = []Token{
		{Name: "r", SHA256: hashOf("r"), Names: []string{"*.example.com"}, Rights: []string{"read"}},
		{Name: "w", SHA256: hashOf("w"), Names: []string{"*.example.com"}, Rights: []string{"write"}},
		{Name: "a", SHA256: hashOf("a"), Rights: []string{"admin"}},
	}
	s := startServer(t, config, NewMemoryStore())
	for _, c := range []struct {
		token, method string
		status        int
	}{
		{"r", "GET", 200},
		{"r", "PUT", 403},
		{"r", "DELETE", 403},
		{"w", "GET", 403},
		{"w", "PUT", 204},
		{"w", "DELETE", 204},
		{"a", "GET", 200},
		{"a", "PUT", 204},
	} {
		path := "/v1/txt/a.example.com"
		if c.method == "DELETE" {
			path += "?value=v"
		}
		if w := call(t, s, c.method, path, c.token, `{"value":"v"}`); w.Code != c.status {
			t.Errorf("%s with %s: %d %s, want %d", c.method, c.token, w.Code, w.Body, c.status)
		}
	}
}

func BenchmarkTap_answered(b *testing.B) {
	var all taps
	t := all.add(overUDP, newQueryLog(QueryLog{}))
	m := ask("_acme-challenge.example.com. TXT")
	m.Response = true
	msg := wire(b, m)
	client := netip.MustParseAddrPort("192.0.2.1:53")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		t.answered("example.com.", client, msg, now)
	}
}
