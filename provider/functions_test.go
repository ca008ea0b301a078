package provider_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// call is a configuration with one call; the provider is not configured.
func call(expression string, arguments ...any) string {
	return fmt.Sprintf("output \"got\" { value = provider::certificate::"+expression+" }", arguments...)
}

func TestAccFunctions(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca := deploytest.NewAuthority(t, now)
	chain, key := ca.Issue(t, now, []string{"www.example.test", "*.example.test"}, func(c *x509.Certificate) {
		c.NotBefore = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		c.NotAfter = c.NotBefore.Add(90*24*time.Hour - time.Second)
	})
	whole := []*x509.Certificate{chain[0], chain[1], ca.Root}
	encode := func(certificates ...*x509.Certificate) string { return string(pki.EncodeCertificates(certificates...)) }
	secret, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	text := knownvalue.StringExact
	window := func(opens, reminder string) knownvalue.Check {
		return knownvalue.ObjectExact(map[string]knownvalue.Check{"opens_at": text(opens), "renew_at": text(opens), "reminder_at": text(reminder)})
	}
	parsed := map[string]knownvalue.Check{
		"names":        knownvalue.ListExact([]knownvalue.Check{text("www.example.test"), text("*.example.test")}),
		"ip_addresses": knownvalue.ListExact(nil),
		"subject":      text("CN=www.example.test"), "issuer": text("CN=Test Intermediate"),
		"serial_number": text(pki.Serial(chain[0])), "fingerprint_sha256": text(pki.Fingerprint(chain[0])),
		"not_before": text("2026-06-01T12:00:00Z"), "not_after": text("2026-08-30T11:59:59Z"),
		"key_algorithm": text("ECDSA_P256"), "is_ca": knownvalue.Bool(false), "chain_length": knownvalue.Int64Exact(2),
	}
	for sentence, test := range map[string]struct {
		config string
		want   knownvalue.Check
	}{
		"parse a chain":                       {call("parse(%q)", encode(chain...)), knownvalue.ObjectExact(parsed)},
		"parse passes over a private key":     {call("parse(%q)", string(secret)+encode(chain...)), knownvalue.ObjectExact(parsed)},
		"parse a CA":                          {call("parse(%q).is_ca", encode(ca.Root)), knownvalue.Bool(true)},
		"the challenge of a host":             {call("challenge_name(%q)", "www.example.com"), text("_acme-challenge.www.example.com")},
		"the challenge of a wildcard":         {call("challenge_name(%q)", "*.Example.COM."), text("_acme-challenge.example.com")},
		"the challenge of an IDN":             {call("challenge_name(%q)", "*.bücher.example"), text("_acme-challenge.xn--bcher-kva.example")},
		"order a chain that is upside down":   {call("order_chain(%q)", encode(whole[2], whole[1], whole[0])), text(encode(whole...))},
		"order a chain with repeats":          {call("order_chain(%q)", encode(whole[1], whole[0], whole[1])), text(encode(whole[:2]...))},
		"order a single certificate":          {call("order_chain(%q)", encode(chain[0])), text(encode(chain[0]))},
		"the window of 90 days":               {call("renewal_window(%q, null)", encode(chain...)), window("2026-07-31T11:59:59Z", "2026-08-02T00:00:00Z")},
		"a window of own days":                {call("renewal_window(%q, 10)", encode(chain...)), window("2026-08-20T11:59:59Z", "2026-08-22T00:00:00Z")},
		"a window that does not fit":          {call("renewal_window(%q, 398)", encode(chain...)), window("2026-07-31T11:59:59Z", "2026-08-02T00:00:00Z")},
		"functions work before anything else": {call("challenge_name(%q)", "a.example.com") + "\nprovider \"certificate\" {\n storage = { directory = { path = \"/proc/nowhere\" } }\n}", text("_acme-challenge.a.example.com")},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			alone().test(t, resource.TestStep{Config: test.config, ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownOutputValue("got", test.want),
			}})
		})
	}
}

func TestAccFunctions_refuseBadArgumentsInThePlan(t *testing.T) {
	t.Parallel()
	now := time.Now()
	one, _ := deploytest.NewAuthority(t, now).Issue(t, now, []string{"a.example.test"})
	other, _ := deploytest.NewAuthority(t, now).Issue(t, now, []string{"b.example.test"})
	both := string(pki.EncodeCertificates(one[0], other[0]))
	for sentence, test := range map[string]struct{ config, parameter, want string }{
		"parse no certificate":            {call(`parse("x")`), "pem", "no certificate in the PEM text"},
		"parse a damaged certificate":     {call("parse(%q)", pemBlock("CERTIFICATE", []byte("x"))), "pem", "certificate 1 of the PEM text"},
		"the challenge of nothing":        {call(`challenge_name("")`), "domain", "the name is empty"},
		"the challenge of an address":     {call(`challenge_name("192.0.2.1")`), "domain", "IP address"},
		"order no certificate":            {call(`order_chain("")`), "pem", "no certificate in the PEM text"},
		"order two leaves":                {call("order_chain(%q)", both), "pem", "do not form one chain"},
		"the window of no certificate":    {call(`renewal_window("x", 30)`), "pem", "no certificate in the PEM text"},
		"a window of no days":             {call("renewal_window(%q, 0)", both), "window_days", "0 days are no window"},
		"a window of more than 398 days":  {call("renewal_window(%q, 399)", both), "window_days", "399 days are no window"},
		"a window of a part of a day":     {call("renewal_window(%q, 1.5)", both), "window_days", "1.5"},
		"a null where a text has to be":   {call("parse(null)"), "pem", "argument must not be null"},
		"the challenge of a broken label": {call(`challenge_name("a..example.com")`), "domain", "two dots in a row"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			for _, want := range []string{test.want, fmt.Sprintf("Invalid value for %q parameter", test.parameter)} {
				alone().test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(want)})
			}
		})
	}
}
