package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/dnsserver/metric"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const zone = "auth.test"

// world is a DNS server with a zone, and a CA that asks it.
type world struct {
	*lab.Lab
	server *dnsserver.Server
	config Config
	down   atomic.Bool // the CA answers 503
}

func newWorld(t *testing.T, options lab.Options) *world {
	t.Helper()
	w := &world{}
	var err error
	w.server, err = dnsserver.New(dnsserver.Config{Zones: []dnsserver.Zone{{Name: zone, NameServers: []string{"ns.example.net"}}}}, dnsserver.NewMemoryStore(), nil)
	if err == nil {
		err = w.server.Start(t.Context(), "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	options.Resolver = w.server.Addr().String()
	options.Intercept = func(ca http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w.down.Load() {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			ca.ServeHTTP(rw, r)
		})
	}
	if w.Lab, err = lab.Start(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), w.server.Shutdown(context.Background())); err != nil {
			t.Error(err)
		}
	})
	w.config = Config{Names: []string{zone, "*." + zone}, DirectoryURL: w.DirectoryURL, CABundle: w.CABundle, Folder: filepath.Join(t.TempDir(), "own"), Email: "ops@auth.test"}
	return w
}

func (w *world) open(t *testing.T) *Keeper {
	t.Helper()
	k, err := Open(w.config, w.server)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// run has a keeper at work until the test says stop.
func run(t *testing.T, k *Keeper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// A first certificate is had, is trusted, survives a restart without another
// order, and leaves no record behind.
func TestKeeper_obtainsKeepsAndUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	k := w.open(t)
	before, err := k.GetCertificate(nil)
	if err != nil || len(before.Certificate) != 1 {
		t.Fatalf("before there is one: %v, %v; want one that says so", before, err)
	}
	stop := run(t, k)
	eventually(t, "a certificate", func() bool { return k.current.Load() != nil })
	stop()
	served, err := k.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.Roots)
	between := x509.NewCertPool()
	for _, der := range served.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(c)
	}
	for _, name := range []string{zone, "www." + zone} {
		if _, err := served.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between}); err != nil {
			t.Error(err)
		}
	}
	for _, file := range []string{accountFile, certificateFile} {
		if info, err := os.Stat(k.path(file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", file, info, err)
		}
	}
	if left, err := w.server.TXT("_acme-challenge." + zone); err != nil || len(left) != 0 {
		t.Errorf("left at _acme-challenge: %q, %v", left, err)
	}
	again := w.open(t)
	defer run(t, again)()
	if now, _ := again.GetCertificate(nil); now.Leaf.SerialNumber.Cmp(served.Leaf.SerialNumber) != 0 || again.due() != "" {
		t.Errorf("after a restart %v is served, want the same; due: %q", now.Leaf.SerialNumber, again.due())
	}
	if got := w.CA.Placed(); got != 1 {
		t.Errorf("%d orders, want 1", got)
	}
}

func TestKeeper_renewsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{CertificateLife: 90 * 24 * time.Hour})
	k := w.open(t)
	if err := k.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := k.current.Load()
	for _, c := range []struct {
		days int
		due  bool
	}{{0, false}, {59, false}, {61, true}, {95, true}} {
		k.now = func() time.Time { return time.Now().AddDate(0, 0, c.days) }
		if got := k.due() != ""; got != c.due {
			t.Errorf("after %d of 90 days: due %t, want %t", c.days, got, c.due)
		}
	}
	k.now = func() time.Time { return time.Now().AddDate(0, 0, 61) }
	if err := k.renew(t.Context()); err != nil || k.current.Load() == first {
		t.Errorf("renew: %v; the same certificate: %t", err, k.current.Load() == first)
	}
	if on, err := readPair(k.path(certificateFile)); err != nil || on.Leaf.SerialNumber.Cmp(k.current.Load().Leaf.SerialNumber) != 0 {
		t.Errorf("on disk: %v, %v; want the new one", on, err)
	}
	k.now = time.Now
	k.config.Names = []string{zone}
	if why := k.due(); !strings.Contains(why, "names") {
		t.Errorf("with other names due is %q", why)
	}
	short := &tls.Certificate{Leaf: &x509.Certificate{NotBefore: time.Now().Add(-70 * time.Hour), NotAfter: time.Now().Add(74 * time.Hour), DNSNames: []string{zone}}}
	k.current.Store(short)
	if why := k.due(); why != "" {
		t.Errorf("of six days the first half is over: due %q", why)
	}
	k.now = func() time.Time { return time.Now().Add(3 * time.Hour) }
	if k.due() == "" {
		t.Error("of six days less than half is left, and none is due")
	}
}

// While the CA is away, and where it refuses, what was served stays.
func TestKeeper_failuresKeepWhatIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	k := w.open(t)
	if err := k.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := k.current.Load()
	k.config.Names = []string{"other.example"} // which this server does not answer for
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := k.renew(ctx); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("a name of others: %v", err)
	}
	k.config.Names = []string{zone}
	w.down.Store(true)
	defer run(t, k)() // whose names have changed, so that one is due
	eventually(t, "a failure that is counted", func() bool { return k.failures.Load() > 0 })
	if k.current.Load() != first {
		t.Error("a failure changed what is served")
	}
	var text strings.Builder
	m := &metric.Writer{}
	k.WriteMetrics(m)
	if _, err := m.WriteTo(&text); err != nil || !strings.Contains(text.String(), "certificate_dns_own_certificate_failures_total") {
		t.Errorf("metrics: %q, %v", text.String(), err)
	}
	if err := os.WriteFile(k.path(certificateFile), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := w.open(t); again.current.Load() != nil || again.due() == "" {
		t.Error("a torn file is used, or nothing is due then")
	}
}

func TestKeeper_boundAccount(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	w := newWorld(t, lab.Options{ExternalAccounts: map[string]string{"kid-1": key}})
	k := w.open(t)
	if err := k.renew(t.Context()); err == nil || !strings.Contains(err.Error(), "register") {
		t.Errorf("without the CA's account: %v", err)
	}
	hmac, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	k.config.ExternalAccount = &ExternalAccount{KeyID: "kid-1", Key: hmac}
	if err := k.renew(t.Context()); err != nil {
		t.Error(err)
	}
}
