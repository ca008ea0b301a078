package pki_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestVerify(t *testing.T) {
	now := time.Now()
	ca := deploytest.NewAuthority(t, now)
	chain, _ := ca.Issue(t, now, []string{"www.example.test"})
	trusting, others := x509.NewCertPool(), x509.NewCertPool()
	trusting.AddCert(ca.Root)
	others.AddCert(deploytest.NewAuthority(t, now).Root)
	for sentence, test := range map[string]struct {
		chain []*x509.Certificate
		roots *x509.CertPool
		name  string
		now   time.Time
		want  any // a pointer to an error's type; nil: none
	}{
		"a good one":               {chain, trusting, "www.example.test", now, nil},
		"another root":             {chain, others, "www.example.test", now, new(x509.UnknownAuthorityError)},
		"no intermediate":          {chain[:1], trusting, "www.example.test", now, new(x509.UnknownAuthorityError)},
		"another name":             {chain, trusting, "api.example.test", now, new(x509.HostnameError)},
		"an address":               {chain, trusting, "127.0.0.1", now, new(x509.HostnameError)},
		"after the expiry":         {chain, trusting, "www.example.test", now.AddDate(0, 0, 91), new(x509.CertificateInvalidError)},
		"long before its validity": {chain, trusting, "www.example.test", now.AddDate(0, 0, -1), new(x509.CertificateInvalidError)},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := pki.Verify(test.chain, test.roots, test.name, test.now)
			if (err == nil) != (test.want == nil) || test.want != nil && !errors.As(err, test.want) {
				t.Errorf("Verify = %v, want %T", err, test.want)
			}
		})
	}
	if err := pki.Verify(nil, trusting, "www.example.test", now); !errors.Is(err, pki.ErrNoCertificate) {
		t.Errorf("Verify of nothing = %v, want %v", err, pki.ErrNoCertificate)
	}
}
