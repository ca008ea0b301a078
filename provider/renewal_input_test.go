package provider_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

// publicCA has the lab's CA be bound by the rules for public ones.
const publicCA = "provider \"certificate\" {\n issuers = { lab = { acme = { publicly_trusted = true } } }\n}\n"

func TestAccRenewal_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	long := strings.Repeat("a", 63)
	domains := func(names ...string) string {
		return fmt.Sprintf("resource \"certificate_renewal\" \"www\" { domains = [%s] }", `"`+strings.Join(names, `", "`)+`"`)
	}
	for sentence, test := range map[string]struct{ config, want string }{
		"no names at all":          {`resource "certificate_renewal" "www" {}`, `domains, or original_certificate_pem or csr_pem`},
		"an empty set":             {`resource "certificate_renewal" "www" { domains = [] }`, `The set is empty`},
		"an empty name":            {domains(""), `the name is empty`},
		"a space":                  {domains("www example.test"), `contains a space`},
		"254 bytes":                {domains(strings.Join([]string{long, long, long, long}, ".") + ".test"), `at most 253`},
		"a label of 64 bytes":      {domains("a" + long + ".test"), `at most 63`},
		"a bare top-level domain":  {domains("com"), `top-level domain`},
		"broken punycode":          {domains("xn--a.example.test"), `no valid domain name`},
		"a wildcard in the middle": {domains("www.*.example.test"), `whole first label`},
		"an address":               {domains("192.0.2.1"), `IP address`},
		"a URL":                    {domains("https://example.test/"), `without scheme`},
		"an unknown issuer":        {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n issuer = \"nobody\"\n}", `no issuer "nobody"`},
		"both key sources": {`resource "certificate_renewal" "www" {
  csr_pem     = "x"
  private_key = {}
}`, `Two sources for the key`},
		"no signing request":                    {`resource "certificate_renewal" "www" { csr_pem = "x" }`, `Not a signing request`},
		"no certificate":                        {`resource "certificate_renewal" "www" { original_certificate_pem = "x" }`, `Not a certificate`},
		"an unknown algorithm":                  {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n private_key = { algorithm = \"DSA\" }\n}", `algorithm`},
		"no time zone":                          {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n renewal = { time_zone = \"Mars/Olympus\" }\n}", `Not a time zone`},
		"a key without its version":             {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n private_key_pem_wo = \"x\"\n}", `Key and version belong together`},
		"issuer named twice":                    {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n issuer = \"default\"\n issuers = [\"default\"]\n}", `Issuer named twice`},
		"an issuer of the list that is unknown": {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n issuers = [\"default\", \"nobody\"]\n}", `no issuer "nobody"`},
		"an unknown reason":                     {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n revocation_reason = \"bored\"\n}", `revocation_reason`},
		"a broken external account":             {"provider \"certificate\" {\n issuers = { a = { acme = { external_account = { key_id = \"x\", hmac_key = \"?\" } } } }\n}\n" + wwwOnly, `Not a key in base64url`},
		"a broken account key":                  {"provider \"certificate\" {\n issuers = { a = { acme = { account_key_pem = \"x\" } } }\n}\n" + wwwOnly, `Not a private key`},
		"no duration":                           {"resource \"certificate_renewal\" \"www\" {\n domains = [\"a.example.test\"]\n wait_timeout = \"soon\"\n}", `Not a duration`},
		"two storage kinds":                     {"provider \"certificate\" {\n storage = {\n directory = { path = \"/tmp/x\" }\n postgres = { url = \"postgres://localhost/x\" }\n }\n}\n" + wwwOnly, `Only one may be configured`},
		"no responder URL":                      {"provider \"certificate\" {\n validation = { responder = { url = \"ftp://x\" } }\n}\n" + wwwOnly, `no http or https URL`},
		"no directory URL":                      {"provider \"certificate\" {\n issuers = { a = { acme = { directory_url = \"http://x\" } } }\n}\n" + wwwOnly, `no https URL`},
		"an empty issuer":                       {"provider \"certificate\" {\n issuers = { a = {} }\n}\n" + wwwOnly, `One must be configured`},
		"terms not agreed to":                   {"provider \"certificate\" {\n issuers = { a = { acme = { terms_of_service_agreed = false } } }\n}\n" + wwwOnly, `terms_of_service_agreed`},
		"a country in full":                     {renewal(`subject = { country = "China" }`), `two letters`},
		"an organization of 65 characters":      {renewal(`subject = { organization = "` + long + `oo" }`), `subject.organization`},
		"a life of no days":                     {renewal(`validity = { days = 0 }`), `validity.days`},
		"no date":                               {renewal(`validity = { not_after = "tomorrow" }`), `validity.not_after`},
		"an end that has passed":                {renewal(`validity = { not_after = "2020-01-01T00:00:00Z" }`), `The end has passed`},
		"an end before the start":               {renewal(`validity = { not_before = "2099-01-02T00:00:00Z", not_after = "2099-01-01T00:00:00Z" }`), `The end comes before the start`},
		"a life longer than a public CA grants": {publicCA + renewal(`validity = { days = 399 }`), `Longer than a public certificate may live`},
		"no duration for a renewal":             {renewal(`timeouts = { update = "-5m" }`), `timeouts.update: "-5m" is not a positive duration`},
		"no generations to keep":                {renewal(`keep_generations = 0`), `keep_generations`},
		"a window of no days":                   {renewal(`renewal = { window_days = 0 }`), `window_days`},
		"an unknown custody":                    {renewal(`private_key = { custody = "pocket" }`), `custody`},
		"an empty list of issuers":              {renewal(`issuers = []`), `issuers`},
		"two issuers, none named": {
			"provider \"certificate\" {\n issuers = {\n a = { acme = {} }\n b = { acme = {} }\n }\n}\n" + wwwOnly,
			`say which one`,
		},
		"an unwritable storage": {"provider \"certificate\" {\n storage = { directory = { path = \"/proc/nowhere\" } }\n}\n" + wwwOnly, `Storage directory not usable`},
		"no age identity":       {"provider \"certificate\" {\n storage = { encryption = { age_identity = \"x\" } }\n}\n" + wwwOnly, `No usable age identity`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w.test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
	if requests, _ := w.CA.Requests(); requests != 0 {
		t.Errorf("bad input caused %d requests to the CA, want none", requests)
	}
}

// anywhere matches words that Terraform may have wrapped.
func anywhere(words string) *regexp.Regexp {
	fields := strings.Fields(words)
	for i, field := range fields {
		fields[i] = regexp.QuoteMeta(field)
	}
	return regexp.MustCompile(strings.Join(fields, `[\s│]+`))
}
