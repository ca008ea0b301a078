package provider_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const delegation = "certificate_delegation.shop"

// led is what a provider of DNS records is told by the outputs: the lab's own
// server stands for it.
func (w *world) led(t *testing.T, domain, target string) func() {
	return func() {
		if err := w.Responder.PutCNAME(t.Context(), challenge.Name(domain), target); err != nil {
			t.Error(err)
		}
	}
}

func TestAccDelegation_leadsToACertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	const domain = "www.shop.test"
	target := challenge.DelegationLabel(domain) + ".test"
	config := fmt.Sprintf(`
resource "certificate_delegation" "shop" {
  domain         = "*.%s"
  responder_zone = "test"
  zone           = "shop.test"
}
output "record" {
  value = [for r in values(certificate_delegation.shop.records) : "${r.name} ${r.type} ${r.value_dot} ${r.ttl}"][0]
}
`, domain)
	renewal := config + fmt.Sprintf(`
resource "certificate_renewal" "www" { domains = [%q, "*.%s"] }`, domain, domain)
	w.test(t,
		resource.TestStep{
			Config: config, ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectKnownOutputValue("record", knownvalue.StringExact("_acme-challenge.www CNAME "+target+". 300")), // in the first plan
			}},
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckOutput("record", "_acme-challenge.www CNAME "+target+". 300"),
				resource.TestCheckResourceAttr(delegation, "verified", "false"),
				resource.TestMatchResourceAttr(delegation, "problems."+domain, regexp.MustCompile(`create the record _acme-challenge.www.shop.test. CNAME `+regexp.QuoteMeta(target)+`\.$`)),
			),
		},
		resource.TestStep{PreConfig: w.led(t, domain, target), Config: config, PlanOnly: true},
		resource.TestStep{
			Config: renewal,
			Check: resource.ComposeTestCheckFunc(
				resource.TestCheckResourceAttr(delegation, "verified", "true"), resource.TestCheckResourceAttr(delegation, "problems.%", "0"),
				resource.TestCheckResourceAttr(www, "status", "issued"),
			),
		},
		resource.TestStep{Config: renewal, PlanOnly: true},
		// A plan asks DNS alone: it needs no token.
		resource.TestStep{PreConfig: func() { w.environment["CERTIFICATE_RESPONDER_TOKEN"] = "none" }, Config: config, ExpectNonEmptyPlan: true, PlanOnly: true},
		resource.TestStep{PreConfig: func() { w.environment["CERTIFICATE_RESPONDER_TOKEN"] = w.ResponderToken }, Config: config},
	)
	if registered, err := w.registrar(t).Registered(t.Context(), domain); err == nil {
		t.Errorf("%+v is still registered", registered)
	}
}

func (w *world) registrar(t *testing.T) *challenge.Responder {
	t.Helper()
	r, err := challenge.NewResponder(w.ResponderURL, w.ResponderToken)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func delegations(arguments string) string {
	return "resource \"certificate_delegation\" \"shop\" {\n" + arguments + "\n}"
}

// Domains come and go in place; what the responder knows already is taken over.
func TestAccDelegation_ofSeveralDomains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	known := func(domain string, want bool) {
		t.Helper()
		if _, err := w.registrar(t).Registered(t.Context(), domain); (err == nil) != want {
			t.Errorf("%s is registered: %v, want %t", domain, err, want)
		}
	}
	if _, err := w.registrar(t).Register(t.Context(), "a.test", challenge.DelegationLabel("a.test"), ""); err != nil {
		t.Fatal(err)
	}
	const keys = `output "domains" { value = keys(certificate_delegation.shop.records) }`
	w.test(t,
		resource.TestStep{
			Config: delegations(`domains = ["a.test", "b.test"]`) + "\n" + keys, PlanOnly: true, ExpectNonEmptyPlan: true,
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPreRefresh: []plancheck.PlanCheck{ // for_each takes them
				plancheck.ExpectKnownOutputValue("domains", knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact("a.test"), knownvalue.StringExact("b.test")})),
			}},
		},
		resource.TestStep{Config: delegations(`domains = ["a.test", "b.test"]`), Check: resource.ComposeTestCheckFunc(
			resource.TestCheckResourceAttr(delegation, "id", "a.test,b.test"), resource.TestCheckResourceAttr(delegation, "records.%", "2"),
			resource.TestCheckResourceAttr(delegation, "records.b.test.value", challenge.DelegationLabel("b.test")+".test"),
		)},
		resource.TestStep{Config: delegations(`domains = ["a.test", "b.test"]`), PlanOnly: true},
		resource.TestStep{
			Config: delegations(`domains = ["b.test", "c.test"]`), ConfigPlanChecks: expect(delegation, plancheck.ResourceActionUpdate),
			Check: func(*terraform.State) error {
				known("a.test", false)
				known("b.test", true)
				known("c.test", true)
				return nil
			},
		},
		resource.TestStep{Config: delegations(`domain = "b.test"`), ConfigPlanChecks: expect(delegation, plancheck.ResourceActionUpdate)},
		resource.TestStep{
			Config: delegations("domain = \"b.test\"\nzone = \"test\"\nttl = 60"), ConfigPlanChecks: expect(delegation, plancheck.ResourceActionUpdate),
			Check: resource.ComposeTestCheckFunc(resource.TestCheckResourceAttr(delegation, "records.b.test.ttl", "60"), resource.TestCheckResourceAttr(delegation, "records.b.test.name", "_acme-challenge.b")),
		},
		resource.TestStep{ResourceName: delegation, ImportState: true, ImportStateId: "b.test", ImportStateVerify: true, ImportStateVerifyIgnore: []string{"zone", "ttl", "records.b.test.ttl", "records.b.test.name"}},
		resource.TestStep{
			Config: delegations("domain = \"b.test\"\nsubdomain = \"our.own\""), ConfigPlanChecks: expect(delegation, plancheck.ResourceActionReplace),
			Check: resource.TestCheckResourceAttr(delegation, "records.b.test.value", "our.own.test"),
		},
		resource.TestStep{Config: delegations("domain = \"b.test\"\nsubdomain = \"our.own\"\nresponder_zone = \"test\""), ConfigPlanChecks: expect(delegation, plancheck.ResourceActionUpdate)},
	)
	known("b.test", false)
}

func TestAccDelegation_refusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lab.Options{})
	if _, err := w.registrar(t).Register(t.Context(), "taken.test", "elsewhere", ""); err != nil {
		t.Fatal(err)
	}
	for sentence, test := range map[string]struct{ config, want string }{
		"no domain":                       {delegations(""), "Set one of domain and domains"},
		"domains in two places":           {delegations("domain = \"a.test\"\ndomains = [\"b.test\"]"), "Keep one of domain and domains"},
		"a subdomain for several":         {delegations("domains = [\"a.test\", \"b.test\"]\nsubdomain = \"x\""), "Each domain leads to a name of its own"},
		"no name":                         {delegations(`domain = "not a name"`), "Not a name for a certificate"},
		"no label":                        {delegations("domain = \"a.test\"\nsubdomain = \"*\""), "no name below a zone"},
		"a domain outside of the zone":    {delegations("domain = \"a.test\"\nzone = \"shop.test\""), `"a.test" is not in "shop.test"`},
		"a zone that is not the server's": {delegations("domain = \"a.test\"\nresponder_zone = \"example.net\""), "example.net is no zone of this server"},
		"a domain registered otherwise":   {delegations(`domain = "taken.test"`), `it is registered as elsewhere.test: set subdomain to "elsewhere"`},
		"no responder": {
			"provider \"certificate\" {\n  validation = { http_01 = { listen = \"127.0.0.1:8080\" } }\n}\n" + delegations(`domain = "a.test"`), "set validation.responder",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			w.test(t, resource.TestStep{Config: test.config, ExpectError: regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(test.want), " ", `\s+`))})
		})
	}
}
