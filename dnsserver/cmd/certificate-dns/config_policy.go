package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/certiform/terraform-provider-certificate/dnsserver"
)

// cookiesBlock configures DNS cookies (RFC 7873).
type cookiesBlock struct {
	Enabled     *bool     `hcl:"enabled,optional"`
	SecretsFile string    `hcl:"secrets_file,optional"`
	Range       hcl.Range `hcl:",def_range"`
}

// rateLimitBlock bounds the replies over UDP to one network.
type rateLimitBlock struct {
	Enabled            *bool     `hcl:"enabled,optional"`
	ResponsesPerSecond uint32    `hcl:"responses_per_second,optional"`
	Slip               uint32    `hcl:"slip,optional"`
	Exempt             *[]string `hcl:"exempt,optional"`
	Range              hcl.Range `hcl:",def_range"`
}

// policy adds to the server's configuration how replies are given, and returns
// what is wrong with it.
func (f *file) policy(server *dnsserver.Config) []error {
	server.NSID = f.NSID
	return append(f.Cookies.apply(&server.Cookies), f.RateLimit.apply(&server.RateLimit)...)
}

func (b *cookiesBlock) apply(to *dnsserver.Cookies) []error {
	if b == nil {
		return nil
	}
	to.Disabled = b.Enabled != nil && !*b.Enabled
	if b.SecretsFile == "" {
		return nil
	}
	text, err := os.ReadFile(b.SecretsFile)
	if err != nil {
		return []error{fmt.Errorf("%s: cookies: %w; correct secrets_file", linePlace(b.Range), err)}
	}
	var errs []error
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		secret, err := dnsserver.ParseCookieSecret(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: cookies: %s, line %d: %w; make one with: openssl rand -hex 16",
				linePlace(b.Range), b.SecretsFile, i+1, err))
			continue
		}
		to.Secrets = append(to.Secrets, secret)
	}
	return errs
}

func (b *rateLimitBlock) apply(to *dnsserver.RateLimit) []error {
	if b == nil {
		return nil
	}
	to.Disabled = b.Enabled != nil && !*b.Enabled
	to.PerSecond, to.Slip = b.ResponsesPerSecond, b.Slip
	if b.Exempt == nil {
		return nil
	}
	to.Exempt = []netip.Prefix{}
	var errs []error
	for _, text := range *b.Exempt {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: rate_limit: exempt: %q is not a network; write it like 192.0.2.0/24 or 2001:db8::/32",
				linePlace(b.Range), text))
			continue
		}
		to.Exempt = append(to.Exempt, prefix)
	}
	return errs
}
