package acme_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v4/certificate"
	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/lego"
	"github.com/go-acme/lego/v4/registration"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
	"github.com/certiform/terraform-provider-certificate/internal/order"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// BenchmarkOrder is one certificate from intent to journal, key, storage and
// propagation included.
func BenchmarkOrder(b *testing.B) {
	// As in main; the lab's garbage counts here, too.
	percent := debug.SetGCPercent(400)
	b.Cleanup(func() { debug.SetGCPercent(percent) })
	for _, count := range []int{1, 21} {
		b.Run(fmt.Sprintf("names=%d", count), func(b *testing.B) {
			l := newLab(b, lab.Options{})
			runner := newRunner(b, l)
			issue := func(n int) {
				intent := order.Intent{Issuer: "lab", Names: names(fmt.Sprintf("b%d", n), count), Algorithm: pki.ECDSAP256}
				j, _, err := runner.Run(b.Context(), order.Wish{Intent: intent, Wait: time.Minute})
				if err != nil || j.Status != order.StatusIssued {
					b.Fatal(j.Status, err)
				}
			}
			issue(-1) // the account is made once
			before, _ := l.CA.Requests()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				issue(n)
				n++
			}
			after, _ := l.CA.Requests()
			b.ReportMetric(float64(after-before)/float64(n), "requests/op")
		})
	}
}

// BenchmarkPeer is the same work by lego's Obtain, which the incumbent provider
// uses, with the same CA and responder.
func BenchmarkPeer(b *testing.B) {
	l := newLab(b, lab.Options{})
	client := newPeer(b, l)
	for n := 0; b.Loop(); n++ {
		_, err := client.Certificate.Obtain(certificate.ObtainRequest{Domains: names(fmt.Sprintf("p%d", n), 1), Bundle: true})
		if err != nil {
			b.Fatal(err)
		}
	}
}

type peerUser struct {
	key          crypto.PrivateKey
	registration *registration.Resource
}

func (u *peerUser) GetEmail() string                        { return "" }
func (u *peerUser) GetRegistration() *registration.Resource { return u.registration }
func (u *peerUser) GetPrivateKey() crypto.PrivateKey        { return u.key }

// peerDNS publishes for lego at the lab's responder.
type peerDNS struct{ publisher challenge.Publisher }

func (p peerDNS) Present(domain, _, keyAuth string) error {
	r, err := challenge.NewRecord(challenge.DNS01, domain, "", keyAuth)
	if err != nil {
		return err
	}
	return p.publisher.Publish(context.Background(), r.Target, r.Value)
}

func (p peerDNS) CleanUp(domain, _, keyAuth string) error {
	r, err := challenge.NewRecord(challenge.DNS01, domain, "", keyAuth)
	if err != nil {
		return err
	}
	return p.publisher.Withdraw(context.Background(), r.Target, r.Value)
}

func newPeer(b *testing.B, l *lab.Lab) *lego.Client {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	user := &peerUser{key: key}
	config := lego.NewConfig(user)
	config.CADirURL = l.DirectoryURL
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.CABundle)
	config.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	client, err := lego.NewClient(config)
	if err != nil {
		b.Fatal(err)
	}
	if user.registration, err = client.Registration.Register(registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
		b.Fatal(err)
	}
	publisher, err := challenge.NewResponder(l.ResponderURL, l.ResponderToken)
	if err != nil {
		b.Fatal(err)
	}
	server := strings.Clone(l.DNS)
	err = client.Challenge.SetDNS01Provider(peerDNS{publisher}, dns01.AddRecursiveNameservers([]string{server}), dns01.DisableAuthoritativeNssPropagationRequirement())
	if err != nil {
		b.Fatal(err)
	}
	return client
}
