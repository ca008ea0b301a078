package provider_test

import (
	"log/slog"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
	"github.com/certiform/terraform-provider-certificate/internal/lab/tencentsim"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// The account lists what is due in it: what nobody renews, what an order renews,
// and what a resource has.
func TestAccStatus_listsWhatIsDueInTheAccount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	old := func(name string, days int) string {
		return s.old(tencentsim.Seed{PID: 1013949, Names: []string{name}}, days)
	}
	forgotten, renewed, kept := old("forgotten.test", 5), old("renewed.test", 10), old("kept.test", 15)
	old("later.test", 60)
	renewal, err := s.Commercial.Renew(renewed)
	if err != nil {
		t.Fatal(err)
	}
	account, err := tencentcloud.New(tencentcloud.Config{URL: s.CommercialURL, SecretID: s.CommercialID, SecretKey: secret.New(s.CommercialKey)},
		nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	held, err := account.Certificate(t.Context(), kept)
	if err != nil {
		t.Fatal(err)
	}
	config := func(issuer string) string {
		return `
provider "certificate" {
  issuers = {
    tencent = { tencentcloud = {} }
    acme    = { acme = {} }
  }
}
locals {
  of = { for c in coalesce(data.certificate_status.all.account, []) : join(",", c.names) => "${c.id} ${coalesce(c.renewal_id, "none")} ${c.needs_resource} ${c.days_left}" }
}
output "of" { value = jsonencode(local.of) }
` + statusConfig(map[string]string{"kept": string(pki.EncodeCertificates(held.Chain...))}, issuer)
	}
	want := `"forgotten.test":"` + forgotten + ` none true 4","kept.test":"` + kept + ` none false 14","renewed.test":"` + renewed + " " + renewal + ` false 9"`
	s.test(t,
		resource.TestStep{
			Config: config(`issuer = "tencent"`),
			Check: resource.ComposeTestCheckFunc(
				resource.TestMatchOutput("of", anywhere(want)), resource.TestCheckResourceAttr(status, "ok", "false"),
				resource.TestCheckResourceAttr(status, "account.#", "6"), // the lab's own three too
			),
		},
		resource.TestStep{Config: config(""), Check: resource.ComposeTestCheckFunc(
			resource.TestCheckOutput("of", "{}"), resource.TestCheckNoResourceAttr(status, "account.#"))},
		resource.TestStep{Config: config(`issuer = "acme"`), ExpectError: anywhere("has no account that lists certificates")},
		resource.TestStep{Config: config(`issuer = "none"`), ExpectError: anywhere(`no issuer "none"`)},
	)
	s.charged(1) // in the console
}
