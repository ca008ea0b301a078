package watch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
)

// issue makes a certificate of a life, self-signed.
func issue(t *testing.T, serial int64, notBefore time.Time, life time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: notBefore, NotAfter: notBefore.Add(life),
		Subject: pkix.Name{CommonName: "www.example.com"}, DNSNames: []string{"www.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// site serves TLS with a certificate that can be replaced.
type site struct {
	mu   sync.Mutex
	cert tls.Certificate
	l    net.Listener
}

func (s *site) set(c tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cert = c
}

func startSite(t *testing.T, cert tls.Certificate) *site {
	t.Helper()
	s := &site{cert: cert}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.cert
		return &c, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.l = l
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = conn.(*tls.Conn).HandshakeContext(context.Background())
				_ = conn.Close()
			}()
		}
	}()
	return s
}

// memory keeps documents.
type memory struct {
	mu  sync.Mutex
	all map[string][]byte
}

func (m *memory) Document(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.all[key]
	return v, ok, nil
}

func (m *memory) PutDocument(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[key] = value
	return nil
}

// recorder is a channel that remembers, or fails.
type recorder struct {
	name string
	told []Notice
	err  error
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Tell(_ context.Context, n Notice) error {
	if r.err == nil {
		r.told = append(r.told, n)
	}
	return r.err
}

func (r *recorder) stages() (all []string) {
	for _, n := range r.told {
		all = append(all, n.Stage)
	}
	return all
}

func TestWatcher_tellsEachStageOncePerCertificateAcrossRestarts(t *testing.T) {
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := startSite(t, issue(t, 1, issued, 90*day)) // the window opens on 2026-03-02 at noon
	docs := &memory{all: map[string][]byte{}}
	hook := &recorder{name: "hook"}
	now := issued
	watcher := func() *Watcher {
		return New(Config{
			Endpoints: []Endpoint{{Name: "www", Address: s.l.Addr().String(), ServerName: "www.example.com"}},
			Channels:  []Channel{hook}, Now: func() time.Time { return now },
		}, docs)
	}
	w := watcher()
	for _, c := range []struct {
		title   string
		now     time.Time
		restart bool
		renew   bool
		want    []string // told until then, of this certificate
	}{
		{"before the window", issued.Add(50 * day), false, false, nil},
		{"in the window, a day too early", time.Date(2026, 3, 3, 23, 59, 59, 0, time.UTC), false, false, nil},
		{"on the second calendar day", time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC), false, false, []string{"reminder"}},
		{"later that day", time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC), false, false, []string{"reminder"}},
		{"after a restart", time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), true, false, []string{"reminder"}},
		{"a week before the end", issued.Add(83 * day), true, false, []string{"reminder", "7_days"}},
		{"a day before", issued.Add(89 * day), false, false, []string{"reminder", "7_days", "1_day"}},
		{"after the end", issued.Add(90 * day), false, false, []string{"reminder", "7_days", "1_day", "expired"}},
		{"long after the end", issued.Add(100 * day), true, false, []string{"reminder", "7_days", "1_day", "expired"}},
		{"once renewed", issued.Add(100 * day), false, true, []string{"reminder", "7_days", "1_day", "expired"}},
		{"when the next one has ended", issued.Add(195 * day), false, false, []string{"reminder", "7_days", "1_day", "expired", "expired"}},
	} {
		now = c.now
		if c.restart {
			w = watcher()
		}
		if c.renew {
			s.set(issue(t, 2, issued.Add(100*day), 90*day))
		}
		if !w.Look(t.Context()) {
			t.Errorf("%s: something could not be told", c.title)
		}
		if got := hook.stages(); !slices.Equal(got, c.want) {
			t.Errorf("%s: told %q, want %q", c.title, got, c.want)
		}
	}
	n := hook.told[0]
	if n.Name != "www" || n.Left != 28 || !slices.Equal(n.Names, []string{"www.example.com", "127.0.0.1"}) || n.Serial != "1" || len(n.Fingerprint) != 64 {
		t.Errorf("the notice is %+v", n)
	}
	if hook.told[0].ID == hook.told[1].ID {
		t.Error("two stages have one ID")
	}
}

// Servers that have the same documents tell once.
func TestWatcher_tellsNothingThatAnotherServerTold(t *testing.T) {
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	s := startSite(t, issue(t, 1, issued, 90*day))
	docs := &memory{all: map[string][]byte{}}
	hook := &recorder{name: "hook"}
	now := issued
	watcher := func() *Watcher {
		return New(Config{
			Endpoints: []Endpoint{{Name: "www", Address: s.l.Addr().String(), ServerName: "www.example.com"}},
			Channels:  []Channel{hook}, Now: func() time.Time { return now },
		}, docs)
	}
	one, other := watcher(), watcher()
	for _, w := range []*Watcher{one, other} {
		if !w.Look(t.Context()) || len(hook.told) > 0 {
			t.Fatalf("told too early: %q", hook.stages())
		}
	}
	for n, at := range []time.Duration{85 * day, 89*day + time.Hour, 91 * day} {
		now = issued.Add(at)
		for _, w := range []*Watcher{one, other} {
			if !w.Look(t.Context()) || len(hook.told) != n+1 {
				t.Errorf("after %s: told %q, want %d", at, hook.stages(), n+1)
			}
		}
	}
}

func TestWatcher_triesAgainWhatCouldNotBeTold(t *testing.T) {
	issued := time.Now().Add(-89*day - time.Hour)
	s := startSite(t, issue(t, 1, issued, 90*day))
	good, bad := &recorder{name: "good"}, &recorder{name: "bad", err: errors.New("down")}
	w := New(Config{Endpoints: []Endpoint{{Name: "www", Address: s.l.Addr().String()}}, Channels: []Channel{good, bad}}, &memory{all: map[string][]byte{}})
	if w.Look(t.Context()) {
		t.Error("a channel that is down counts as told")
	}
	bad.err = nil
	for range 2 {
		if !w.Look(t.Context()) {
			t.Error("once it is up something cannot be told")
		}
	}
	if len(good.told) != 1 || len(bad.told) != 1 {
		t.Errorf("told %d and %d times, want once each", len(good.told), len(bad.told))
	}
}

func TestWatcher_remindsOfAServerThatIsAwayByWhatItSaw(t *testing.T) {
	issued := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := startSite(t, issue(t, 1, issued, 90*day))
	hook := &recorder{name: "hook"}
	docs := &memory{all: map[string][]byte{}}
	now := issued.Add(80 * day)
	var log bytes.Buffer
	w := New(Config{
		Endpoints: []Endpoint{{Name: "www", Address: s.l.Addr().String()}},
		Channels:  []Channel{hook}, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}, docs)
	w.Look(t.Context())
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	now = issued.Add(84 * day)
	w.Look(t.Context())
	if got := hook.stages(); !slices.Equal(got, []string{"reminder", "7_days"}) {
		t.Fatalf("told %q", got)
	}
	if hook.told[1].Unreachable == "" {
		t.Error("the notice does not say that the server is away")
	}
	var m metric.Writer
	w.WriteMetrics(&m)
	var text strings.Builder
	if _, err := m.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"certificate_dns_watch_reachable{name=\"www\"", "} 0\n", "certificate_dns_watch_not_after_seconds{name=\"www\"", "} 1.775", "certificate_dns_watch_reminder_seconds{"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the metrics lack %q:\n%s", want, &text)
		}
	}
}

func TestWatcher_runLooksAtOnceAndEndsWithItsContext(t *testing.T) {
	s := startSite(t, issue(t, 1, time.Now().Add(-100*day), 90*day))
	told := make(chan Notice, 1)
	w := New(Config{Endpoints: []Endpoint{{Name: "www", Address: s.l.Addr().String()}}, Channels: []Channel{chanChannel(told)}}, &memory{all: map[string][]byte{}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	select {
	case n := <-told:
		if n.Stage != StageExpired || n.Left != -11 {
			t.Errorf("told %s, %d days", n.Stage, n.Left)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was told within 10 s")
	}
	cancel()
	<-ended
}

type chanChannel chan Notice

func (chanChannel) Name() string { return "chan" }

func (c chanChannel) Tell(_ context.Context, n Notice) error { c <- n; return nil }

func TestStages(t *testing.T) {
	issued := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		life   time.Duration
		window int
		place  *time.Location
		want   string
	}{
		"90 days":                       {90 * day, 0, time.UTC, "reminder 05-02 00:00, 7_days 05-23 00:00, 1_day 05-29 00:00, expired 05-30 00:00"},
		"by the calendar of a place":    {90 * day, 0, berlin, "reminder 05-01 22:00, 7_days 05-23 00:00, 1_day 05-29 00:00, expired 05-30 00:00"},
		"a window of 10 days":           {90 * day, 10, time.UTC, "reminder 05-22 00:00, 7_days 05-23 00:00, 1_day 05-29 00:00, expired 05-30 00:00"},
		"a window of 5 days":            {90 * day, 5, time.UTC, "reminder 05-27 00:00, 1_day 05-29 00:00, expired 05-30 00:00"},
		"6 days":                        {6 * day, 0, time.UTC, "reminder 03-06 00:00, expired 03-07 00:00"},
		"a window longer than the life": {45 * day, 90, time.UTC, "reminder 04-02 00:00, 7_days 04-08 00:00, 1_day 04-14 00:00, expired 04-15 00:00"},
	} {
		var got []string
		for _, s := range stages(issued, issued.Add(c.life), c.window, c.place) {
			got = append(got, s.name+" "+s.at.UTC().Format("01-02 15:04"))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s, want %s", title, strings.Join(got, ", "), c.want)
		}
	}
}
