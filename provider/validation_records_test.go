package provider_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/lab"
)

const records = "data.certificate_validation_records.all"

func recordsConfig(more string, domains ...string) string {
	return fmt.Sprintf("data \"certificate_validation_records\" \"all\" {\n  domains = [%s]\n%s\n}\n", `"`+strings.Join(domains, `", "`)+`"`, more)
}

const authZone = `responder_zone = "auth.example.net"`

// Without storage, token or network the first plan knows the records, so that
// any DNS provider's resource can be made for each of them; nobody is asked.
func TestValidationRecords_areKnownInTheFirstPlan(t *testing.T) {
	t.Parallel()
	c := newCLI(t, lab.Options{}, recordsConfig(authZone, "www.example.com", "*.example.com")+`
resource "terraform_data" "record" { # as a DNS provider's record resource
  for_each = data.certificate_validation_records.all.records
  input    = "${each.value.fqdn_dot} ${each.value.ttl} ${each.value.type} ${each.value.value_dot}"
}`)
	for _, variable := range c.Environment() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "CERTIFICATE_") {
			c.extra = append(c.extra, name+"=")
		}
	}
	c.extra = append(c.extra, "HOME=", "XDG_STATE_HOME=")
	output := c.must(2, "plan", "-detailed-exitcode")
	for domain, want := range map[string]string{
		"www.example.com": "_acme-challenge.www.example.com. 300 CNAME www-example-com-qd6a7ojgnw.auth.example.net.",
		"example.com":     "_acme-challenge.example.com. 300 CNAME example-com-un42n5xov6.auth.example.net.",
	} {
		if address := fmt.Sprintf("terraform_data.record[%q]", domain); !strings.Contains(output, address) || !strings.Contains(output, want) {
			t.Errorf("the plan does not have %s with %q\n%s", address, want, output)
		}
	}
	if requests, _ := c.CA.Requests(); requests != 0 {
		t.Errorf("%d requests to the CA, want none", requests)
	}
}

// With the record in DNS, a certificate and its wildcard are validated at the
// place where it leads; nothing can be written at the validation name itself.
func TestAccValidationRecords_leadToACertificate(t *testing.T) {
	t.Parallel()
	delegation, err := challenge.Delegate("www.example.test", "auth.test")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, lab.Options{Records: fmt.Sprintf("%s. CNAME %s.\n", delegation.Name, delegation.Target)})
	w.test(t, resource.TestStep{
		Config: recordsConfig(`responder_zone = "auth.test"`, "www.example.test", "*.www.example.test") + `
resource "certificate_renewal" "www" { domains = data.certificate_validation_records.all.domains }`,
		ConfigStateChecks: []statecheck.StateCheck{
			statecheck.ExpectKnownValue(records, tfjsonpath.New("records").AtMapKey("www.example.test").AtMapKey("value"), knownvalue.StringExact(delegation.Target)),
			statecheck.ExpectKnownValue(www, tfjsonpath.New("status"), knownvalue.StringExact("issued")),
		},
	})
	if got := w.CA.Issued(); got != 1 {
		t.Errorf("the CA issued %d certificates, want 1", got)
	}
}

func TestAccValidationRecords(t *testing.T) {
	t.Parallel()
	record := func(domain, name, label string, ttl int64) map[string]knownvalue.Check {
		fqdn, value := "_acme-challenge."+domain, label+".auth.example.net"
		return map[string]knownvalue.Check{
			"domain": knownvalue.StringExact(domain), "type": knownvalue.StringExact("CNAME"), "name": knownvalue.StringExact(name),
			"fqdn": knownvalue.StringExact(fqdn), "fqdn_dot": knownvalue.StringExact(fqdn + "."),
			"value": knownvalue.StringExact(value), "value_dot": knownvalue.StringExact(value + "."),
			"ttl": knownvalue.Int64Exact(ttl),
		}
	}
	for sentence, test := range map[string]struct {
		config string
		want   map[string]map[string]knownvalue.Check
	}{
		"an apex and its wildcard share one": {
			recordsConfig(authZone, "example.com", "*.example.com", "EXAMPLE.com."),
			map[string]map[string]knownvalue.Check{"example.com": record("example.com", "_acme-challenge.example.com", "example-com-un42n5xov6", 300)},
		},
		"names relative to a zone": {
			recordsConfig(authZone+"\nzone = \"Example.com.\"\nttl = 60", "example.com", "*.www.example.com"),
			map[string]map[string]knownvalue.Check{
				"example.com":     record("example.com", "_acme-challenge", "example-com-un42n5xov6", 60),
				"www.example.com": record("www.example.com", "_acme-challenge.www", "www-example-com-qd6a7ojgnw", 60),
			},
		},
		"an IDN": {
			recordsConfig("responder_zone = \"AUTH.example.net.\"", "bücher.example"),
			map[string]map[string]knownvalue.Check{
				"xn--bcher-kva.example": record("xn--bcher-kva.example", "_acme-challenge.xn--bcher-kva.example", "xn-bcher-kva-example-s4gknnz6v4", 300),
			},
		},
		"no domains": {"data \"certificate_validation_records\" \"all\" {\n domains = []\n" + authZone + "\n}", nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			want := map[string]knownvalue.Check{}
			for domain, attributes := range test.want {
				want[domain] = knownvalue.ObjectExact(attributes)
			}
			alone().test(t, resource.TestStep{Config: test.config, ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(records, tfjsonpath.New("records"), knownvalue.MapExact(want)),
			}})
		})
	}
}

func TestAccValidationRecords_refusesBadInputInThePlan(t *testing.T) {
	t.Parallel()
	long := strings.TrimSuffix(strings.Repeat("a234567890.", 22), ".")
	for sentence, test := range map[string]struct{ config, want string }{
		"a space in a domain":      {recordsConfig(authZone, "www example.com"), `domains: "www example.com" contains a space`},
		"an empty domain":          {recordsConfig(authZone, ""), `domains: the name is empty`},
		"an address":               {recordsConfig(authZone, "192.0.2.1"), `domains: "192.0.2.1" is an IP address`},
		"no zone to lead to":       {recordsConfig("", "example.com"), `"responder_zone" is required`},
		"no name of a zone":        {recordsConfig(`responder_zone = "https://auth"`, "example.com"), `responder_zone: "https://auth"`},
		"a wildcard as a zone":     {recordsConfig(`responder_zone = "*.example.net"`, "example.com"), `responder_zone: "*.example.net" is a wildcard`},
		"a zone with a long name":  {recordsConfig(`responder_zone = "`+long+`"`, "www.example.com"), `responder_zone:`},
		"a bad zone of its own":    {recordsConfig(authZone+"\nzone = \"a b\"", "example.com"), `zone: "a b" contains a space`},
		"a domain of another zone": {recordsConfig(authZone+"\nzone = \"example.com\"", "www.badexample.com"), `domains: "www.badexample.com" is not in the zone "example.com"`},
		"no time to live":          {recordsConfig(authZone+"\nttl = 0", "example.com"), `ttl`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			alone().test(t, resource.TestStep{Config: test.config, PlanOnly: true, ExpectError: anywhere(test.want)})
		})
	}
}
