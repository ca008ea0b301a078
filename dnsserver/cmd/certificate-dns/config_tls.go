package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver/identity"
)

// tlsBlock has the server answer DNS over TLS.
type tlsBlock struct {
	Listen          []string  `hcl:"listen"`
	CertificateFile string    `hcl:"certificate_file,optional"`
	KeyFile         string    `hcl:"key_file,optional"`
	ListenRange     hcl.Range `hcl:"listen,attr_value_range"`
	Range           hcl.Range `hcl:",def_range"`
}

// files reports whether the certificate is not the API's.
func (b *tlsBlock) files() bool { return b.CertificateFile != "" && b.KeyFile != "" }

// addresses is what of the block a restart is needed for.
func (b *tlsBlock) addresses() []string {
	if b == nil {
		return nil
	}
	return append(slices.Clone(b.Listen), fmt.Sprint(b.files()))
}

// checkTLS finds addresses that cannot be listened on, and a missing
// certificate.
func (f *file) checkTLS() []error {
	b := f.TLS
	if b == nil {
		return nil
	}
	var errs []error
	problem := func(at hcl.Range, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: tls: "+format, append([]any{linePlace(at)}, args...)...))
	}
	if len(b.Listen) == 0 {
		problem(b.ListenRange, "there is no address; write one like 192.0.2.53:853")
	}
	for i, addr := range b.Listen {
		ap, err := netip.ParseAddrPort(addr)
		switch {
		case err != nil:
			problem(b.ListenRange, "%q is not an IP address and port; write it like 192.0.2.53:853 or [2001:db8::53]:853", addr)
		case ap.Port() == 0:
		case slices.Contains(b.Listen[:i], addr):
			problem(b.ListenRange, "%q is there twice; remove one", addr)
		case slices.Contains(f.Listen, addr) || f.API != nil && f.API.Listen == addr:
			problem(b.ListenRange, "%q is the address of something else; DNS over TLS has port 853", addr)
		}
	}
	switch {
	case (b.CertificateFile == "") != (b.KeyFile == ""):
		problem(b.Range, "one of certificate_file and key_file is missing; set both, or neither for the API's certificate")
	case b.CertificateFile == "" && (f.API == nil || !f.API.tls()):
		problem(b.Range, "there is no certificate; set certificate_file and key_file, here or in api, or acme there")
	}
	return errs
}

// getter returns the certificate for a handshake.
type getter func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// certificates are those of the API and of DNS over TLS.
type certificates struct {
	api, dns *keyPair         // nil: not from files of its own
	own      *identity.Keeper // nil: none that the server obtains itself
}

// openCertificates reads those that come from files for the first time.
func openCertificates(conf config, own *identity.Keeper, log *slog.Logger) (certificates, error) {
	c := certificates{own: own}
	var err error
	if conf.api != nil && conf.api.tls() && own == nil {
		if c.api, err = openKeyPair("the API", conf.api.CertificateFile, conf.api.KeyFile, log); err != nil {
			return c, err
		}
	}
	if conf.tls != nil && conf.tls.files() {
		c.dns, err = openKeyPair("tls", conf.tls.CertificateFile, conf.tls.KeyFile, log)
	}
	return c, err
}

// forAPI is nil where the API is in clear.
func (c certificates) forAPI() getter {
	switch {
	case c.own != nil:
		return c.own.GetCertificate
	case c.api != nil:
		return c.api.get
	}
	return nil
}

func (c certificates) forDNS() getter {
	if c.dns != nil {
		return c.dns.get
	}
	return c.forAPI()
}

// use has them come from the files that a changed configuration names.
func (c certificates) use(conf config) {
	if c.api != nil && conf.api != nil {
		c.api.move(conf.api.CertificateFile, conf.api.KeyFile)
	}
	if c.dns != nil && conf.tls != nil {
		c.dns.move(conf.tls.CertificateFile, conf.tls.KeyFile)
	}
}
