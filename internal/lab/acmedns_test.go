package lab_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/go-acme/lego/v4/certcrypto"
	"github.com/go-acme/lego/v4/certificate"
	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/lego"
	"github.com/go-acme/lego/v4/providers/dns/acmedns"
	"github.com/go-acme/lego/v4/registration"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// legoUser is lego's idea of an account.
type legoUser struct {
	key      crypto.PrivateKey
	resource *registration.Resource
}

func (u *legoUser) GetEmail() string                        { return "ops@example.test" }
func (u *legoUser) GetRegistration() *registration.Resource { return u.resource }
func (u *legoUser) GetPrivateKey() crypto.PrivateKey        { return u.key }

// newLego is a lego that knows the lab's CA and validates through acme-dns at a
// URL.
func newLego(t *testing.T, l *lab.Lab, url, server string) *lego.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	user := &legoUser{key: key}
	config := lego.NewConfig(user)
	config.CADirURL, config.Certificate.KeyType = l.DirectoryURL, certcrypto.EC256
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.CABundle)
	config.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	client, err := lego.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if user.resource, err = client.Registration.Register(registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		t.Fatal(err)
	}
	provider, err := acmedns.NewDNSProviderConfig(&acmedns.Config{APIBase: url, StoragePath: filepath.Join(t.TempDir(), "accounts.json")})
	if err == nil {
		err = client.Challenge.SetDNS01Provider(provider, dns01.AddRecursiveNameservers([]string{server}), dns01.DisableAuthoritativeNssPropagationRequirement())
	}
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// lego's own client of acme-dns registers, is told the record to create, and
// gets a certificate once that is there, wildcard and all.
func TestAcmeDNS_legoGetsACertificate(t *testing.T) {
	t.Parallel()
	// One zone for both: Pebble asks one server, which leads only within a zone.
	server, err := dnsserver.New(dnsserver.Config{
		Zones:    []dnsserver.Zone{{Name: "test", NameServers: []string{"ns.example.net"}}},
		Accounts: dnsserver.Accounts{AcmeDNS: true, Register: true},
	}, dnsserver.NewMemoryStore(), nil)
	if err == nil {
		err = server.Start(t.Context(), "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	api := httptest.NewServer(server.Handler())
	t.Cleanup(api.Close)
	l, err := lab.Start(t.Context(), lab.Options{Resolver: server.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	client := newLego(t, l, api.URL, server.Addr().String())
	request := certificate.ObtainRequest{Domains: []string{"www.test", "*.www.test"}, Bundle: true}
	_, err = client.Certificate.Obtain(request)
	var wanted acmedns.ErrCNAMERequired
	if !errors.As(err, &wanted) {
		t.Fatalf("the first time: %v, want lego to ask for a CNAME", err)
	}
	if err := server.PutCNAME(t.Context(), wanted.FQDN, wanted.Target); err != nil { // as a person does
		t.Fatal(err)
	}
	got, err := client.Certificate.Obtain(request)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := certcrypto.ParsePEMBundle(got.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"www.test", "a.www.test"} {
		if err := chain[0].VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}
